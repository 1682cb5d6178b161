//! `sarsen query` before receivers of ours: the arguments of a deployment, Grafana's requests, tenants, promtool and a query frontend.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "query", feature = "receive", feature = "store"))]

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use support::{Node, body, headers, thanos};

/// Milliseconds since 1970, two minutes ago, at a full ten seconds.
fn start() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_millis();
    (i64::try_from(now).unwrap() - 120_000) / 10_000 * 10_000
}

/// Writes ten samples of two series, ten seconds apart.
async fn write(node: &Node, tenant: &str, start: i64) {
    let series = |pod: &str, factor: f64| {
        let labels = [("__name__", "requests_total"), ("owner", tenant), ("pod", pod)];
        let samples: Vec<(i64, u64)> =
            (0..10).map(|n| (start + n * 10_000, (n as f64 * factor).to_bits())).collect();
        body::series(&labels, &samples)
    };
    let request = body::snappy(&body::request(&[series("a", 10.0), series("b", 20.0)]));
    let answer = node.post("/api/v1/receive", headers(&[("thanos-tenant", tenant)]), request).await;
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

struct Asked {
    status: u16,
    body: Json,
}

async fn ask(node: &Node, tenant: Option<&str>, path: &str, fields: &[(&str, &str)], post: bool) -> Asked {
    let client = reqwest::Client::new();
    let url = format!("{}{path}", node.admin);
    let mut form = reqwest::Url::parse("http://x/").unwrap();
    form.query_pairs_mut().extend_pairs(fields);
    let form = form.query().unwrap_or_default().to_owned();
    let mut request = if post {
        client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form)
    } else {
        client.get(format!("{url}?{form}"))
    };
    if let Some(tenant) = tenant {
        request = request.header("thanos-tenant", tenant);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let body = serde_json::from_str(&text);
    assert!(body.is_ok(), "{path}: {text}");
    Asked { status, body: body.unwrap() }
}

/// A receiver with the samples of two tenants, and a querier before it.
async fn pair(dir: &Path, more: &[&str]) -> (Node, Node, i64) {
    let receiver = Node::receive_with_store(dir, &[]).await;
    let start = start();
    for tenant in ["one", "two"] {
        write(&receiver, tenant, start).await;
    }
    receiver.client().await;
    let folder = dir.join("query");
    std::fs::create_dir_all(&folder).unwrap();
    let endpoint = format!("--store={}", receiver.grpc);
    let querier = Node::query(&folder, &[], &[&[endpoint.as_str()], more].concat()).await;
    querier
        .wait_until("asking the receiver", async || {
            let stores = ask(&querier, None, "/api/v1/stores", &[], false).await.body;
            stores["data"]["receive"][0]["lastError"].is_null() && stores["data"]["receive"][0].is_object()
        })
        .await;
    (receiver, querier, start)
}

#[tokio::test]
async fn the_arguments_of_a_deployment_and_the_requests_of_grafana() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [
        "--log.level=info",
        "--query.replica-label=prometheus_replica",
        "--query.replica-label=rule_replica",
        "--query.replica-label=receive_replica",
        "--store=dnssrv+_grpc._tcp.prometheus-operated.monitoring.invalid",
        "--store=127.0.0.1:9",
    ];
    let (_receiver, querier, start) = pair(dir.path(), &arguments).await;
    let (from, to) = ((start / 1000).to_string(), (start / 1000 + 90).to_string());

    let build = ask(&querier, None, "/api/v1/status/buildinfo", &[], false).await;
    assert!(build.body["data"]["version"].is_string());
    let fields = [("query", "sum by (owner) (requests_total)"), ("time", to.as_str())];
    let instant = ask(&querier, None, "/api/v1/query", &fields, true).await;
    assert_eq!(instant.status, 200, "{}", instant.body);
    let rows = instant.body["data"]["result"].as_array().unwrap().len();
    assert_eq!(
        (rows, &instant.body["data"]["result"][0]["value"][1]),
        (2, &json!("270")),
        "{}",
        instant.body
    );
    let fields = [
        ("query", "rate(requests_total{owner=\"one\",pod=\"a\"}[1m])"),
        ("start", from.as_str()),
        ("end", to.as_str()),
        ("step", "15"),
    ];
    let range = ask(&querier, None, "/api/v1/query_range", &fields, true).await;
    let series = &range.body["data"]["result"][0];
    assert!(series["metric"].get("receive_replica").is_none(), "{}", range.body);
    assert!(series["values"].as_array().unwrap().last().unwrap()[1] == json!("1"), "{}", range.body);

    let times = [("start", from.as_str()), ("end", to.as_str())];
    let labels = ask(&querier, None, "/api/v1/labels", &times, true).await;
    assert!(labels.body["data"].as_array().unwrap().contains(&json!("owner")), "{}", labels.body);
    let values = ask(&querier, None, "/api/v1/label/pod/values", &times, false).await;
    assert_eq!(values.body["data"], json!(["a", "b"]));
    let fields = [times[0], times[1], ("match[]", "requests_total{pod=\"a\"}")];
    let series = ask(&querier, None, "/api/v1/series", &fields, true).await;
    assert_eq!(series.body["data"].as_array().unwrap().len(), 2, "{}", series.body);
    for path in
        ["metadata", "rules", "alerts", "targets", "status/flags", "status/tsdb", "status/runtimeinfo"]
    {
        let answer = ask(&querier, None, &format!("/api/v1/{path}"), &[], false).await;
        assert_eq!(
            (answer.status, &answer.body["status"]),
            (200, &json!("success")),
            "{path}: {}",
            answer.body
        );
    }
    let exemplars = [times[0], times[1], ("query", "requests_total")];
    assert_eq!(ask(&querier, None, "/api/v1/query_exemplars", &exemplars, true).await.status, 200);
    let explained =
        ask(&querier, None, "/api/v1/query_explain", &[("query", "requests_total"), ("time", &to)], false)
            .await;
    assert_eq!(explained.body["data"]["series"], json!(4), "{}", explained.body);
    let broken = ask(&querier, None, "/api/v1/query", &[("query", "sum(up")], true).await;
    assert_eq!(
        (broken.status, &broken.body["error"]),
        (400, &json!("1:7: parse error: unclosed left parenthesis"))
    );
    let page = reqwest::get(&querier.admin).await.unwrap().text().await.unwrap();
    assert!(page.contains("<html"), "{page}");
    for name in [
        "thanos_query_concurrent_gate_queries_max",
        "thanos_query_concurrent_gate_queries_in_flight",
        "thanos_query_range_requested_timespan_duration_seconds_count",
        "http_requests_total",
        "thanos_store_nodes_grpc_connections",
    ] {
        assert!(querier.metric(name).await.is_some(), "{name}");
    }
    assert_eq!(querier.stop(), Some(0));
}

