//! From head to local block to bucket: whoever asks the receiver and then the bucket finds every sample that was acknowledged, at
//! any moment, and from the receiver each of them once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use sarsen_block::{Matcher, TimeRange, TimedChunk, decode_chunks};
use sarsen_bucket::{Bucket, ObjstoreConfig, Reloading};
use sarsen_tsdb::open_blocks;
use tokio_util::sync::CancellationToken;

use super::{Node, Written, body, series};
use crate::metrics::Registry;
use crate::store::{ChunkParts, Gateway, GatewayLimits, GatewayOptions, SeriesQuery, Sieve, StoreSeries};

const SERIES: usize = 7;
const STEP_MS: i64 = 37;
const BLOCK_MS: i64 = 1000;
const STEPS: i64 = 240;

/// Times of the samples of each series.
type Times = BTreeMap<String, BTreeSet<i64>>;

fn add(times: &mut Times, number: &[u8], chunks: &[TimedChunk]) -> usize {
    let samples = decode_chunks(chunks, TimeRange::ALL).unwrap();
    let own = times.entry(String::from_utf8(number.to_vec()).unwrap()).or_default();
    own.extend(samples.iter().map(|sample| sample.t));
    chunks.iter().map(|timed| usize::from(timed.chunk.num_samples().unwrap())).sum()
}

fn query() -> SeriesQuery {
    SeriesQuery::new(TimeRange::ALL, vec![Matcher::equal("__name__", "m")])
}

/// Number and chunks of each series.
fn found(series: Vec<StoreSeries>) -> impl Iterator<Item = (Vec<u8>, Vec<TimedChunk>)> {
    series.into_iter().map(|found| {
        let chunks = found.chunks.into_iter().map(|chunk| match chunk.parts {
            ChunkParts::Raw(raw) => TimedChunk { range: chunk.range, chunk: raw },
            ChunkParts::Aggregates(_) => panic!("aggregates of raw data"),
        });
        (found.labels.get(b"number").unwrap().to_vec(), chunks.collect())
    })
}

async fn in_receiver(node: &Node) -> Times {
    let mut times = Times::new();
    for (number, chunks) in found(series(&node.store, query()).await) {
        let sent = add(&mut times, &number, &chunks);
        let own = &times[std::str::from_utf8(&number).unwrap()];
        assert_eq!(sent, own.len(), "a sample came twice");
    }
    times
}

/// What a gateway that looks at the bucket now has beside that.
async fn in_bucket(bucket: &Bucket, headers: &Path, times: &mut Times) {
    let options = GatewayOptions {
        data_dir: headers.to_owned(),
        local_headers: true,
        sync_every: Duration::from_secs(900),
        header_idle: Duration::from_secs(300),
        sieve: Sieve::default(),
        limits: GatewayLimits::default(),
        caches: sarsen_bucket::CacheOptions::default(),
        web: None,
        flags: BTreeMap::new(),
    };
    let (gateway, stop) =
        (Gateway::new(bucket.clone(), options, &Registry::new(), true), CancellationToken::new());
    let running = (gateway.clone(), stop.clone());
    let runs = tokio::spawn(async move { running.0.run(running.1).await });
    gateway.started().await;
    for found in found(series(&gateway, query()).await) {
        add(times, &found.0, &found.1);
    }
    stop.cancel();
    runs.await.unwrap();
}

/// What was written: the same times for every series.
fn written(steps: i64) -> BTreeSet<i64> {
    (1..=steps).map(|step| step * STEP_MS).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_sample_is_out_of_reach_on_its_way_to_the_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let shelf = dir.path().join("bucket");
    let text = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", shelf.display());
    let bucket = Reloading::open(ObjstoreConfig::parse(&text, |_| None).unwrap()).unwrap().bucket().build();
    let node = Node::start(&dir.path().join("tenants"), Some(bucket.clone()), |options| {
        options.storage.block_ms = BLOCK_MS;
        options.storage.retention = Duration::from_millis(1500);
    })
    .await;
    let (node, acknowledged) = (Arc::new(node), Arc::new(AtomicI64::new(0)));

    let writer = {
        let (node, acknowledged) = (Arc::clone(&node), Arc::clone(&acknowledged));
        tokio::spawn(async move {
            let numbers: Vec<String> = (0..SERIES).map(|number| number.to_string()).collect();
            let labels: Vec<_> =
                numbers.iter().map(|number| [("__name__", "m"), ("number", number)]).collect();
            for step in 1..=STEPS {
                let samples = [(step * STEP_MS, step as f64)];
                let series: Vec<Written<'_>> =
                    labels.iter().map(|labels| (&labels[..], &samples[..])).collect();
                assert_eq!(node.write("a", body(&series)).await, 200);
                acknowledged.store(step, Ordering::SeqCst);
                if step % 3 == 0 {
                    node.receiver.round().await;
                }
            }
        })
    };
    let mut looks = 0;
    let mut in_blocks_only = false;
    loop {
        let is_last = writer.is_finished();
        let before = acknowledged.load(Ordering::SeqCst);
        let mut times = in_receiver(&node).await;
        let oldest = times.values().filter_map(|times| times.first()).min().copied();
        in_blocks_only |= oldest.is_some_and(|oldest| oldest > STEP_MS);
        in_bucket(&bucket, &dir.path().join("headers"), &mut times).await;
        let (least, most) = (written(before), written(STEPS));
        for number in 0..SERIES {
            let found = times.remove(&number.to_string()).unwrap_or_default();
            assert!(least.is_subset(&found), "after {before} steps: {:?}", least.difference(&found));
            assert!(found.is_subset(&most));
        }
        looks += 1;
        if is_last {
            break;
        }
    }
    writer.await.unwrap();
    assert!(looks > 2 && in_blocks_only, "the oldest samples have left the receiver");
    assert!(open_blocks(&shelf).unwrap().len() >= 5);
    node.receiver.stop().await.unwrap();
}
