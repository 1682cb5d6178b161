//! One contract of the StoreAPI for everybody who answers it, and gateways over random buckets against a plain model of them.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "receive", feature = "store"))]

mod support;

use std::path::Path;

use sarsen_block::TimeRange;
use support::storeapi::contract::{self, Data, MIDDLE};
use support::storeapi::model::Model;
use support::storeapi::random::{self, Traits};
use support::{Node, blocks, headers, storeapi};

async fn keeps(what: &str, data: &Data, node: &Node) {
    let faults = contract::run(data, &node.client().await).await;
    assert!(faults.is_empty(), "{what}: {} faults\n{}\n{}", faults.len(), faults.join("\n"), node.log());
}

async fn write(node: &Node, data: &Data, range: TimeRange) {
    for (tenant, body) in data.bodies(range) {
        let answer = node.post("/api/v1/receive", headers(&[("thanos-tenant", tenant)]), body).await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "{status}: {text}");
    }
}

/// Where a receiver has the blocks of a tenant.
fn local(dir: &Path, tenant: &str) -> std::path::PathBuf {
    dir.join("tsdb").join(tenant)
}

#[tokio::test]
async fn a_head() {
    let (dir, data) = (tempfile::tempdir().unwrap(), Data::new());
    let node = Node::receive_with_store(dir.path(), &[]).await;
    write(&node, &data, TimeRange::ALL).await;
    keeps("a head", &data, &node).await;
}

#[tokio::test]
async fn local_blocks() {
    let (dir, data) = (tempfile::tempdir().unwrap(), Data::new());
    data.write_blocks(TimeRange::ALL, |tenant| local(dir.path(), tenant));
    let node = Node::receive_with_store(dir.path(), &["--tsdb.retention=100y"]).await;
    keeps("local blocks", &data, &node).await;
}

#[tokio::test]
async fn local_blocks_and_a_head() {
    let (dir, data) = (tempfile::tempdir().unwrap(), Data::new());
    data.write_blocks(TimeRange::new(i64::MIN, MIDDLE - 1), |tenant| local(dir.path(), tenant));
    let node = Node::receive_with_store(dir.path(), &["--tsdb.retention=100y"]).await;
    write(&node, &data, TimeRange::new(MIDDLE, i64::MAX)).await;
    keeps("local blocks and a head", &data, &node).await;
}

#[tokio::test]
async fn a_gateway_cold_warm_and_without_a_cache() {
    let (dir, data) = (tempfile::tempdir().unwrap(), Data::new());
    let bucket = dir.path().join("bucket");
    data.write_blocks(TimeRange::ALL, |_| bucket.clone());
    let config = blocks::directory(&bucket);
    let node = Node::store(dir.path(), &config, &[]).await;
    keeps("a cold gateway", &data, &node).await;
    keeps("a warm gateway", &data, &node).await;
    node.kill();
    let node = Node::store(dir.path(), &config, &["--index-cache-size=0"]).await;
    keeps("a gateway without a cache", &data, &node).await;
}

#[cfg(feature = "query")]
#[tokio::test]
async fn a_querier_over_a_gateway_and_over_parts_of_it() {
    let (dir, data) = (tempfile::tempdir().unwrap(), Data::new());
    let bucket = dir.path().join("bucket");
    data.write_blocks(TimeRange::ALL, |_| bucket.clone());
    let config = blocks::directory(&bucket);
    let gateway = Node::store(dir.path(), &config, &[]).await;
    gateway.client().await;
    let node = Node::query(dir.path(), &[&gateway.grpc], &[]).await;
    keeps("a querier over a gateway", &data, &node).await;
    // The same series in parts of two gateways, which both have some of them.
    let early = tempfile::tempdir().unwrap();
    let older = Node::store(early.path(), &config, &["--max-time=2024-01-01T01:59:59Z"]).await;
    older.client().await;
    let node = Node::query(dir.path(), &[&gateway.grpc, &older.grpc], &["--grpc-compression=snappy"]).await;
    keeps("a querier over a gateway and a part of it", &data, &node).await;
    // A querier over that one.
    let above = Node::query(early.path(), &[&node.grpc], &[]).await;
    keeps("a querier over a querier", &data, &above).await;
}

#[tokio::test]
async fn a_gateway_over_random_blocks_says_what_the_model_says() {
    for seed in 100..103 {
        let dir = tempfile::tempdir().unwrap();
        let bucket = dir.path().join("bucket");
        let traits = Traits { tombstones: false, xor2: true, histograms: true, coarse: true };
        random::fill(&bucket, seed, traits);
        let node = Node::store(dir.path(), &blocks::directory(&bucket), &[]).await;
        let faults = storeapi::compare(&node.client().await, &Model::read(&bucket), seed, 80).await;
        let some = faults[..faults.len().min(5)].join("\n");
        assert!(faults.is_empty(), "seed {seed}: {} faults\n{some}\n{}", faults.len(), node.log());
    }
}
