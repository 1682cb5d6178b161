//! Counters, averages and the container itself, against what the Go programs read from the same bytes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use golden::{Point, blocks_in, bytes, cases, folder, lines, series, value_of, xor};
use sarsen_block::{Chunk, Counts, Encoding, Error, Histogram, Sample, SampleIter, Value};
use sarsen_downsample::{AggrChunk, Aggregate, AverageIter, CounterIter};
use serde::Deserialize;

/// What an iterator gives, and the error it ends with.
fn all(mut iter: impl SampleIter) -> (Vec<Sample>, Option<Error>) {
    let mut samples = Vec::new();
    loop {
        match iter.next() {
            Ok(Some(sample)) => samples.push(sample),
            Ok(None) => return (samples, None),
            Err(error) => return (samples, Some(error)),
        }
    }
}

fn samples(points: Vec<Point>) -> Vec<Sample> {
    points.into_iter().map(|point| point.0).collect()
}

#[derive(Deserialize)]
struct Expanded {
    labels: Vec<(String, String)>,
    resolution: String,
    #[serde(default)]
    counter: Option<Vec<Point>>,
    #[serde(default)]
    counter_err: String,
    #[serde(default)]
    avg: Option<Vec<Point>>,
    #[serde(default)]
    avg_err: String,
}

#[test]
fn counters_and_averages_of_blocks() {
    let mut compared = 0;
    for case in cases() {
        let blocks = blocks_in(&case);
        for told in lines::<Expanded>(&case.join("expanded.jsonl")) {
            let ms = match told.resolution.as_str() {
                "raw" => 0,
                "5m" => 300_000,
                _ => 3_600_000,
            };
            // The block of the whole case: where several lie there, they are inputs of another resolution's.
            let block = blocks
                .iter()
                .filter(|block| block.resolution() == ms)
                .max_by_key(|block| block.meta().compaction.sources.len())
                .unwrap();
            let same = |series: &sarsen_block::ChunkSeries| {
                let own = series.labels.iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
                own.eq(told.labels.iter().map(|(n, v)| (n.clone().into_bytes(), v.clone().into_bytes())))
            };
            let found = series(&block.block).into_iter().find(same).unwrap();
            let parts: Vec<AggrChunk> = match ms {
                0 => Vec::new(),
                _ => found.chunks.iter().map(|timed| AggrChunk::parse(&timed.chunk).unwrap()).collect(),
            };
            if let Some(counter) = told.counter {
                let chunks: Vec<&Chunk> = match ms {
                    0 => found.chunks.iter().map(|timed| &timed.chunk).collect(),
                    _ => parts.iter().filter_map(|parts| parts.get(Aggregate::Counter)).collect(),
                };
                let (given, error) = all(CounterIter::new(chunks));
                assert_eq!(given, samples(counter), "{} {:?}", told.resolution, told.labels);
                assert_eq!(error.is_some(), !told.counter_err.is_empty());
                compared += 1;
            }
            if let Some(average) = told.avg {
                let (mut given, mut wrong, mut failed) = (Vec::new(), Vec::new(), false);
                for parts in &parts {
                    let (Some(counts), Some(sums)) = (parts.get(Aggregate::Count), parts.get(Aggregate::Sum))
                    else {
                        continue;
                    };
                    let (some, error) = all(AverageIter::new(counts, sums).unwrap());
                    wrong.extend(as_thanos(&some, counts, sums));
                    given.extend(some);
                    failed |= error.is_some();
                }
                let wanted = samples(average);
                assert_eq!(wrong, wanted, "{} {:?}", told.resolution, told.labels);
                assert_eq!(without_buckets(given), without_buckets(wanted), "{:?}", told.labels);
                assert_eq!(failed, !told.avg_err.is_empty(), "{:?}", told.labels);
                compared += 1;
            }
        }
    }
    assert!(compared > 0);
}

/// What Thanos makes of true averages. It divides the buckets of a sum where its reader keeps them to undo the xor of the next ones, so from
/// the second window of a chunk on each bucket is off by what the one before it lost by the division.
fn as_thanos(averages: &[Sample], counts: &Chunk, sums: &Chunk) -> Vec<Sample> {
    let (counts, sums) = (all(counts.samples().unwrap()).0, all(sums.samples().unwrap()).0);
    let mut off: Vec<u64> = Vec::new();
    let mut wrong = averages.to_vec();
    for ((sample, sum), count) in wrong.iter_mut().zip(&sums).zip(&counts) {
        let (Value::Histogram(average), Value::Histogram(sum)) = (&mut sample.value, &sum.value) else {
            continue;
        };
        let (kept, count) = (buckets(&mut sum.clone()), value_of(count));
        off.resize(kept.len(), 0);
        for ((bucket, true_sum), off) in buckets_mut(average).zip(kept).zip(&mut off) {
            *bucket = f64::from_bits(true_sum.to_bits() ^ *off) / count;
            *off = true_sum.to_bits() ^ bucket.to_bits();
        }
    }
    wrong
}

fn buckets_mut(histogram: &mut Histogram) -> impl Iterator<Item = &mut f64> {
    let Counts::Float { positive, negative, .. } = &mut histogram.counts else { panic!("float counts") };
    positive.iter_mut().chain(negative)
}

fn buckets(histogram: &mut Histogram) -> Vec<f64> {
    buckets_mut(histogram).map(|bucket| *bucket).collect()
}

fn without_buckets(mut samples: Vec<Sample>) -> Vec<Sample> {
    for sample in &mut samples {
        if let Value::Histogram(histogram) = &mut sample.value {
            buckets_mut(histogram).for_each(|bucket| *bucket = 0.0);
        }
    }
    samples
}

#[derive(Deserialize)]
struct HandMade {
    name: String,
    chunks: Vec<Vec<Point>>,
    err: String,
    result: Vec<Point>,
}

#[test]
fn counters_of_chunks_made_by_hand() {
    for case in lines::<HandMade>(&folder("downsample").join("counter_iterator.jsonl")) {
        let chunk = |points: &Vec<Point>| xor(points.iter().map(|point| (point.0.t, value_of(&point.0))));
        let chunks: Vec<Chunk> = case.chunks.iter().map(chunk).collect();
        let (given, error) = all(CounterIter::new(&chunks));
        assert_eq!(given, samples(case.result), "{}", case.name);
        assert_eq!(error.is_some(), !case.err.is_empty(), "{}", case.name);
    }
}

#[derive(Deserialize)]
struct Container {
    bytes_hex: String,
    num_samples: u16,
    sub: Vec<Sub>,
}

#[derive(Deserialize)]
struct Sub {
    aggr: String,
    len: usize,
    samples: Vec<Point>,
}

#[test]
fn containers_with_any_of_their_parts() {
    for case in lines::<Container>(&folder("downsample").join("aggr_chunk.jsonl")) {
        let chunk = Chunk { encoding: Encoding::Aggregate, data: bytes(&case.bytes_hex).into() };
        let parts = AggrChunk::parse(&chunk).unwrap();
        assert_eq!(parts.to_chunk(), chunk);
        assert_eq!(parts.num_windows().unwrap(), case.num_samples);
        assert_eq!(chunk.num_samples().unwrap(), case.num_samples);
        for sub in case.sub {
            let part = parts.get(Aggregate::of_name(&sub.aggr).unwrap());
            assert_eq!(part.map_or(0, |part| part.data.len()), sub.len, "{}", sub.aggr);
            let given = part.map(|part| all(part.samples().unwrap()).0).unwrap_or_default();
            assert_eq!(given, samples(sub.samples), "{}", sub.aggr);
        }
    }
}
