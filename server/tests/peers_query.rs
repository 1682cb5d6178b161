//! Thanos' own Query in front of ours and in front of Thanos' store and receiver: the same answers to the same questions.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "receive", feature = "store"))]

mod support;

use serde_json::Value as Json;
use support::questions::{Sums, differences};
use support::storeapi::copy_folder;
use support::storeapi::golden::recorded;
use support::thanos;
use support::{Node, blocks, headers};

#[tokio::test]
async fn in_front_of_a_store() {
    let Some(program) = thanos::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    copy_folder(&recorded("bucket"), &bucket);
    let config = blocks::directory(&bucket);
    let store = thanos::store(&program, dir.path(), &config).await;
    let node = Node::store(dir.path(), &config, &[]).await;
    node.client().await;
    let theirs = thanos::query(&program, dir.path(), &store.grpc).await;
    let ours = thanos::query(&program, dir.path(), &node.grpc).await;
    let faults = differences(&ours.http, &theirs.http, Sums::Same).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn in_front_of_a_receiver() {
    let Some(program) = thanos::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let receiver = thanos::receive(&program, dir.path()).await;
    let node = Node::receive_with_store(dir.path(), &[]).await;
    let input = recorded("receive_input");
    let steps: Json = serde_json::from_slice(&std::fs::read(input.join("sequence.json")).unwrap()).unwrap();
    for step in steps.as_array().unwrap() {
        let body = std::fs::read(input.join(step["file"].as_str().unwrap())).unwrap();
        let tenant = step["tenant"].as_str().unwrap();
        thanos::write(&receiver, tenant, body.clone()).await;
        let answer = node.post("/api/v1/receive", headers(&[("thanos-tenant", tenant)]), body).await;
        assert!(answer.status().is_success());
    }
    node.client().await;
    let theirs = thanos::query(&program, dir.path(), &receiver.grpc).await;
    let ours = thanos::query(&program, dir.path(), &node.grpc).await;
    let faults = differences(&ours.http, &theirs.http, Sums::Same).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
