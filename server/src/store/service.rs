//! The gRPC face of a store: Store, Info, Exemplars, and Status of those that are databases.
//!
//! Only here are our errors turned into gRPC's codes. A stream of series is made by a task of its own; it ends with the call: when
//! the caller goes, the task is dropped. Messages are at most about [`MESSAGE`] large, so a series with many chunks goes out
//! in pieces.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use prost::Message as _;
use prost_types::Any;
use sarsen_block::{BlockId, LabelsRef, TimeRange};
use tokio::task::JoinSet;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::messages::Messages;
use super::{
    ExemplarSeries, LabelsAnswer, Row, Statistics, StatisticsQuery, Store, StoreError, StoreInfo, frames,
};
use crate::net::grpc::{Method, Services};
use crate::wire::generated::hintspb::{Block, LabelNamesResponseHints, LabelValuesResponseHints};
use crate::wire::generated::thanos::exemplars_server::{Exemplars, ExemplarsServer};
use crate::wire::generated::thanos::info::info_server::{Info, InfoServer};
use crate::wire::generated::thanos::status_server::{Status as StatusApi, StatusServer};
use crate::wire::generated::thanos::store_server::{Store as StoreApi, StoreServer};
use crate::wire::generated::thanos::{
    Exemplar, ExemplarData, ExemplarsRequest, ExemplarsResponse, HeadStatistics, Label, LabelNamesRequest,
    LabelNamesResponse, LabelSet, LabelValuesRequest, LabelValuesResponse, SeriesRequest, Statistic,
    TsdbStatistics, TsdbStatisticsEntry, TsdbStatisticsRequest, TsdbStatisticsResponse, exemplars_response,
    info, tsdb_statistics_response,
};
use crate::wire::storeapi::{
    Call, SeriesMessage, exemplars_query, label_names_query, label_values_query, matchers_from, series_query,
};

/// How much may wait between a store and the connection of its caller, in bytes.
const ROOM: usize = 4 << 20;

/// The key of a call's metadata that names the tenant.
pub(crate) const TENANT: &str = "thanos-tenant";
/// The key of a call's metadata that says which encodings of ours the caller reads.
const ENCODINGS: &str = "sarsen-encodings";
/// The key of a call's metadata by which one of ours asks to be told which blocks were read.
const HINTS: &str = "sarsen-hints";

const STORE: [Method; 3] = [
    Method { service: "thanos.Store", name: "Series", streams: true },
    Method { service: "thanos.Store", name: "LabelNames", streams: false },
    Method { service: "thanos.Store", name: "LabelValues", streams: false },
];
const INFO: Method = Method { service: "thanos.info.Info", name: "Info", streams: false };
const STATUS: Method = Method { service: "thanos.Status", name: "TSDBStatistics", streams: true };
const EXEMPLARS: Method = Method { service: "thanos.Exemplars", name: "Exemplars", streams: true };

/// What somebody offers beside a store, for those who ask who it is.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools, reason = "a set, as the message has it")]
pub(crate) struct Beside {
    /// Rules and alerts.
    pub(crate) rules: bool,
    /// Scraped targets.
    pub(crate) targets: bool,
    /// Types and help texts of metrics.
    pub(crate) metadata: bool,
    /// Whole queries.
    pub(crate) query: bool,
    /// Statistics of databases.
    pub(crate) status: bool,
}

/// The services of a store: Store and Info, Exemplars if it keeps any, and Status if it is a database.
pub(crate) fn services(store: Arc<dyn Store>) -> Services {
    services_beside(store, Beside::default())
}

/// The same of somebody who offers more, which is not served here but told of.
pub(crate) fn services_beside(store: Arc<dyn Store>, beside: Beside) -> Services {
    let service = Service { store, beside };
    let StoreInfo { exemplars, statistics, .. } = service.store.info();
    let mut routes = Routes::new(
        StoreServer::new(service.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX),
    )
    .add_service(InfoServer::new(service.clone()));
    let mut methods = STORE.to_vec();
    methods.push(INFO);
    if exemplars.is_some() {
        routes =
            routes.add_service(ExemplarsServer::new(service.clone()).max_encoding_message_size(usize::MAX));
        methods.push(EXEMPLARS);
    }
    if statistics {
        routes = routes.add_service(StatusServer::new(service).max_encoding_message_size(usize::MAX));
        methods.push(STATUS);
    }
    Services { routes, methods }
}

