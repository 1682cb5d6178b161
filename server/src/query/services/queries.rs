//! `thanos.Query`: whole queries for a querier above this one.
//!
//! Times are whole seconds. The engine that is asked for must be one that Thanos knows; there is one here. A plan of Thanos' own
//! engine is not looked at, since the text of the query says the same.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use sarsen_block::{Matcher, Timestamp};
use sarsen_promql::Value;
use tonic::{Request, Response, Status};

use super::samples::series_of;
use crate::clock;
use crate::query::{ApiSettings, Gather, Replicas};
use crate::store::{Shard, TENANT};
use crate::wire::generated::prometheus_copy::TimeSeries;
use crate::wire::generated::thanos::query_server::Query;
use crate::wire::generated::thanos::{
    EngineType, QueryRangeRequest, QueryRangeResponse, QueryRequest, QueryResponse, QueryStats, ShardInfo,
    StoreMatchers, TimeSeriesBatch, query_range_response, query_response,
};
use crate::wire::storeapi::matchers_from;

/// For which times an answer is wanted, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    /// At one time.
    At(Timestamp),
    /// At each step, which is more than 0, from the start on and none later than the end.
    Over { start: Timestamp, end: Timestamp, step: i64 },
}

/// A query that came over gRPC.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    pub(crate) text: String,
    pub(crate) times: Times,
    /// How far back selectors look, if not as far as usual.
    pub(crate) lookback_ms: Option<i64>,
    /// How long it may take, if shorter than usual.
    pub(crate) timeout: Option<Duration>,
    pub(crate) gather: Gather,
}

/// An answer, and what is missing or doubtful.
#[derive(Debug, Clone)]
pub(crate) struct Answered {
    pub(crate) value: Value,
    pub(crate) warnings: Vec<String>,
    /// Samples that were read, and the most that were in memory at once.
    pub(crate) samples: (i64, i64),
}

/// Somebody who answers queries.
#[async_trait]
pub(crate) trait Queries: Send + Sync + 'static {
    /// Answers one.
    ///
    /// # Errors
    /// Why there is no answer, in the words of the engine.
    async fn answer(&self, asking: Asking) -> Result<Answered, String>;
}

/// What requests do not say.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueryDefaults {
    /// Labels that tell replicas apart, sorted.
    pub(crate) replica_labels: Vec<Bytes>,
    pub(crate) replicas: Replicas,
    /// The coarsest resolution that will do, in milliseconds.
    pub(crate) max_resolution_ms: i64,
    /// The label that holds a tenant's name, if everybody sees only what is theirs, and who a caller without a name is.
    pub(crate) enforced: Option<(String, String)>,
    /// Whether resets are taken out of counters of raw data too.
    pub(crate) adjust_counters: bool,
}

impl QueryDefaults {
    /// Those of a querier whose HTTP API has these settings.
    pub(crate) fn of(api: &ApiSettings) -> Self {
        let enforced = api.tenancy.label.clone().map(|label| (label, api.tenancy.default.clone()));
        Self {
            replica_labels: api.replica_labels.clone(),
            replicas: api.replicas,
            max_resolution_ms: 0,
            enforced,
            adjust_counters: !api.dialect.is_prometheus(),
        }
    }
}

#[derive(Clone)]
pub(super) struct QueryService {
    pub(super) queries: Arc<dyn Queries>,
    pub(super) defaults: QueryDefaults,
}

/// The parts that both kinds of requests have.
struct Common {
    text: String,
    timeout_seconds: i64,
    max_resolution_seconds: i64,
    replica_labels: Vec<String>,
    stores: Vec<StoreMatchers>,
    dedup: bool,
    partial: bool,
    shard: Option<ShardInfo>,
    lookback_seconds: i64,
    engine: i32,
    tenant: Option<String>,
}

fn tenant_of<T>(request: &Request<T>) -> Option<String> {
    let tenant = request.metadata().get(TENANT).and_then(|value| value.to_str().ok());
    tenant.filter(|tenant| !tenant.is_empty()).map(str::to_owned)
}

impl QueryService {
    fn asking(&self, common: Common, times: Times) -> Result<Asking, Status> {
        if EngineType::try_from(common.engine).is_err() {
            return Err(Status::invalid_argument("invalid engine parameter"));
        }
        let mut replica_labels = match common.replica_labels.is_empty() {
            true => self.defaults.replica_labels.clone(),
            false => common.replica_labels.into_iter().map(Bytes::from).collect(),
        };
        replica_labels.sort_unstable();
        if !common.dedup {
            replica_labels.clear();
        }
        let stores = common.stores.iter().map(|set| matchers_from(&set.label_matchers));
        let enforced = self.defaults.enforced.as_ref().map(|(label, nobody)| {
            Matcher::equal(label, common.tenant.as_deref().unwrap_or(nobody.as_str()))
        });
        let gather = Gather {
            replica_labels,
            replicas: self.defaults.replicas,
            max_resolution_ms: match common.max_resolution_seconds {
                0 => self.defaults.max_resolution_ms,
                seconds => seconds.saturating_mul(1000),
            },
            partial: common.partial,
            stores: stores.collect::<Result<_, _>>()?,
            enforced,
            tenant: common.tenant,
            shard: common
                .shard
                .and_then(|shard| Shard::new(shard.shard_index, shard.total_shards, shard.by, shard.labels)),
            explain: false,
            adjust_counters: self.defaults.adjust_counters,
        };
        let seconds = |seconds: i64| u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
        Ok(Asking {
            text: common.text,
            times,
            lookback_ms: seconds(common.lookback_seconds)
                .map(|_| common.lookback_seconds.saturating_mul(1000)),
            timeout: seconds(common.timeout_seconds).map(Duration::from_secs),
            gather,
        })
    }
}

