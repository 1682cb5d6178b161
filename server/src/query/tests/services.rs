//! A querier below another one, with endpoints below it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use sarsen_block::{Histogram, TimeRange, parse_selector};
use sarsen_promql::{InstantSample, Point, RangeSeries, Value};
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;
use tonic::Code;

use super::peer::{Does, Peer, ask, everything, label_set, labels, listen, message, series};
use crate::config::query_endpoints::{ClientConfig, EndpointConfig, Named};
use crate::metrics::Registry;
use crate::net::grpc::{ChannelOptions, GrpcMetrics, Method};
use crate::query::client::Client;
use crate::query::fleet::{Fleet, Taken};
use crate::query::resolve::Names;
use crate::query::services::{Answered, Asking, Queries, QueryDefaults, Times, querier_services};
use crate::query::surroundings::{RulesQuery, Surroundings as _};
use crate::store::SeriesQuery;
use crate::wire::generated::prometheus_copy::TimeSeries;
use crate::wire::generated::thanos::{
    QueryRangeRequest, QueryRangeResponse, QueryRequest, QueryResponse, StoreMatchers, info,
    query_range_response, query_response,
};

struct NoNames;

#[async_trait]
impl Names for NoNames {
    async fn addresses(&self, _: &str, _: bool) -> Result<Vec<IpAddr>, String> {
        Ok(Vec::new())
    }

    async fn service(&self, _: &str) -> Result<Vec<(String, u16)>, String> {
        Ok(Vec::new())
    }
}

/// Endpoints at these addresses, looked at once, and looked after until the guard is dropped.
async fn fleet(addresses: &[&str], registry: &Registry) -> (Arc<Fleet>, DropGuard) {
    let named =
        |address: &&str| Named { address: (*address).to_owned(), strict: false, group: false, client: None };
    let config = EndpointConfig {
        named: addresses.iter().map(named).collect(),
        file: None,
        file_interval: Duration::from_secs(300),
        sd_files: Vec::new(),
        sd_interval: Duration::from_secs(300),
        dns_interval: Duration::from_secs(30),
        info_timeout: Duration::from_secs(5),
        unhealthy: Duration::from_secs(300),
        response_timeout: Duration::from_secs(5),
        client: ClientConfig { tls: None, snappy: true },
    };
    let replicas = vec![Bytes::from_static(b"replica")];
    let connections = vec!["external_labels".to_owned(), "store_type".to_owned()];
    let taken = Taken { connections, ..Taken::default() };
    let fleet = Arc::new(Fleet::open(config, Arc::new(NoNames), replicas, &taken, registry).unwrap());
    let stop = CancellationToken::new();
    tokio::spawn({
        let (fleet, stop) = (Arc::clone(&fleet), stop.clone());
        async move { fleet.run(stop).await }
    });
    fleet.looked_once().await;
    (fleet, stop.drop_guard())
}

/// Answers with what a test says, and remembers what was asked.
struct Fixed {
    answer: Result<Value, String>,
    asked: Mutex<Vec<Asking>>,
}

#[async_trait]
impl Queries for Fixed {
    async fn answer(&self, asking: Asking) -> Result<Answered, String> {
        self.asked.lock().push(asking);
        let value = self.answer.clone()?;
        Ok(Answered { value, warnings: vec!["one".into(), "two".into()], samples: (7, 5) })
    }
}

fn offering(replica: &'static str) -> info::InfoResponse {
    info::InfoResponse {
        rules: Some(info::RulesInfo {}),
        targets: Some(info::TargetsInfo {}),
        metric_metadata: Some(info::MetricMetadataInfo {}),
        label_sets: vec![label_set(&[("region", "eu"), ("replica", replica)])],
        ..everything("sidecar", &[])
    }
}

fn nobody(answer: Result<Value, String>) -> Arc<Fixed> {
    Arc::new(Fixed { answer, asked: Mutex::default() })
}

