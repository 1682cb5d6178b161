//! `sarsen` on an empty directory answers over what it scrapes of itself, as a Prometheus would.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(feature = "standalone")]

mod storeapi_client;
mod support;

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value as Json, json};
use storeapi_client::thanos::query_client::QueryClient;
use storeapi_client::thanos::{QueryRequest, query_response};
use support::{Node, body, headers};

async fn get(node: &Node, path: &str) -> (u16, Json) {
    let answer = reqwest::get(format!("{}{path}", node.admin)).await.unwrap();
    let (status, text) = (answer.status().as_u16(), answer.text().await.unwrap());
    let body = serde_json::from_str(&text);
    assert!(body.is_ok(), "{path}: {text}");
    (status, body.unwrap())
}

#[tokio::test]
async fn it_answers_over_itself() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::standalone(dir.path(), &["--enable-feature=promql-per-step-stats"]).await;
    let mut up = Json::Null;
    node.wait_until("scraped", async || {
        up = get(&node, "/api/v1/query?query=up").await.1;
        up["data"]["result"][0].is_object()
    })
    .await;
    let row = &up["data"]["result"][0];
    assert_eq!((&row["value"][1], &row["metric"]["job"]), (&json!("1"), &json!("sarsen")), "{up}");
    assert!(row["metric"]["instance"].as_str().unwrap().starts_with("127.0.0.1:"), "{up}");
    // As it was scraped: what tells this process from others is for the others.
    let names: Vec<&String> = row["metric"].as_object().unwrap().keys().collect();
    assert_eq!(names, ["__name__", "instance", "job"], "{up}");
    // The envelope is Prometheus': no analysis, and faults name the parameter.
    assert!(up["data"].get("analysis").is_none(), "{up}");
    let (status, fault) = get(&node, "/api/v1/query?query=sum(").await;
    assert_eq!((status, &fault["errorType"]), (400, &json!("bad_data")));
    assert!(fault["error"].as_str().unwrap().starts_with("invalid parameter \"query\": 1:"), "{fault}");
    let (_, stats) = get(&node, "/api/v1/query?query=up&stats=all").await;
    assert!(stats["data"]["stats"]["samples"]["totalQueryableSamplesPerStep"].is_array(), "{stats}");
    let (_, metadata) = get(&node, "/api/v1/metadata?metric=process_cpu_seconds_total").await;
    assert_eq!(metadata["data"]["process_cpu_seconds_total"][0]["type"], json!("counter"), "{metadata}");
    let (_, names) = get(&node, "/api/v1/label/__name__/values").await;
    assert!(names["data"].as_array().unwrap().contains(&json!("up")), "{names}");
    let (_, counts) = get(&node, "/api/v1/status/tsdb").await;
    assert!(counts["data"]["headStats"]["numSeries"].as_u64().unwrap() > 50, "{counts}");
    for path in ["status/buildinfo", "status/flags", "status/config", "status/runtimeinfo", "blocks"] {
        assert_eq!(get(&node, &format!("/api/v1/{path}")).await.0, 200, "{path}");
    }
    let page = reqwest::get(&node.admin).await.unwrap().text().await.unwrap();
    assert!(page.contains("<html"), "{page}");
    assert_eq!(node.stop(), Some(0));
}

/// A sample of another tenant, now.
async fn write(node: &Node, tenant: &str) {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let series = body::series(&[("__name__", "up"), ("job", "other")], &[(now, 1f64.to_bits())]);
    let request = body::snappy(&body::request(&[series]));
    let answer = node.post("/api/v1/receive", headers(&[("thanos-tenant", tenant)]), request).await;
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

#[tokio::test]
async fn it_shows_series_as_scraped_and_serves_them_with_all_labels() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::standalone(dir.path(), &["--label=region=\"eu\""]).await;
    write(&node, "other").await;
    let mut up = Json::Null;
    node.wait_until("scraped", async || {
        up = get(&node, "/api/v1/query?query=up").await.1;
        up["data"]["result"].as_array().is_some_and(|rows| rows.len() == 2)
    })
    .await;
    // Series of another tenant say whose they are.
    let mut metrics: Vec<Json> =
        up["data"]["result"].as_array().unwrap().iter().map(|row| row["metric"].clone()).collect();
    metrics.sort_by_key(|metric| metric["job"].to_string());
    assert_eq!(metrics[0], json!({"__name__": "up", "job": "other", "tenant_id": "other"}));
    assert_eq!(metrics[1].as_object().unwrap().len(), 3, "{up}");
    let (_, names) = get(&node, "/api/v1/labels?match[]=up").await;
    assert_eq!(names["data"], json!(["__name__", "instance", "job", "tenant_id"]));
    for (name, values) in
        [("job", json!(["other", "sarsen"])), ("tenant_id", json!(["other"])), ("region", json!([]))]
    {
        let (_, found) = get(&node, &format!("/api/v1/label/{name}/values?match[]=up")).await;
        assert_eq!(found["data"], values, "{name}");
    }
    let (_, series) = get(&node, "/api/v1/series?match[]=up").await;
    assert!(!series["data"].to_string().contains("region"), "{series}");
    // They can be asked for by what is not shown.
    let (_, own) =
        get(&node, "/api/v1/query?query=count(up{region=\"eu\",tenant_id=\"default-tenant\"})").await;
    assert_eq!(own["data"]["result"][0]["value"][1], json!("1"), "{own}");
    let (_, none) = get(&node, "/api/v1/query?query=up{region=\"us\"}").await;
    assert_eq!(none["data"]["result"], json!([]), "{none}");

    // Who asks over gRPC gets all labels, of series and of whole queries; a querier above shows them.
    node.client().await;
    let folder = dir.path().join("query");
    std::fs::create_dir_all(&folder).unwrap();
    let above = Node::query(&folder, &[&node.grpc], &[]).await;
    let (_, up) = get(&above, "/api/v1/query?query=up{job=\"sarsen\"}").await;
    let metric = &up["data"]["result"][0]["metric"];
    assert_eq!((&metric["region"], &metric["tenant_id"]), (&json!("eu"), &json!("default-tenant")), "{up}");
    let mut answered = Vec::new();
    let asked = QueryRequest { query: "count by (tenant_id) (up)".to_owned(), ..QueryRequest::default() };
    let channel =
        tonic::transport::Endpoint::new(format!("http://{}", node.grpc)).unwrap().connect().await.unwrap();
    let mut answers = QueryClient::new(channel).query(asked).await.unwrap().into_inner();
    while let Some(message) = answers.message().await.unwrap() {
        if let Some(query_response::Result::Timeseries(series)) = message.result {
            answered.push(series.labels[0].value.clone());
        }
    }
    answered.sort();
    assert_eq!(answered, ["default-tenant", "other"]);
    for node in [above, node] {
        assert_eq!(node.stop(), Some(0));
    }
}
