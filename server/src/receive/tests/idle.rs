//! A tenant that nobody writes to any more: its head goes to the bucket, then its directory goes.

use std::path::Path;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use sarsen_bucket::{ObjstoreConfig, Reloading};

use super::{Node, stored};

/// A bucket that is a directory.
fn bucket(dir: &Path) -> sarsen_bucket::Bucket {
    let text = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", dir.display());
    let config = ObjstoreConfig::parse(&text, |_| None).unwrap();
    Reloading::open(config).unwrap().bucket().build()
}

fn complete_blocks(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().join("meta.json").is_file()).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_tenant_is_shipped_and_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let (root, shelf) = (dir.path().join("tenants"), dir.path().join("bucket"));
    let node = Node::start_with(&root, Some(bucket(&shelf)), |options| {
        options.storage.prune_after = Duration::from_millis(200);
        options.shipping.interval = Duration::from_millis(50);
    })
    .await;
    assert_eq!(node.write("idle", 1000).await, StatusCode::OK);
    assert_eq!(node.write("default-tenant", 1000).await, StatusCode::OK);
    let end = Instant::now() + Duration::from_secs(60);
    while root.join("idle").exists() {
        assert!(Instant::now() < end, "still there after a minute");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(complete_blocks(&shelf), 1, "what it had is in the bucket");
    assert!(root.join("default-tenant").exists(), "the default tenant stays");
    // Whoever comes back finds a new database.
    assert_eq!(node.write("idle", 2000).await, StatusCode::OK);
    node.stop().await;
    assert_eq!(stored(&root, "default-tenant"), [1000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_bucket_nobody_is_let_go() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start_with(dir.path(), None, |options| {
        options.storage.prune_after = Duration::from_millis(1);
        options.shipping.interval = Duration::from_millis(10);
    })
    .await;
    assert_eq!(node.write("idle", 1000).await, StatusCode::OK);
    for _ in 0..5 {
        super::super::ship::look(&node.receiver.0, None).await;
    }
    assert_eq!(node.write("idle", 2000).await, StatusCode::OK);
    node.stop().await;
    assert_eq!(stored(dir.path(), "idle"), [1000, 2000]);
}