#[derive(Clone)]
struct Service {
    store: Arc<dyn Store>,
    beside: Beside,
}

impl From<StoreError> for Status {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Invalid(_) => Self::invalid_argument(text),
            StoreError::Exhausted(_) => Self::resource_exhausted(text),
            StoreError::Aborted(_) => Self::aborted(text),
            StoreError::Internal(_) => Self::internal(text),
            StoreError::Unavailable(_) => Self::unavailable(text),
            StoreError::Deadline(_) => Self::deadline_exceeded(text),
            StoreError::Unknown(_) => Self::unknown(text),
            StoreError::Gone => Self::cancelled(text),
        }
    }
}

/// What the metadata says. A tenant's name that is no text counts as none.
fn call_of<T>(request: &Request<T>) -> Call {
    let text = |key: &str| request.metadata().get(key).and_then(|value| value.to_str().ok());
    let names = |key: &str, wanted: &str| {
        let mut listed = text(key).unwrap_or_default().split(',');
        listed.any(|name| name.trim().eq_ignore_ascii_case(wanted))
    };
    Call {
        tenant: text(TENANT).filter(|tenant| !tenant.is_empty()).map(str::to_owned),
        xor2: names(ENCODINGS, "xor2"),
        stats: names(HINTS, "blocks"),
    }
}

#[async_trait]
impl StoreApi for Service {
    type SeriesStream = BoxStream<'static, Result<SeriesMessage, Status>>;

    async fn series(&self, request: Request<SeriesRequest>) -> Result<Response<Self::SeriesStream>, Status> {
        let call = call_of(&request);
        let query = Arc::new(series_query(request.into_inner(), call)?);
        let (into, out) = frames(ROOM);
        let mut task = JoinSet::new();
        task.spawn({
            let (store, query) = (Arc::clone(&self.store), Arc::clone(&query));
            async move { store.series(query, into).await }
        });
        let messages = Messages::new(out, task, &query);
        let messages = stream::unfold(messages, |mut messages| async move {
            messages.next().await.map(|message| (message.map_err(Status::from), messages))
        });
        Ok(Response::new(messages.boxed()))
    }

    async fn label_names(
        &self,
        request: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        let call = call_of(&request);
        let query = label_names_query(request.into_inner(), call)?;
        let LabelsAnswer { values, warnings, blocks } = self.store.label_names(query).await?;
        let hints = blocks.map(|blocks| {
            let hints = LabelNamesResponseHints { queried_blocks: queried(&blocks) };
            packed("hintspb.LabelNamesResponseHints", hints.encode_to_vec())
        });
        Ok(Response::new(LabelNamesResponse { names: values, warnings, hints }))
    }

    async fn label_values(
        &self,
        request: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        let call = call_of(&request);
        let (name, query) = label_values_query(request.into_inner(), call)?;
        let LabelsAnswer { values, warnings, blocks } = self.store.label_values(name, query).await?;
        let hints = blocks.map(|blocks| {
            let hints = LabelValuesResponseHints { queried_blocks: queried(&blocks) };
            packed("hintspb.LabelValuesResponseHints", hints.encode_to_vec())
        });
        Ok(Response::new(LabelValuesResponse { values, warnings, hints }))
    }
}

fn queried(blocks: &[BlockId]) -> Vec<Block> {
    blocks.iter().map(|id| Block { id: id.to_string() }).collect()
}

fn packed(name: &str, value: Vec<u8>) -> Any {
    Any { type_url: format!("type.googleapis.com/{name}"), value }
}

#[async_trait]
impl Info for Service {
    async fn info(&self, _: Request<info::InfoRequest>) -> Result<Response<info::InfoResponse>, Status> {
        let known = self.store.info();
        if !known.ready {
            return Err(Status::unavailable(format!("{} is not ready", known.component)));
        }
        Ok(Response::new(advertisement(&known, self.beside)))
    }
}

