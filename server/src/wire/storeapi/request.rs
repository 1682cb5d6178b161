//! Requests of the StoreAPI to our nouns.
//!
//! What a request may not say is refused here with the words that Thanos has for it; everything else is the store's business.

use bytes::Bytes;
use prost::Message;
use prost_types::Any;
use sarsen_block::{MatchOp, Matcher, TimeRange};
use sarsen_downsample::Aggregate;

use crate::store::{ExemplarsQuery, LabelsQuery, QueryHints, SeriesQuery, Shard, StoreError, selectors_of};
use crate::wire::generated::hintspb::{LabelNamesRequestHints, LabelValuesRequestHints, SeriesRequestHints};
use crate::wire::generated::thanos::label_matcher::Type;
use crate::wire::generated::thanos::{
    self, Aggr, ExemplarsRequest, LabelMatcher, LabelNamesRequest, LabelValuesRequest,
    PartialResponseStrategy, SeriesRequest,
};

/// What the metadata of a call says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Call {
    /// `thanos-tenant`.
    pub(crate) tenant: Option<String>,
    /// Whether `sarsen-encodings` names `xor2`.
    pub(crate) xor2: bool,
    /// Whether `sarsen-hints` names `blocks`. Thanos' own `enable_query_stats` asks for statistics that a Thanos store does not send, and
    /// clients of Thanos take its silence for granted.
    pub(crate) stats: bool,
}

/// Of a `Store.Series`.
///
/// # Errors
/// `Invalid` for a broken matcher or hint.
pub(crate) fn series_query(request: SeriesRequest, call: Call) -> Result<SeriesQuery, StoreError> {
    let hints: SeriesRequestHints = unpack(request.hints.as_ref(), "hintspb.SeriesRequestHints")?;
    let wanted = request.aggregates().filter_map(aggregate).collect();
    let abort = request.partial_response_disabled || aborts(request.partial_response_strategy());
    Ok(SeriesQuery {
        range: TimeRange::new(request.min_time, request.max_time),
        matchers: matchers_from(&request.matchers)?,
        max_resolution_ms: request.max_resolution_window,
        aggregates: wanted,
        skip_chunks: request.skip_chunks,
        limit: count(request.limit),
        shard: request
            .shard_info
            .and_then(|shard| Shard::new(shard.shard_index, shard.total_shards, shard.by, shard.labels)),
        without: sorted(request.without_replica_labels),
        block_matchers: matchers_from(&hints.block_matchers)?,
        batch: usize::try_from(request.response_batch_size).unwrap_or_default(),
        abort,
        xor2: call.xor2,
        tenant: call.tenant,
        stats: call.stats,
        stores: Vec::new(),
        hints: query_hints(request.step, request.range, request.query_hints),
    })
}

/// Of a `Store.LabelNames`.
///
/// # Errors
/// `Invalid` for a broken matcher or hint.
pub(crate) fn label_names_query(request: LabelNamesRequest, call: Call) -> Result<LabelsQuery, StoreError> {
    let hints: LabelNamesRequestHints = unpack(request.hints.as_ref(), "hintspb.LabelNamesRequestHints")?;
    Ok(LabelsQuery {
        range: TimeRange::new(request.start, request.end),
        matchers: matchers_from(&request.matchers)?,
        abort: request.partial_response_disabled || aborts(request.partial_response_strategy()),
        without: sorted(request.without_replica_labels),
        limit: count(request.limit),
        block_matchers: matchers_from(&hints.block_matchers)?,
        tenant: call.tenant,
        stores: Vec::new(),
    })
}

/// Of a `Store.LabelValues`: the name of the label, and of which series.
///
/// # Errors
/// `Invalid` for a broken matcher or hint.
pub(crate) fn label_values_query(
    request: LabelValuesRequest,
    call: Call,
) -> Result<(Bytes, LabelsQuery), StoreError> {
    let hints: LabelValuesRequestHints = unpack(request.hints.as_ref(), "hintspb.LabelValuesRequestHints")?;
    let abort = request.partial_response_disabled || aborts(request.partial_response_strategy());
    let query = LabelsQuery {
        range: TimeRange::new(request.start, request.end),
        matchers: matchers_from(&request.matchers)?,
        without: sorted(request.without_replica_labels),
        limit: count(request.limit),
        block_matchers: matchers_from(&hints.block_matchers)?,
        tenant: call.tenant,
        abort,
        stores: Vec::new(),
    };
    Ok((request.label, query))
}

