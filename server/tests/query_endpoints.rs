//! `sarsen query` in front of endpoints that behave and endpoints that do not.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "receive", feature = "store", feature = "query"))]

mod support;

use std::time::{Duration, Instant};

use sarsen_block::TimeRange;
use serde_json::Value as Json;
use support::storeapi::contract::Data;
use support::{Node, blocks, headers};
use tokio::net::TcpListener;

async fn get(node: &Node, path: &str, parameters: &[(&str, &str)]) -> Json {
    let url = reqwest::Url::parse_with_params(&format!("{}{path}", node.admin), parameters).unwrap();
    let answer = reqwest::get(url).await.unwrap();
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

/// Accepts connections and never says a word.
async fn silent() -> (String, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let held = tokio::spawn(async move {
        let mut open = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    (address, held)
}

const AT: &str = "1704070800";

#[tokio::test]
async fn an_endpoint_that_hangs_costs_its_timeout_and_a_warning() {
    let (dir, data) = (tempfile::tempdir().unwrap(), Data::new());
    let bucket = dir.path().join("bucket");
    data.write_blocks(TimeRange::ALL, |_| bucket.clone());
    let gateway = Node::store(dir.path(), &blocks::directory(&bucket), &[]).await;
    gateway.client().await;
    let (silent, held) = silent().await;
    let strict = format!("--endpoint-strict={silent}");
    let node = Node::query(dir.path(), &[&gateway.grpc], &[&strict, "--store.response-timeout=500ms"]).await;
    let began = Instant::now();
    let answer = get(&node, "/api/v1/query", &[("query", "count(up)"), ("time", AT)]).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    assert_eq!(answer["status"], "success", "{answer}");
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 1, "{answer}");
    let warning = answer["warnings"][0].as_str().unwrap();
    assert!(
        warning.contains("failed to receive any data in 500ms from") && warning.contains(&silent),
        "{answer}"
    );
    let asked = [("query", "count(up)"), ("time", AT), ("partial_response", "false")];
    let answer = get(&node, "/api/v1/query", &asked).await;
    assert_eq!(answer["status"], "error", "{answer}");
    // It has five seconds to say who it is.
    node.wait_until("told of the silent one", async || {
        let stores = get(&node, "/api/v1/stores", &[]).await;
        assert!(stores["data"]["store"][0]["lastError"].is_null(), "{stores}");
        stores["data"]["unknown-store-api"][0]["lastError"].is_string()
    })
    .await;
    held.abort();
}

#[tokio::test]
async fn endpoints_of_files_and_stores_that_the_caller_chooses() {
    let (dir, data) = (tempfile::tempdir().unwrap(), Data::new());
    let receiver = Node::receive_with_store(dir.path(), &[]).await;
    for (tenant, body) in data.bodies(TimeRange::ALL) {
        let answer = receiver.post("/api/v1/receive", headers(&[("thanos-tenant", tenant)]), body).await;
        assert!(answer.status().is_success());
    }
    let file = dir.path().join("stores.yaml");
    std::fs::write(&file, format!("- targets: ['{}']\n", receiver.grpc)).unwrap();
    let files = format!("--store.sd-files={}/*.yaml", dir.path().display());
    let node = Node::query(dir.path(), &[], &[&files]).await;
    let asked = [("query", "count by (tenant_id) (up)"), ("time", AT)];
    let answer = get(&node, "/api/v1/query", &asked).await;
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 2, "{answer}");
    let none = [asked[0], asked[1], ("storeMatch[]", "{__address__=\"nowhere:1\"}")];
    let answer = get(&node, "/api/v1/query", &none).await;
    assert_eq!(answer["data"]["result"].as_array().unwrap().len(), 0, "{answer}");
    assert_eq!(node.metric("thanos_store_nodes_grpc_connections").await, Some(1.0));
}

#[tokio::test]
async fn two_tenants_see_nothing_of_each_other() {
    let (dir, data) = (tempfile::tempdir().unwrap(), Data::new());
    let receiver = Node::receive_with_store(dir.path(), &[]).await;
    for (tenant, body) in data.bodies(TimeRange::ALL) {
        let answer = receiver.post("/api/v1/receive", headers(&[("thanos-tenant", tenant)]), body).await;
        assert!(answer.status().is_success());
    }
    let node = Node::query(dir.path(), &[&receiver.grpc], &["--query.enforce-tenancy"]).await;
    let ask = async |tenant: &str, path: &str, parameters: &[(&str, &str)]| -> String {
        let url = reqwest::Url::parse_with_params(&format!("{}{path}", node.admin), parameters).unwrap();
        let request = reqwest::Client::new().get(url).header("THANOS-TENANT", tenant);
        request.send().await.unwrap().text().await.unwrap()
    };
    let (start, end) = ("1704067200", "1704081600");
    let times = [("start", start), ("end", end)];
    let whole = [times[0], times[1], ("step", "600")];
    for (tenant, other) in [("a", "b"), ("b", "a")] {
        let other = format!("\"tenant_id\":\"{other}\"");
        for query in [
            "{__name__!=\"\"}",
            "up{tenant_id=~\".*\"}",
            "up or up{tenant_id!=\"nobody\"}",
            "max_over_time(requests_total[10m:1m] offset 1m)",
            "label_replace(up, \"x\", \"$1\", \"tenant_id\", \"(.*)\")",
        ] {
            let answer =
                ask(tenant, "/api/v1/query_range", &[&[("query", query)][..], &whole].concat()).await;
            assert!(answer.contains(&format!("\"tenant_id\":\"{tenant}\"")), "{query}: {answer}");
            assert!(!answer.contains(&other), "{query}: {answer}");
        }
        let answer =
            ask(tenant, "/api/v1/series", &[&[("match[]", "{__name__=~\".+\"}")][..], &times].concat()).await;
        assert!(
            answer.contains(&format!("\"tenant_id\":\"{tenant}\"")) && !answer.contains(&other),
            "{answer}"
        );
        for parameters in [&times[..], &[times[0], times[1], ("match[]", "up")]] {
            let answer = ask(tenant, "/api/v1/label/tenant_id/values", parameters).await;
            let found: Json = serde_json::from_str(&answer).unwrap();
            assert_eq!(found["data"], serde_json::json!([tenant]), "{answer}");
        }
        let answer = ask(tenant, "/api/v1/query_exemplars", &[&[("query", "up")][..], &times].concat()).await;
        assert!(!answer.contains(&other), "{answer}");
    }
}

#[tokio::test]
async fn an_endpoint_under_mutual_tls_answers_those_that_have_a_certificate() {
    let (dir, data) = (tempfile::tempdir().unwrap(), Data::new());
    let bucket = dir.path().join("bucket");
    data.write_blocks(TimeRange::ALL, |_| bucket.clone());
    let flag = |flag: &str, name: &str| {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/tls").join(name);
        format!("--{flag}={}", file.display())
    };
    let server = [
        flag("grpc-server-tls-cert", "server.pem"),
        flag("grpc-server-tls-key", "server-key.pem"),
        flag("grpc-server-tls-client-ca", "ca.pem"),
    ];
    let server: Vec<&str> = server.iter().map(String::as_str).collect();
    let gateway = Node::store(dir.path(), &blocks::directory(&bucket), &server).await;
    let ca = flag("grpc-client-tls-ca", "ca.pem");
    let own = [flag("grpc-client-tls-cert", "client.pem"), flag("grpc-client-tls-key", "client-key.pem")];
    let secure = ["--grpc-client-tls-secure", &ca];
    let known = [&secure[..], &[&own[0], &own[1], "--grpc-compression=snappy"]].concat();
    let node = Node::query(dir.path(), &[&gateway.grpc], &known).await;
    let asked = [("query", "count(up)"), ("time", AT)];
    let mut answer = Json::Null;
    node.wait_until("answered", async || {
        answer = get(&node, "/api/v1/query", &asked).await;
        answer["data"]["result"][0].is_object()
    })
    .await;
    assert_eq!(answer["warnings"], Json::Null, "{answer}");
    // Without a certificate, with another server's name, and without TLS: nobody is let in.
    let misnamed = [&known[..], &["--grpc-client-server-name=elsewhere"]].concat();
    for (what, stranger) in [("no certificate", &secure[..]), ("name", &misnamed), ("plain", &[])] {
        let strict = format!("--endpoint-strict={}", gateway.grpc);
        let node = Node::query(dir.path(), &[], &[&[strict.as_str()], stranger].concat()).await;
        let answer = get(&node, "/api/v1/query", &asked).await;
        assert_eq!(answer["data"]["result"], serde_json::json!([]), "{what}: {answer}");
        assert!(answer["warnings"][0].is_string(), "{what}: {answer}");
    }
}
