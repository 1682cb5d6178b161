//! The whole road: remote write in, on disk, cut into blocks, in a bucket - S3 or a directory, there from the start or away
//! for a while - and what lies there in the end is what was sent.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(feature = "receive")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::Value as Json;
use support::{Node, Stored, body, headers, read_database, s3};

const START: i64 = 1_709_251_200_000;
const STEP: i64 = 60_000;
const SERIES: usize = 7;
/// Four hours: one whole block, one that only a flush cuts.
const STEPS: i64 = 240;

fn labels(series: usize) -> Vec<(String, String)> {
    let pairs = [("__name__", "road".to_owned()), ("job", "test".to_owned()), ("series", series.to_string())];
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn value(series: usize, step: i64) -> f64 {
    if step % 97 == 96 { f64::NAN } else { series as f64 * 1e6 + (step * step) as f64 / 3.0 }
}

fn sent() -> Stored {
    let samples = |series| (0..STEPS).map(move |step| (START + step * STEP, value(series, step).to_bits()));
    let bytes = |(name, value): (String, String)| (name.into_bytes(), value.into_bytes());
    (0..SERIES).map(|n| (labels(n).into_iter().map(bytes).collect(), samples(n).collect())).collect()
}

/// Sends everything, ten steps a request.
async fn send(node: &Node, path: &str, status: u16) {
    for first in (0..STEPS).step_by(10) {
        let one = |series: usize| {
            let samples: Vec<_> = (first..first + 10)
                .map(|step| (START + step * STEP, value(series, step).to_bits()))
                .collect();
            body::series(&labels(series), &samples)
        };
        let request = body::snappy(&body::request(&(0..SERIES).map(one).collect::<Vec<_>>()));
        let answer = node.post(path, headers(&[("THANOS-TENANT", "team-a")]), request).await;
        assert_eq!(answer.status(), status, "{}", answer.text().await.unwrap());
    }
}

/// The complete blocks in a bucket that is a directory.
fn blocks(bucket: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(bucket) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.join("meta.json").exists()).collect()
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Everything that the blocks of a bucket hold: they are read as the local blocks of a database.
fn read_bucket(bucket: &Path) -> Stored {
    let scratch = tempfile::tempdir().unwrap();
    for block in blocks(bucket) {
        copy(&block, &scratch.path().join(block.file_name().unwrap()));
    }
    read_database(scratch.path())
}

fn check_meta(block: &Path, labels: &[(&str, &str)]) {
    let meta: Json = serde_json::from_slice(&std::fs::read(block.join("meta.json")).unwrap()).unwrap();
    let thanos = &meta["thanos"];
    assert_eq!(thanos["source"], "receive");
    for (name, value) in labels {
        assert_eq!(thanos["labels"][name], *value);
    }
    let files: Vec<&str> =
        thanos["files"].as_array().unwrap().iter().map(|file| file["rel_path"].as_str().unwrap()).collect();
    assert_eq!(files, ["chunks/000001", "index", "meta.json"]);
}

const LABELS: [(&str, &str); 3] = [("receive_replica", "r0"), ("region", "eu"), ("tenant_id", "team-a")];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn to_s3_while_running_and_the_rest_on_a_flush() {
    let dir = tempfile::tempdir().unwrap();
    let address = s3::serve(&dir.path().join("s3"), ([127, 0, 0, 1], 0).into()).await;
    let config = format!("--objstore.config={}", s3::config(address));
    let node = Node::receive(dir.path(), &[&config, "--receive.flush-on-stop"]).await;
    send(&node, "/api/v1/receive", 200).await;
    let bucket = dir.path().join("s3/blocks");
    node.wait_until("shipped", async || blocks(&bucket).len() == 1).await;
    let note = node.root.join("team-a/thanos.shipper.json");
    node.wait_until("noted", async || note.exists()).await;
    assert!(node.log().contains("upload new block") && node.log().contains("uploaded"));
    assert_eq!(node.stop(), Some(0));

    let found = blocks(&bucket);
    assert_eq!(found.len(), 2);
    let noted = std::fs::read_to_string(note).unwrap();
    for block in &found {
        check_meta(block, &LABELS);
        assert!(noted.contains(block.file_name().unwrap().to_str().unwrap()));
    }
    assert_eq!(read_bucket(&bucket), sent());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_was_away_gets_everything_when_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let address = sarsen_benches::free_address().unwrap().parse().unwrap();
    let config = format!("--objstore.config={}", s3::config(address));
    let node = Node::receive(dir.path(), &[&config, "--tsdb.retention=1s"]).await;
    send(&node, "/api/v1/receive", 200).await;
    node.wait_until("waiting for the bucket", async || {
        node.metric("sarsen_receive_backlog_blocks").await == Some(1.0)
    })
    .await;
    assert!(node.metric("sarsen_receive_backlog_bytes").await.unwrap() > 1000.0);
    assert!(node.metric("sarsen_receive_volume_free_bytes").await.unwrap() > 0.0);
    // Far beyond the retention, and yet here: it is in no bucket.
    assert_eq!(blocks(&node.root.join("team-a")).len(), 1);
    let bucket = dir.path().join("s3/blocks");
    s3::serve(&dir.path().join("s3"), address).await;
    node.wait_until("shipped", async || blocks(&bucket).len() == 1).await;
    node.wait_until("caught up", async || node.metric("sarsen_receive_backlog_blocks").await == Some(0.0))
        .await;
    assert_eq!(node.stop(), Some(0));
    // What was shipped is the first two hours; the rest is still in the log.
    let (shipped, all) = (read_bucket(&bucket), read_database(&dir.path().join("tsdb/team-a")));
    assert_eq!(shipped.values().map(Vec::len).sum::<usize>(), SERIES * 120);
    assert_eq!(all, sent());
}

#[cfg(feature = "standalone")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standalone_ships_to_its_directory_and_sees_itself() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::standalone(dir.path(), &["--receive.flush-on-stop"]).await;
    send(&node, "/api/v1/write", 204).await;
    let page = reqwest::get(format!("{}/tenants", node.admin)).await.unwrap().text().await.unwrap();
    assert!(page.contains("team-a"), "{page}");
    let own = "prometheus_tsdb_head_series{tenant=\"default-tenant\"}";
    node.wait_until("scraped", async || node.metric(own).await.is_some_and(|series| series > 10.0)).await;
    assert_eq!(node.stop(), Some(0));
    let mut stored = read_bucket(&dir.path().join("data/bucket"));
    let own = |name: &str| {
        let name = (b"__name__".to_vec(), name.as_bytes().to_vec());
        stored
            .keys()
            .any(|labels| labels.contains(&name) && labels.contains(&(b"job".to_vec(), b"sarsen".to_vec())))
    };
    assert!(own("up") && own("process_start_time_seconds"));
    stored.retain(|labels, _| labels.contains(&(b"__name__".to_vec(), b"road".to_vec())));
    assert_eq!(stored, sent());
}
