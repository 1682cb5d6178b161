//! What an endpoint has said about itself: which services it offers, which series it has.
//!
//! Pure: read from the answer to an Info call.

use bytes::Bytes;
use sarsen_block::{Labels, TimeRange};

use crate::wire::generated::thanos::{LabelSet, info};

/// The services of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[allow(clippy::struct_excessive_bools, reason = "a set, as the message has it")]
pub(crate) struct Offers {
    /// Series.
    pub(crate) store: bool,
    /// Rules and alerts.
    pub(crate) rules: bool,
    /// Exemplars.
    pub(crate) exemplars: bool,
    /// Scraped targets.
    pub(crate) targets: bool,
    /// Types and help texts of metrics.
    pub(crate) metadata: bool,
    /// Whole queries.
    pub(crate) query: bool,
    /// Statistics of its databases.
    pub(crate) status: bool,
}

impl Offers {
    /// The words that Thanos' Query has for them in its log.
    pub(crate) fn words(self) -> String {
        let words = [
            (self.store, "storeEndpoints"),
            (self.rules, "rulesAPI"),
            (self.exemplars, "exemplarsAPI"),
            (self.targets, "targetsAPI"),
            (self.metadata, "MetricMetadataAPI"),
            (self.query, "QueryAPI"),
        ];
        let present: Vec<&str> =
            words.into_iter().filter(|(there, _)| *there).map(|(_, word)| word).collect();
        format!("[{}]", present.join(" "))
    }
}

/// The advertisement of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Known {
    /// `sidecar`, `store`, `receive`, `rule`, `query`, or `unknown-store-api`.
    pub(crate) component: &'static str,
    /// Which services it has.
    pub(crate) offers: Offers,
    /// External labels under which it has series, without empty sets; none: any.
    pub(crate) label_sets: Vec<Labels>,
    /// Times of which it has samples.
    pub(crate) range: TimeRange,
    /// The same for each of its databases.
    pub(crate) tsdb_infos: Vec<(Labels, TimeRange)>,
    /// Whether it sends only the wanted part of the series.
    pub(crate) shards: bool,
    /// Whether it takes replica labels out and sorts by the rest.
    pub(crate) removes_labels: bool,
}

/// Names of components that Thanos' Query knows.
const COMPONENTS: [&str; 6] = ["sidecar", "store", "receive", "rule", "query", "debug"];
/// What others are shown as.
const UNKNOWN: &str = "unknown-store-api";

impl Known {
    /// What is taken for granted of an endpoint that has never answered and is asked nevertheless.
    pub(crate) const fn anything() -> Self {
        Self {
            component: UNKNOWN,
            offers: Offers {
                store: true,
                rules: false,
                exemplars: false,
                targets: false,
                metadata: false,
                query: false,
                status: false,
            },
            label_sets: Vec::new(),
            range: TimeRange::ALL,
            tsdb_infos: Vec::new(),
            shards: false,
            removes_labels: false,
        }
    }

    /// From the answer to an Info call. Sets of labels that are none are left out.
    pub(crate) fn read(answer: &info::InfoResponse) -> Self {
        let store = answer.store.as_ref();
        let component = COMPONENTS.into_iter().find(|name| *name == answer.component_type);
        let tsdb_info = |sent: &info::TsdbInfo| {
            let labels = sent.labels.as_ref().and_then(labels_of).unwrap_or_default();
            (labels, TimeRange::new(sent.min_time, sent.max_time))
        };
        Self {
            component: component.unwrap_or(UNKNOWN),
            offers: Offers {
                store: store.is_some(),
                rules: answer.rules.is_some(),
                exemplars: answer.exemplars.is_some(),
                targets: answer.targets.is_some(),
                metadata: answer.metric_metadata.is_some(),
                query: answer.query.is_some(),
                status: answer.status.is_some(),
            },
            label_sets: answer
                .label_sets
                .iter()
                .filter_map(labels_of)
                .filter(|labels| !labels.as_ref().is_empty())
                .collect(),
            range: store.map_or(TimeRange::ALL, |store| TimeRange::new(store.min_time, store.max_time)),
            tsdb_infos: store.into_iter().flat_map(|store| &store.tsdb_infos).map(tsdb_info).collect(),
            shards: store.is_some_and(|store| store.supports_sharding),
            removes_labels: store.is_some_and(|store| store.supports_without_replica_labels),
        }
    }

    /// The sets of external labels in one line, as Thanos prints them.
    pub(crate) fn label_sets_text(&self) -> String {
        let mut texts: Vec<String> = self.label_sets.iter().map(ToString::to_string).collect();
        texts.sort_unstable();
        texts.join(",")
    }
}

/// A set of labels from a message; `None` if it is none.
pub(crate) fn labels_of(sent: &LabelSet) -> Option<Labels> {
    let pairs = sent.labels.iter().map(|label| -> (&Bytes, &Bytes) { (&label.name, &label.value) });
    Labels::from_pairs(pairs).ok()
}
