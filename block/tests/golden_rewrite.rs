//! Blocks rewritten are the blocks that Prometheus makes of them, to the last byte: compactions and cleaned tombstones.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::fs;
use std::path::{Path, PathBuf};

use golden::whole::{Files, open, same_files};
use golden::{GoldenBlock, blocks_in, folder, text};
use sarsen_block::{
    Ancestry, Block, BlockId, BlockWriterOptions, ChunkSet, Decode, Labels, Merge, RewriteOptions, Rewritten,
    Sample, SampleSet, TimeRange, Value, rewrite,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    inputs: Vec<String>,
    segment_size: u64,
    merge: String,
}

fn opened(dir: PathBuf) -> Block {
    open(&GoldenBlock { dir, dump: None })
}

/// The only block in `dir`.
fn only_block_in(dir: &Path) -> PathBuf {
    let mut found: Vec<_> =
        fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).filter(|p| p.join("index").exists()).collect();
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

/// Folders that hold inputs in `in/`.
fn compactions(dir: &Path, into: &mut Vec<PathBuf>) {
    if dir.join("in").is_dir() {
        return into.push(dir.to_owned());
    }
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            compactions(&path, into);
        }
    }
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

/// And a query before the compaction sees what one behind it sees.
#[test]
fn blocks_compacted_are_the_block_of_prometheus() {
    let mut dirs = Vec::new();
    compactions(&folder("blocks"), &mut dirs);
    compactions(&folder("compactions"), &mut dirs);
    assert!(dirs.len() > 1);
    for dir in dirs {
        let (inputs, size): (Vec<String>, u64) = if dir.join("case.json").exists() {
            let case: Case = serde_json::from_str(&text(&dir.join("case.json"))).unwrap();
            assert_eq!(case.merge, "chain");
            (case.inputs, case.segment_size)
        } else {
            (serde_json::from_str(&text(&dir.join("inputs.json"))).unwrap(), 0)
        };
        let inputs: Vec<_> = inputs.iter().map(|name| opened(dir.join("in").join(name))).collect();
        let all_deleted =
            inputs.iter().all(|block| block.select(&[], TimeRange::ALL).unwrap().next().unwrap().is_none());
        let expected = (!all_deleted).then(|| only_block_in(&dir));
        let id = expected.as_deref().map_or(BlockId::NONE, id_of);
        let mut options = RewriteOptions::new(id, Ancestry::Compacted);
        if size != 0 {
            options.writer = BlockWriterOptions { segment_size: size };
        }
        let rewritten = rewrite(&inputs, Files::default(), options).unwrap();
        match expected {
            Some(expected) => {
                is(&rewritten, &expected);
                let sets: Vec<_> =
                    inputs.iter().map(|block| block.select(&[], TimeRange::ALL).unwrap()).collect();
                let after = opened(expected.clone()).select(&[], TimeRange::ALL).unwrap();
                let (before, after) = (values_of(Merge::new(sets)), values_of(after));
                assert_eq!(before.len(), after.len());
                for (before, after) in before.iter().zip(&after) {
                    assert!(before == after, "{}: {:?}", dir.display(), after.0);
                }
            }
            None => assert!(rewritten.is_empty() && rewritten.written.segments == 0, "{}", dir.display()),
        }
    }
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
