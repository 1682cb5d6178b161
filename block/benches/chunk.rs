//! What do a sample's append to and decode from a XOR chunk cost, cache warm, on values as exporters send them?
//!
//! Budgets: decode 3.5 ns and append 9 ns a sample on the mix, 5 ns a sample for decoding hard values (`random`).
//!
//! Last answer (two cores of a Xeon, shared with work for eight; ns a sample, the best of 100 samplings; append from an earlier day with
//! less work beside it):
//!
//! |        | counter | gauge | slow | random | constant | mix | few-late | late |
//! |--------|---------|-------|------|--------|----------|-----|----------|------|
//! | decode | 5.2     | 4.2   | 1.7  | 4.5    | 1.0      | 2.8 | 4.2      | 4.0  |
//! | append | 8.0     | 8.5   | 6.6  | 8.6    | 6.5      | 7.8 | 8.0      | 8.1  |
//!
//! The loop in a program of its own, the best of 3,000 short runs: 2.9 on the mix, 3.5 on `few-late`, 3.7 on `late`, so the last
//! one misses the budget by a little. What irregular times cost is one branch foreseen wrongly where a late scrape begins;
//! without that branch every sample would wait for the load of the one before, which costs more.
//!
//! Kinds: `counter` grows by a few hundred a step, `gauge` wanders with two decimals, `slow` is a counter that seldom moves,
//! `random` has values without any pattern, `constant` never changes; `mix` holds equal numbers of all five. Their scrapes
//! are exactly 15 s apart, as Prometheus stores targets that are scraped regularly. `few-late` is the mix with one scrape in ten
//! up to 20 ms late, `late` with every scrape: what is foreseen wrongly is then the time. Run with
//! `cargo bench -p sarsen-block --bench chunk`; the inverse of the throughput is the time a sample takes.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sarsen_block::{XorAppender, XorIter};

const SERIES: usize = 200;
const SAMPLES: usize = 120;
const KINDS: [&str; 5] = ["counter", "gauge", "slow", "random", "constant"];

type Series = Vec<(i64, f64)>;

/// A small generator of numbers without a pattern (splitmix64), so that every run measures the same values.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let a = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let b = (a ^ a >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        b ^ b >> 31
    }

    fn below(&mut self, limit: u64) -> f64 {
        (self.next() % limit) as f64
    }
}

/// A series of `kind`. One scrape in `late` is late; 0 for none.
fn series(kind: &str, late: u64, random: &mut Random) -> Series {
    let mut value = match kind {
        "gauge" => random.below(10_000) / 100.0,
        _ => random.below(1_000_000),
    };
    let mut samples = Vec::with_capacity(SAMPLES);
    for i in 0..SAMPLES {
        let delay = if late > 0 && random.next().is_multiple_of(late) { random.below(20) } else { 0.0 };
        let t = 1_700_000_000_000 + i as i64 * 15_000 + delay as i64;
        value = match kind {
            "counter" => value + random.below(400),
            "gauge" => ((value + (random.below(200) - 100.0) / 100.0) * 100.0).round() / 100.0,
            "slow" => value + if random.next().is_multiple_of(10) { 1.0 } else { 0.0 },
            "random" => f64::from_bits(random.next() >> 2),
            _ => value,
        };
        samples.push((t, value));
    }
    samples
}

fn all(kind: &str) -> Vec<Series> {
    let mut random = Random(7);
    let one = |i: usize| match (kind, KINDS[i % KINDS.len()]) {
        ("mix", each) => series(each, 0, &mut random),
        ("few-late", each) => series(each, 10, &mut random),
        ("late", each) => series(each, 1, &mut random),
        (kind, _) => series(kind, 0, &mut random),
    };
    (0..SERIES).map(one).collect()
}

fn encode(samples: &Series, bytes: &mut Vec<u8>) -> XorAppender {
    bytes.clear();
    let mut appender = XorAppender::new();
    for &(t, v) in samples {
        appender.append(bytes, t, v);
    }
    appender
}

fn decode(chunk: &[u8]) -> u64 {
    let mut sum = 0u64;
    if let Ok(mut iter) = XorIter::new(chunk) {
        while let Ok(Some((t, v))) = iter.next() {
            sum = sum.wrapping_add(t as u64 ^ v.to_bits());
        }
    }
    sum
}

fn chunk(c: &mut Criterion) {
    for (name, reads) in [("decode", true), ("append", false)] {
        let mut group = c.benchmark_group(name);
        group.throughput(Throughput::Elements((SERIES * SAMPLES) as u64));
        for kind in KINDS.into_iter().chain(["mix", "few-late", "late"]) {
            let series = all(kind);
            let mut bytes = Vec::with_capacity(2048);
            let chunks: Vec<_> = series.iter().map(|s| encode(s, &mut bytes).finish(&bytes)).collect();
            group.bench_function(BenchmarkId::from_parameter(kind), |b| {
                if reads {
                    b.iter(|| chunks.iter().map(|chunk| decode(black_box(chunk))).fold(0, u64::wrapping_add));
                } else {
                    b.iter(|| {
                        series
                            .iter()
                            .map(|s| encode(black_box(s), &mut bytes).byte_len(bytes.len()))
                            .sum::<usize>()
                    });
                }
            });
        }
        group.finish();
    }
}

criterion_group!(benches, chunk);
criterion_main!(benches);
