//! The services over real sockets, in front of a store that says what it is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use prost::Message as _;
use sarsen_block::{Chunk, Labels, MatchOp, Matcher};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt as _;

use self::client::thanos;
use self::client::thanos::exemplars_client::ExemplarsClient;
use self::client::thanos::info::info_client::InfoClient;
use self::client::thanos::label_matcher::Type;
use self::client::thanos::series_response::Result as Answer;
use self::client::thanos::status_client::StatusClient;
use self::client::thanos::store_client::StoreClient;
use super::*;
use crate::metrics::Registry;
use crate::net::{ServeOptions, bind, serve};
use crate::store::{
    ChunkParts, Counts, ExemplarOut, ExemplarsAnswer, ExemplarsQuery, Frame, FrameSender, LabelsQuery,
    SeriesQuery, Shard, StoreChunk, StoreSeries,
};

#[path = "../../../tests/storeapi_client/mod.rs"]
mod client;

/// Sends its frames, then ends as told.
struct Fake {
    info: StoreInfo,
    frames: Vec<Frame>,
    outcome: Result<(), StoreError>,
    /// What was asked.
    asked: parking_lot::Mutex<Vec<String>>,
    /// Told when a stream that never ends finds that nobody listens.
    gone: Notify,
}

/// Tells that a stream has ended, also when its task is dropped.
struct Told<'a>(&'a Notify);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Default for Fake {
    fn default() -> Self {
        let label = |tenant| Labels::from_pairs([("tenant_id", tenant)]).unwrap();
        let info = StoreInfo {
            component: "store",
            ready: true,
            label_sets: vec![label("a"), label("b")],
            range: TimeRange::new(-5, 5),
            tsdb_infos: vec![(label("a"), TimeRange::new(-5, 0)), (label("b"), TimeRange::new(1, 5))],
            exemplars: Some(TimeRange::new(2, 3)),
            statistics: true,
        };
        Self { info, frames: Vec::new(), outcome: Ok(()), asked: Default::default(), gone: Notify::new() }
    }
}

#[async_trait]
impl Store for Fake {
    fn info(&self) -> StoreInfo {
        self.info.clone()
    }

    async fn series(&self, query: Arc<SeriesQuery>, frames: FrameSender) -> Result<(), StoreError> {
        self.asked.lock().push(format!("{query:?}"));
        match query.matchers.first().map(Matcher::value) {
            Some(b"panic") => panic!("told to"),
            Some(b"endless") => {
                let _told = Told(&self.gone);
                while frames.send(Frame::Series(series("endless", 1))).await.is_ok() {}
                return Err(StoreError::Gone);
            }
            Some(b"silent") => {
                let _told = Told(&self.gone);
                frames.closed().await;
                return Err(StoreError::Gone);
            }
            _ => {}
        }
        for frame in self.frames.clone() {
            frames.send(frame).await?;
        }
        self.outcome.clone()
    }

    async fn label_names(&self, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        self.asked.lock().push(format!("{query:?}"));
        Ok(LabelsAnswer {
            values: vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")],
            warnings: vec!["w".to_owned()],
            blocks: Some(vec![BlockId::from_parts(1, 2)]),
        })
    }

    async fn label_values(&self, name: Bytes, _: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        match &name[..] {
            b"busy" => Err(StoreError::Exhausted("too much".to_owned())),
            _ => Ok(LabelsAnswer { values: vec![name], ..Default::default() }),
        }
    }

    async fn statistics(&self, query: StatisticsQuery) -> Result<BTreeMap<String, Statistics>, StoreError> {
        self.asked.lock().push(format!("{query:?}"));
        let mut counts = Counts::default();
        for pod in [&b"a"[..], b"b"] {
            counts.add([(&b"__name__"[..], &b"up"[..]), (b"pod", pod)].into_iter());
        }
        let found = counts.finish(query.limit, TimeRange::new(1, 2));
        Ok(query.tenant.into_iter().map(|tenant| (tenant, found.clone())).collect())
    }

    async fn exemplars(&self, query: ExemplarsQuery) -> Result<ExemplarsAnswer, StoreError> {
        self.asked.lock().push(format!("{:?} {:?}", query.selectors, query.range));
        let labels = |pairs| Labels::from_pairs::<&str, &str>(pairs).unwrap();
        let exemplar = ExemplarOut { labels: labels([("trace_id", "x")]), value: 1.5, t: 2 };
        let series = vec![ExemplarSeries { labels: labels([("__name__", "up")]), exemplars: vec![exemplar] }];
        Ok(ExemplarsAnswer { series, warnings: vec!["one is away".to_owned()] })
    }
}

