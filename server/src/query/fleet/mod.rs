//! All that stands behind a querier: its endpoints from wherever they are listed, as one store, and what else they can be asked.
//!
//! Rules, targets, metadata of metrics and statistics come from all endpoints that offer them, all asked at once; one that does not
//! answer is a warning, or the end if nothing may be missing. What replicas have in common is shown once.

mod json;
mod metadata;
mod rules;
mod statistics;
mod targets;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use sarsen_block::Labels;
use sarsen_bucket::Selector;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tonic::Status;

pub(crate) use metadata::MetadataQuery;

use super::endpoints::{Endpoint, EndpointOptions, EndpointSet, Known, Offers, Sources, labels_of};
use super::proxy::{ProxyOptions, ProxyStore, error_of};
use super::resolve::Names;
use super::surroundings::{Found, Metadata, RulesQuery, StoreStatus, Surroundings};
use crate::config::query_endpoints::EndpointConfig;
use crate::metrics::{Page, Registry, SelectMetrics, Type};
use crate::net::grpc::{Method, go_text};
use crate::store::{LimitedStore, SelectLimits, Store, StoreError};
use crate::wire::generated::thanos::{LabelSet, PartialResponseStrategy, targets_request};
use crate::wire::storeapi::{FromWire, ToWire};

/// How long endpoints wait for the first look-up of names.
const NAMES_FIRST: Duration = Duration::from_secs(5);

/// What a querier takes of its endpoints, and how it shows them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken {
    /// Labels of the metric of connections: `external_labels`, `store_type`, `ip_port`.
    pub(crate) connections: Vec<String>,
    /// Labels that stand for all of it.
    pub(crate) labels: Labels,
    /// Which sets of external labels are taken; none: all.
    pub(crate) selector: Option<Selector>,
    /// Bounds of each request for series.
    pub(crate) limits: SelectLimits,
}

/// The endpoints of a querier.
pub(crate) struct Fleet {
    sources: Arc<Sources>,
    endpoints: Arc<EndpointSet>,
    store: Arc<LimitedStore>,
    replica_labels: Vec<Bytes>,
    timeout: Duration,
}

impl Fleet {
    /// Reads files; connects to nobody yet. `replica_labels` tell replicas of rules and targets apart, `taken` says what
    /// of the endpoints is taken.
    ///
    /// # Errors
    /// If a file makes no sense, with its name.
    pub(crate) fn open(
        config: EndpointConfig,
        names: Arc<dyn Names>,
        replica_labels: Vec<Bytes>,
        taken: &Taken,
        registry: &Registry,
    ) -> Result<Self, String> {
        let (info_timeout, unhealthy) = (config.info_timeout, config.unhealthy);
        let timeout = config.response_timeout;
        let sources = Arc::new(Sources::new(config, names, registry)?);
        let options = EndpointOptions { channel: sources.channel_options(), info_timeout, unhealthy };
        let listing = Arc::clone(&sources);
        let endpoints = Arc::new(EndpointSet::new(listing, options, registry));
        show_connections(&endpoints, taken.connections.clone(), registry);
        let Taken { labels, selector, limits, .. } = taken.clone();
        let options = ProxyOptions { timeout, labels, selector };
        let store = Arc::new(ProxyStore::new(Arc::clone(&endpoints), options, registry));
        let store = Arc::new(LimitedStore::new(store, limits, Arc::new(SelectMetrics::new(registry))));
        Ok(Self { sources, endpoints, store, replica_labels, timeout })
    }

    /// All endpoints as one store.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::<LimitedStore>::clone(&self.store)
    }

    /// Looks after names, files and endpoints until it is told to stop.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        // Name servers that do not answer keep nobody from those whose addresses are known.
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tokio::time::timeout(NAMES_FIRST, self.sources.look_up()) => {}
        }
        tokio::join!(self.sources.run(stop.clone()), self.endpoints.run(stop));
    }

    /// Waits until all endpoints have been asked once who they are.
    pub(crate) async fn looked_once(&self) {
        self.endpoints.looked_once().await;
    }

    /// All that comes from endpoints with this offer, and what is missing. `what` and `client` are the words for it.
    async fn ask_all<Q: ToWire + Sync + Clone, A: FromWire + Sync>(
        &self,
        offers: impl Fn(Offers) -> bool,
        (method, what, client): (Method, &str, &str),
        request: &Q,
        partial: bool,
    ) -> Result<(Vec<Vec<A>>, Vec<String>), StoreError> {
        let mut endpoints = self.endpoints.asked();
        endpoints.retain(|endpoint| offers(endpoint.known().offers));
        let asked = endpoints.iter().map(|endpoint| self.ask(endpoint, method, request.clone()));
        let (mut all, mut warnings) = (Vec::new(), Vec::new());
        for (answer, endpoint) in join_all(asked).await.into_iter().zip(&endpoints) {
            let (came, ended) = answer;
            all.push(came);
            if let Err(status) = ended {
                let address = endpoint.address();
                let text = format!("receiving {what} from {client} client {address}: {}", go_text(&status));
                if !partial {
                    return Err(error_of(&status, text));
                }
                warnings.push(text);
            }
        }
        Ok((all, warnings))
    }

    /// What came of one endpoint, and how it ended.
    async fn ask<Q: ToWire + Sync, A: FromWire + Sync>(
        &self,
        endpoint: &Endpoint,
        method: Method,
        request: Q,
    ) -> (Vec<A>, Result<(), Status>) {
        let mut came = Vec::new();
        let reading = async {
            let mut answers = endpoint.client().stream(method, request, None).await?;
            while let Some(answer) = answers.next().await? {
                came.push(answer);
            }
            Ok(())
        };
        let ended = match self.timeout {
            Duration::ZERO => reading.await,
            timeout => match tokio::time::timeout(timeout, reading).await {
                Ok(ended) => ended,
                Err(_) => Err(Status::deadline_exceeded("context deadline exceeded")),
            },
        };
        (came, ended)
    }
}