/// Series in messages of `batch` each.
fn batches(series: Vec<TimeSeries>, batch: i64) -> Vec<Vec<TimeSeries>> {
    let batch = usize::try_from(batch).unwrap_or_default().max(1);
    let mut all = Vec::with_capacity(series.len().div_ceil(batch));
    let mut series = series.into_iter().peekable();
    while series.peek().is_some() {
        all.push(series.by_ref().take(batch).collect());
    }
    all
}

/// What a message holds, whichever of the two kinds it is.
enum Part {
    Warnings(String),
    One(TimeSeries),
    Many(TimeSeriesBatch),
    Stats(QueryStats),
}

/// Warnings, series, and what it took.
fn parts(answered: Answered, batch: i64) -> Vec<Part> {
    let mut parts = Vec::new();
    if !answered.warnings.is_empty() {
        parts.push(Part::Warnings(answered.warnings.join(", ")));
    }
    let series = series_of(answered.value);
    if batch <= 1 {
        parts.extend(series.into_iter().map(Part::One));
    } else {
        parts.extend(batches(series, batch).into_iter().map(|series| Part::Many(TimeSeriesBatch { series })));
    }
    let (samples_total, peak_samples) = answered.samples;
    parts.push(Part::Stats(QueryStats { samples_total, peak_samples }));
    parts
}

#[async_trait]
impl Query for QueryService {
    type QueryStream = BoxStream<'static, Result<QueryResponse, Status>>;
    type QueryRangeStream = BoxStream<'static, Result<QueryRangeResponse, Status>>;

    async fn query(&self, request: Request<QueryRequest>) -> Result<Response<Self::QueryStream>, Status> {
        let tenant = tenant_of(&request);
        let request = request.into_inner();
        let at = match request.time_seconds {
            0 => clock::now(),
            seconds => seconds.saturating_mul(1000),
        };
        let common = Common {
            text: request.query,
            timeout_seconds: request.timeout_seconds,
            max_resolution_seconds: request.max_resolution_seconds,
            replica_labels: request.replica_labels,
            stores: request.store_matchers,
            dedup: request.enable_dedup,
            partial: request.enable_partial_response,
            shard: request.shard_info,
            lookback_seconds: request.lookback_delta_seconds,
            engine: request.engine,
            tenant,
        };
        let asking = self.asking(common, Times::At(at))?;
        let parts = match self.queries.answer(asking).await {
            Ok(answered) => parts(answered, request.response_batch_size),
            // As in Thanos: who takes a part takes nothing, too.
            Err(why) if request.enable_partial_response => vec![Part::Warnings(why)],
            Err(why) => return Err(Status::aborted(why)),
        };
        let message = |part| {
            Ok(QueryResponse {
                result: Some(match part {
                    Part::Warnings(text) => query_response::Result::Warnings(text),
                    Part::One(series) => query_response::Result::Timeseries(series),
                    Part::Many(batch) => query_response::Result::TimeseriesBatch(batch),
                    Part::Stats(stats) => query_response::Result::Stats(stats),
                }),
            })
        };
        Ok(Response::new(stream::iter(parts.into_iter().map(message)).boxed()))
    }

    async fn query_range(
        &self,
        request: Request<QueryRangeRequest>,
    ) -> Result<Response<Self::QueryRangeStream>, Status> {
        let tenant = tenant_of(&request);
        let request = request.into_inner();
        let millis = |seconds: i64| seconds.saturating_mul(1000);
        let times = Times::Over {
            start: millis(request.start_time_seconds),
            end: millis(request.end_time_seconds),
            step: millis(request.interval_seconds),
        };
        if request.interval_seconds <= 0 {
            return Err(Status::invalid_argument("the interval is no positive number of seconds"));
        }
        let common = Common {
            text: request.query,
            timeout_seconds: request.timeout_seconds,
            max_resolution_seconds: request.max_resolution_seconds,
            replica_labels: request.replica_labels,
            stores: request.store_matchers,
            dedup: request.enable_dedup,
            partial: request.enable_partial_response,
            shard: request.shard_info,
            lookback_seconds: request.lookback_delta_seconds,
            engine: request.engine,
            tenant,
        };
        let asking = self.asking(common, times)?;
        let answered = self.queries.answer(asking).await.map_err(Status::aborted)?;
        let message = |part| {
            Ok(QueryRangeResponse {
                result: Some(match part {
                    Part::Warnings(text) => query_range_response::Result::Warnings(text),
                    Part::One(series) => query_range_response::Result::Timeseries(series),
                    Part::Many(batch) => query_range_response::Result::TimeseriesBatch(batch),
                    Part::Stats(stats) => query_range_response::Result::Stats(stats),
                }),
            })
        };
        let parts = parts(answered, request.response_batch_size);
        Ok(Response::new(stream::iter(parts.into_iter().map(message)).boxed()))
    }
}
