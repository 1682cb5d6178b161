//! `standalone` keeps its own bucket in order: what was sent is cut, shipped, merged, downsampled, and gone when it is too old.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(feature = "standalone")]

mod support;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use support::blocks::{HOUR, blocks, resolution};
use support::{Node, body, headers};

const MINUTE: i64 = 60_000;

/// Twenty hours of three series, an hour a request.
async fn fill(node: &Node, start: i64) {
    for hour in 0..20 {
        let times = || (0..60).map(move |minute| start + hour * HOUR + minute * MINUTE);
        let one = |series: usize| {
            let labels: Vec<(String, String)> =
                vec![("__name__".into(), "aged".into()), ("series".into(), series.to_string())];
            body::series(&labels, &times().map(|t| (t, (t as f64).to_bits())).collect::<Vec<_>>())
        };
        let request = body::snappy(&body::request(&(0..3).map(one).collect::<Vec<_>>()));
        let answer = node.post("/api/v1/write", headers(&[]), request).await;
        assert_eq!(answer.status(), 204, "{}", answer.text().await.unwrap());
    }
}

/// Lengths in hours of the live blocks of a resolution, oldest first.
fn hours(bucket: &Path, at: i64) -> Vec<i64> {
    if !bucket.exists() {
        return Vec::new();
    }
    let blocks = blocks(bucket).into_iter().filter(|(_, meta)| resolution(meta) == at);
    blocks.map(|(_, meta)| (meta.max_time - meta.min_time + HOUR / 2) / HOUR).collect()
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

#[tokio::test]
async fn blocks_grow_in_its_own_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--no-self-scrape", "--consistency-delay=0s", "--wait-interval=1s"];
    let node = Node::standalone(dir.path(), &arguments).await;
    // Of one range of two days, so that 8 h is where merging ends.
    fill(&node, (now_ms() - 24 * HOUR) / (48 * HOUR) * 48 * HOUR).await;
    let bucket = dir.path().join("data/bucket");
    node.wait_until("merged", async || hours(&bucket, 0).starts_with(&[8, 8])).await;
    let page = reqwest::get(format!("{}/blocks", node.admin)).await.unwrap().text().await.unwrap();
    assert!(page.contains("<h1>Blocks</h1>") && page.contains("sarsen=&quot;standalone&quot;"), "{page}");
    let front = reqwest::get(format!("{}/tenants", node.admin)).await.unwrap().text().await.unwrap();
    assert!(front.contains("<h1>Tenants</h1>") && front.contains("href=\"/blocks\""), "{front}");
    assert_eq!(node.metric("sarsen_compact_lease_held").await, Some(1.0));
    assert_eq!(node.stop(), Some(0));
}

#[tokio::test]
async fn old_data_is_left_in_the_resolution_that_its_age_allows() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = ["--no-self-scrape", "--consistency-delay=0s", "--wait-interval=1s", "--delete-delay=0s"];
    let node = Node::standalone(dir.path(), &arguments).await;
    // Ten days old: too old for raw data, not for five minutes.
    fill(&node, now_ms() / (8 * HOUR) * 8 * HOUR - 240 * HOUR).await;
    let bucket = dir.path().join("data/bucket");
    let aged = async || hours(&bucket, 0).is_empty() && hours(&bucket, 300_000).iter().sum::<i64>() >= 16;
    node.wait_until("aged", aged).await;
    assert!(hours(&bucket, 3_600_000).is_empty(), "an hour is not due before ten days of blocks");
    assert_eq!(node.stop(), Some(0));
}
