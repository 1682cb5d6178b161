//! A round over a bucket makes the blocks that Thanos' compactor makes of it, to the last byte, and marks the same blocks. Series of
//! several kinds of samples, of which Thanos' penalty loses some, have all that it kept; everything else is the same then too.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sarsen_block::{
    BlockId, BlockMeta, BlockStats, ChunkSet, IndexStats, Labels, Sample, TimeRange, TimedChunk, UploadTime,
    Value, decode_chunks,
};
use sarsen_bucket::{MarkKind, View};
use sarsen_compactor::{Compactor, Options, Unobserved};
use serde::Deserialize;
use support::store::SimStore;
use support::{Made, blocks_below, bucket, fetch};

#[derive(Deserialize)]
struct Case {
    merge: String,
    ranges: Vec<i64>,
    replica_labels: Vec<String>,
    in_dir: String,
    inputs: Vec<BlockId26>,
    outputs: Vec<String>,
    marked_for_deletion: Vec<Mark>,
}

#[derive(Deserialize)]
struct Mark {
    id: BlockId26,
    details: String,
}

/// A block's name as text.
#[derive(Deserialize)]
#[serde(transparent)]
struct BlockId26(String);

impl BlockId26 {
    fn id(&self) -> BlockId {
        self.0.parse().unwrap()
    }
}

/// The folders whose case tells of marks: those of a compactor over a bucket.
fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/compactions");
    let text = |path: &PathBuf| fs::read_to_string(path.join("case.json")).unwrap_or_default();
    let mut found: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| text(path).contains("\"marked_for_deletion\""))
        .collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

type Chunks = BTreeMap<Labels, Vec<TimedChunk>>;

fn chunks_of(made: &Made) -> Chunks {
    let mut set = made.open().select(&[], TimeRange::ALL).unwrap();
    std::iter::from_fn(|| set.next().unwrap()).map(|series| (series.labels, series.chunks)).collect()
}

/// The series that have chunks of several kinds.
fn many_kinds(inputs: &[Made]) -> BTreeSet<Labels> {
    let mut kinds: BTreeMap<Labels, BTreeSet<u8>> = BTreeMap::new();
    for (labels, chunks) in inputs.iter().flat_map(chunks_of) {
        kinds.entry(labels).or_default().extend(chunks.iter().map(|timed| timed.chunk.encoding.byte()));
    }
    kinds.retain(|_, kinds| kinds.len() > 1);
    kinds.into_keys().collect()
}

fn samples_of(chunks: &[TimedChunk]) -> Vec<Sample> {
    let of = |timed: &TimedChunk| decode_chunks(std::slice::from_ref(timed), TimeRange::ALL).unwrap();
    chunks.iter().flat_map(of).collect()
}

/// A block in which Thanos has lost samples of the series in `lossy`.
fn same_but_for(made: &Made, wanted: &Made, lossy: &BTreeSet<Labels>, dir: &Path) {
    let (found, golden) = (chunks_of(made), chunks_of(wanted));
    assert_eq!(found.keys().collect::<Vec<_>>(), golden.keys().collect::<Vec<_>>());
    for (labels, chunks) in &golden {
        if !lossy.contains(labels) {
            assert!(found[labels] == *chunks, "{labels:?} of {}", dir.display());
            continue;
        }
        let found = samples_of(&found[labels]);
        for sample in samples_of(chunks) {
            // The layout of a histogram depends on its neighbours.
            let same = |other: &&Sample| match (&other.value, &sample.value) {
                (Value::Float(a), Value::Float(b)) => other.t == sample.t && a.to_bits() == b.to_bits(),
                (Value::Histogram(a), Value::Histogram(b)) => {
                    other.t == sample.t && a.sum.to_bits() == b.sum.to_bits()
                }
                _ => false,
            };
            assert!(found.iter().find(same).is_some(), "{labels:?} at {} of {}", sample.t, dir.display());
        }
    }
}

