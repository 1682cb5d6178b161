//! The recorded answers of Thanos' querier over blocks of every resolution, asked of ours: its HTTP API, in front of a gateway over the
//! same bucket, on real connections. The cases are described in `testdata/downsampled-query/README.md`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::Request;
use sarsen_bucket::{Bucket, ObjstoreConfig, Reloading};
use serde::Deserialize;
use serde_json::Value as Json;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt as _;

use super::*;
use crate::metrics::{HttpMetrics, QueryMetrics, Registry};
use crate::net::{ServeOptions, bind, serve};
use crate::query::endpoints::{EndpointOptions, EndpointSet, EndpointSpec};
use crate::query::http::{Api, ApiSettings};
use crate::query::proxy::{ProxyOptions, ProxyStore};
use crate::query::{Alone, Dialect, ExecOptions, Executor};
use crate::store::{Gateway, GatewayLimits, GatewayOptions, Sieve, services};

#[derive(Deserialize)]
struct Case {
    id: String,
    note: String,
    setup: String,
    path: String,
    params: Vec<(String, String)>,
    status: u16,
    body: Json,
}

/// A gateway over the recorded bucket, and the address at which it answers.
async fn gateway(folder: &Path) -> (String, DropGuard) {
    let place = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/downsampled-query/bucket");
    let text = format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\n", place.display());
    let store = Reloading::open(ObjstoreConfig::parse(&text, |_| None).unwrap()).unwrap();
    let bucket = Bucket::builder(Arc::new(store), "recorded").build();
    let options = GatewayOptions {
        data_dir: folder.to_owned(),
        local_headers: true,
        sync_every: Duration::from_secs(900),
        header_idle: Duration::from_secs(300),
        sieve: Sieve::default(),
        limits: GatewayLimits::default(),
        caches: sarsen_bucket::CacheOptions::default(),
        web: None,
        flags: BTreeMap::new(),
    };
    let gateway = Gateway::new(bucket, options, &Registry::new(), true);
    let stop = CancellationToken::new();
    let running = (gateway.clone(), stop.clone());
    tokio::spawn(async move { running.0.run(running.1).await });
    gateway.started().await;
    let ready = watch::Sender::new(true);
    let services = services(Arc::new(gateway));
    let router = services.into_router(crate::wire::DESCRIPTORS, ready.subscribe(), &Registry::new()).unwrap();
    let listener = bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(serve(listener, router, ServeOptions::plain(Duration::ZERO), stop.clone()));
    (address, stop.drop_guard())
}

/// The API of a querier in front of these endpoints, set up as the one that was recorded.
async fn querier(endpoints: Vec<EndpointSpec>) -> axum::Router {
    let registry = Registry::new();
    let options = EndpointOptions { info_timeout: Duration::from_secs(2), ..EndpointOptions::default() };
    let endpoints = Arc::new(EndpointSet::new(Arc::new(endpoints), options, &registry));
    endpoints.look().await;
    let store = ProxyStore::new(endpoints, ProxyOptions::default(), &registry);
    let options = ExecOptions { dialect: Dialect::Thanos, ..ExecOptions::default() };
    let executor = Executor::new(Arc::new(store), options, QueryMetrics::new(&registry, 20, 4));
    let settings = ApiSettings {
        dialect: Dialect::Thanos,
        replica_labels: vec![Bytes::from_static(b"replica")],
        default_step: Duration::from_secs(1),
        ..ApiSettings::default()
    };
    Api::new(executor, Arc::new(Alone), settings, HttpMetrics::of_querier(&registry)).routes()
}

/// Numbers are equal to `tolerance` times the greater one, all else is equal.
fn same(ours: &Json, theirs: &Json, tolerance: f64) -> bool {
    match (ours, theirs) {
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter()
                    .all(|(name, value)| b.get(name).is_some_and(|other| same(value, other, tolerance)))
        }
        (Json::Array(a), Json::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, tolerance))
        }
        (Json::String(a), Json::String(b)) if a != b => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(a), Ok(b)) => (a - b).abs() <= tolerance * a.abs().max(b.abs()),
            _ => false,
        },
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        _ => ours == theirs,
    }
}

/// Without what is not the same in two runs of one program: the order of a vector, the texts of warnings and errors that name addresses.
fn settled(mut body: Json) -> Json {
    if let Some(warnings) = body.get_mut("warnings") {
        *warnings = Json::Bool(!warnings.as_array().is_some_and(Vec::is_empty));
    }
    if body["error"].as_str().is_some_and(|text| text.contains("127.0.0.1:")) {
        body["error"] = Json::Bool(true);
    }
    // Which of the two comes first is in order since Prometheus 3.14, and was not before.
    if let Some((before, behind)) = body["error"].as_str().and_then(|text| text.split_once(" operation: [")) {
        let mut series: Vec<_> = behind.split("];").next().unwrap_or_default().split("}, ").collect();
        series.iter_mut().for_each(|text| *text = text.trim_end_matches('}'));
        series.sort_unstable();
        body["error"] = Json::from(format!("{before} {series:?}"));
    }
    let data = &mut body["data"];
    if let Some(data) = data.as_object_mut() {
        data.remove("analysis");
    }
    if data["resultType"] == "vector"
        && let Some(rows) = data["result"].as_array_mut()
    {
        rows.sort_by_key(|row| row["metric"].to_string());
    }
    body
}

async fn fault(querier: &axum::Router, case: &Case) -> Option<String> {
    let url = reqwest::Url::parse_with_params("http://x/", &case.params).unwrap();
    let request = Request::builder().uri(format!("{}?{}", case.path, url.query().unwrap_or_default()));
    let response = querier.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    let ours = settled(serde_json::from_slice(&bytes).unwrap_or_default());
    let theirs = settled(case.body.clone());
    // Thanos' other engine extrapolates rates by a rule of its own; there is one engine here, which is Prometheus'.
    let other_engine = case.params.iter().any(|(name, value)| name == "engine" && value == "thanos");
    let tolerance = if other_engine { 0.05 } else { 1e-9 };
    if status == case.status && same(&ours, &theirs, tolerance) {
        return None;
    }
    let short = |json: &Json| json.to_string().chars().take(900).collect::<String>();
    let asked: Vec<_> = case.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    Some(format!(
        "{}: {} ({})\n  {} {}\n  ours   {status} {}\n  theirs {} {}",
        case.id,
        case.note,
        case.setup,
        case.path,
        asked.join(" "),
        short(&ours),
        case.status,
        short(&theirs)
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_over_every_resolution_are_those_of_thanos() {
    let folder = tempfile::tempdir().unwrap();
    let (address, _stop) = gateway(folder.path()).await;
    let alive = || EndpointSpec::new(address.clone());
    // Nobody listens at a port that was just given back.
    let nobody = bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
    let dead = EndpointSpec { strict: true, ..EndpointSpec::new(nobody) };
    let queriers = BTreeMap::from([
        ("store", querier(vec![alive()]).await),
        ("store+dead", querier(vec![alive(), dead]).await),
    ]);
    let packed = include_bytes!("../../../../../testdata/downsampled-query/cases.jsonl.zst");
    let text = String::from_utf8(zstd::decode_all(&packed[..]).unwrap()).unwrap();
    let (mut faults, mut asked) = (Vec::new(), 0);
    for line in text.lines() {
        let case: Case = serde_json::from_str(line).unwrap();
        asked += 1;
        faults.extend(fault(&queriers[case.setup.as_str()], &case).await);
    }
    assert!(asked > 0);
    assert!(faults.is_empty(), "{} of {asked}\n{}", faults.len(), faults.join("\n"));
}
