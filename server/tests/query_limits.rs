//! Time and places of queries: what takes too long is told so, who goes takes the query along, and who comes when all places are taken
//! waits. What takes long is a gateway that stands still with all its connections open.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "store", feature = "query"))]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use sarsen_block::TimeRange;
use serde_json::Value as Json;
use support::storeapi::contract::Data;
use support::{Node, blocks};

const IN_FLIGHT: &str = "thanos_query_concurrent_gate_queries_in_flight";
/// Queries that have been asked and not answered, waiting ones included.
const ASKED: &str = "prometheus_engine_queries";
const QUERY: [(&str, &str); 2] = [("query", "count(up)"), ("time", "1704070800")];

/// A gateway with data, and a querier that has found it.
async fn pair(dir: &Path, more: &[&str]) -> (Node, Node) {
    let data = Data::new();
    let bucket = dir.join("bucket");
    data.write_blocks(TimeRange::ALL, |_| bucket.clone());
    let gateway = Node::store(dir, &blocks::directory(&bucket), &[]).await;
    gateway.client().await;
    let node = Node::query(dir, &[&gateway.grpc], more).await;
    node.wait_until("asking the gateway", async || {
        let (_, answer) = ask(&node, "query", &QUERY).await;
        answer["data"]["result"][0].is_object()
    })
    .await;
    (gateway, node)
}

async fn ask(node: &Node, path: &str, parameters: &[(&str, &str)]) -> (u16, Json) {
    asked(&node.admin, path, parameters).await
}

async fn asked(address: &str, path: &str, parameters: &[(&str, &str)]) -> (u16, Json) {
    let url = format!("{address}/api/v1/{path}");
    let answer = reqwest::get(reqwest::Url::parse_with_params(&url, parameters).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap())
}

fn is_timeout((status, answer): &(u16, Json), place: &str) -> bool {
    (*status, &answer["status"], &answer["errorType"]) == (503, &Json::from("error"), &Json::from("timeout"))
        && answer["error"] == format!("query timed out in {place}")
}

#[tokio::test]
async fn what_takes_too_long_is_told_so() {
    for dialect in ["thanos", "prometheus"] {
        let dir = tempfile::tempdir().unwrap();
        let flags = [&format!("--query.dialect={dialect}"), "--query.timeout=2s"];
        let (gateway, node) = pair(dir.path(), &flags).await;
        gateway.signal("STOP");
        let range = [QUERY[0], ("start", "1704067200"), ("end", "1704070800"), ("step", "60")];
        for (path, fields) in [("query", &QUERY[..]), ("query_range", &range)] {
            // Its own time, if that is less than what all have.
            for (own, least) in [(Some("300ms"), 300), (Some("0.4"), 400), (Some("1h"), 2000), (None, 2000)] {
                let fields: Vec<_> = fields.iter().copied().chain(own.map(|own| ("timeout", own))).collect();
                let began = Instant::now();
                let answer = ask(&node, path, &fields).await;
                assert!(is_timeout(&answer, "expression evaluation"), "{dialect} {path} {own:?}: {answer:?}");
                assert!(began.elapsed() >= Duration::from_millis(least), "{own:?}: {:?}", began.elapsed());
            }
        }
        // The places are free again.
        node.wait_until("done with all", async || node.metric(IN_FLIGHT).await == Some(0.0)).await;
        gateway.signal("CONT");
        node.wait_until("answering again", async || ask(&node, "query", &QUERY).await.0 == 200).await;
    }
}

#[tokio::test]
async fn who_goes_takes_the_query_along() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, node) = pair(dir.path(), &[]).await;
    gateway.signal("STOP");
    let address = node.admin.clone();
    let task = tokio::spawn(async move { asked(&address, "query", &QUERY).await });
    node.wait_until("evaluating", async || node.metric(IN_FLIGHT).await == Some(1.0)).await;
    // The connection is closed; the gateway says nothing still, and there is no end of its time for two minutes.
    task.abort();
    node.wait_until("free", async || {
        (node.metric(IN_FLIGHT).await, node.metric(ASKED).await) == (Some(0.0), Some(0.0))
    })
    .await;
    gateway.signal("CONT");
}

#[tokio::test]
async fn who_comes_when_all_places_are_taken_waits() {
    let dir = tempfile::tempdir().unwrap();
    let (gateway, node) = pair(dir.path(), &["--query.max-concurrent=1"]).await;
    gateway.signal("STOP");
    let start = || {
        let address = node.admin.clone();
        tokio::spawn(async move { asked(&address, "query", &QUERY).await })
    };
    let first = start();
    node.wait_until("evaluating", async || node.metric(IN_FLIGHT).await == Some(1.0)).await;
    let second = start();
    node.wait_until("asked twice", async || node.metric(ASKED).await == Some(2.0)).await;
    assert_eq!(node.metric(IN_FLIGHT).await, Some(1.0));
    // The time of who waits runs.
    let answer = ask(&node, "query", &[QUERY[0], QUERY[1], ("timeout", "200ms")]).await;
    assert!(is_timeout(&answer, "query queue"), "{answer:?}");
    assert!(!first.is_finished() && !second.is_finished());
    // The one that holds the place goes, and the next has it.
    first.abort();
    node.wait_until("evaluating the second", async || {
        (node.metric(IN_FLIGHT).await, node.metric(ASKED).await) == (Some(1.0), Some(1.0))
    })
    .await;
    let third = start();
    node.wait_until("asked again", async || node.metric(ASKED).await == Some(2.0)).await;
    gateway.signal("CONT");
    for task in [second, third] {
        let (status, answer) = task.await.unwrap();
        assert_eq!((status, answer["data"]["result"].as_array().unwrap().len()), (200, 1), "{answer}");
    }
    assert_eq!(node.metric(IN_FLIGHT).await, Some(0.0));
}
