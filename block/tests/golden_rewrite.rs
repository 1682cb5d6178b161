//! Blocks rewritten are the blocks that Prometheus and Thanos make of them, to the last byte: compactions, replicas deduplicated, cleaned
//! tombstones. Where Thanos loses samples, all of them are there, and the rest is the same.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use golden::whole::{open, open_without_tombstones, opened_files, same_files};
use golden::{GoldenBlock, blocks_in, folder, text};
use sarsen_block::{
    Ancestry, Block, BlockId, BlockMeta, BlockWriterOptions, ChunkSet, Decode, Files, Labels, Merge, Overlap,
    RewriteOptions, Rewritten, Sample, SampleSet, TimeRange, TimedChunk, Value, decode_chunks, rewrite,
    verify,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    inputs: Vec<String>,
    in_dir: String,
    segment_size: u64,
    merge: String,
    how: String,
}

/// The blocks in `dir`.
fn blocks_of(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.join("index").exists()).collect();
    found.sort();
    found
}

/// The only block in `dir`.
fn only_block_in(dir: &Path) -> PathBuf {
    let mut found = blocks_of(dir);
    assert_eq!(found.len(), 1, "{}", dir.display());
    found.remove(0)
}

fn id_of(block: &Path) -> BlockId {
    block.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

fn is(rewritten: &Rewritten<Files>, expected: &Path) {
    same_files(&rewritten.written.sink, expected);
    let meta = fs::read(expected.join("meta.json")).unwrap();
    assert_eq!(String::from_utf8(rewritten.meta.to_bytes()).unwrap(), String::from_utf8(meta).unwrap());
    assert!(!rewritten.is_empty());
}

/// What blocks are made of what.
struct Compaction {
    inputs: Vec<PathBuf>,
    /// `None` if no sample was left.
    output: Option<PathBuf>,
    segment_size: u64,
    penalty: bool,
    /// The program that did it writes a meta of its own.
    by_thanos: bool,
}

/// Every compaction in a folder of `testdata/`.
fn compactions(dir: &Path, into: &mut Vec<Compaction>) {
    let (case, list) = (dir.join("case.json"), dir.join("inputs.json"));
    if case.exists() {
        return of_case(dir, &serde_json::from_str(&text(&case)).unwrap(), into);
    }
    if list.exists() {
        let names: Vec<String> = serde_json::from_str(&text(&list)).unwrap();
        let inputs = names.iter().map(|name| dir.join("in").join(name)).collect();
        let output = Some(only_block_in(dir));
        return into.push(Compaction { inputs, output, segment_size: 0, penalty: false, by_thanos: false });
    }
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            compactions(&path, into);
        }
    }
}

fn of_case(dir: &Path, case: &Case, into: &mut Vec<Compaction>) {
    let penalty = match case.merge.as_str() {
        "penalty" => true,
        "chain" => false,
        other => panic!("{}: {other}", dir.display()),
    };
    let by_thanos = case.how.contains("Thanos");
    let one = |inputs: Vec<PathBuf>, output| Compaction {
        inputs,
        output,
        segment_size: case.segment_size,
        penalty,
        by_thanos,
    };
    let input = |name: String| dir.join(&case.in_dir).join(name);
    let outputs = blocks_of(dir);
    if !by_thanos {
        let inputs = case.inputs.iter().cloned().map(input).collect();
        assert!(outputs.len() < 2);
        return into.push(one(inputs, outputs.into_iter().next()));
    }
    for output in outputs {
        // It was given more blocks than it chose to compact; the parents say which.
        let meta = BlockMeta::parse(&fs::read(output.join("meta.json")).unwrap()).unwrap();
        let inputs = meta.compaction.parents.iter().map(|parent| input(parent.id.to_string())).collect();
        into.push(one(inputs, Some(output)));
    }
}

/// A block without its tombstones file, as it lies in a bucket, has none.
fn opened_input(dir: &Path) -> Block {
    let block = GoldenBlock { dir: dir.to_owned(), dump: None };
    if dir.join("tombstones").exists() { open(&block) } else { open_without_tombstones(&block) }
}

/// Of a sample: time, whether it is a float, and the bits of the value or of the sum. The buckets of a histogram are laid out
/// anew by a compaction.
type Told = (i64, bool, u64);

