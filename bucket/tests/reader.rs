//! A program reads a bucket of replicas, resolutions and tenants without a server, and sees what a plain model sees.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use object_store::memory::InMemory;
use proptest::prelude::*;
use sarsen_block::{
    BlockId, ChunkSeries, ChunkSet, Labels, MatchOp, Matcher, TimeRange, TimedChunk, Timestamp,
    parse_selector,
};
use sarsen_bucket::{
    BlockingReader, Bucket, BucketReader, Deletion, Deletions, Error, Layout, Limits, ReaderOptions,
};
use tokio::runtime::Runtime;

#[path = "made/mod.rs"]
mod made;

use made::{Made, STEP, labels, make, open_plain};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A block with external labels; its samples are `resolution_ms` apart as far as its meta tells.
fn block(number: u128, series: &BTreeMap<Labels, u8>, external: &[(&str, &str)], resolution_ms: i64) -> Made {
    let mut made = make(series, &[], 512 << 20);
    made.meta.id = BlockId::from_parts(1, number);
    made.meta.compaction.sources = vec![made.meta.id];
    let thanos = made.meta.thanos.as_mut().unwrap();
    thanos.labels = external.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
    thanos.resolution = resolution_ms;
    made
}

async fn put(bucket: &Bucket, made: &Made) {
    for (name, bytes) in &made.files {
        bucket.put(&Layout::file(made.meta.id, name), bytes.clone()).await.unwrap();
    }
    bucket.put(&Layout::meta(made.meta.id), made.meta.to_bytes().into()).await.unwrap();
}

fn bucket_of(runtime: &Runtime, blocks: &[Made]) -> Bucket {
    let bucket = Bucket::builder(Arc::new(InMemory::new()), "test").build();
    blocks.iter().for_each(|made| runtime.block_on(put(&bucket, made)));
    bucket
}

type Plain = BTreeMap<Labels, Vec<TimedChunk>>;

/// What blocks hold, with external labels and without the one of replicas, each chunk once.
fn model(blocks: &[Made], matchers: &[Matcher], range: TimeRange, deletions: &Deletions) -> Plain {
    let mut all = Plain::new();
    for made in blocks {
        let external = &made.meta.thanos.as_ref().unwrap().labels;
        let block = open_plain(made);
        let stones = deletions.tombstones(&block).unwrap();
        let mut set = block.with_tombstones(stones).select(&[], range).unwrap();
        while let Some(series) = set.next().unwrap() {
            let own = series.labels.iter().map(|(n, v)| (n.to_vec(), v.to_vec()));
            let mut labels: BTreeMap<Vec<u8>, Vec<u8>> = own.collect();
            labels.extend(external.iter().map(|(n, v)| (n.clone().into_bytes(), v.clone().into_bytes())));
            let value = |name: &[u8]| labels.get(name).map_or(&b""[..], Vec::as_slice);
            if !matchers.iter().all(|matcher| matcher.matches(value(matcher.name()))) {
                continue;
            }
            labels.remove(&b"replica"[..]);
            let chunks = all.entry(Labels::from_pairs(labels).unwrap()).or_default();
            for chunk in series.chunks {
                if !chunks.contains(&chunk) {
                    chunks.push(chunk);
                }
            }
        }
    }
    all.values_mut().for_each(|chunks| chunks.sort_by_key(order));
    all
}

fn order(chunk: &TimedChunk) -> (Timestamp, Timestamp, Vec<u8>) {
    (chunk.range.min, chunk.range.max, chunk.chunk.data.to_vec())
}

fn collect(mut set: impl ChunkSet) -> Vec<ChunkSeries> {
    let mut all: Vec<ChunkSeries> = std::iter::from_fn(|| set.next().unwrap()).collect();
    for series in &mut all {
        assert!(series.chunks.is_sorted_by_key(|chunk| (chunk.range.min, chunk.range.max)));
        series.chunks.sort_by_key(order);
    }
    assert!(all.is_sorted_by(|a, b| a.labels < b.labels));
    all
}

