//! Blocks of any samples rewritten as one, against a plain map.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use sarsen_block::{
    Ancestry, Block, BlockId, BlockMeta, BlockWriter, BlockWriterOptions, ChunkSet, Decode, EncodeOptions,
    Encoding, Files, Labels, RewriteOptions, Sample, SampleSet, TimeRange, Tombstones, Value, encode_chunks,
    rewrite, verify,
};

const OPTIONS: RewriteOptions<'_> = RewriteOptions::new(BlockId::from_parts(9, 9), Ancestry::Compacted);

/// Per series: time to start and value.
type Model = BTreeMap<u8, BTreeMap<i64, (i64, u64)>>;

fn labels(name: u8) -> Labels {
    Labels::from_pairs([("__name__", vec![b'a' + name]), ("odd", vec![b'0' + name % 2])]).unwrap()
}

/// A model, and deletes by series.
type Given = (Model, Vec<(u8, i64, i64)>);

fn given() -> impl Strategy<Value = Given> {
    let starts = prop_oneof![3 => Just(0i64), 1 => 1..5i64];
    let samples = proptest::collection::btree_map(0..400i64, (starts, 0..3u64), 1..200);
    let moved = (0..300i64, samples).prop_map(|(by, samples)| {
        samples.into_iter().map(|(t, (start, v))| (t + by, (start, f64::to_bits(v as f64)))).collect()
    });
    let deletes = proptest::collection::vec((0..5u8, 0..700i64, 0..200i64), 0..3);
    (proptest::collection::btree_map(0..5u8, moved, 1..4), deletes)
}

fn opened(files: &Files, meta: BlockMeta, tombstones: Tombstones) -> Block {
    files.open(meta, tombstones).unwrap()
}

/// A block of `model` with `deletes`, and what of the model is left.
fn block(number: u64, (model, deletes): &Given, xor2: bool) -> (Block, Model) {
    let mut symbols: Vec<Vec<u8>> = vec![b"__name__".to_vec(), b"odd".to_vec()];
    symbols.extend(model.keys().flat_map(|&name| [vec![b'a' + name], vec![b'0' + name % 2]]));
    symbols.sort();
    symbols.dedup();
    let mut writer = BlockWriter::new(Files::default(), BlockWriterOptions::default(), symbols).unwrap();
    for (&name, samples) in model {
        let samples: Vec<_> = samples
            .iter()
            .map(|(&t, &(start, v))| Sample { t, start, value: Value::Float(f64::from_bits(v)) })
            .collect();
        writer
            .add(
                labels(name).as_ref(),
                &encode_chunks(&samples, EncodeOptions { xor2, ..EncodeOptions::default() }).unwrap(),
            )
            .unwrap();
    }
    let written = writer.finish().unwrap();
    let meta = BlockMeta::fresh(BlockId::from_parts(number, 0), written.range.unwrap(), written.stats);
    let numbers = opened(&written.sink, meta.clone(), Tombstones::default()).postings(&[]).unwrap();
    let (mut stones, mut left) = (Tombstones::default(), model.clone());
    for &(name, min, len) in deletes {
        let Some(at) = model.keys().position(|&other| other == name) else { continue };
        stones.add(numbers[at], TimeRange::new(min, min + len));
        left.get_mut(&name).unwrap().retain(|&t, _| t < min || t > min + len);
    }
    (opened(&written.sink, meta, stones), left)
}

fn samples_of(block: &Block) -> BTreeMap<Labels, Vec<Sample>> {
    let mut all = BTreeMap::new();
    let mut set = Decode::new(block.select(&[], TimeRange::ALL).unwrap(), TimeRange::ALL);
    while let Some(series) = set.next().unwrap() {
        all.insert(series.labels, series.samples);
    }
    all
}