fn advertisement(known: &StoreInfo, beside: Beside) -> info::InfoResponse {
    let tsdb_info = |(labels, range): &(sarsen_block::Labels, TimeRange)| info::TsdbInfo {
        labels: Some(label_set(labels.as_ref())),
        min_time: range.min,
        max_time: range.max,
    };
    info::InfoResponse {
        label_sets: known.label_sets.iter().map(|labels| label_set(labels.as_ref())).collect(),
        component_type: known.component.into(),
        store: Some(info::StoreInfo {
            min_time: known.range.min,
            max_time: known.range.max,
            supports_sharding: true,
            supports_without_replica_labels: true,
            tsdb_infos: known.tsdb_infos.iter().map(tsdb_info).collect(),
            supports_projections: false,
        }),
        exemplars: known
            .exemplars
            .map(|range| info::ExemplarsInfo { min_time: range.min, max_time: range.max }),
        rules: beside.rules.then_some(info::RulesInfo {}),
        targets: beside.targets.then_some(info::TargetsInfo {}),
        metric_metadata: beside.metadata.then_some(info::MetricMetadataInfo {}),
        query: beside.query.then_some(info::QueryApiInfo {}),
        status: (beside.status || known.statistics).then_some(info::StatusInfo {}),
    }
}

fn label_set(labels: LabelsRef<'_>) -> LabelSet {
    let label = |(name, value): (&[u8], &[u8])| Label {
        name: bytes::Bytes::copy_from_slice(name),
        value: bytes::Bytes::copy_from_slice(value),
    };
    LabelSet { labels: labels.iter().map(label).collect() }
}

#[async_trait]
impl Exemplars for Service {
    type ExemplarsStream = BoxStream<'static, Result<ExemplarsResponse, Status>>;

    async fn exemplars(
        &self,
        request: Request<ExemplarsRequest>,
    ) -> Result<Response<Self::ExemplarsStream>, Status> {
        let call = call_of(&request);
        let found = self.store.exemplars(exemplars_query(&request.into_inner(), call)?).await?;
        let warning =
            |text| Ok(ExemplarsResponse { result: Some(exemplars_response::Result::Warning(text)) });
        let series = found.series.into_iter().map(|series| Ok(exemplars_of(&series)));
        Ok(Response::new(stream::iter(series.chain(found.warnings.into_iter().map(warning))).boxed()))
    }
}

#[async_trait]
impl StatusApi for Service {
    type TSDBStatisticsStream = BoxStream<'static, Result<TsdbStatisticsResponse, Status>>;

    async fn tsdb_statistics(
        &self,
        request: Request<TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        let asked = request.into_inner();
        let query = StatisticsQuery {
            tenant: Some(asked.tenant).filter(|tenant| !tenant.is_empty()),
            matchers: matchers_from(&asked.matchers)?,
            limit: usize::try_from(asked.limit).unwrap_or(0),
        };
        let found = self.store.statistics(query).await?;
        let statistics = found.into_iter().map(|(tenant, statistics)| (tenant, entry_of(statistics)));
        let statistics = TsdbStatistics { statistics: statistics.collect() };
        let result = Some(tsdb_statistics_response::Result::Statistics(statistics));
        Ok(Response::new(stream::iter([Ok(TsdbStatisticsResponse { result })]).boxed()))
    }
}

fn entry_of(found: Statistics) -> TsdbStatisticsEntry {
    let rows = |rows: Vec<Row>| rows.into_iter().map(|(name, value)| Statistic { name, value }).collect();
    TsdbStatisticsEntry {
        head_statistics: Some(HeadStatistics {
            num_series: found.series,
            num_label_pairs: i64::try_from(found.label_pairs).unwrap_or(i64::MAX),
            chunk_count: i64::try_from(found.chunks).unwrap_or(i64::MAX),
            min_time: found.range.min,
            max_time: found.range.max,
        }),
        series_count_by_metric_name: rows(found.by_metric),
        label_value_count_by_label_name: rows(found.values_by_label),
        memory_in_bytes_by_label_name: rows(found.bytes_by_label),
        series_count_by_label_value_pair: rows(found.by_label),
    }
}

fn exemplars_of(series: &ExemplarSeries) -> ExemplarsResponse {
    let exemplar = |one: &super::ExemplarOut| Exemplar {
        labels: Some(label_set(one.labels.as_ref())),
        value: one.value,
        ts: one.t,
    };
    let data = ExemplarData {
        series_labels: Some(label_set(series.labels.as_ref())),
        exemplars: series.exemplars.iter().map(exemplar).collect(),
    };
    ExemplarsResponse { result: Some(exemplars_response::Result::Data(data)) }
}

#[cfg(test)]
mod tests;
