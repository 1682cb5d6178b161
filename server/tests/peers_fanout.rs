//! Our querier among Thanos' components: in front of their store and receiver, below their querier, and both makes at once.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "receive", feature = "store", feature = "query"))]

mod support;

use std::path::Path;

use serde_json::Value as Json;
use support::questions::{Sums, differences};
use support::storeapi::copy_folder;
use support::storeapi::golden::recorded;
use support::thanos::{self, Thanos};
use support::{Node, blocks, headers};

const REPLICA: &str = "--query.replica-label=receive_replica";

async fn fill(receivers: &[&Thanos], nodes: &[&Node]) {
    let input = recorded("receive_input");
    let steps: Json = serde_json::from_slice(&std::fs::read(input.join("sequence.json")).unwrap()).unwrap();
    for step in steps.as_array().unwrap() {
        let body = std::fs::read(input.join(step["file"].as_str().unwrap())).unwrap();
        let tenant = step["tenant"].as_str().unwrap();
        for receiver in receivers {
            thanos::write(receiver, tenant, body.clone()).await;
        }
        for node in nodes {
            let answer =
                node.post("/api/v1/receive", headers(&[("thanos-tenant", tenant)]), body.clone()).await;
            assert!(answer.status().is_success());
        }
    }
}

fn bucket(dir: &Path) -> String {
    let bucket = dir.join("bucket");
    copy_folder(&recorded("bucket"), &bucket);
    blocks::directory(&bucket)
}

fn http(node: &Node) -> &str {
    node.admin.strip_prefix("http://").unwrap()
}

#[tokio::test]
async fn in_front_of_thanos_store_and_receiver() {
    let Some(program) = thanos::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = thanos::store(&program, dir.path(), &bucket(dir.path())).await;
    let receiver = thanos::receive(&program, dir.path()).await;
    fill(&[&receiver], &[]).await;
    for endpoints in [vec![&*store.grpc], vec![&*receiver.grpc]] {
        let theirs = thanos::query(&program, dir.path(), endpoints[0]).await;
        let ours = Node::query(dir.path(), &endpoints, &[REPLICA]).await;
        let faults = differences(http(&ours), &theirs.http, Sums::OursBetter).await;
        assert!(faults.is_empty(), "{endpoints:?}\n{}\n{}", faults.join("\n"), ours.log());
    }
}

#[tokio::test]
async fn below_thanos_querier() {
    let Some(program) = thanos::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let config = bucket(dir.path());
    let store = thanos::store(&program, dir.path(), &config).await;
    let gateway = Node::store(dir.path(), &config, &[]).await;
    gateway.client().await;
    let ours = Node::query(dir.path(), &[&gateway.grpc], &[]).await;
    let theirs = thanos::query(&program, dir.path(), &store.grpc).await;
    let global = thanos::query(&program, dir.path(), &ours.grpc).await;
    let faults = differences(&global.http, &theirs.http, Sums::Same).await;
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), ours.log());
}

#[tokio::test]
async fn above_thanos_querier() {
    let Some(program) = thanos::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let store = thanos::store(&program, dir.path(), &bucket(dir.path())).await;
    let theirs = thanos::query(&program, dir.path(), &store.grpc).await;
    let ours = Node::query(dir.path(), &[&theirs.grpc], &[REPLICA]).await;
    let faults = differences(http(&ours), &theirs.http, Sums::OursBetter).await;
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), ours.log());
}