#[tokio::test]
async fn what_endpoints_have_goes_up_through_two_queriers() {
    let sent = || Does::Sends(vec![message(&[("__name__", "up"), ("pod", "a")], &[(0, 1)])]);
    let (a, b) = (Peer::start(offering("a"), sent()).await, Peer::start(offering("b"), sent()).await);
    let registry = Registry::new();
    let (regional, _run) = fleet(&[&a.address, &b.address], &registry).await;
    let queries = nobody(Ok(Value::Scalar(0, 0.0)));
    let (address, _stop) = listen(querier_services(regional, queries, QueryDefaults::default())).await;
    let (_, page) = registry.page(false);
    for line in [
        "thanos_store_nodes_grpc_connections{external_labels=\"{region=\\\"eu\\\", replica=\\\"a\\\"}\",store_type=\"sidecar\"} 1",
        "thanos_query_store_apis_dns_lookups_total 0",
    ] {
        assert!(page.contains(line), "{line}\n{page}");
    }

    let (global, _run) = fleet(&[&address], &Registry::new()).await;
    let stores = global.stores();
    assert_eq!((stores.len(), stores[0].component.as_str(), stores[0].label_sets.len()), (1, "query", 2));
    let query = SeriesQuery::new(TimeRange::new(0, 10), parse_selector("up").unwrap());
    let (found, warnings, outcome) = ask(&*global.store(), query).await;
    assert_eq!((found, outcome), (vec![series(&[("__name__", "up"), ("pod", "a")], &[(0, 1)])], Ok(())));
    assert!(warnings.is_empty());

    let rules = global.rules(RulesQuery { partial: true, ..RulesQuery::default() }).await.unwrap();
    let [group] = &rules.data[..] else { unreachable!("{:?}", rules.data) };
    let shown: Vec<_> =
        group["rules"].as_array().unwrap().iter().map(|rule| (&rule["name"], &rule["state"])).collect();
    assert_eq!(
        format!("{shown:?}"),
        r#"[(String("Pending"), String("pending")), (String("Quiet"), String("inactive"))]"#
    );
    assert_eq!(group["rules"][0]["labels"], serde_json::json!({"region": "eu"}));
    let targets = global.targets("any", true).await.unwrap().data;
    assert_eq!((targets.0.len(), targets.1.len()), (1, 0));
    let metadata = global.metadata(None, true).await.unwrap().data;
    assert_eq!(metadata["up"].len(), 1);
    assert_eq!(metadata["up"][0].help, "Whether.");

    // One that cannot be asked is a warning, or the end.
    *a.behaviour.info.lock() = Err(tonic::Status::unavailable("gone"));
    let rules = global.rules(RulesQuery { partial: true, ..RulesQuery::default() }).await.unwrap();
    assert!(
        rules.data.len() == 1 && rules.warnings[0].contains("receiving rules from rules client"),
        "{rules:?}"
    );
    assert!(global.rules(RulesQuery::default()).await.is_err());
}

const QUERY: Method = Method { service: "thanos.Query", name: "Query", streams: true };
const QUERY_RANGE: Method = Method { service: "thanos.Query", name: "QueryRange", streams: true };

async fn served(queries: &Arc<Fixed>, enforced: Option<(String, String)>) -> (Client, Arc<DropGuard>) {
    let (fleet, _) = fleet(&[], &Registry::new()).await;
    let defaults = QueryDefaults {
        replica_labels: vec![Bytes::from_static(b"replica")],
        enforced,
        ..Default::default()
    };
    let (address, stop) =
        listen(querier_services(fleet, Arc::clone(queries) as Arc<dyn Queries>, defaults)).await;
    let metrics = Arc::new(GrpcMetrics::of_client(&Registry::new(), &[]));
    (Client::new(&address, &ChannelOptions::default(), metrics).unwrap(), stop)
}

async fn instant(
    client: &Client,
    request: QueryRequest,
) -> Result<Vec<query_response::Result>, tonic::Status> {
    let mut answers = client.stream::<_, QueryResponse>(QUERY, request, Some("team-a")).await?;
    let mut all = Vec::new();
    while let Some(answer) = answers.next().await? {
        all.push(answer.result.unwrap());
    }
    Ok(all)
}

