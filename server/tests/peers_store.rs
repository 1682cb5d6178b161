//! Thanos' own programs as the measure of our tests: what was recorded is played against them too, so that a comparison
//! that would let anything pass shows itself.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "receive", feature = "store"))]

mod support;

use sarsen_benches::storeapi::StoreClient;
use sarsen_block::TimeRange;
use support::storeapi::contract::{self, Data};
use support::storeapi::golden::{Golden, recorded};
use support::storeapi::model::Model;
use support::storeapi::random;
use support::{blocks, storeapi, thanos};

#[tokio::test]
async fn what_was_recorded_is_what_thanos_answers() {
    let Some(program) = thanos::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    storeapi::copy_folder(&recorded("bucket"), &bucket);
    let store = thanos::store(&program, dir.path(), &blocks::directory(&bucket)).await;
    let client = StoreClient::connect(&store.grpc).await.unwrap();
    let faults = Golden::of("store").play(&client, false).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn the_plain_model_says_what_thanos_answers() {
    let Some(program) = thanos::program() else { return };
    for seed in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let bucket = dir.path().join("bucket");
        // Of downsampled histograms it cannot leave out an aggregate that they do not have: the call fails.
        let coarse = seed % 2 == 0;
        let traits = random::Traits { tombstones: false, xor2: false, histograms: !coarse, coarse };
        random::fill(&bucket, seed, traits);
        let store = thanos::store(&program, dir.path(), &blocks::directory(&bucket)).await;
        let client = StoreClient::connect(&store.grpc).await.unwrap();
        let faults = storeapi::compare(&client, &Model::read(&bucket), seed, 80).await;
        assert!(
            faults.is_empty(),
            "seed {seed}: {} faults\n{}",
            faults.len(),
            faults[..faults.len().min(5)].join("\n")
        );
    }
}

#[tokio::test]
async fn thanos_keeps_the_contract() {
    let Some(program) = thanos::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let data = Data::new();
    let bucket = dir.path().join("bucket");
    data.write_blocks(TimeRange::ALL, |_| bucket.clone());
    let store = thanos::store(&program, dir.path(), &blocks::directory(&bucket)).await;
    let client = StoreClient::connect(&store.grpc).await.unwrap();
    let faults = contract::run(&data, &client).await;
    assert!(faults.is_empty(), "thanos store:\n{}", faults.join("\n"));

    let receive = thanos::receive(&program, dir.path()).await;
    for (tenant, body) in data.bodies(TimeRange::ALL) {
        thanos::write(&receive, tenant, body).await;
    }
    let client = StoreClient::connect(&receive.grpc).await.unwrap();
    let faults = contract::run(&data, &client).await;
    assert!(faults.is_empty(), "thanos receive:\n{}", faults.join("\n"));
}