fn series(name: &str, chunks: i64) -> StoreSeries {
    let chunk = |t| StoreChunk {
        range: TimeRange::new(t, t + 1),
        parts: ChunkParts::Raw(Chunk::xor(Bytes::from(vec![t as u8; 100]))),
    };
    StoreSeries {
        labels: Labels::from_pairs([("__name__", name), ("tenant_id", "a")]).unwrap(),
        chunks: (0..chunks).map(chunk).collect(),
    }
}

fn request(value: &str) -> thanos::SeriesRequest {
    let matcher = thanos::LabelMatcher {
        r#type: Type::Eq.into(),
        name: "__name__".to_owned(),
        value: value.to_owned(),
    };
    thanos::SeriesRequest { max_time: i64::MAX, matchers: vec![matcher], ..Default::default() }
}

/// A server in front of a store.
struct Running {
    store: Arc<Fake>,
    registry: Registry,
    ready: watch::Sender<bool>,
    router: Router,
    address: String,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(store: Fake) -> Self {
        Self::with(store, ServeOptions::plain(Duration::from_secs(20))).await
    }

    async fn with(store: Fake, options: ServeOptions) -> Self {
        let (store, registry, ready) = (Arc::new(store), Registry::new(), watch::Sender::new(true));
        let services = services(Arc::clone(&store) as Arc<dyn Store>);
        let router = services.into_router(crate::wire::DESCRIPTORS, ready.subscribe(), &registry).unwrap();
        let listener = bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let served = tokio::spawn(serve(listener, router.clone(), options, stop.clone()));
        Self { store, registry, ready, router, address, stop, served }
    }

    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.address)).unwrap().connect().await.unwrap()
    }

    async fn store(&self) -> StoreClient<Channel> {
        StoreClient::new(self.channel().await).max_decoding_message_size(usize::MAX)
    }

    fn metric(&self, line: &str) -> Option<String> {
        let (_, page) = self.registry.page(false);
        page.lines().find_map(|found| found.strip_prefix(line).map(|value| value.trim().to_owned()))
    }
}

async fn all(
    client: &mut StoreClient<Channel>,
    request: thanos::SeriesRequest,
) -> Result<Vec<Answer>, Status> {
    let mut stream = client.series(request).await?.into_inner();
    let mut answers = Vec::new();
    while let Some(answer) = stream.message().await? {
        answers.push(answer.result.unwrap());
    }
    Ok(answers)
}

fn name_of(series: &thanos::Series) -> &str {
    &series.labels[0].value
}