#[tokio::test]
async fn a_tenant_sees_nothing_of_another() {
    let dir = tempfile::tempdir().unwrap();
    let (_receiver, querier, start) = pair(dir.path(), &["--query.enforce-tenancy"]).await;
    let (from, to) = ((start / 1000).to_string(), (start / 1000 + 90).to_string());
    let times = [("start", from.as_str()), ("end", to.as_str())];
    let sly = "requests_total{tenant_id=~\".*\"} or requests_total{tenant_id=\"two\"} or {owner=\"two\"}";
    let at = [("time", to.as_str()), ("query", sly)];
    let over = [times[0], times[1], ("step", "10"), ("query", sly)];
    let other = ("match[]", "{tenant_id=\"two\"}");
    let by_owner = ("match[]", "{owner=~\".+\"}");
    let questions: [(&str, Vec<(&str, &str)>); 11] = [
        ("/api/v1/query", at.to_vec()),
        ("/api/v1/query_range", over.to_vec()),
        ("/api/v1/query_explain", at.to_vec()),
        ("/api/v1/series", vec![times[0], times[1], other, by_owner]),
        ("/api/v1/labels", vec![times[0], times[1], other]),
        ("/api/v1/label/owner/values", vec![times[0], times[1]]),
        ("/api/v1/label/tenant_id/values", vec![times[0], times[1], by_owner]),
        ("/api/v1/query_exemplars", vec![times[0], times[1], ("query", sly)]),
        ("/api/v1/status/tsdb", vec![]),
        ("/api/v1/stores", vec![]),
        ("/api/v1/metadata", vec![]),
    ];
    for (path, fields) in questions {
        let answer = ask(&querier, Some("one"), path, &fields, false).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        let text = answer.body["data"].to_string();
        let shown = text.replace("tenant_id=\\\"two", "").replace("owner=\\\"two", "");
        assert!(!shown.contains("two"), "{path}: {text}");
    }
    let own = ask(&querier, Some("one"), "/api/v1/query", &at, true).await;
    assert_eq!(own.body["data"]["result"].as_array().unwrap().len(), 2, "{}", own.body);
    let nobody = ask(&querier, None, "/api/v1/query", &at, true).await;
    assert_eq!(nobody.body["data"]["result"], json!([]), "{}", nobody.body);
}

