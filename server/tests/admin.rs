//! Prometheus' admin API of `standalone`: what is deleted is gone at once and in what is shipped, and a snapshot can be opened.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(feature = "standalone")]

mod support;

use std::path::Path;

use support::{Node, Pairs, body, headers, read_database};

const START: i64 = 1_709_251_200_000;

fn labels(series: usize) -> Vec<(String, String)> {
    vec![("__name__".into(), "kept".into()), ("series".into(), series.to_string())]
}

/// Three series over six hours, so that two blocks are due.
async fn fill(node: &Node) {
    for hour in 0..6 {
        let samples: Vec<_> =
            (0..60).map(|i| (START + (hour * 60 + i) * 60_000, (i as f64).to_bits())).collect();
        let all: Vec<_> = (0..3).map(|series| body::series(&labels(series), &samples)).collect();
        let answer = node.post("/api/v1/receive", headers(&[]), body::snappy(&body::request(&all))).await;
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
}

async fn order(node: &Node, action: &str) -> (u16, serde_json::Value) {
    let url = format!("{}/api/v1/admin/tsdb/{action}", node.write);
    let answer = reqwest::Client::new().post(url).send().await.unwrap();
    let status = answer.status().as_u16();
    (status, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
}

/// How many samples each series has.
fn counts(database: &Path) -> Vec<(String, usize)> {
    let name = |labels: &Pairs| {
        let value = labels.iter().find(|(name, _)| name == b"series").map(|(_, value)| value.clone());
        String::from_utf8(value.unwrap_or_default()).unwrap()
    };
    read_database(database).iter().map(|(labels, samples)| (name(labels), samples.len())).collect()
}

#[tokio::test]
async fn deleted_at_once_and_in_what_is_shipped() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::standalone(dir.path(), &["--no-self-scrape", "--web.enable-admin-api"]).await;
    fill(&node).await;
    // The whole of one series, and the first hour of another.
    let (status, text) = order(&node, "delete_series?match[]=kept%7Bseries=%220%22%7D").await;
    assert_eq!(status, 204, "{text}");
    let end = START / 1000 + 3599;
    let (status, text) = order(&node, &format!("delete_series?match[]=%7Bseries=%221%22%7D&end={end}")).await;
    assert_eq!(status, 204, "{text}");
    assert_eq!(order(&node, "clean_tombstones").await.0, 204);
    let (status, answer) = order(&node, "snapshot").await;
    assert_eq!((status, &answer["status"]), (200, &serde_json::json!("success")));
    let snapshot = node.root.join("default-tenant/snapshots").join(answer["data"]["name"].as_str().unwrap());
    let root = node.root.clone();
    assert_eq!(node.stop(), Some(0));
    let expected = [("1".to_owned(), 300), ("2".to_owned(), 360)];
    assert_eq!(counts(&root.join("default-tenant")), expected);
    assert_eq!(counts(&snapshot), expected);
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::standalone(dir.path(), &["--no-self-scrape", "--web.enable-admin-api"]).await;
    for (action, part) in [
        ("delete_series", "no match[] parameter provided"),
        ("delete_series?match[]=%7B", "match[]"),
        ("delete_series?match[]=up&start=yesterday", "\"start\""),
    ] {
        let (status, answer) = order(&node, action).await;
        let (kind, why) = (answer["errorType"].as_str().unwrap(), answer["error"].as_str().unwrap());
        assert_eq!((status, kind), (400, "bad_data"));
        assert!(why.contains(part), "{why}");
    }
    assert_eq!(order(&node, "drop_everything").await.0, 404);
    assert_eq!(node.stop(), Some(0));

    let node = Node::standalone(dir.path(), &["--no-self-scrape"]).await;
    let (status, answer) = order(&node, "delete_series?match[]=up").await;
    assert_eq!((status, answer["errorType"].as_str()), (503, Some("unavailable")));
    assert_eq!(node.stop(), Some(0));
}
