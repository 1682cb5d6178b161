//! An endpoint that does what a test says, on a real connection.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use parking_lot::Mutex;
use sarsen_block::{Chunk, Labels, TimeRange};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use crate::metrics::Registry;
use crate::net::grpc::Services;
use crate::net::{ServeOptions, bind, serve};
use crate::query::endpoints::{EndpointOptions, EndpointSet, EndpointSpec};
use crate::query::proxy::{ProxyOptions, ProxyStore};
use crate::store::{ChunkParts, Frame, SeriesQuery, StoreChunk, StoreError, StoreSeries, frames};
use crate::wire::generated::thanos::info::info_server::{Info, InfoServer};
use crate::wire::generated::thanos::metadata_server::{Metadata, MetadataServer};
use crate::wire::generated::thanos::rules_server::{Rules, RulesServer};
use crate::wire::generated::thanos::store_server::{Store, StoreServer};
use crate::wire::generated::thanos::targets_server::{Targets, TargetsServer};
use crate::wire::generated::thanos::{
    ActiveTarget, Alert, AlertInstance, Label, LabelNamesRequest, LabelNamesResponse, LabelSet,
    LabelValuesRequest, LabelValuesResponse, Meta, MetricMetadata, MetricMetadataEntry,
    MetricMetadataRequest, MetricMetadataResponse, Rule, RuleGroup, RulesRequest, RulesResponse,
    SeriesRequest, TargetDiscovery, TargetsRequest, TargetsResponse, info, metric_metadata_response, rule,
    rules_response, targets_response,
};
use crate::wire::storeapi::SeriesMessage;

/// What an endpoint does when it is asked for series.
#[derive(Debug, Clone)]
pub(crate) enum Does {
    /// Sends these and ends well.
    Sends(Vec<SeriesMessage>),
    /// Sends these and then nothing, for ever.
    Hangs(Vec<SeriesMessage>),
    /// Sends these and ends badly.
    Breaks(Vec<SeriesMessage>),
}

#[derive(Debug)]
pub(crate) struct Behaviour {
    pub(crate) info: Mutex<Result<info::InfoResponse, Status>>,
    pub(crate) does: Mutex<Does>,
    pub(crate) asked: Mutex<Vec<SeriesRequest>>,
    /// Calls for series that are under way.
    pub(crate) open: Arc<()>,
}

/// A running endpoint; stops when it is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: String,
    pub(crate) behaviour: Arc<Behaviour>,
    _stop: Arc<DropGuard>,
}

#[derive(Clone)]
struct Served(Arc<Behaviour>);

/// Labels from `name=value` pairs.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> Labels {
    Labels::from_pairs(pairs.iter().copied()).unwrap()
}

pub(crate) fn label_set(pairs: &[(&str, &str)]) -> LabelSet {
    let label = |(name, value): &(&str, &str)| Label {
        name: name.as_bytes().to_vec().into(),
        value: value.as_bytes().to_vec().into(),
    };
    LabelSet { labels: pairs.iter().map(label).collect() }
}

/// A series with chunks that begin at these times and hold one byte.
pub(crate) fn series(pairs: &[(&str, &str)], chunks: &[(i64, u8)]) -> StoreSeries {
    let chunk = |&(t, data): &(i64, u8)| StoreChunk {
        range: TimeRange::new(t, t + 1),
        parts: ChunkParts::Raw(Chunk::xor(vec![data])),
    };
    StoreSeries { labels: labels(pairs), chunks: chunks.iter().map(chunk).collect() }
}

pub(crate) fn message(pairs: &[(&str, &str)], chunks: &[(i64, u8)]) -> SeriesMessage {
    SeriesMessage::Series(series(pairs, chunks))
}

