//! What was recorded from a real `thanos store` and `thanos receive`, asked of ours: the same frames, series, order, chunks to the byte,
//! names, values, codes and hints; from a directory, from an S3 server, from MinIO, and from a receiver that was written the same.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "receive", feature = "store"))]

mod support;

use sarsen_benches::storeapi::StoreClient;
use support::storeapi::copy_folder;
use support::storeapi::golden::{Golden, recorded};
use support::{Node, blocks, headers, minio, s3, storeapi};

fn check(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}: {} are not as recorded\n{}", faults.len(), faults.join("\n"));
}

/// Plays everything twice: the second time finds what the first has left in caches.
async fn play(what: &str, client: &StoreClient) {
    let golden = Golden::of("store");
    for time in ["cold", "warm"] {
        check(&format!("{what}, {time}"), &golden.play(client, false).await);
    }
}

#[tokio::test]
async fn a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    copy_folder(&recorded("bucket"), &bucket);
    let node = Node::store(dir.path(), &blocks::directory(&bucket), &[]).await;
    play("a directory", &node.client().await).await;
    node.kill();
    // Started again, it knows the blocks from its own disk.
    let node = Node::store(dir.path(), &blocks::directory(&bucket), &[]).await;
    play("started again", &node.client().await).await;
}

#[tokio::test]
async fn an_s3_server() {
    let dir = tempfile::tempdir().unwrap();
    copy_folder(&recorded("bucket"), &dir.path().join("s3/blocks"));
    let address = s3::serve(&dir.path().join("s3"), "127.0.0.1:0".parse().unwrap()).await;
    let node = Node::store(dir.path(), &s3::config(address), &[]).await;
    play("S3", &node.client().await).await;
}

#[tokio::test]
async fn minio_as_users_have_it() {
    let dir = tempfile::tempdir().unwrap();
    let Some(minio) = minio::start(dir.path()) else { return };
    storeapi::bring(&recorded("bucket"), &blocks::open(&minio.config), "").await;
    let arguments = ["--log.level=info", "--index-cache-size=500MB", "--chunk-pool-size=500MB"];
    let node = Node::store(dir.path(), &minio.config, &arguments).await;
    play("MinIO", &node.client().await).await;
}

#[tokio::test]
async fn a_receiver() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::receive_with_store(dir.path(), &[]).await;
    let input = recorded("receive_input");
    let steps: serde_json::Value =
        serde_json::from_slice(&std::fs::read(input.join("sequence.json")).unwrap()).unwrap();
    for step in steps.as_array().unwrap() {
        let body = std::fs::read(input.join(step["file"].as_str().unwrap())).unwrap();
        let headers = headers(&[("thanos-tenant", step["tenant"].as_str().unwrap())]);
        let answer = node.post("/api/v1/receive", headers, body).await;
        assert_eq!(u64::from(answer.status().as_u16()), step["status"].as_u64().unwrap());
    }
    // A head may end its chunks elsewhere.
    check("a receiver", &Golden::of("receive").play(&node.client().await, true).await);
}