/// The hints of the newer field, or else those of the two older ones.
fn query_hints(step_ms: i64, range_ms: i64, sent: Option<thanos::QueryHints>) -> QueryHints {
    let Some(sent) = sent else { return QueryHints { step_ms, range_ms, ..QueryHints::default() } };
    let grouping = sent.grouping.unwrap_or_default();
    QueryHints {
        step_ms: sent.step_millis,
        range_ms: sent.range.map_or(range_ms, |range| range.millis),
        function: sent.func.map(|func| func.name).unwrap_or_default(),
        by: grouping.by,
        grouping: grouping.labels,
    }
}

/// Of an `Exemplars.Exemplars`, which asks with any expression.
///
/// # Errors
/// `Invalid` if the expression is none.
pub(crate) fn exemplars_query(request: &ExemplarsRequest, call: Call) -> Result<ExemplarsQuery, StoreError> {
    let text = std::str::from_utf8(&request.query)
        .map_err(|_| StoreError::Invalid("the query is not UTF-8".to_owned()))?;
    Ok(ExemplarsQuery {
        selectors: selectors_of(text).map_err(StoreError::Invalid)?,
        range: TimeRange::new(request.start, request.end),
        tenant: call.tenant,
        abort: aborts(request.partial_response_strategy()),
        stores: Vec::new(),
    })
}

/// Of messages.
///
/// # Errors
/// `Invalid` for one that is broken.
pub(crate) fn matchers_from(sent: &[LabelMatcher]) -> Result<Vec<Matcher>, StoreError> {
    sent.iter().map(matcher).collect()
}

fn matcher(sent: &LabelMatcher) -> Result<Matcher, StoreError> {
    let op = match Type::try_from(sent.r#type) {
        Ok(Type::Eq) => MatchOp::Equal,
        Ok(Type::Neq) => MatchOp::NotEqual,
        Ok(Type::Re) => MatchOp::Regex,
        Ok(Type::Nre) => MatchOp::NotRegex,
        Err(_) => return Err(StoreError::Invalid(format!("unhandled matcher type {}", sent.r#type))),
    };
    Ok(Matcher::new(op, &sent.name, &sent.value)?)
}

/// Raw is no aggregate: it is sent whatever is asked for.
fn aggregate(sent: Aggr) -> Option<Aggregate> {
    match sent {
        Aggr::Raw => None,
        Aggr::Count => Some(Aggregate::Count),
        Aggr::Sum => Some(Aggregate::Sum),
        Aggr::Min => Some(Aggregate::Min),
        Aggr::Max => Some(Aggregate::Max),
        Aggr::Counter => Some(Aggregate::Counter),
    }
}

fn aborts(strategy: PartialResponseStrategy) -> bool {
    strategy == PartialResponseStrategy::Abort
}

fn count(sent: i64) -> u64 {
    u64::try_from(sent).unwrap_or_default()
}

fn sorted(mut names: Vec<Bytes>) -> Vec<Bytes> {
    names.sort_unstable();
    names.dedup();
    names
}

/// The hints in an `Any` that should hold the message of this name; none are empty ones.
fn unpack<M: Message + Default>(hints: Option<&Any>, name: &str) -> Result<M, StoreError> {
    let Some(any) = hints else { return Ok(M::default()) };
    let invalid = |why: String| StoreError::Invalid(format!("unmarshal request hints: {why}"));
    if any.type_url.rsplit('/').next() != Some(name) {
        return Err(invalid(format!("a message of type {:?} instead of {name}", any.type_url)));
    }
    M::decode(any.value.as_slice()).map_err(|why| invalid(why.to_string()))
}

/// As which requests `bytes` are accepted: series, names, values, exemplars. For fuzzing: nothing in here panics.
#[must_use]
pub fn accepted_as(bytes: &[u8]) -> [bool; 4] {
    let call = Call::default;
    [
        SeriesRequest::decode(bytes).is_ok_and(|request| series_query(request, call()).is_ok()),
        LabelNamesRequest::decode(bytes).is_ok_and(|request| label_names_query(request, call()).is_ok()),
        LabelValuesRequest::decode(bytes).is_ok_and(|request| label_values_query(request, call()).is_ok()),
        ExemplarsRequest::decode(bytes).is_ok_and(|request| exemplars_query(&request, call()).is_ok()),
    ]
}
