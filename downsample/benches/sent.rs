//! What does it cost to read the chunks of a store, for what a function wants?
//!
//! One series of a day, scraped every 15 s, 120 samples a chunk, as columns; the rate is that of samples that are read. `raw` is every
//! selector over raw data that is not a counter's, `counter` that of `rate` in Thanos' dialect, `replicas` two scrapers out of step made one.
//!
//! Last answer (wall time while nineteen threads wanted two cores of a Xeon, so upper bounds, several times too high):
//!
//! | what               | ns a sample |
//! |--------------------|-------------|
//! | raw, as it stands  | 49          |
//! | counter adjusted   | 35          |
//! | replicas, penalty  | 96          |
//! | replicas, counter  | 101         |
//!
//! Run with `cargo bench -p sarsen-downsample --bench sent`.

#![expect(clippy::unwrap_used, reason = "a bench may fail loudly")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sarsen_block::{Chunk, Histogram, Replicas, TimeRange, Timestamp, XorAppender};
use sarsen_downsample::{Aggregate, Sent, Sink, Wanted, read_sent};

const START: i64 = 1_700_000_000_000;
const STEP: i64 = 15_000;
const CHUNKS: i64 = 48;
const PER_CHUNK: i64 = 120;

#[derive(Default)]
struct Columns {
    times: Vec<Timestamp>,
    floats: Vec<f64>,
}

impl Sink for Columns {
    #[inline]
    fn float(&mut self, t: Timestamp, _: Timestamp, value: f64) {
        self.times.push(t);
        self.floats.push(value);
    }

    fn histogram(&mut self, _: Timestamp, _: Timestamp, _: Box<Histogram>) {}

    fn expect(&mut self, floats: usize) {
        self.times.reserve(floats);
        self.floats.reserve(floats);
    }
}

#[derive(Default)]
struct Row(Vec<(Timestamp, f64)>);

impl Sink for Row {
    #[inline]
    fn float(&mut self, t: Timestamp, _: Timestamp, value: f64) {
        self.0.push((t, value));
    }

    fn histogram(&mut self, _: Timestamp, _: Timestamp, _: Box<Histogram>) {}

    fn expect(&mut self, floats: usize) {
        self.0.reserve(floats);
    }
}

/// A counter that begins anew now and then.
fn chunks(offset: i64) -> Vec<Chunk> {
    let mut value = 0.0;
    let chunk = |number: i64| {
        let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
        for at in number * PER_CHUNK..(number + 1) * PER_CHUNK {
            value = if at % 1_000 == 999 { 0.0 } else { value + (at * 7 % 13) as f64 };
            assert!(appender.append(&mut bytes, START + offset + at * STEP, value));
        }
        Chunk::xor(appender.finish(&bytes))
    };
    (0..CHUNKS).map(chunk).collect()
}

fn columns(chunks: &[Chunk], wanted: Wanted) -> usize {
    let mut columns = Columns::default();
    read_sent(chunks.iter().map(Sent::Raw), wanted, (TimeRange::ALL, false), &mut columns).unwrap();
    columns.floats.len()
}

fn replicas(rows: [&[Chunk]; 2], wanted: Wanted, counter: bool) -> f64 {
    let rows = rows.map(|chunks| {
        let mut row = Row::default();
        read_sent(chunks.iter().map(Sent::Raw), wanted, (TimeRange::ALL, true), &mut row).unwrap();
        row.0
    });
    Replicas::new(rows.iter().map(Vec::as_slice), Timestamp::MAX, counter).map(|sample| sample.1).sum()
}

fn sent(criterion: &mut Criterion) {
    let (a, b) = (chunks(0), chunks(4_000));
    let counter = Wanted::Part(Aggregate::Counter);
    let mut group = criterion.benchmark_group("sent");
    group.throughput(Throughput::Elements((CHUNKS * PER_CHUNK) as u64));
    group.bench_function("raw", |bench| bench.iter(|| columns(&a, Wanted::Average)));
    group.bench_function("counter", |bench| bench.iter(|| columns(&a, counter)));
    group.bench_function("replicas", |bench| bench.iter(|| replicas([&a, &b], Wanted::Average, false)));
    group.bench_function("replicas of a counter", |bench| bench.iter(|| replicas([&a, &b], counter, true)));
    group.finish();
}

criterion_group!(benches, sent);
criterion_main!(benches);
