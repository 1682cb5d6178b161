//! `sarsen query` before receivers of ours: the arguments of a deployment, Grafana's requests, tenants, promtool and a query frontend.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "query", feature = "receive", feature = "store"))]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sarsen_block::TimeRange;
use serde_json::{Value as Json, json};
use support::storeapi::contract::Data;
use support::{Node, blocks, body, headers, thanos};

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

/// The endpoint of that address among those of the first selection.
fn endpoint<'a>(explained: &'a Json, address: &str) -> &'a Json {
    let endpoints = explained["data"]["selections"][0]["endpoints"].as_array().unwrap();
    endpoints.iter().find(|endpoint| endpoint["address"] == address).unwrap()
}

#[tokio::test]
async fn a_query_explained() {
    let dir = tempfile::tempdir().unwrap();
    let mut nodes = Vec::new();
    let start = start();
    for (side, late) in [("a", 0), ("b", 3_000)] {
        let folder = dir.path().join(side);
        std::fs::create_dir_all(&folder).unwrap();
        let node = Node::receive_with_store(&folder, &[&format!("--label=side=\"{side}\"")]).await;
        write(&node, "one", start + late).await;
        node.client().await;
        nodes.push(node);
    }
    let data = Data::new();
    let bucket = dir.path().join("bucket");
    data.write_blocks(TimeRange::ALL, |_| bucket.clone());
    let gateway = Node::store(dir.path(), &blocks::directory(&bucket), &[]).await;
    gateway.client().await;
    let folder = dir.path().join("query");
    std::fs::create_dir_all(&folder).unwrap();
    let (a, b) = (nodes[0].grpc.clone(), nodes[1].grpc.clone());
    let all = [a.as_str(), b.as_str(), gateway.grpc.as_str()];
    let more = ["--query.replica-label=side", "--endpoint-strict=127.0.0.1:9"];
    let querier = Node::query(&folder, &all, &more).await;

    let (from, to) = ((start / 1000).to_string(), (start / 1000 + 90).to_string());
    let fields = [("query", "rate(requests_total[1m])"), ("start", &from), ("end", &to), ("step", "10")];
    let answer = ask(&querier, None, "/api/v1/query_range", &fields, true).await.body;
    let also = [&fields[..], &[("explain", "1")]].concat();
    let together = ask(&querier, None, "/api/v1/query_range", &also, true).await.body;
    assert_eq!(together["data"]["result"], answer["data"]["result"], "explained, it is the same answer");
    assert!(
        together["data"]["explanation"]["selections"].is_array()
            && answer["data"].get("explanation").is_none()
    );
    let explained = ask(&querier, None, "/api/v1/query_range_explain", &fields, true).await.body;
    let selection = &explained["data"]["selections"][0];
    assert_eq!(selection["function"], "rate");
    assert_eq!(selection["chunksByResolution"]["raw"], selection["chunks"], "{explained}");
    for one in [&a, &b] {
        let told = endpoint(&explained, one);
        assert_eq!((&told["component"], &told["series"]), (&json!("receive"), &json!(2)), "{explained}");
        assert_eq!(
            (&told["blocks"][0]["id"], &told["blocks"][0]["resolution"]),
            (&json!("head/one"), &json!("raw"))
        );
        assert!(
            told["seconds"].as_f64() >= told["firstMessageSeconds"].as_f64()
                && told["bytes"].as_u64() > Some(0)
        );
    }
    assert_eq!(endpoint(&explained, &gateway.grpc)["leftOut"], "time range", "{explained}");
    let away = endpoint(&explained, "127.0.0.1:9");
    assert!(away["warnings"][0].as_str().unwrap().contains("dial tcp 127.0.0.1:9"), "{explained}");
    assert_eq!(explained["data"]["missing"].as_array().unwrap().len(), 1);
    // Side a is there first and has no gap: all samples are its own.
    let sets = selection["replicas"]["sets"].as_array().unwrap();
    let set = |side: &str| sets.iter().find(|set| set["labels"]["side"] == side).unwrap();
    assert_eq!((&set("a")["won"], &set("b")["series"]), (&json!(2), &json!(2)), "{explained}");
    assert_eq!(
        (&selection["replicas"]["seriesWithSeveral"], &selection["replicas"]["switches"]),
        (&json!(2), &json!(0))
    );
    assert_eq!(set("a")["samples"], explained["data"]["samples"], "{explained}");

    // The gateway tells its blocks, and who was not wanted is told with the reason.
    let chosen = format!("{{__address__=\"{}\"}}", gateway.grpc);
    let fields = [("query", "up"), ("time", "1704070800"), ("storeMatch[]", chosen.as_str())];
    let explained = ask(&querier, None, "/api/v1/query_explain", &fields, false).await.body;
    let told = endpoint(&explained, &gateway.grpc);
    let block = &told["blocks"][0];
    assert!(
        bucket.join(block["id"].as_str().unwrap()).is_dir() && block["resolution"] == "raw",
        "{explained}"
    );
    assert!(
        block["minTime"].as_i64() <= Some(1_704_070_800_000)
            && block["maxTime"].as_i64() > block["minTime"].as_i64()
    );
    assert_eq!(endpoint(&explained, &a)["leftOut"], "time range", "{explained}");
    assert_eq!(endpoint(&explained, "127.0.0.1:9")["leftOut"], "storeMatch[]", "{explained}");
}