fn series() -> impl Strategy<Value = BTreeMap<Labels, u8>> {
    let one =
        (("(up|down)", "[12]{0,2}", "[12]{0,3}"), 1u8..4).prop_map(|(text, chunks)| (labels(text), chunks));
    prop::collection::vec(one, 1..30).prop_map(|all| all.into_iter().collect())
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = prop_oneof![
        Just(MatchOp::Equal),
        Just(MatchOp::NotEqual),
        Just(MatchOp::Regex),
        Just(MatchOp::NotRegex)
    ];
    let name = prop_oneof![Just("__name__"), Just("job"), Just("pod"), Just("tenant"), Just("replica")];
    let value = prop_oneof![Just(""), Just(".+"), Just("1.*"), Just("1|2|a"), Just("a"), Just("up")];
    (op, name, value).prop_map(|(op, name, value)| Matcher::new(op, name, value).unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn many_blocks_read_as_one(
        blocks in prop::collection::vec((series(), "[ab]", "[01]"), 1..5),
        matchers in prop::collection::vec(matcher(), 0..3),
        deleted in prop_oneof![Just(None), matcher().prop_map(Some)],
        from in 0i64..60, length in 0i64..80,
    ) {
        let blocks: Vec<Made> = blocks.iter().zip(1..).map(|((series, tenant, replica), number)| {
            block(number, series, &[("tenant", tenant), ("replica", replica)], 0)
        }).collect();
        let (runtime, range) = (runtime(), TimeRange::new(from * STEP, (from + length) * STEP));
        let bucket = bucket_of(&runtime, &blocks);
        let mut deletions = Deletions::default();
        if let Some(Ok(deletion)) = deleted.map(|m| Deletion::new("one", i64::MAX, &format!("{{{m}}}"), TimeRange::new(10 * STEP, 30 * STEP))) {
            deletions.add(deletion).unwrap();
        }
        runtime.block_on(bucket.put(Layout::DELETIONS, deletions.to_bytes().into())).unwrap();
        let options = ReaderOptions { replica_labels: vec!["replica".to_owned()], memory: 8 << 20, ..ReaderOptions::default() };
        let reader = BlockingReader::new(Arc::new(BucketReader::new(bucket, options)), runtime.handle().clone());
        reader.refresh().unwrap();
        let expected = model(&blocks, &matchers, range, &deletions);
        let found = collect(reader.select(&matchers, range).unwrap());
        let expected: Vec<ChunkSeries> = expected.into_iter().map(|(labels, chunks)| ChunkSeries { labels, chunks }).collect();
        prop_assert_eq!(found, expected);

        // Names and values are those of blocks in the range, whatever is deleted.
        let all = model(&blocks, &matchers, TimeRange::ALL, &Deletions::default());
        let names: BTreeSet<Vec<u8>> = all.keys().flat_map(|l| l.iter().map(|(n, _)| n.to_vec()).collect::<Vec<_>>()).collect();
        prop_assert_eq!(reader.label_names(&matchers, range).unwrap(), names.into_iter().collect::<Vec<_>>());
        for name in ["pod", "tenant", "replica"] {
            let values: BTreeSet<Vec<u8>> = all.keys().filter_map(|l| l.get(name.as_bytes()).map(<[u8]>::to_vec)).collect();
            prop_assert_eq!(reader.label_values(name.as_bytes(), &matchers, range).unwrap(), values.into_iter().collect::<Vec<_>>());
        }
    }
}

fn one(pod: &str) -> BTreeMap<Labels, u8> {
    BTreeMap::from([(labels(("up".to_owned(), "1".to_owned(), pod.to_owned())), 2)])
}

#[test]
fn a_block_that_was_replaced_is_found_again() {
    let runtime = runtime();
    let bucket = bucket_of(&runtime, &[block(1, &one("a"), &[("tenant", "a")], 0)]);
    let reader = BucketReader::new(bucket.clone(), ReaderOptions::default());
    let up = parse_selector("up").unwrap();
    runtime.block_on(async {
        reader.refresh().await.unwrap();
        assert_eq!(reader.blocks().len(), 1);
        let mut begun = reader.select(&up, TimeRange::ALL).await.unwrap();
        put(&bucket, &block(2, &one("b"), &[("tenant", "a")], 0)).await;
        sarsen_bucket::remove(&bucket, BlockId::from_parts(1, 1)).await.unwrap();
        // What was begun cannot be ended; what begins now has the new block.
        assert!(matches!(begun.next().await, Err(Error::NotFound { .. })));
        let mut found = reader.select(&up, TimeRange::ALL).await.unwrap();
        let series = found.next().await.unwrap().unwrap();
        assert_eq!(series.labels.get(b"pod"), Some(&b"b"[..]));
        assert!(found.next().await.unwrap().is_none());
    });
}

#[test]
fn each_resolution_is_asked_for_by_itself() {
    let runtime = runtime();
    let mut fine = block(2, &one("fine"), &[("tenant", "a")], 0);
    fine.meta.min_time = 5_000 * STEP;
    let blocks = [block(1, &one("coarse"), &[("tenant", "a")], 300_000), fine];
    let reader = BucketReader::new(bucket_of(&runtime, &blocks), ReaderOptions::default());
    runtime.block_on(reader.refresh()).unwrap();
    let end = blocks[0].meta.range().max;
    let (middle, all) = (5_000 * STEP, TimeRange::new(0, end));
    assert_eq!(reader.stretches(all, 0), [(TimeRange::new(middle, end), 0)]);
    let both = [(TimeRange::new(0, middle - 1), 300_000), (TimeRange::new(middle, end), 0)];
    assert_eq!(reader.stretches(all, 3_600_000), both);
    let up = parse_selector("up").unwrap();
    for ((_, resolution_ms), pod) in both.into_iter().zip([&b"coarse"[..], b"fine"]) {
        let found = runtime.block_on(async {
            reader
                .select_resolution(&up, TimeRange::ALL, resolution_ms, None)
                .await
                .unwrap()
                .next()
                .await
                .unwrap()
                .unwrap()
        });
        assert_eq!(found.labels.get(b"pod"), Some(pod));
    }
}

#[test]
fn what_a_selection_may_not_take_is_an_error() {
    let runtime = runtime();
    let series = (0..50).map(|i| (labels(("up".to_owned(), "1".to_owned(), format!("p{i}"))), 2)).collect();
    let bucket = bucket_of(&runtime, &[block(1, &series, &[("tenant", "a")], 0)]);
    let limited = |limits: Limits, memory: u64| {
        let reader =
            BucketReader::new(bucket.clone(), ReaderOptions { limits, memory, ..ReaderOptions::default() });
        runtime.block_on(async {
            reader.refresh().await?;
            let mut found = reader.select(&[], TimeRange::ALL).await?;
            let mut series = 0;
            while found.next().await?.is_some() {
                series += 1;
            }
            Ok::<_, Error>(series)
        })
    };
    assert_eq!(limited(Limits { series: 50, samples: 12_000, bytes: 1 << 20 }, 1 << 20).unwrap(), 50);
    let refused = |result| matches!(result, Err(Error::Exceeded(_)));
    assert!(refused(limited(Limits { series: 49, ..Limits::default() }, 0)));
    assert!(refused(limited(Limits { samples: 11_880, ..Limits::default() }, 0)));
    assert!(refused(limited(Limits { bytes: 1000, ..Limits::default() }, 0)));
    assert!(refused(limited(Limits::default(), 1000)));
}
