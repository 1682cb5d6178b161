//! What does a native histogram cost to append to a chunk and to read from one, cache warm, as scraped latencies give them?
//!
//! No budget names histograms. What is decided: whether finding the place of each bucket by plain spans, writing a chunk anew for every
//! new bucket, and building each histogram that is read may stay as simple as they are. They may: a number costs 5 to 15 ns
//! either way, and a series that grows all the time six times what a steady one does. Last answer (two cores of a 3.2 GHz Xeon
//! with four processes each, so no more than upper bounds; ns a sample, the best run of 200; bytes a sample):
//!
//! |         | few | many | float | growing |
//! |---------|-----|------|-------|---------|
//! | append  | 220 | 440  | 240   | 1300    |
//! | decode  | 230 | 560  | 310   | 310     |
//! | advance | 220 | 500  | 170   | 360     |
//! | bytes   | 14  | 41   | 64    | 17      |
//!
//! Kinds: `few` has ten buckets that are filled at random, `many` eighty, both with integer counts; `float` is `few` with float counts, as
//! recording rules give them; `growing` finds a new bucket every 20 samples, so that its chunks are written anew. Scrapes
//! are 15 s apart, chunks are cut as a head cuts them. `append` goes through `HistogramChunk::append`, `decode` through
//! `HistogramIter::next`, which builds each histogram, `advance` only finds its time. Run with
//! `cargo bench -p sarsen-block --bench histogram`; the inverse of the throughput is the time a sample takes.

#![expect(clippy::print_stdout, reason = "a bench that prints")]

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sarsen_block::{Appended, Chunk, Counts, Histogram, HistogramChunk, HistogramCut, HistogramIter, Span};

const SERIES: usize = 20;
const SAMPLES: usize = 240;
const KINDS: [&str; 4] = ["few", "many", "float", "growing"];

type Series = Vec<(i64, Histogram)>;

/// A small generator of numbers without a pattern (splitmix64), so that every run measures the same values.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let a = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let b = (a ^ a >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        b ^ b >> 31
    }
}

/// The histogram of these buckets, the empty ones left out.
fn histogram(buckets: &[u64], sum: f64, is_float: bool) -> Histogram {
    let (mut spans, mut positive, mut last, mut next): (Vec<Span>, _, _, _) = (Vec::new(), Vec::new(), 0, 0);
    for (number, &count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
        match spans.last_mut() {
            Some(span) if number == next => span.length += 1,
            _ => spans.push(Span { offset: (number - next) as i32, length: 1 }),
        }
        positive.push(count as i64 - last);
        (last, next) = (count as i64, number + 1);
    }
    let count = buckets.iter().sum();
    let counts = if is_float {
        let positive = buckets.iter().filter(|count| **count > 0).map(|&count| count as f64 / 15.0).collect();
        Counts::Float { count: count as f64 / 15.0, zero: 0.0, positive, negative: Vec::new() }
    } else {
        Counts::Integer { count, zero: 0, positive, negative: Vec::new() }
    };
    Histogram {
        schema: 3,
        zero_threshold: 2f64.powi(-128),
        sum,
        positive_spans: spans,
        counts,
        ..Histogram::default()
    }
}

fn series(kind: &str, random: &mut Random) -> Series {
    let mut buckets = vec![0u64; if kind == "many" { 80 } else { 10 }];
    buckets.iter_mut().for_each(|bucket| *bucket = 1 + random.next() % 1000);
    let mut sum = 0.0;
    (0..SAMPLES)
        .map(|i| {
            if kind == "growing" && i % 20 == 0 {
                buckets.extend([0, 1]);
            }
            for _ in 0..random.next() % 40 {
                // Most requests take about as long.
                let place = (random.next() % 8 + random.next() % 8) as usize * buckets.len() / 16;
                if let Some(bucket) = buckets.get_mut(place).filter(|bucket| **bucket > 0) {
                    *bucket += 1;
                    sum += 0.01 * place as f64;
                }
            }
            (1_700_000_000_000 + i as i64 * 15_000, histogram(&buckets, sum, kind == "float"))
        })
        .collect()
}

/// What a head makes of a series.
fn encode(series: &Series, mut finish: impl FnMut(HistogramChunk)) {
    let is_float = series.first().is_some_and(|(_, histogram)| histogram.is_float());
    let mut open = HistogramChunk::begin(false, is_float);
    let mut cut = HistogramCut::begin(0, 7_200_000);
    for (t, histogram) in series {
        let mut previous = None;
        if open.is_empty() || cut.is_due(*t, &open) {
            previous = Some(std::mem::replace(&mut open, HistogramChunk::begin(false, is_float)));
            cut = HistogramCut::begin(*t, 7_200_000);
        }
        let appended = open.append(previous.as_ref(), *t, 0, histogram);
        if let Some(full) = previous.filter(|chunk| !chunk.is_empty()) {
            finish(full);
        }
        if let Ok(Appended::NewChunk(next)) = appended {
            finish(std::mem::replace(&mut open, *next));
        }
    }
    finish(open);
}

fn read(chunk: &Chunk, times_only: bool) -> u64 {
    let mut sum = 0u64;
    let Ok(mut iter) = HistogramIter::new(&chunk.data, chunk.encoding) else { return 0 };
    if times_only {
        while let Ok(Some(t)) = iter.advance() {
            sum = sum.wrapping_add(t as u64);
        }
    } else {
        while let Ok(Some(sample)) = iter.next() {
            sum = sum.wrapping_add(black_box(&sample).t as u64);
        }
    }
    sum
}

fn histograms(c: &mut Criterion) {
    for what in ["append", "decode", "advance"] {
        let mut group = c.benchmark_group(what);
        group.throughput(Throughput::Elements((SERIES * SAMPLES) as u64));
        for kind in KINDS {
            let mut random = Random(7);
            let all: Vec<Series> = (0..SERIES).map(|_| series(kind, &mut random)).collect();
            let mut chunks = Vec::new();
            all.iter().for_each(|series| encode(series, |chunk| chunks.push(chunk.to_chunk())));
            if what == "append" {
                let bytes: usize = chunks.iter().map(|chunk| chunk.data.len()).sum();
                println!("{kind}: {} chunks, {} bytes a sample", chunks.len(), bytes / (SERIES * SAMPLES));
            }
            group.bench_function(BenchmarkId::from_parameter(kind), |b| match what {
                "append" => b.iter(|| {
                    let mut bytes = 0;
                    all.iter().for_each(|series| encode(black_box(series), |chunk| bytes += chunk.len()));
                    bytes
                }),
                _ => b.iter(|| {
                    let one = |chunk| read(black_box(chunk), what == "advance");
                    chunks.iter().map(one).fold(0, u64::wrapping_add)
                }),
            });
        }
        group.finish();
    }
}

criterion_group!(benches, histograms);
criterion_main!(benches);
