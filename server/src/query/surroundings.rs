//! What a querier can be asked beside series: who its stores are, rules, targets, metadata of metrics.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sarsen_block::{Labels, TimeRange};
use serde_json::Value;

/// What was found, and what is missing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found<T> {
    pub(crate) data: T,
    /// What a store that could not be asked would have added.
    pub(crate) warnings: Vec<String>,
}

/// A store as a querier sees it.
#[derive(Debug, Clone)]
pub(crate) struct StoreStatus {
    /// Its address.
    pub(crate) name: String,
    /// What it is: `sidecar`, `store`, `receive`, `rule`, `query`.
    pub(crate) component: String,
    /// When it was last asked what it has, in milliseconds.
    pub(crate) last_check: i64,
    /// Why it could not be asked, if it could not.
    pub(crate) last_error: Option<String>,
    /// External labels under which it has series.
    pub(crate) label_sets: Vec<Labels>,
    /// Times of which it has samples.
    pub(crate) range: TimeRange,
}

/// Which rules are asked for.
#[derive(Debug, Clone, Default)]
pub(crate) struct RulesQuery {
    /// `alert`, `record`, or empty for both.
    pub(crate) kind: String,
    pub(crate) names: Vec<String>,
    pub(crate) groups: Vec<String>,
    pub(crate) files: Vec<String>,
    /// Selectors, one of which the labels of a rule must fit; none: all.
    pub(crate) selectors: Vec<String>,
    /// Whether a store that cannot be asked is a warning instead of an error.
    pub(crate) partial: bool,
}

/// What is known of a metric: its type, help and unit.
#[derive(Debug, Clone, PartialEq, Eq, Default, PartialOrd, Ord)]
pub(crate) struct Metadata {
    pub(crate) kind: String,
    pub(crate) help: String,
    pub(crate) unit: String,
}

/// Those round a querier. Who has nothing of a kind answers with nothing.
#[async_trait]
pub(crate) trait Surroundings: Send + Sync + 'static {
    /// The stores that are asked, in any order.
    fn stores(&self) -> Vec<StoreStatus> {
        Vec::new()
    }

    /// Groups of rules with their rules, as the HTTP API shows them; by file and name, replicas made one.
    async fn rules(&self, query: RulesQuery) -> Result<Found<Vec<Value>>, String> {
        let _ = query;
        Ok(Found::default())
    }

    /// Targets as the HTTP API shows them: active ones, and dropped ones.
    async fn targets(&self, state: &str, partial: bool) -> Result<Found<(Vec<Value>, Vec<Value>)>, String> {
        let _ = (state, partial);
        Ok(Found::default())
    }

    /// By metric what its senders say of it, each once; of one `metric` or of all.
    async fn metadata(
        &self,
        metric: Option<&str>,
        partial: bool,
    ) -> Result<Found<BTreeMap<String, Vec<Metadata>>>, String> {
        let _ = (metric, partial);
        Ok(Found::default())
    }
}

/// Nobody.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Alone;

#[cfg(test)]
impl Surroundings for Alone {}
