//! `sarsen` on an empty directory answers over what it scrapes of itself, as a Prometheus would.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(feature = "standalone")]

mod support;

use serde_json::{Value as Json, json};
use support::Node;

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
    let node = Node::standalone(dir.path(), &[]).await;
    let mut up = Json::Null;
    node.wait_until("scraped", async || {
        up = get(&node, "/api/v1/query?query=up").await.1;
        up["data"]["result"][0].is_object()
    })
    .await;
    let row = &up["data"]["result"][0];
    assert_eq!((&row["value"][1], &row["metric"]["job"]), (&json!("1"), &json!("sarsen")), "{up}");
    assert!(row["metric"]["instance"].as_str().unwrap().starts_with("127.0.0.1:"), "{up}");
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