fn strategy(partial: bool) -> i32 {
    let strategy = if partial { PartialResponseStrategy::Warn } else { PartialResponseStrategy::Abort };
    strategy.into()
}

/// The labels of a message without those of replicas; what is no set of labels is an empty one.
fn without(sent: Option<&LabelSet>, replica_labels: &[Bytes]) -> Labels {
    let labels = sent.and_then(labels_of).unwrap_or_default();
    labels.as_ref().keeping(|name| !replica_labels.iter().any(|replica| replica == name))
}

/// The longest text of external labels in a metric.
const LONGEST: usize = 1000;

/// What an endpoint is told apart by in the metric of connections.
fn label_of(name: &str, address: &str, known: &Known) -> String {
    match name {
        "external_labels" => {
            let mut text = known.label_sets_text();
            if text.is_empty() {
                return "no_external_labels".to_owned();
            }
            if text.len() > LONGEST {
                text.truncate(text.floor_char_boundary(LONGEST - 1));
                text.push('}');
            }
            text
        }
        "store_type" => known.component.to_owned(),
        _ => address.to_owned(),
    }
}

fn show_connections(endpoints: &Arc<EndpointSet>, labels: Vec<String>, registry: &Registry) {
    let endpoints = Arc::downgrade(endpoints);
    registry.snapshot(move |page: &mut Page| {
        const NAME: &str = "thanos_store_nodes_grpc_connections";
        let Some(endpoints) = endpoints.upgrade() else { return };
        let mut counts: BTreeMap<Vec<String>, usize> = BTreeMap::new();
        for status in endpoints.status().iter().filter(|status| status.asked) {
            let values = labels.iter().map(|name| label_of(name, &status.address, &status.known)).collect();
            *counts.entry(values).or_default() += 1;
        }
        if counts.is_empty() {
            return;
        }
        let help = "Number of gRPC connection to Store APIs. Opened connection means healthy store APIs available for Querier.";
        page.family(NAME, Type::Gauge, help);
        for (values, count) in counts {
            let pairs: Vec<(&str, &str)> =
                labels.iter().map(String::as_str).zip(values.iter().map(String::as_str)).collect();
            page.sample(NAME, "", &pairs, count as f64);
        }
    });
}

#[async_trait]
impl Surroundings for Fleet {
    fn stores(&self) -> Vec<StoreStatus> {
        let status = self.endpoints.status().into_iter().map(|status| StoreStatus {
            name: status.address,
            component: status.known.component.to_owned(),
            // Who has never answered was last seen at the beginning of Go's time.
            last_check: status.last_check.unwrap_or(json::NEVER_MS),
            last_error: status.last_error,
            label_sets: status.known.label_sets.clone(),
            range: status.known.range,
        });
        status.collect()
    }

    async fn rules(&self, query: RulesQuery) -> Result<Found<Vec<Value>>, String> {
        let found = self.rule_groups(&query).await.map_err(|why| format!("proxy Rules: {why}"))?;
        let merged = found.merged(&query, &self.replica_labels)?;
        Ok(Found { data: merged.groups.iter().map(json::rule_group).collect(), warnings: merged.warnings })
    }

    async fn targets(&self, state: &str, partial: bool) -> Result<Found<(Vec<Value>, Vec<Value>)>, String> {
        let state = match state {
            "active" => targets_request::State::Active,
            "dropped" => targets_request::State::Dropped,
            _ => targets_request::State::Any,
        };
        let found = self.all_targets(state, partial).await.map_err(|why| format!("proxy Targets: {why}"))?;
        let merged = targets::merged(found.data, &self.replica_labels);
        let active = merged.active_targets.iter().map(json::active_target).collect();
        let dropped = merged.dropped_targets.iter().map(json::dropped_target).collect();
        Ok(Found { data: (active, dropped), warnings: found.warnings })
    }

    async fn metadata(
        &self,
        metric: Option<&str>,
        partial: bool,
    ) -> Result<Found<BTreeMap<String, Vec<Metadata>>>, String> {
        let query = MetadataQuery { metric: metric.unwrap_or_default().to_owned(), limit: -1, partial };
        let found = self.all_metadata(&query).await.map_err(|why| format!("proxy MetricMetadata: {why}"))?;
        let one = |meta: crate::wire::generated::thanos::Meta| Metadata {
            kind: meta.r#type,
            help: meta.help,
            unit: meta.unit,
        };
        let data =
            found.data.into_iter().map(|(metric, metas)| (metric, metas.into_iter().map(one).collect()));
        Ok(Found { data: data.collect(), warnings: found.warnings })
    }
}
