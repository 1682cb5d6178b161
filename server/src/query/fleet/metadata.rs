//! What senders say of their metrics, from all endpoints, each thing once.

use std::collections::BTreeMap;

use super::{Fleet, strategy};
use crate::query::client::METADATA;
use crate::query::surroundings::Found;
use crate::store::StoreError;
use crate::wire::generated::thanos::{
    Meta, MetricMetadataRequest, MetricMetadataResponse, metric_metadata_response,
};

/// Of which metrics something is asked.
#[derive(Debug, Clone, Default)]
pub(crate) struct MetadataQuery {
    /// One metric; empty: all.
    pub(crate) metric: String,
    /// Metrics at most; less than 0: all.
    pub(crate) limit: i32,
    /// Whether an endpoint that cannot be asked is a warning instead of an error.
    pub(crate) partial: bool,
}

/// By metric, what is said of it.
type ByMetric = BTreeMap<String, Vec<Meta>>;

impl Fleet {
    /// What all endpoints say.
    pub(crate) async fn all_metadata(&self, query: &MetadataQuery) -> Result<Found<ByMetric>, StoreError> {
        let request = MetricMetadataRequest {
            metric: query.metric.clone(),
            limit: query.limit,
            partial_response_strategy: strategy(query.partial),
        };
        let what = (METADATA, "metric metadata", "metadata");
        let (all, warnings) = self.ask_all(|offers| offers.metadata, what, &request, query.partial).await?;
        let mut found = Found { data: ByMetric::new(), warnings };
        for answer in all.into_iter().flatten() {
            match answer {
                MetricMetadataResponse { result: Some(metric_metadata_response::Result::Metadata(sent)) } => {
                    let sent = sent.metadata.into_iter().map(|(metric, entry)| (metric, entry.metas));
                    merge_metadata(&mut found.data, sent, query.limit);
                }
                MetricMetadataResponse { result: Some(metric_metadata_response::Result::Warning(text)) } => {
                    found.warnings.push(text);
                }
                MetricMetadataResponse { result: None } => {}
            }
        }
        Ok(found)
    }
}

/// Adds what one endpoint says, as far as `limit` metrics go; less than 0: any number.
fn merge_metadata(all: &mut ByMetric, sent: impl Iterator<Item = (String, Vec<Meta>)>, limit: i32) {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // The sender's order is that of a hash table: with a limit the first ones by name count.
    let sent: ByMetric = sent.collect();
    for (metric, metas) in sent {
        if !all.contains_key(&metric) && all.len() >= limit {
            continue;
        }
        let known = all.entry(metric).or_default();
        for meta in metas {
            if !known.contains(&meta) {
                known.push(meta);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_thing_once_and_no_more_than_wanted() {
        let meta = |help: &str| Meta { r#type: "counter".into(), help: help.into(), unit: String::new() };
        let sent = || {
            [("b".to_owned(), vec![meta("1"), meta("2")]), ("a".to_owned(), vec![meta("1"), meta("1")])]
                .into_iter()
        };
        let mut all = ByMetric::new();
        merge_metadata(&mut all, sent(), -1);
        merge_metadata(&mut all, [("b".to_owned(), vec![meta("3"), meta("2")])].into_iter(), -1);
        assert_eq!((all["a"].len(), all["b"].len()), (1, 3));
        let mut few = ByMetric::new();
        merge_metadata(&mut few, sent(), 1);
        assert_eq!(few.keys().collect::<Vec<_>>(), ["a"]);
        merge_metadata(&mut few, sent(), 0);
        assert_eq!(few.len(), 1);
    }
}
