//! Replicas of downsampled blocks compacted with penalty deduplication. Thanos loses windows there and mixes replicas within one; here every window
//! of every replica is there once, as one of them has it, and where they agree it is what Thanos has.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use golden::{folder, open, series};
use sarsen_block::{
    Ancestry, Block, BlockId, Files, Labels, Overlap, RewriteOptions, Sample, SampleIter, TimedChunk,
    Tombstones, Value, rewrite, verify_quick,
};
use sarsen_downsample::{AggrChunk, Aggregate, AggregateChunks, Resolution};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    inputs: Vec<String>,
    in_dir: String,
    merge: String,
}

const SIMPLE: [Aggregate; 4] = [Aggregate::Count, Aggregate::Sum, Aggregate::Min, Aggregate::Max];

/// Time of a window's sample, and the bits of its aggregates as far as they are there.
type Row = (i64, [Option<u64>; 4]);
type Windows = BTreeMap<i64, Vec<Row>>;

fn bits(sample: &Sample) -> u64 {
    match &sample.value {
        Value::Float(value) => value.to_bits(),
        Value::Histogram(histogram) => histogram.sum.to_bits(),
    }
}

fn windows(chunks: &[TimedChunk]) -> Windows {
    let mut all = Windows::new();
    for timed in chunks {
        let parts = AggrChunk::parse(&timed.chunk).unwrap();
        let mut rows: BTreeMap<i64, [Option<u64>; 4]> = BTreeMap::new();
        for (at, aggregate) in SIMPLE.into_iter().enumerate() {
            let Some(part) = parts.get(aggregate) else { continue };
            let mut samples = part.samples().unwrap();
            while let Some(sample) = samples.next().unwrap() {
                rows.entry(sample.t).or_default()[at] = Some(bits(&sample));
            }
        }
        for row in rows {
            all.entry(row.0.div_euclid(Resolution::FiveMinutes.ms())).or_default().push(row);
        }
    }
    all
}

fn by_labels(block: &Block) -> BTreeMap<Labels, Windows> {
    series(block).into_iter().map(|series| (series.labels, windows(&series.chunks))).collect()
}

/// Cases of replicas whose blocks hold aggregates.
fn cases() -> Vec<(PathBuf, Vec<Block>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder("compactions")).unwrap() {
        let dir = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(dir.join("case.json")) else { continue };
        let case: Case = serde_json::from_str(&text).unwrap();
        let inputs: Vec<_> =
            case.inputs.iter().map(|name| open(&dir.join(&case.in_dir).join(name))).collect();
        let resolution = |block: &Block| block.meta().thanos.as_ref().map_or(0, |thanos| thanos.resolution);
        let all = inputs.iter().all(|block| resolution(block) == Resolution::FiveMinutes.ms());
        if case.merge == "penalty" && all {
            found.push((dir, inputs));
        }
    }
    assert!(!found.is_empty());
    found
}

#[test]
fn no_window_of_a_replica_is_lost() {
    let mut compared = 0;
    for (dir, inputs) in cases() {
        let aggregates = AggregateChunks::of(Resolution::FiveMinutes);
        let mut options = RewriteOptions::new(BlockId::from_parts(1, 1), Ancestry::Compacted);
        options.overlap = Overlap::Penalty;
        options.aggregates = Some(&aggregates);
        let rewritten = rewrite(&inputs, Files::default(), options).unwrap();
        let block = rewritten.written.sink.open(rewritten.meta.clone(), Tombstones::default()).unwrap();
        let report = verify_quick(&block);
        assert!(report.is_sound(), "{:?}", report.faults);

        let outputs = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path());
        let golden = outputs.filter(|path| path.join("index").exists()).collect::<Vec<_>>();
        let [golden] = &golden[..] else { panic!("one output in {}", dir.display()) };
        let golden = by_labels(&open(golden));
        let replicas: Vec<_> = inputs.iter().map(by_labels).collect();
        let found = by_labels(&block);
        assert_eq!(found.keys().collect::<Vec<_>>(), golden.keys().collect::<Vec<_>>());
        for (labels, found) in &found {
            let holders: Vec<&Windows> = replicas.iter().filter_map(|replica| replica.get(labels)).collect();
            let mut expected: Vec<i64> = holders.iter().flat_map(|holder| holder.keys().copied()).collect();
            expected.sort_unstable();
            expected.dedup();
            assert_eq!(found.keys().copied().collect::<Vec<_>>(), expected, "{labels:?}");
            for (window, rows) in found {
                let told: Vec<_> = holders.iter().filter_map(|holder| holder.get(window)).collect();
                assert!(told.contains(&rows), "{labels:?} window {window}: {rows:?} of {told:?}");
                if told.iter().any(|other| other != &told[0]) {
                    continue;
                }
                for (t, values) in golden[labels].get(window).into_iter().flatten() {
                    let (_, own) = rows.iter().find(|(own, _)| own == t).unwrap();
                    for (golden, own) in values.iter().zip(own) {
                        assert!(golden.is_none() || golden == own, "{labels:?} at {t}");
                        compared += usize::from(golden.is_some());
                    }
                }
            }
        }
    }
    assert!(compared > 0);
}