/// A store of everything, as `component`.
pub(crate) fn everything(component: &str, sets: &[&[(&str, &str)]]) -> info::InfoResponse {
    info::InfoResponse {
        label_sets: sets.iter().map(|set| label_set(set)).collect(),
        component_type: component.to_owned(),
        store: Some(info::StoreInfo {
            min_time: 0,
            max_time: i64::MAX,
            supports_sharding: true,
            supports_without_replica_labels: true,
            ..Default::default()
        }),
        ..Default::default()
    }
}

impl Peer {
    pub(crate) async fn start(info: info::InfoResponse, does: Does) -> Self {
        Self::start_with(info, does, ServeOptions::plain(Duration::ZERO)).await
    }

    /// The same with TLS and the like.
    pub(crate) async fn start_with(info: info::InfoResponse, does: Does, options: ServeOptions) -> Self {
        let behaviour = Behaviour {
            info: Mutex::new(Ok(info)),
            does: Mutex::new(does),
            asked: Mutex::default(),
            open: Arc::default(),
        };
        let served = Served(Arc::new(behaviour));
        let routes = Routes::new(StoreServer::new(served.clone()))
            .add_service(InfoServer::new(served.clone()))
            .add_service(RulesServer::new(served.clone()))
            .add_service(TargetsServer::new(served.clone()))
            .add_service(MetadataServer::new(served.clone()));
        let services = Services { routes, methods: Vec::new() };
        let (address, stop) = listen_with(services, options).await;
        Self { address, behaviour: served.0, _stop: stop }
    }
}

/// Serves until the guard is dropped; the address.
pub(crate) async fn listen(services: Services) -> (String, Arc<DropGuard>) {
    listen_with(services, ServeOptions::plain(Duration::ZERO)).await
}

async fn listen_with(services: Services, options: ServeOptions) -> (String, Arc<DropGuard>) {
    let ready = watch::Sender::new(true);
    let router = services.into_router(crate::wire::DESCRIPTORS, ready.subscribe(), &Registry::new()).unwrap();
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, router, options, stop.clone()));
    (address, Arc::new(stop.drop_guard()))
}

#[async_trait]
impl Info for Served {
    async fn info(&self, _: Request<info::InfoRequest>) -> Result<Response<info::InfoResponse>, Status> {
        self.0.info.lock().clone().map(Response::new)
    }
}

type Sent<T> = BoxStream<'static, Result<T, Status>>;

fn one<T: Send + 'static>(answer: T) -> Result<Response<Sent<T>>, Status> {
    Ok(Response::new(stream::iter([Ok(answer)]).boxed()))
}

#[async_trait]
impl Rules for Served {
    type RulesStream = Sent<RulesResponse>;

    /// A group with a rule that is pending and one that is not, in the older numbers.
    async fn rules(&self, _: Request<RulesRequest>) -> Result<Response<Self::RulesStream>, Status> {
        let info = self.0.info.lock().clone()?;
        let labels = info.label_sets.first().cloned();
        let alert = |name: &str, state, alerts| Rule {
            result: Some(rule::Result::Alert(Alert {
                name: name.to_owned(),
                labels: labels.clone(),
                state,
                alerts,
                ..Default::default()
            })),
        };
        let pending = AlertInstance { state: 1, value: "1".to_owned(), ..Default::default() };
        let rules = vec![alert("Pending", 1, vec![pending]), alert("Quiet", 0, Vec::new())];
        let group = RuleGroup { name: "g".to_owned(), file: "f".to_owned(), rules, ..Default::default() };
        one(RulesResponse { result: Some(rules_response::Result::Group(group)) })
    }
}

#[async_trait]
impl Targets for Served {
    type TargetsStream = Sent<TargetsResponse>;

    async fn targets(&self, _: Request<TargetsRequest>) -> Result<Response<Self::TargetsStream>, Status> {
        let labels = self.0.info.lock().clone()?.label_sets.first().cloned();
        let target = ActiveTarget { labels, scrape_url: "http://t/metrics".to_owned(), ..Default::default() };
        let targets = TargetDiscovery { active_targets: vec![target], dropped_targets: Vec::new() };
        one(TargetsResponse { result: Some(targets_response::Result::Targets(targets)) })
    }
}