#[tokio::test]
async fn what_a_querier_gives_of_its_endpoints() {
    let dir = tempfile::tempdir().unwrap();
    let (receiver, querier, start) = pair(dir.path(), &["--store.limits.request-series=3"]).await;
    let to = (start / 1000 + 90).to_string();
    // Its own queries are bounded as those of others are.
    let four = [("query", "requests_total"), ("time", to.as_str())];
    let refused = ask(&querier, None, "/api/v1/query", &four, true).await;
    let why = refused.body["error"].as_str().unwrap();
    assert!(
        refused.status == 422 && why.contains("failed to send series: limit 3 violated (got 4)"),
        "{why}"
    );
    let two = [("query", "requests_total{owner=\"one\"}"), ("time", to.as_str())];
    assert_eq!(ask(&querier, None, "/api/v1/query", &two, true).await.status, 200);
    assert_eq!(querier.metric("thanos_store_selects_dropped_total{reason=\"series\"}").await, Some(1.0));
    assert_eq!(querier.stop(), Some(0));

    // Labels stand for all that it has, told to a querier above and answered without asking further.
    let folder = |name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    };
    let more = ["--selector-label=cluster=\"x\"", "--store.limits.request-samples=300"];
    let below = Node::query(&folder("below"), &[&receiver.grpc], &more).await;
    below.client().await;
    let above = Node::query(&folder("above"), &[&below.grpc], &[]).await;
    let stores = ask(&above, None, "/api/v1/stores", &[], false).await.body;
    let sets = stores["data"]["query"][0]["labelSets"].as_array().unwrap();
    assert!(!sets.is_empty() && sets.iter().all(|set| set["cluster"] == "x"), "{stores}");
    for (selector, rows) in [
        ("requests_total{cluster=\"x\",owner=\"one\"}", 2),
        ("requests_total{cluster=~\"x|y\",owner=\"one\"}", 2),
        ("requests_total{cluster=\"y\",owner=\"one\"}", 0),
    ] {
        for node in [&above, &below] {
            let found =
                ask(node, None, "/api/v1/query", &[("query", selector), ("time", &to)], true).await.body;
            assert_eq!(found["data"]["result"].as_array().unwrap().len(), rows, "{selector}: {found}");
        }
    }
    // Over gRPC too, it gives only so much; the querier above tells why it lacks the rest.
    let cut = ask(&above, None, "/api/v1/query", &four, true).await.body;
    assert!(cut["warnings"].to_string().contains("failed to send samples: limit 300 violated"), "{cut}");

    // Of an endpoint only what passes the rules is asked.
    let rules = "--selector.relabel-config=- {action: keep, source_labels: [tenant_id], regex: one}";
    let some = Node::query(&folder("some"), &[&receiver.grpc], &[rules]).await;
    let by_owner = [("query", "count by (owner) (requests_total)"), ("time", to.as_str())];
    let found = ask(&some, None, "/api/v1/query", &by_owner, true).await.body;
    assert_eq!(found["data"]["result"].as_array().unwrap().len(), 1, "{found}");
    assert_eq!(found["data"]["result"][0]["metric"]["owner"], json!("one"), "{found}");
    let owners = ask(&some, None, "/api/v1/label/owner/values", &[], false).await.body;
    assert_eq!(owners["data"], json!(["one"]), "{owners}");
    let rules = "--selector.relabel-config=- {action: drop, source_labels: [region], regex: eu}";
    let none = Node::query(&folder("none"), &[&receiver.grpc], &[rules]).await;
    let explained = ask(&none, None, "/api/v1/query_explain", &two, true).await.body;
    assert_eq!(endpoint(&explained, &receiver.grpc)["leftOut"], "selector.relabel-config", "{explained}");
}