fn values_of(set: impl ChunkSet) -> Vec<(Labels, Vec<Told>)> {
    let told = |sample: &Sample| match &sample.value {
        Value::Float(value) => (sample.t, true, value.to_bits()),
        Value::Histogram(histogram) => (sample.t, false, histogram.sum.to_bits()),
    };
    let mut set = Decode::new(set, TimeRange::ALL);
    let mut all = Vec::new();
    while let Some(series) = set.next().unwrap() {
        all.push((series.labels, series.samples.iter().map(told).collect()));
    }
    all
}

/// Whether the inputs have chunks of several kinds of one series: Thanos' deduplication loses samples there.
fn has_many_kinds(inputs: &[Block], labels: &Labels) -> bool {
    let chunks = inputs.iter().flat_map(|block| series_of(block).remove(labels).unwrap_or_default());
    let mut kinds: Vec<_> = chunks.map(|timed| timed.chunk.encoding.byte()).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds.len() > 1
}

fn series_of(block: &Block) -> BTreeMap<Labels, Vec<TimedChunk>> {
    let mut set = block.select(&[], TimeRange::ALL).unwrap();
    std::iter::from_fn(|| set.next().unwrap()).map(|series| (series.labels, series.chunks)).collect()
}

/// Times and kinds of samples.
fn samples_of(chunks: &[TimedChunk]) -> Vec<(u8, Sample)> {
    let of = |timed: &TimedChunk| {
        let samples = decode_chunks(std::slice::from_ref(timed), TimeRange::ALL).unwrap();
        samples.into_iter().map(|sample| (timed.chunk.encoding.byte(), sample)).collect::<Vec<_>>()
    };
    chunks.iter().flat_map(of).collect()
}

/// All samples of `golden` are in `found`; and near each sample of the inputs there is one of its kind, as deduplication leaves it.
fn nothing_is_lost(found: &[TimedChunk], golden: &[TimedChunk], inputs: &[Block], labels: &Labels) {
    let found = samples_of(found);
    let bits = |sample: &Sample| match &sample.value {
        Value::Float(value) => value.to_bits(),
        Value::Histogram(histogram) => histogram.sum.to_bits(),
    };
    for (kind, sample) in samples_of(golden) {
        let same = |(k, s): &&(u8, Sample)| (*k, s.t, bits(s)) == (kind, sample.t, bits(&sample));
        assert!(found.iter().find(same).is_some(), "{labels:?} at {}", sample.t);
    }
    for timed in inputs.iter().flat_map(|block| series_of(block).remove(labels).unwrap_or_default()) {
        let samples = samples_of(std::slice::from_ref(&timed));
        let step = samples.windows(2).map(|pair| pair[1].1.t - pair[0].1.t).max().unwrap_or(0).max(5000);
        for (kind, sample) in samples {
            let near = |(k, s): &(u8, Sample)| *k == kind && (s.t - sample.t).abs() <= 3 * step;
            assert!(found.iter().any(near), "{labels:?} has nothing near {}", sample.t);
        }
    }
}

/// The block that Thanos made with penalty deduplication, but for the samples that it lost.
fn is_deduplicated(rewritten: &Rewritten<Files>, expected: &Path, inputs: &[Block]) {
    let found = opened_files(&rewritten.written.sink, rewritten.meta.clone());
    assert!(verify(&found).is_sound());
    let (found, golden) = (series_of(&found), series_of(&opened_input(expected)));
    assert_eq!(found.keys().collect::<Vec<_>>(), golden.keys().collect::<Vec<_>>());
    let mut lost = 0;
    for (labels, chunks) in &golden {
        if has_many_kinds(inputs, labels) {
            nothing_is_lost(&found[labels], chunks, inputs, labels);
            lost += 1;
        } else {
            assert!(found[labels] == *chunks, "{}: {labels:?}", expected.display());
        }
    }
    if lost == 0 {
        same_files(&rewritten.written.sink, expected);
    }
    let meta = BlockMeta::parse(&fs::read(expected.join("meta.json")).unwrap()).unwrap();
    assert_eq!(rewritten.meta.compaction, meta.compaction);
    assert_eq!(rewritten.meta.stats.num_series, meta.stats.num_series);
}

fn is_aggregated(inputs: &[Block]) -> bool {
    let resolution = |block: &Block| block.meta().thanos.as_ref().map_or(0, |thanos| thanos.resolution);
    inputs.iter().any(|block| resolution(block) > 0)
}

