//! Merging and decoding against plain maps.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::chunk::{Chunk, XorAppender};
use crate::sample::Value;
use crate::time::TimeRange;

/// A set of series held in memory.
#[derive(Debug, Clone, Default)]
struct Memory(Vec<ChunkSeries>);

impl ChunkSet for Memory {
    fn next(&mut self) -> Result<Option<ChunkSeries>, Error> {
        Ok(if self.0.is_empty() { None } else { Some(self.0.remove(0)) })
    }
}

fn chunk(samples: &[(i64, f64)]) -> TimedChunk {
    let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
    for &(t, v) in samples {
        appender.append(&mut bytes, t, v);
    }
    let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0);
    TimedChunk { range, chunk: Chunk::xor(appender.finish(&bytes)) }
}

fn labels(name: u8) -> Labels {
    Labels::from_pairs([("name", [b'a' + name])]).unwrap()
}

/// A run of rising samples per chunk, chunks in the order of a series.
type Runs = Vec<Vec<(i64, f64)>>;

fn runs() -> impl Strategy<Value = Runs> {
    let run =
        (0..60i64, proptest::collection::btree_map(0..20i64, 0..3u8, 1..9)).prop_map(|(start, samples)| {
            samples.into_iter().map(|(t, v)| (start + t, f64::from(v))).collect::<Vec<_>>()
        });
    proptest::collection::vec(run, 0..4).prop_map(|mut runs| {
        runs.sort_by_key(|run| (run[0].0, run[run.len() - 1].0));
        runs
    })
}

fn inputs() -> impl Strategy<Value = Vec<BTreeMap<u8, Runs>>> {
    proptest::collection::vec(proptest::collection::btree_map(0..5u8, runs(), 0..5), 0..5)
}

fn sets(inputs: &[BTreeMap<u8, Runs>]) -> Vec<Memory> {
    let series = |(&name, runs): (&u8, &Runs)| ChunkSeries {
        labels: labels(name),
        chunks: runs.iter().map(|run| chunk(run)).collect(),
    };
    inputs.iter().map(|input| Memory(input.iter().map(series).collect())).collect()
}

fn all_chunks(mut set: impl ChunkSet) -> Vec<ChunkSeries> {
    std::iter::from_fn(|| set.next().unwrap()).collect()
}

fn all_samples(mut set: impl SampleSet) -> Vec<SampleSeries> {
    std::iter::from_fn(|| set.next().unwrap()).collect()
}

/// The chunks of each series as a merge should give them.
fn expected_chunks(inputs: &[BTreeMap<u8, Runs>]) -> BTreeMap<Labels, Vec<TimedChunk>> {
    let mut expected: BTreeMap<Labels, Vec<TimedChunk>> = BTreeMap::new();
    for input in inputs {
        for (&name, runs) in input {
            expected.entry(labels(name)).or_default().extend(runs.iter().map(|run| chunk(run)));
        }
    }
    for (labels, chunks) in &mut expected {
        chunks.sort_by_key(|chunk| (chunk.range.min, chunk.range.max));
        let holders = inputs.iter().filter(|input| input.keys().any(|&name| self::labels(name) == *labels));
        if holders.count() > 1 {
            let all = std::mem::take(chunks);
            for chunk in all {
                if !chunks.contains(&chunk) {
                    chunks.push(chunk);
                }
            }
        }
    }
    expected
}