proptest! {
    #[test]
    fn every_time_that_is_left_is_there_once(
        inputs in proptest::collection::vec((given(), any::<bool>()), 1..4),
        plain in any::<bool>(),
    ) {
        let (blocks, models): (Vec<_>, Vec<_>) =
            (1..).zip(&inputs).map(|(number, (given, xor2))| block(number, given, *xor2)).unzip();
        let mut expected: BTreeMap<Labels, BTreeMap<i64, Vec<(i64, u64)>>> = BTreeMap::new();
        for (name, samples) in models.iter().flatten() {
            for (&t, &value) in samples {
                expected.entry(labels(*name)).or_default().entry(t).or_default().push(value);
            }
        }
        let mut options = OPTIONS;
        options.plain = plain;
        let rewritten = rewrite(&blocks, Files::default(), options).unwrap();
        prop_assert_eq!(rewritten.is_empty(), expected.is_empty());
        let again = opened(&rewritten.written.sink, rewritten.meta.clone(), Tombstones::default());
        let report = verify(&again);
        prop_assert!(report.is_sound(), "{:?}", report.faults);
        prop_assert_eq!(report.stats, rewritten.meta.stats);

        let found = samples_of(&again);
        prop_assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
        for (labels, samples) in &found {
            let candidates = &expected[labels];
            let times: Vec<_> = samples.iter().map(|sample| sample.t).collect();
            prop_assert_eq!(times, candidates.keys().copied().collect::<Vec<_>>());
            for sample in samples {
                let Value::Float(v) = sample.value else { panic!("not a float") };
                let fits = |&(start, bits): &(i64, u64)| {
                    bits == v.to_bits() && sample.start == if plain { 0 } else { start }
                };
                prop_assert!(candidates[&sample.t].iter().any(fits));
            }
        }
        let mut set = again.select(&[], TimeRange::ALL).unwrap();
        while let Some(series) = set.next().unwrap() {
            prop_assert!(!plain || series.chunks.iter().all(|timed| timed.chunk.encoding == Encoding::Xor));
        }
    }

    /// What a query sees of one block before and after its rewrite is the same, and once more changes nothing.
    #[test]
    fn cleaning_once_is_enough(given in given(), xor2 in any::<bool>()) {
        let (marked, _) = block(1, &given, xor2);
        let options = RewriteOptions::new(BlockId::from_parts(2, 0), Ancestry::Cleaned);
        let once = rewrite(std::slice::from_ref(&marked), Files::default(), options).unwrap();
        let cleaned = opened(&once.written.sink, once.meta.clone(), Tombstones::default());
        prop_assert_eq!(samples_of(&cleaned), samples_of(&marked));
        let (now, before) = (once.meta.compaction, &marked.meta().compaction);
        prop_assert_eq!((now.level, now.sources), (before.level, vec![options.id]));
        prop_assert_eq!(now.parents[0].id, marked.meta().id);
        let twice = rewrite(&[cleaned], Files::default(), options).unwrap();
        prop_assert_eq!(twice.written.sink.0, once.written.sink.0);
    }
}

#[test]
fn hints_stay_where_they_stay_true() {
    let hinted = |number, hints: &[&str]| {
        let given = (Model::from([(0, BTreeMap::from([(number as i64, (0, 0))]))]), Vec::new());
        let (block, _) = block(number, &given, false);
        let mut meta = block.meta().clone();
        meta.compaction.hints = hints.iter().map(|&hint| hint.to_owned()).collect();
        let segments = block.segments().to_vec();
        let index = Bytes::from(
            rewrite(&[block], Files::default(), OPTIONS).unwrap().written.sink.0.remove("index").unwrap(),
        );
        Block::open(Arc::new(index), segments, meta, Tombstones::default()).unwrap()
    };
    let of = |blocks: &[Block]| rewrite(blocks, Files::default(), OPTIONS).unwrap().meta.compaction.hints;
    let late = |number| hinted(number, &["from-out-of-order", "seen by me"]);
    assert_eq!(of(&[late(1), late(2)]), ["from-out-of-order"]);
    assert!(of(&[late(1), hinted(2, &[])]).is_empty());
    assert_eq!(
        of(&[hinted(1, &["from-stale-series"]), hinted(2, &["from-stale-series"])]),
        ["from-stale-series"]
    );
    assert!(rewrite(&[], Files::default(), OPTIONS).is_err());
}