/// All that must be the same: no name, no time of upload.
fn comparable(meta: &BlockMeta, lossy: bool) -> String {
    let mut meta = meta.clone();
    meta.id = BlockId::NONE;
    if let Some(thanos) = &mut meta.thanos {
        thanos.upload_time = UploadTime::default();
    }
    if let (true, Some(thanos)) = (lossy, &mut meta.thanos) {
        meta.stats = BlockStats { num_series: meta.stats.num_series, ..BlockStats::default() };
        thanos.index_stats = IndexStats::default();
        thanos.files.iter_mut().for_each(|file| (file.size_bytes, file.hash) = (0, None));
    }
    String::from_utf8(meta.to_bytes()).unwrap()
}

async fn one(dir: &Path) {
    let case: Case = serde_json::from_slice(&fs::read(dir.join("case.json")).unwrap()).unwrap();
    let (inputs, expected) = (blocks_below(&dir.join(&case.in_dir)), blocks_below(dir));
    assert_eq!((inputs.len(), expected.len()), (case.inputs.len(), case.outputs.len()), "{}", dir.display());
    let uploaded = |made: &Made| made.meta.thanos.as_ref().and_then(|thanos| thanos.upload_time.unix_ms());
    let latest = inputs.iter().map(|made| made.meta.max_time.max(uploaded(made).unwrap_or_default())).max();
    let now_ms = latest.unwrap() + 3_600_000;
    let store = SimStore::new(now_ms);
    let bucket = bucket(&store);
    for made in &inputs {
        made.put(&bucket).await;
    }
    let hashes = |made: &Made| {
        made.meta.thanos.as_ref().is_some_and(|thanos| thanos.files.iter().any(|file| file.hash.is_some()))
    };
    let scratch = tempfile::tempdir().unwrap();
    let options = Options {
        ranges: case.ranges.clone(),
        replica_labels: case.replica_labels.clone(),
        penalty: case.merge == "penalty",
        hashes: expected.iter().any(hashes),
        ..Options::default()
    };
    let mut compactor =
        Compactor::new(bucket.clone(), scratch.path(), options, Arc::new(Unobserved)).unwrap();
    let report = compactor.round(now_ms).await.unwrap();
    assert!(report.set_aside.is_empty() && report.failed.is_empty(), "{}: {report:?}", dir.display());

    let view = View::fetch(&bucket).await.unwrap();
    let before: Vec<BlockId> = inputs.iter().map(Made::id).collect();
    let mut fresh = Vec::new();
    for meta in view.blocks.values().filter(|meta| !before.contains(&meta.id)) {
        fresh.push(fetch(&bucket, meta).await);
    }
    let sources = |made: &Made| made.meta.compaction.sources.clone();
    fresh.sort_by_key(sources);
    let mut expected = expected;
    expected.sort_by_key(sources);
    assert_eq!(fresh.len(), expected.len(), "{}", dir.display());
    let lossy = if case.merge == "penalty" { many_kinds(&inputs) } else { BTreeSet::new() };
    for (made, wanted) in fresh.iter().zip(&expected) {
        let is_lossy = !lossy.is_empty();
        assert_eq!(comparable(&made.meta, is_lossy), comparable(&wanted.meta, is_lossy), "{}", dir.display());
        if is_lossy {
            same_but_for(made, wanted, &lossy, dir);
            continue;
        }
        assert_eq!(made.files.keys().collect::<Vec<_>>(), wanted.files.keys().collect::<Vec<_>>());
        for (path, bytes) in &made.files {
            assert!(*bytes == wanted.files[path], "{path} of {}", dir.display());
        }
    }
    let marked: BTreeMap<BlockId, String> = view
        .marks
        .values()
        .flatten()
        .filter(|mark| mark.kind == MarkKind::Deletion)
        .map(|mark| (mark.id, mark.details.clone()))
        .collect();
    let wanted: BTreeMap<BlockId, String> =
        case.marked_for_deletion.iter().map(|mark| (mark.id.id(), mark.details.clone())).collect();
    assert_eq!(marked, wanted, "{}", dir.display());
    assert!(fs::read_dir(scratch.path()).unwrap().next().is_none(), "scratch files stay");
}

#[tokio::test]
async fn rounds_make_the_blocks_of_thanos() {
    for dir in cases() {
        one(&dir).await;
    }
}