proptest! {
    #[test]
    fn merge_gives_every_series_once_with_all_chunks(inputs in inputs()) {
        let merged = all_chunks(Merge::new(sets(&inputs)));
        prop_assert!(merged.windows(2).all(|pair| pair[0].labels < pair[1].labels));
        let merged: BTreeMap<_, _> = merged.into_iter().map(|series| (series.labels, series.chunks)).collect();
        let mut expected = expected_chunks(&inputs);
        for (labels, chunks) in &mut expected {
            // One input alone is passed on as it is.
            if !merged.contains_key(labels) {
                chunks.clear();
            }
        }
        prop_assert_eq!(merged, expected);
    }

    #[test]
    fn decode_gives_every_time_once(inputs in inputs(), from in 0..80i64, len in 0..80i64) {
        let range = TimeRange::new(from, from + len);
        // All values that the chunks hold for a time.
        let mut expected: BTreeMap<Labels, BTreeMap<i64, Vec<f64>>> = BTreeMap::new();
        for (labels, chunks) in expected_chunks(&inputs) {
            let mut samples: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
            for timed in chunks {
                let mut iter = timed.chunk.samples().unwrap();
                while let Some(Sample { t, value: Value::Float(v), .. }) = crate::SampleIter::next(&mut iter).unwrap() {
                    if range.contains(t) {
                        samples.entry(t).or_default().push(v);
                    }
                }
            }
            if !samples.is_empty() {
                expected.insert(labels, samples);
            }
        }
        let decoded = all_samples(Decode::new(Merge::new(sets(&inputs)), range));
        prop_assert_eq!(decoded.len(), expected.len());
        for (found, (labels, candidates)) in decoded.iter().zip(expected) {
            prop_assert_eq!(&found.labels, &labels);
            prop_assert_eq!(found.samples.len(), candidates.len());
            for (Sample { t, value, .. }, (expected_t, candidates)) in found.samples.iter().zip(candidates) {
                let Value::Float(v) = value else { panic!("not a float") };
                prop_assert_eq!(*t, expected_t);
                prop_assert!(candidates.contains(v));
            }
        }
        // The range does not change which of two values counts.
        let mut whole = all_samples(Decode::new(Merge::new(sets(&inputs)), TimeRange::ALL));
        whole.iter_mut().for_each(|series| series.samples.retain(|sample| range.contains(sample.t)));
        whole.retain(|series| !series.samples.is_empty());
        prop_assert_eq!(decoded, whole);
    }
}

/// What Prometheus' iterator gives, followed by hand: it begins with the second chunk, and at an equal time turns to the
/// other. Behind an equal time the loser is moved on first, so that the winner is met as the other again.
#[test]
fn at_an_equal_time_the_waiting_chunk_counts() {
    let a = chunk(&[(0, 1.0), (10, 1.0), (20, 1.0), (30, 1.0)]);
    let b = chunk(&[(10, 2.0), (15, 2.0), (20, 2.0), (30, 2.0), (40, 2.0)]);
    let c = chunk(&[(50, 3.0)]);
    let samples = decode_chunks(&[a, b, c], TimeRange::ALL).unwrap();
    let expected = [(0, 1.0), (10, 2.0), (15, 2.0), (20, 1.0), (30, 1.0), (40, 2.0), (50, 3.0)];
    assert_eq!(samples, expected.map(|(t, v)| Sample::float(t, v)));
}

/// Ranges that lie about their chunks cannot break the promise of rising times.
#[test]
fn a_range_that_lies_gives_rising_times_all_the_same() {
    let mut a = chunk(&[(0, 1.0), (30, 1.0)]);
    a.range.max = 5;
    let b = chunk(&[(10, 2.0), (30, 2.0)]);
    let samples = decode_chunks(&[a, b], TimeRange::ALL).unwrap();
    assert_eq!(samples, [(0, 1.0), (10, 2.0), (30, 1.0)].map(|(t, v)| Sample::float(t, v)));
}

#[test]
fn a_chunk_outside_the_range_is_not_read() {
    let broken = TimedChunk { range: TimeRange::new(0, 9), chunk: Chunk::xor(&b""[..]) };
    let sound = chunk(&[(10, 1.0)]);
    let chunks = [broken, sound];
    assert_eq!(decode_chunks(&chunks, TimeRange::new(10, 20)).unwrap().len(), 1);
    assert!(decode_chunks(&chunks, TimeRange::new(9, 20)).is_err());
}

#[test]
fn a_promised_count_does_not_ask_for_memory() {
    let lie = TimedChunk { range: TimeRange::ALL, chunk: Chunk::xor(&[0xFF, 0xFF, 0, 0][..]) };
    assert!(decode_chunks(&[lie], TimeRange::ALL).is_err());
}

#[test]
fn an_input_out_of_order_is_refused_and_ends_the_merge() {
    let series = |name| ChunkSeries { labels: labels(name), chunks: vec![] };
    let mut merge = Merge::new([Memory(vec![series(1), series(0)]), Memory(vec![series(2)])]);
    assert!(merge.next().is_err());
    assert!(merge.next().unwrap().is_none());
}
