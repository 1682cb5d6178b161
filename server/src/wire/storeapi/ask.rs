//! Our nouns to requests of the StoreAPI: the way back of `request`.
//!
//! Both ways of saying that nothing may be missing are filled in, since older stores know only the first.

use prost::Message as _;
use prost_types::Any;
use sarsen_block::{MatchOp, Matcher};
use sarsen_downsample::Aggregate;

use crate::store::{LabelsQuery, QueryHints, SeriesQuery, Shard};
use crate::wire::generated::hintspb::{LabelNamesRequestHints, LabelValuesRequestHints, SeriesRequestHints};
use crate::wire::generated::thanos::label_matcher::Type;
use crate::wire::generated::thanos::{
    self, Aggr, Func, Grouping, LabelMatcher, LabelNamesRequest, LabelValuesRequest, PartialResponseStrategy,
    SeriesRequest, ShardInfo,
};

/// How many series a message may hold, of stores that can put several into one.
const BATCH: i64 = 64;

/// A `Store.Series` that asks for this.
pub(crate) fn series_request(query: &SeriesQuery) -> SeriesRequest {
    let block_matchers = matchers_of(&query.block_matchers);
    let hints = SeriesRequestHints { block_matchers, ..SeriesRequestHints::default() };
    SeriesRequest {
        min_time: query.range.min,
        max_time: query.range.max,
        matchers: matchers_of(&query.matchers),
        max_resolution_window: query.max_resolution_ms,
        aggregates: query.aggregates.iter().map(|&aggregate| number_of(aggregate).into()).collect(),
        partial_response_disabled: query.abort,
        partial_response_strategy: strategy(query.abort).into(),
        skip_chunks: query.skip_chunks,
        hints: (!query.block_matchers.is_empty())
            .then(|| packed("hintspb.SeriesRequestHints", hints.encode_to_vec())),
        step: query.hints.step_ms,
        range: query.hints.range_ms,
        query_hints: (query.hints != QueryHints::default()).then(|| query_hints(&query.hints)),
        shard_info: query.shard.as_ref().map(shard_info),
        without_replica_labels: query.without.clone(),
        limit: limit(query.limit),
        response_batch_size: BATCH,
    }
}

/// A `Store.LabelNames` that asks for this.
pub(crate) fn label_names_request(query: &LabelsQuery) -> LabelNamesRequest {
    let hints = LabelNamesRequestHints { block_matchers: matchers_of(&query.block_matchers) };
    LabelNamesRequest {
        partial_response_disabled: query.abort,
        partial_response_strategy: strategy(query.abort).into(),
        start: query.range.min,
        end: query.range.max,
        hints: (!query.block_matchers.is_empty())
            .then(|| packed("hintspb.LabelNamesRequestHints", hints.encode_to_vec())),
        matchers: matchers_of(&query.matchers),
        without_replica_labels: query.without.clone(),
        limit: limit(query.limit),
    }
}

/// A `Store.LabelValues` that asks for this.
pub(crate) fn label_values_request(name: &bytes::Bytes, query: &LabelsQuery) -> LabelValuesRequest {
    let hints = LabelValuesRequestHints { block_matchers: matchers_of(&query.block_matchers) };
    LabelValuesRequest {
        label: name.clone(),
        partial_response_disabled: query.abort,
        partial_response_strategy: strategy(query.abort).into(),
        start: query.range.min,
        end: query.range.max,
        hints: (!query.block_matchers.is_empty())
            .then(|| packed("hintspb.LabelValuesRequestHints", hints.encode_to_vec())),
        matchers: matchers_of(&query.matchers),
        without_replica_labels: query.without.clone(),
        limit: limit(query.limit),
    }
}

fn matchers_of(matchers: &[Matcher]) -> Vec<LabelMatcher> {
    let message = |matcher: &Matcher| {
        let kind = match matcher.op() {
            MatchOp::Equal => Type::Eq,
            MatchOp::NotEqual => Type::Neq,
            MatchOp::Regex => Type::Re,
            MatchOp::NotRegex => Type::Nre,
        };
        LabelMatcher {
            r#type: kind.into(),
            name: bytes::Bytes::copy_from_slice(matcher.name()),
            value: bytes::Bytes::copy_from_slice(matcher.value()),
        }
    };
    matchers.iter().map(message).collect()
}