/// Of each family on a page its type, and the names of the labels of its samples.
fn families(page: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut all: BTreeMap<String, (String, BTreeSet<String>)> = BTreeMap::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            current = name.to_owned();
            all.insert(current.clone(), (kind.to_owned(), BTreeSet::new()));
        } else if let Some((_, rest)) = line.split_once('{').filter(|_| !line.starts_with('#')) {
            // A name stands before each `="`, behind a brace or a comma.
            for part in rest.split("=\"").take(rest.matches("=\"").count()) {
                let name = part.rsplit([',', '{']).next().unwrap_or_default();
                if !["le", "quantile"].contains(&name) {
                    all.get_mut(&current).unwrap().1.insert(name.to_owned());
                }
            }
        }
    }
    all
}

/// Names that Thanos Query has and we do not, as what they count is not there: its other engine, and look-ups of groups apart from others.
const NOT_HERE: [&str; 4] = [
    "thanos_engine_queries",
    "thanos_engine_queries_total",
    "thanos_query_endpoint_groups_dns_failures_total",
    "thanos_query_endpoint_groups_dns_lookups_total",
];

#[tokio::test]
async fn metrics_have_the_names_of_the_original_and_move() {
    let dir = tempfile::tempdir().unwrap();
    let (_receiver, querier, start) = pair(dir.path(), &["--store=dns+localhost.invalid:1"]).await;
    let (from, to) = ((start / 1000).to_string(), (start / 1000 + 90).to_string());
    let times = [("start", from.as_str()), ("end", to.as_str()), ("step", "10")];
    for (path, fields) in [
        ("query", vec![("query", "sum(requests_total)"), ("time", to.as_str())]),
        ("query_range", [&times[..], &[("query", "rate(requests_total[1m])")]].concat()),
        ("labels", times[..2].to_vec()),
        ("query", vec![("query", "sum(")]),
    ] {
        ask(&querier, None, &format!("/api/v1/{path}"), &fields, true).await;
    }
    querier.client().await;
    let page = reqwest::get(format!("{}/metrics", querier.admin)).await.unwrap().text().await.unwrap();
    let ours = families(&page);
    let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/services/metrics/metrics.jsonl");
    let golden = std::fs::read_to_string(golden).unwrap();
    let golden = golden.lines().map(|line| serde_json::from_str::<Json>(line).unwrap());
    let mut held = 0;
    for theirs in golden.filter(|line| line["component"] == "query") {
        let name = theirs["name"].as_str().unwrap();
        if NOT_HERE.contains(&name) {
            assert!(!ours.contains_key(name), "{name}");
            continue;
        }
        let Some((kind, labels)) = ours.get(name) else { unreachable!("{name} is missing\n{page}") };
        assert_eq!(theirs["type"], *kind, "{name}");
        let known = theirs["labels"].as_array().unwrap();
        for label in labels {
            assert!(known.iter().any(|one| one == label), "{name}: {label}");
        }
        held += 1;
    }
    assert!(held >= 30, "{held}");
    // What alerts and dashboards of Thanos ask for, beside those; what counts what happened here has moved.
    for (name, least) in [
        (
            "http_requests_total{code=\"200\",handler=\"query\",method=\"post\",tenant=\"default-tenant\"}",
            1.0,
        ),
        (
            "http_requests_total{code=\"400\",handler=\"query\",method=\"post\",tenant=\"default-tenant\"}",
            1.0,
        ),
        (
            "http_request_duration_seconds_count{code=\"200\",handler=\"query_range\",method=\"post\",tenant=\"default-tenant\"}",
            1.0,
        ),
        (
            "grpc_client_handled_total{grpc_code=\"OK\",grpc_method=\"Series\",grpc_service=\"thanos.Store\",grpc_type=\"server_stream\"}",
            2.0,
        ),
        (
            "grpc_client_started_total{grpc_method=\"Info\",grpc_service=\"thanos.info.Info\",grpc_type=\"unary\"}",
            1.0,
        ),
        ("thanos_query_store_apis_dns_lookups_total", 1.0),
        ("thanos_query_store_apis_dns_failures_total", 0.0),
        ("thanos_query_concurrent_gate_queries_total", 2.0),
        ("thanos_query_concurrent_selects_gate_selects_total", 2.0),
        ("thanos_query_range_requested_timespan_duration_seconds_count", 1.0),
        ("thanos_store_server_series_requested_count", 2.0),
        ("prometheus_engine_query_samples_total", 1.0),
        ("prometheus_engine_queries_concurrent_max", 20.0),
    ] {
        let found = querier.metric(name).await;
        assert!(found.is_some_and(|value| value >= least), "{name}: {found:?}\n{page}");
    }
    let connections =
        page.lines().find(|line| line.starts_with("thanos_store_nodes_grpc_connections{")).unwrap();
    assert!(connections.contains("store_type=\"receive\"") && connections.ends_with(" 1"), "{connections}");
}