#[async_trait]
impl Metadata for Served {
    type MetricMetadataStream = Sent<MetricMetadataResponse>;

    async fn metric_metadata(
        &self,
        _: Request<MetricMetadataRequest>,
    ) -> Result<Response<Self::MetricMetadataStream>, Status> {
        let meta = Meta { r#type: "gauge".to_owned(), help: "Whether.".to_owned(), unit: String::new() };
        let metadata = [("up".to_owned(), MetricMetadataEntry { metas: vec![meta] })].into();
        let metadata = MetricMetadata { metadata };
        one(MetricMetadataResponse { result: Some(metric_metadata_response::Result::Metadata(metadata)) })
    }
}

#[async_trait]
impl Store for Served {
    type SeriesStream = BoxStream<'static, Result<SeriesMessage, Status>>;

    async fn series(&self, request: Request<SeriesRequest>) -> Result<Response<Self::SeriesStream>, Status> {
        self.0.asked.lock().push(request.into_inner());
        let does = self.0.does.lock().clone();
        let open = Arc::clone(&self.0.open);
        let (Does::Sends(sent) | Does::Hangs(sent) | Does::Breaks(sent)) = does.clone();
        let first = stream::iter(sent.into_iter().map(Ok));
        let all = match does {
            Does::Sends(_) => first.boxed(),
            Does::Hangs(_) => first.chain(stream::pending()).boxed(),
            Does::Breaks(_) => first.chain(stream::iter([Err(Status::aborted("the disk is gone"))])).boxed(),
        };
        let all = all.map(move |message| {
            let _ = &open;
            message
        });
        Ok(Response::new(all.boxed()))
    }

    async fn label_names(
        &self,
        request: Request<LabelNamesRequest>,
    ) -> Result<Response<LabelNamesResponse>, Status> {
        let _ = request;
        if matches!(&*self.0.does.lock(), Does::Breaks(_)) {
            return Err(Status::unavailable("not now"));
        }
        let names = vec!["__name__".into(), "pod".into(), "replica".into()];
        Ok(Response::new(LabelNamesResponse { names, ..Default::default() }))
    }

    async fn label_values(
        &self,
        request: Request<LabelValuesRequest>,
    ) -> Result<Response<LabelValuesResponse>, Status> {
        let values = vec![request.into_inner().label, self.0.info.lock().clone()?.component_type.into()];
        Ok(Response::new(LabelValuesResponse { values, warnings: vec!["almost".to_owned()], hints: None }))
    }
}

/// All of these behind one face, looked at once.
pub(crate) async fn proxy_over(addresses: &[&str], timeout_ms: u64) -> ProxyStore {
    let specs: Vec<EndpointSpec> = addresses.iter().map(|address| EndpointSpec::new(*address)).collect();
    let registry = Registry::new();
    let options = EndpointOptions { info_timeout: Duration::from_secs(2), ..EndpointOptions::default() };
    let endpoints = Arc::new(EndpointSet::new(Arc::new(specs), options, &registry));
    endpoints.look().await;
    let options = ProxyOptions { timeout: Duration::from_millis(timeout_ms), ..ProxyOptions::default() };
    ProxyStore::new(endpoints, options, &registry)
}

/// What comes of a query: series, warnings, the outcome.
pub(crate) async fn ask(
    proxy: &dyn crate::store::Store,
    query: SeriesQuery,
) -> (Vec<StoreSeries>, Vec<String>, Result<(), StoreError>) {
    let (into, mut out) = frames(1 << 30);
    let outcome = proxy.series(Arc::new(query), into).await;
    let (mut found, mut warnings) = (Vec::new(), Vec::new());
    while let Some(frame) = out.try_next() {
        match frame {
            Frame::Series(series) => found.push(series),
            Frame::Warning(text) => warnings.push(text),
            Frame::Hints(_) => {}
        }
    }
    (found, warnings, outcome)
}