fn query_hints(hints: &QueryHints) -> thanos::QueryHints {
    let grouping = (hints.by || !hints.grouping.is_empty())
        .then(|| Grouping { by: hints.by, labels: hints.grouping.clone() });
    thanos::QueryHints {
        step_millis: hints.step_ms,
        func: (!hints.function.is_empty()).then(|| Func { name: hints.function.clone() }),
        grouping,
        range: (hints.range_ms > 0).then_some(thanos::Range { millis: hints.range_ms }),
        ..Default::default()
    }
}

fn shard_info(shard: &Shard) -> ShardInfo {
    ShardInfo {
        shard_index: i64::try_from(shard.index()).unwrap_or(-1),
        total_shards: i64::try_from(shard.total()).unwrap_or(i64::MAX),
        by: shard.is_by(),
        labels: shard.labels().to_vec(),
    }
}

const fn number_of(aggregate: Aggregate) -> Aggr {
    match aggregate {
        Aggregate::Count => Aggr::Count,
        Aggregate::Sum => Aggr::Sum,
        Aggregate::Min => Aggr::Min,
        Aggregate::Max => Aggr::Max,
        Aggregate::Counter => Aggr::Counter,
    }
}

const fn strategy(abort: bool) -> PartialResponseStrategy {
    if abort { PartialResponseStrategy::Abort } else { PartialResponseStrategy::Warn }
}

fn limit(limit: u64) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn packed(name: &str, value: Vec<u8>) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::storeapi::{Call, label_names_query, label_values_query, series_query};
    use bytes::Bytes;
    use sarsen_block::TimeRange;

    fn matchers() -> Vec<Matcher> {
        let ops = [MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex];
        ops.into_iter().map(|op| Matcher::new(op, "pod", "a.*").unwrap()).collect()
    }

    #[test]
    fn what_is_asked_is_what_is_read() {
        let query = SeriesQuery {
            max_resolution_ms: 300_000,
            aggregates: vec![Aggregate::Count, Aggregate::Sum, Aggregate::Counter],
            limit: 7,
            shard: Shard::new(1, 3, true, vec![Bytes::from_static(b"pod")]),
            without: vec![Bytes::from_static(b"replica")],
            block_matchers: matchers(),
            abort: true,
            stats: true,
            hints: QueryHints {
                step_ms: 15_000,
                range_ms: 60_000,
                function: "rate".to_owned(),
                by: true,
                grouping: vec!["pod".to_owned()],
            },
            ..SeriesQuery::new(TimeRange::new(-5, 9), matchers())
        };
        // Whether hints are wanted travels beside the message.
        let call = Call { stats: true, ..Call::default() };
        let read = series_query(series_request(&query), call).unwrap();
        let expected = SeriesQuery { batch: 64, ..query };
        assert_eq!(format!("{read:?}"), format!("{expected:?}"));
        let plain = SeriesQuery::new(TimeRange::ALL, Vec::new());
        let read = series_query(series_request(&plain), Call::default()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{:?}", SeriesQuery { batch: 64, ..plain }));
    }

    #[test]
    fn labels_too() {
        let query = LabelsQuery {
            limit: 3,
            without: vec![Bytes::from_static(b"replica")],
            abort: true,
            block_matchers: matchers(),
            ..LabelsQuery::new(TimeRange::new(0, 9), matchers())
        };
        let read = label_names_query(label_names_request(&query), Call::default()).unwrap();
        assert_eq!(format!("{read:?}"), format!("{query:?}"));
        let (name, read) =
            label_values_query(label_values_request(&Bytes::from_static(b"pod"), &query), Call::default())
                .unwrap();
        assert_eq!((&name[..], format!("{read:?}")), (&b"pod"[..], format!("{query:?}")));
    }
}