fn promtool() -> Option<PathBuf> {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../benches/peers/bin/promtool");
    let required = std::env::var("SARSEN_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(program.is_file() || !required, "no promtool: benches/peers/build.sh builds it");
    if !program.is_file() {
        use std::io::Write as _;
        let mut screen = std::io::stderr();
        writeln!(screen, "SKIPPED: no promtool, benches/peers/build.sh builds it").unwrap();
    }
    program.is_file().then_some(program)
}

#[tokio::test]
async fn promtool_asks() {
    let Some(promtool) = promtool() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (_receiver, querier, start) = pair(dir.path(), &[]).await;
    let (from, to) = ((start / 1000).to_string(), (start / 1000 + 90).to_string());
    let expression = "sum(requests_total)";
    for (arguments, part) in [
        (vec!["instant", "--time", to.as_str(), querier.admin.as_str(), expression], "=> 540 @"),
        (
            vec![
                "range",
                "--start",
                from.as_str(),
                "--end",
                to.as_str(),
                "--step",
                "30s",
                querier.admin.as_str(),
                expression,
            ],
            "540 @",
        ),
        (vec!["series", "--match", "requests_total{pod=\"a\"}", querier.admin.as_str()], "owner=\"one\""),
        (vec!["labels", querier.admin.as_str(), "pod"], "a\nb"),
    ] {
        let output = std::process::Command::new(&promtool).arg("query").args(&arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && text.contains(part), "{arguments:?}: {text}\n{complaint}");
    }
}

#[tokio::test]
async fn behind_a_query_frontend_of_thanos() {
    let Some(program) = thanos::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (_receiver, querier, start) = pair(dir.path(), &["--query.replica-label=receive_replica"]).await;
    let arguments = [format!("--query-frontend.downstream-url={}", querier.admin)];
    let frontend = thanos::start(&program, dir.path(), "query-frontend", &arguments).await;
    // The frontend moves times to multiples of the step.
    let from = (start / 1000 + 29) / 30 * 30;
    let (from, to) = (from.to_string(), (from + 60).to_string());
    let fields = [
        ("query", "sum(requests_total)"),
        ("start", from.as_str()),
        ("end", to.as_str()),
        ("step", "30"),
        ("dedup", "true"),
    ];
    let url = format!("http://{}/api/v1/query_range", frontend.http);
    let through = reqwest::get(reqwest::Url::parse_with_params(&url, fields).unwrap()).await.unwrap();
    let through: Json = serde_json::from_str(&through.text().await.unwrap()).unwrap();
    let direct = ask(&querier, None, "/api/v1/query_range", &fields, false).await.body;
    assert_eq!(through["data"]["result"], direct["data"]["result"], "{through}");
    assert_eq!(direct["data"]["result"].as_array().unwrap().len(), 1);
}