#[tokio::test]
async fn series_come_one_by_one_in_batches_and_in_pieces() {
    let many = 20_000;
    let frames = vec![
        Frame::Series(series("a", 1)),
        Frame::Series(series("b", 2)),
        Frame::Series(series("c", many)),
        Frame::Warning("something is missing".to_owned()),
    ];
    let server = Running::start(Fake { frames, ..Default::default() }).await;
    let mut client = server.store().await;
    let answers = all(&mut client, request("x")).await.unwrap();
    let (mut names, mut chunks) = (Vec::new(), Vec::new());
    for answer in &answers {
        assert!(answer.encoded_len() < (1 << 20) + 10_000);
        match answer {
            Answer::Series(series) => {
                names.push(name_of(series).to_owned());
                chunks.extend(series.chunks.clone());
            }
            other => assert_eq!(other, &Answer::Warning("something is missing".to_owned())),
        }
    }
    names.dedup();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(chunks.len() as i64, 3 + many);
    assert!(answers.len() > 4, "the long one comes in pieces");
    assert_eq!(chunks[2].max_time, 2);
    assert_eq!(chunks[2].raw.as_ref().unwrap().data, [1; 100]);

    let batched = thanos::SeriesRequest { response_batch_size: 64, ..request("x") };
    let answers = all(&mut client, batched).await.unwrap();
    let Answer::Batch(batch) = &answers[0] else { unreachable!("{:?}", answers[0]) };
    assert_eq!(batch.series.iter().take(2).map(name_of).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(answers.last(), Some(&Answer::Warning("something is missing".to_owned())));
}

#[tokio::test]
async fn what_is_asked_arrives() {
    let server = Running::start(Fake::default()).await;
    let mut client = server.store().await;
    let hints = client::hintspb::SeriesRequestHints {
        block_matchers: vec![thanos::LabelMatcher {
            r#type: Type::Nre.into(),
            name: "__block_id".to_owned(),
            value: "01.*".to_owned(),
        }],
        enable_query_stats: true,
    };
    let asked = thanos::SeriesRequest {
        min_time: -7,
        max_time: 9,
        max_resolution_window: 300_000,
        aggregates: vec![0, 1, 5],
        partial_response_strategy: 1,
        skip_chunks: true,
        hints: Some(prost_types::Any {
            type_url: "type.googleapis.com/hintspb.SeriesRequestHints".to_owned(),
            value: hints.encode_to_vec(),
        }),
        shard_info: Some(thanos::ShardInfo {
            shard_index: 1,
            total_shards: 3,
            by: true,
            labels: vec!["b".to_owned(), "a".to_owned()],
        }),
        without_replica_labels: vec!["z".to_owned(), "a".to_owned()],
        limit: 4,
        response_batch_size: 5,
        ..request("up")
    };
    let mut asked = Request::new(asked);
    asked.metadata_mut().insert("thanos-tenant", "team".parse().unwrap());
    asked.metadata_mut().insert("sarsen-encodings", "xor9, XOR2".parse().unwrap());
    asked.metadata_mut().insert("sarsen-hints", "blocks".parse().unwrap());
    let mut stream = client.series(asked).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap(), None);
    let expected = SeriesQuery {
        max_resolution_ms: 300_000,
        aggregates: vec![sarsen_downsample::Aggregate::Count, sarsen_downsample::Aggregate::Counter],
        skip_chunks: true,
        limit: 4,
        shard: Shard::new(1, 3, true, vec![Bytes::from_static(b"a"), Bytes::from_static(b"b")]),
        without: vec![Bytes::from_static(b"a"), Bytes::from_static(b"z")],
        block_matchers: vec![Matcher::new(MatchOp::NotRegex, "__block_id", "01.*").unwrap()],
        batch: 5,
        abort: true,
        xor2: true,
        tenant: Some("team".to_owned()),
        stats: true,
        ..SeriesQuery::new(TimeRange::new(-7, 9), vec![Matcher::equal("__name__", "up")])
    };
    assert_eq!(*server.store.asked.lock(), [format!("{expected:?}")]);
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_with_its_code() {
    let outcome = Err(StoreError::Aborted("a block is gone".to_owned()));
    let frames = vec![Frame::Series(series("a", 1))];
    let server = Running::start(Fake { frames, outcome, ..Default::default() }).await;
    let mut client = server.store().await;
    let broken = |change: fn(&mut thanos::SeriesRequest)| {
        let mut request = request("[");
        change(&mut request);
        request
    };
    for (asked, text) in [
        (
            broken(|request| request.matchers[0].r#type = Type::Re.into()),
            "error parsing regexp: missing closing ]: `[`",
        ),
        (broken(|request| request.matchers[0].r#type = 9), "unhandled matcher type 9"),
        (
            broken(|request| {
                request.hints =
                    Some(prost_types::Any { type_url: "x/hintspb.Block".to_owned(), value: Vec::new() });
            }),
            "unmarshal request hints",
        ),
    ] {
        let refused = all(&mut client, asked).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().starts_with(text), "{}", refused.message());
    }
    let mut stream = client.series(request("x")).await.unwrap().into_inner();
    assert!(stream.message().await.unwrap().is_some(), "what there was comes first");
    let failed = stream.message().await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::Aborted, "a block is gone"));

    let values = |label: &str| thanos::LabelValuesRequest { label: label.to_owned(), ..Default::default() };
    assert_eq!(client.label_values(values("busy")).await.unwrap_err().code(), Code::ResourceExhausted);
    let answer = client.label_values(values("pod")).await.unwrap().into_inner();
    assert_eq!((answer.values, answer.hints), (vec!["pod".to_owned()], None));
}

#[tokio::test]
async fn names_come_with_the_blocks_that_were_asked() {
    let server = Running::start(Fake::default()).await;
    let answer =
        server.store().await.label_names(thanos::LabelNamesRequest::default()).await.unwrap().into_inner();
    assert_eq!((answer.names, answer.warnings), (vec!["a".to_owned(), "b".to_owned()], vec!["w".to_owned()]));
    let hints = answer.hints.unwrap();
    assert_eq!(hints.type_url, "type.googleapis.com/hintspb.LabelNamesResponseHints");
    let hints = client::hintspb::LabelNamesResponseHints::decode(hints.value.as_slice()).unwrap();
    assert_eq!(hints.queried_blocks[0].id, BlockId::from_parts(1, 2).to_string());
}

#[tokio::test]
async fn a_store_says_what_it_has_once_it_is_ready() {
    let server = Running::start(Fake::default()).await;
    let mut client = InfoClient::new(server.channel().await);
    let info = client.info(thanos::info::InfoRequest {}).await.unwrap().into_inner();
    assert_eq!(info.component_type, "store");
    assert_eq!(info.label_sets.len(), 2);
    let known = info.store.unwrap();
    assert_eq!((known.min_time, known.max_time), (-5, 5));
    assert!(known.supports_sharding && known.supports_without_replica_labels);
    assert_eq!((known.tsdb_infos[1].min_time, known.tsdb_infos[1].max_time), (1, 5));
    assert_eq!(info.exemplars, Some(thanos::info::ExemplarsInfo { min_time: 2, max_time: 3 }));
    assert_eq!((info.rules, info.targets, info.query), (None, None, None));
    assert!(info.status.is_some());

    let early = StoreInfo { ready: false, ..Fake::default().info };
    let server = Running::start(Fake { info: early, ..Default::default() }).await;
    let refused =
        InfoClient::new(server.channel().await).info(thanos::info::InfoRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
}

#[tokio::test]
async fn statistics_of_a_tenant() {
    let server = Running::start(Fake::default()).await;
    let mut client = StatusClient::new(server.channel().await);
    let matcher = thanos::LabelMatcher { r#type: 0, name: "region".into(), value: "eu".into() };
    let asked = thanos::TsdbStatisticsRequest {
        tenant: "a".to_owned(),
        limit: 3,
        matchers: vec![matcher],
        ..Default::default()
    };
    let mut stream = client.tsdb_statistics(asked).await.unwrap().into_inner();
    let Some(thanos::tsdb_statistics_response::Result::Statistics(found)) =
        stream.message().await.unwrap().unwrap().result
    else {
        unreachable!()
    };
    let entry = &found.statistics["a"];
    let head = entry.head_statistics.as_ref().unwrap();
    assert_eq!((head.num_series, head.num_label_pairs, head.chunk_count), (2, 3, 0));
    assert_eq!((head.min_time, head.max_time), (1, 2));
    let row = |name: &str, value| vec![thanos::Statistic { name: name.to_owned(), value }];
    assert_eq!(entry.series_count_by_metric_name, row("up", 2));
    assert_eq!(entry.label_value_count_by_label_name[0].name, "pod");
    assert_eq!(entry.series_count_by_label_value_pair[0], row("__name__=up", 2)[0]);
    assert_eq!(stream.message().await.unwrap(), None);
    let asked = server.store.asked.lock()[0].clone();
    assert!(asked.contains("limit: 3") && asked.contains("region"), "{asked}");
}

#[tokio::test]
async fn exemplars_of_every_selector_of_a_sum() {
    let server = Running::start(Fake::default()).await;
    let mut client = ExemplarsClient::new(server.channel().await);
    let query = |query: &str| thanos::ExemplarsRequest {
        query: query.to_owned(),
        start: 1,
        end: 2,
        ..Default::default()
    };
    let mut stream = client.exemplars(query(r#"{a="b+\"c"} + up{x=~"y"}"#)).await.unwrap().into_inner();
    let Some(thanos::exemplars_response::Result::Data(data)) =
        stream.message().await.unwrap().unwrap().result
    else {
        unreachable!()
    };
    assert_eq!((data.exemplars[0].value, data.exemplars[0].ts), (1.5, 2));
    assert_eq!(data.exemplars[0].labels.as_ref().unwrap().labels[0].name, "trace_id");
    let missing = stream.message().await.unwrap().unwrap().result;
    assert_eq!(missing, Some(thanos::exemplars_response::Result::Warning("one is away".to_owned())));
    let asked = server.store.asked.lock()[0].clone();
    assert!(asked.contains(r#"b+\"c"#) && asked.contains("up") && asked.contains('y'), "{asked}");
    assert_eq!(client.exemplars(query("rate(")).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn when_the_caller_goes_the_store_stops() {
    let server = Running::start(Fake::default()).await;
    let mut client = server.store().await;
    for endless in ["endless", "silent"] {
        let mut stream = client.series(request(endless)).await.unwrap().into_inner();
        if endless == "endless" {
            assert!(stream.message().await.unwrap().is_some());
        }
        drop(stream);
        server.store.gone.notified().await;
    }
}

#[tokio::test]
async fn a_call_ends_at_its_deadline() {
    let server = Running::start(Fake::default()).await;
    let mut late = Request::new(request("silent"));
    late.set_timeout(Duration::from_millis(30));
    let ended = async {
        let mut stream = server.store().await.series(late).await?.into_inner();
        stream.message().await
    };
    assert!(matches!(ended.await.unwrap_err().code(), Code::DeadlineExceeded | Code::Cancelled));
    server.store.gone.notified().await;
}

#[tokio::test]
async fn a_panic_ends_the_call_and_nothing_else() {
    let server =
        Running::start(Fake { frames: vec![Frame::Series(series("a", 1))], ..Default::default() }).await;
    let mut client = server.store().await;
    assert_eq!(all(&mut client, request("panic")).await.unwrap_err().code(), Code::Internal);
    assert_eq!(all(&mut client, request("x")).await.unwrap().len(), 1);
    assert_eq!(server.metric("grpc_req_panics_recovered_total"), Some("1".to_owned()));
}

#[tokio::test]
async fn calls_are_counted_as_thanos_counts_them() {
    let frames = vec![Frame::Series(series("a", 1)), Frame::Series(series("b", 1))];
    let server = Running::start(Fake { frames, ..Default::default() }).await;
    let method = r#"grpc_method="Series",grpc_service="thanos.Store",grpc_type="server_stream"}"#;
    let counter = |name: &str| server.metric(&format!("{name}{{{method}"));
    let handled =
        |code: &str| server.metric(&format!("grpc_server_handled_total{{grpc_code=\"{code}\",{method}"));
    for code in ["OK", "Canceled", "ResourceExhausted", "Unauthenticated"] {
        assert_eq!(handled(code), Some("0".to_owned()), "there before anything happens");
    }
    let mut client = server.store().await;
    all(&mut client, request("x")).await.unwrap();
    let mut broken = request("[");
    broken.matchers[0].r#type = Type::Re.into();
    all(&mut client, broken).await.unwrap_err();
    drop(client);
    server.stop.cancel();
    let Running { served, .. } = &server;
    while !served.is_finished() {
        tokio::task::yield_now().await;
    }
    assert_eq!(counter("grpc_server_started_total"), Some("2".to_owned()));
    assert_eq!(counter("grpc_server_msg_received_total"), Some("2".to_owned()));
    assert_eq!(counter("grpc_server_msg_sent_total"), Some("2".to_owned()));
    assert_eq!(counter("grpc_server_handling_seconds_count"), Some("2".to_owned()));
    assert_eq!((handled("OK"), handled("InvalidArgument")), (Some("1".to_owned()), Some("1".to_owned())));
}

#[tokio::test]
async fn health_follows_readiness() {
    let server = Running::start(Fake::default()).await;
    let mut client = HealthClient::new(server.channel().await);
    let ask = |service: &str| HealthCheckRequest { service: service.to_owned() };
    let mut watched = client.watch(ask("thanos.Store")).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status, 1);
    server.ready.send_replace(false);
    assert_eq!(watched.message().await.unwrap().unwrap().status, 2);
    for service in ["", "thanos.Store", "thanos.info.Info", "thanos.Exemplars"] {
        assert_eq!(client.check(ask(service)).await.unwrap().into_inner().status, 2, "{service}");
    }
    server.ready.send_replace(true);
    assert_eq!(client.check(ask("")).await.unwrap().into_inner().status, 1);
    assert_eq!(client.check(ask("thanos.Rules")).await.unwrap_err().code(), Code::NotFound);
    let mut unknown = client.watch(ask("thanos.Rules")).await.unwrap().into_inner();
    assert_eq!(unknown.message().await.unwrap().unwrap().status, 3);
}

#[tokio::test]
async fn reflection_tells_the_services_in_both_versions() {
    use tonic_reflection::pb::{v1, v1alpha};
    let server = Running::start(Fake::default()).await;
    let expected: BTreeSet<String> =
        ["thanos.Store", "thanos.info.Info", "thanos.Exemplars", "grpc.health.v1.Health"]
            .map(str::to_owned)
            .into();
    macro_rules! listed {
        ($version:ident, $asked:ident) => {{
            use $version::server_reflection_request::MessageRequest;
            use $version::server_reflection_response::MessageResponse;
            let mut client =
                $version::server_reflection_client::ServerReflectionClient::new(server.channel().await);
            let asked = |message| $version::ServerReflectionRequest {
                message_request: Some(message),
                ..Default::default()
            };
            let asked = stream::iter([
                asked(MessageRequest::ListServices(String::new())),
                asked(MessageRequest::FileContainingSymbol("thanos.SeriesRequest".to_owned())),
            ]);
            let mut stream = client.server_reflection_info(asked).await.unwrap().into_inner();
            let Some(MessageResponse::ListServicesResponse(list)) =
                stream.message().await.unwrap().unwrap().message_response
            else {
                unreachable!()
            };
            let Some(MessageResponse::FileDescriptorResponse(file)) =
                stream.message().await.unwrap().unwrap().message_response
            else {
                unreachable!()
            };
            assert!(!file.file_descriptor_proto.is_empty());
            list.service.into_iter().map(|service| service.name).collect::<BTreeSet<String>>()
        }};
    }
    assert!(listed!(v1, asked).is_superset(&expected));
    assert!(listed!(v1alpha, asked).is_superset(&expected));
}

/// A call with this body, straight through the routes: status, packing and body of the answer.
async fn raw_call(server: &Running, packing: &str, body: Vec<u8>) -> (Option<String>, Option<String>, Bytes) {
    let asked = http::Request::post("/thanos.Store/Series")
        .header("content-type", "application/grpc")
        .header("grpc-encoding", packing)
        .header("te", "trailers")
        .body(Body::from(body))
        .unwrap();
    let answer = server.router.clone().oneshot(asked).await.unwrap();
    let header = |headers: &http::HeaderMap, name: &str| {
        headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    let (in_headers, packed) =
        (header(answer.headers(), "grpc-status"), header(answer.headers(), "grpc-encoding"));
    let whole = answer.into_body().collect().await.unwrap();
    let status = in_headers.or_else(|| header(whole.trailers()?, "grpc-status"));
    (status, packed, whole.to_bytes())
}

fn framed(flag: u8, message: &[u8]) -> Vec<u8> {
    [&[flag][..], &(message.len() as u32).to_be_bytes(), message].concat()
}

#[tokio::test]
async fn answers_are_packed_as_requests_were() {
    use std::io::{Read as _, Write as _};
    let server =
        Running::start(Fake { frames: vec![Frame::Series(series("a", 30))], ..Default::default() }).await;
    let plain = request("x").encode_to_vec();
    let (status, packing, expected) = raw_call(&server, "identity", framed(0, &plain)).await;
    assert_eq!((status.as_deref(), packing), (Some("0"), None));

    let mut snappy = snap::write::FrameEncoder::new(Vec::new());
    snappy.write_all(&plain).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&plain).unwrap();
    let packed = [
        ("snappy", snappy.into_inner().unwrap()),
        ("gzip", gzip.finish().unwrap()),
        ("zstd", zstd::stream::encode_all(plain.as_slice(), 3).unwrap()),
    ];
    for (name, request) in packed {
        let (status, packing, answer) = raw_call(&server, name, framed(1, &request)).await;
        assert_eq!((status.as_deref(), packing.as_deref()), (Some("0"), Some(name)));
        assert_eq!(answer[0], 1);
        let mut message = Vec::new();
        match name {
            "snappy" => snap::read::FrameDecoder::new(&answer[5..]).read_to_end(&mut message).unwrap(),
            "gzip" => flate2::read::GzDecoder::new(&answer[5..]).read_to_end(&mut message).unwrap(),
            _ => zstd::stream::read::Decoder::new(&answer[5..]).unwrap().read_to_end(&mut message).unwrap(),
        };
        assert_eq!(message, expected[5..]);
        // A message may come plain within a packed call, and a damaged one fails alone.
        let (status, _, _) = raw_call(&server, name, framed(0, &plain)).await;
        assert_eq!(status.as_deref(), Some("0"));
        let (status, _, _) = raw_call(&server, name, framed(1, b"damaged")).await;
        assert_eq!(status.as_deref(), Some("13"));
    }
    let (status, _, _) = raw_call(&server, "lzma", framed(0, &plain)).await;
    assert_eq!(status.as_deref(), Some("12"));
}

#[tokio::test]
async fn a_message_of_many_megabytes_goes_either_way() {
    let server = Running::start(Fake::default()).await;
    let mut client = server.store().await.max_encoding_message_size(usize::MAX);
    let label = "x".repeat(20 << 20);
    let request = thanos::LabelValuesRequest { label: label.clone(), ..Default::default() };
    assert_eq!(client.label_values(request).await.unwrap().into_inner().values, [label]);
}