#[tokio::test]
async fn the_certificate_says_whose_query_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Node::receive_with_store(dir.path(), &[]).await;
    let start = start();
    for tenant in ["one", "team-a"] {
        write(&receiver, tenant, start).await;
    }
    receiver.client().await;
    let tls = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls");
    let pem = |name: &str| std::fs::read(tls.join(name)).unwrap();
    let text = format!(
        "tls_server_config:\n  cert_file: {0}/server.pem\n  key_file: {0}/server-key.pem\n  client_ca_file: {0}/ca.pem\n  client_auth_type: VerifyClientCertIfGiven\n",
        tls.display()
    );
    let (web, folder) = (dir.path().join("web.yml"), dir.path().join("query"));
    std::fs::write(&web, text).unwrap();
    std::fs::create_dir_all(&folder).unwrap();
    let web = format!("--http.config={}", web.display());
    let arguments = [&web, "--query.tenant-certificate-field=organization", "--query.enforce-tenancy"];
    let querier = Node::query_unready(&folder, &[&receiver.grpc], &arguments);
    let builder = || {
        let ca = reqwest::Certificate::from_pem(&pem("ca.pem")).unwrap();
        reqwest::Client::builder().tls_certs_only([ca])
    };
    let identity = reqwest::Identity::from_pem(&[pem("client.pem"), pem("client-key.pem")].concat()).unwrap();
    let (known, stranger) = (builder().identity(identity).build().unwrap(), builder().build().unwrap());
    let url = format!("{}/api/v1/query", querier.admin.replace("http:", "https:"));
    let to = (start / 1000 + 90).to_string();
    let url = reqwest::Url::parse_with_params(&url, [("query", "requests_total"), ("time", &to)]).unwrap();
    let ask = async |client: &reqwest::Client| -> Json {
        // The header does not matter.
        let answer = client.get(url.clone()).header("thanos-tenant", "one").send().await;
        let Ok(answer) = answer else { return Json::Null };
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    };
    let mut own = Json::Null;
    querier
        .wait_until("answering", async || {
            own = ask(&known).await;
            own["data"]["result"][0].is_object()
        })
        .await;
    let rows = own["data"]["result"].as_array().unwrap();
    assert!(rows.len() == 2 && rows.iter().all(|row| row["metric"]["owner"] == "team-a"), "{own}");
    let refused = ask(&stranger).await;
    assert_eq!(refused["errorType"], "bad_data", "{refused}");
    assert_eq!(refused["error"], "could not get required certificate field from client cert", "{refused}");
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