#[tokio::test]
async fn an_instant_query_over_grpc() {
    let histogram = Histogram::default();
    let sample = |pod, point| InstantSample { labels: labels(&[("pod", pod)]), t: 5000, point };
    let vector = vec![sample("a", Point::Float(1.5)), sample("b", Point::Histogram(Box::new(histogram)))];
    let queries = nobody(Ok(Value::Vector(vector)));
    let (client, _stop) = served(&queries, Some(("tenant_id".to_owned(), "nobody".to_owned()))).await;
    let request = QueryRequest {
        query: "up".to_owned(),
        time_seconds: 5,
        lookback_delta_seconds: 30,
        enable_dedup: true,
        enable_partial_response: true,
        max_resolution_seconds: 300,
        store_matchers: vec![StoreMatchers::default()],
        ..Default::default()
    };
    let answers = instant(&client, request.clone()).await.unwrap();
    let [
        query_response::Result::Warnings(warnings),
        query_response::Result::Timeseries(a),
        query_response::Result::Timeseries(b),
        query_response::Result::Stats(stats),
    ] = &answers[..]
    else {
        unreachable!("{answers:?}")
    };
    assert_eq!((warnings.as_str(), stats.samples_total, stats.peak_samples), ("one, two", 7, 5));
    assert_eq!((a.samples[0].value, a.samples[0].timestamp, b.histograms[0].timestamp), (1.5, 5000, 5000));
    let asked = queries.asked.lock()[0].clone();
    assert_eq!((asked.text.as_str(), asked.times, asked.lookback_ms), ("up", Times::At(5000), Some(30_000)));
    assert_eq!((asked.gather.max_resolution_ms, asked.gather.partial), (300_000, true));
    assert_eq!(asked.gather.replica_labels, ["replica"]);
    assert_eq!(asked.gather.enforced.unwrap().to_string(), "tenant_id=\"team-a\"");
    let batched = QueryRequest { response_batch_size: 10, enable_dedup: false, ..request.clone() };
    let answers = instant(&client, batched).await.unwrap();
    let query_response::Result::TimeseriesBatch(batch) = &answers[1] else { unreachable!("{answers:?}") };
    assert_eq!(batch.series.len(), 2);
    assert!(queries.asked.lock()[1].gather.replica_labels.is_empty());
    let unknown = QueryRequest { engine: 9, ..request };
    assert_eq!(instant(&client, unknown).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_range_query_over_grpc() {
    let row = RangeSeries {
        labels: labels(&[("pod", "a")]),
        floats: vec![(0, 1.0), (60_000, 2.0)],
        ..Default::default()
    };
    let queries = nobody(Ok(Value::Matrix(vec![row])));
    let (client, _stop) = served(&queries, None).await;
    let request = QueryRangeRequest {
        query: "up".to_owned(),
        end_time_seconds: 60,
        interval_seconds: 60,
        timeout_seconds: 3,
        replica_labels: vec!["r".to_owned()],
        enable_dedup: true,
        ..Default::default()
    };
    let mut answers =
        client.stream::<_, QueryRangeResponse>(QUERY_RANGE, request.clone(), None).await.unwrap();
    let mut series: Vec<TimeSeries> = Vec::new();
    while let Some(answer) = answers.next().await.unwrap() {
        if let Some(query_range_response::Result::Timeseries(one)) = answer.result {
            series.push(one);
        }
    }
    assert_eq!((series.len(), series[0].samples.len()), (1, 2));
    let asked = queries.asked.lock()[0].clone();
    assert_eq!(asked.times, Times::Over { start: 0, end: 60_000, step: 60_000 });
    assert_eq!(
        (asked.timeout, asked.gather.replica_labels),
        (Some(Duration::from_secs(3)), vec![Bytes::from_static(b"r")])
    );
    let wrong = QueryRangeRequest { interval_seconds: 0, ..request.clone() };
    let refused = client.stream::<_, QueryRangeResponse>(QUERY_RANGE, wrong, None).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    let failing = nobody(Err("too much".to_owned()));
    let (client, _stop) = served(&failing, None).await;
    let failed = client.stream::<_, QueryRangeResponse>(QUERY_RANGE, request, None).await.unwrap_err();
    assert_eq!((failed.code(), failed.message()), (Code::Aborted, "too much"));
    let partial = QueryRequest { enable_partial_response: true, ..Default::default() };
    let answers = instant(&client, partial).await.unwrap();
    assert_eq!(answers, [query_response::Result::Warnings("too much".to_owned())]);
}