/// And a query before the compaction sees what one behind it sees.
#[test]
fn blocks_compacted_are_the_block_of_prometheus_or_thanos() {
    let mut all = Vec::new();
    compactions(&folder("blocks"), &mut all);
    compactions(&folder("compactions"), &mut all);
    let (mut chained, mut deduplicated) = (0, 0);
    for Compaction { inputs, output, segment_size, penalty, by_thanos } in all {
        let dir = output.clone().unwrap_or_default();
        let inputs: Vec<_> = inputs.iter().map(|dir| opened_input(dir)).collect();
        if penalty && is_aggregated(&inputs) {
            // Thanos never plans this, and what it would make of it has holes. `downsample` has the test.
            continue;
        }
        let id = output.as_deref().map_or(BlockId::NONE, id_of);
        let mut options = RewriteOptions::new(id, Ancestry::Compacted);
        if segment_size != 0 {
            options.writer = BlockWriterOptions { segment_size };
        }
        if penalty {
            options.overlap = Overlap::Penalty;
        }
        let rewritten = rewrite(&inputs, Files::default(), options).unwrap();
        let Some(expected) = output else {
            let left = inputs.iter().any(|block| !series_of(block).is_empty());
            assert!(!left && rewritten.is_empty() && rewritten.written.segments == 0);
            continue;
        };
        if penalty {
            is_deduplicated(&rewritten, &expected, &inputs);
            deduplicated += 1;
            continue;
        }
        chained += 1;
        if by_thanos {
            same_files(&rewritten.written.sink, &expected);
            let meta = BlockMeta::parse(&fs::read(expected.join("meta.json")).unwrap()).unwrap();
            assert_eq!((&rewritten.meta.compaction, rewritten.meta.stats), (&meta.compaction, meta.stats));
            assert_eq!((rewritten.meta.min_time, rewritten.meta.max_time), (meta.min_time, meta.max_time));
            assert_eq!(Some(rewritten.written.index_stats), meta.thanos.map(|thanos| thanos.index_stats));
        } else {
            is(&rewritten, &expected);
        }
        if is_aggregated(&inputs) {
            continue;
        }
        let sets: Vec<_> = inputs.iter().map(|block| block.select(&[], TimeRange::ALL).unwrap()).collect();
        let after = opened_input(&expected).select(&[], TimeRange::ALL).unwrap();
        let (before, after) = (values_of(Merge::new(sets)), values_of(after));
        assert_eq!(before.len(), after.len());
        for (before, after) in before.iter().zip(&after) {
            assert!(before == after, "{}: {:?}", dir.display(), after.0);
        }
    }
    assert!(chained > 0 && deduplicated > 0);
}

/// Two replicas in the other order are the other block, where one of two values has to be taken.
#[test]
fn the_order_of_replicas_decides() {
    let mut all = Vec::new();
    compactions(&folder("compactions"), &mut all);
    let mut seen = 0;
    for Compaction { inputs, penalty, .. } in all {
        let mut inputs: Vec<_> = inputs.iter().map(|dir| opened_input(dir)).collect();
        if !penalty || inputs.len() != 2 || is_aggregated(&inputs) {
            continue;
        }
        let made = |inputs: &[Block]| {
            let mut options = RewriteOptions::new(BlockId::NONE, Ancestry::Compacted);
            options.overlap = Overlap::Penalty;
            rewrite(inputs, Files::default(), options).unwrap().written.sink.0
        };
        let one = made(&inputs);
        inputs.reverse();
        seen += usize::from(one != made(&inputs));
    }
    assert!(seen > 0);
}

#[test]
fn a_block_with_tombstones_rewritten_is_the_cleaned_block_of_prometheus() {
    let mut cleaned = 0;
    for block in blocks_in("blocks") {
        let opened = open(&block);
        if opened.tombstones().is_empty() {
            continue;
        }
        let expected = only_block_in(&block.dir.parent().unwrap().with_file_name("cleaned"));
        let options = RewriteOptions::new(id_of(&expected), Ancestry::Cleaned);
        is(&rewrite(&[opened], Files::default(), options).unwrap(), &expected);
        cleaned += 1;
    }
    assert!(cleaned > 0);
}
