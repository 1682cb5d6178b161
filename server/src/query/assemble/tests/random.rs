//! Random series of every kind, cut into random chunks on random endpoints and fetched over real connections, against plain sets of samples.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;
use sarsen_block::{
    CUSTOM_BUCKETS, Counts, EncodeOptions, Histogram, ResetHint, Sample, Span, Value, encode_chunks,
};

use super::*;
use crate::query::tests::peer::{Does, Peer, everything, proxy_over};
use crate::wire::storeapi::SeriesMessage;

/// A series: milliseconds from sample to sample, and the kinds that its parts have.
type Drawn = (Vec<i64>, [u8; 4]);
/// Samples as texts that are equal if and only if they are.
type Plain = BTreeMap<Timestamp, String>;

fn histogram(t: Timestamp, custom: bool) -> Histogram {
    let grown = t / 1000 % 90 + 1;
    let counts = Counts::Integer {
        count: (3 * grown + 1) as u64 + u64::from(!custom),
        zero: u64::from(!custom),
        positive: vec![grown, grown + 1],
        negative: Vec::new(),
    };
    let schema = if custom { CUSTOM_BUCKETS } else { 2 };
    let custom_values = if custom { vec![0.5, 1.0, 2.5] } else { Vec::new() };
    let positive_spans = vec![Span { offset: i32::from(!custom), length: 2 }];
    Histogram { schema, sum: t as f64, positive_spans, custom_values, counts, ..Histogram::default() }
}

/// What a series has at a time; so every replica has the same.
fn value(t: Timestamp, kind: u8) -> Value {
    match kind {
        0 => Value::Histogram(Box::new(histogram(t, false))),
        1 => Value::Histogram(Box::new(histogram(t, true))),
        2 => Value::Histogram(Box::new(histogram(t, false).to_float())),
        _ => Value::Float(if t % 11 == 0 { f64::NAN } else { t as f64 / 3.0 }),
    }
}

fn samples((steps, kinds): &Drawn) -> Vec<Sample> {
    let mut t = 1_000_000;
    let sample = |(n, step): (usize, &i64)| {
        t += step;
        Sample { t, start: 0, value: value(t, kinds[n / 40 % 4]) }
    };
    steps.iter().enumerate().map(sample).collect()
}

fn told(value: &Value) -> String {
    match value {
        Value::Float(value) => format!("{:x}", value.to_bits()),
        Value::Histogram(histogram) => {
            // How it follows from the one before is a matter of the chunk that it is in.
            let mut histogram = Histogram { hint: ResetHint::default(), ..(**histogram).clone() }.to_float();
            histogram.compact().unwrap();
            format!("{histogram:?}")
        }
    }
}

fn plain<'a>(samples: impl IntoIterator<Item = &'a Sample>) -> Plain {
    samples.into_iter().map(|sample| (sample.t, told(&sample.value))).collect()
}

/// Chunks of these lengths, over and over.
fn cut(mut samples: &[Sample], lengths: &[usize]) -> Vec<StoreChunk> {
    let mut chunks = Vec::new();
    for &length in lengths.iter().cycle() {
        let (first, rest) = samples.split_at(length.min(samples.len()));
        for timed in encode_chunks(first, EncodeOptions::default()).unwrap() {
            chunks.push(StoreChunk { range: timed.range, parts: ChunkParts::Raw(timed.chunk) });
        }
        samples = rest;
        if samples.is_empty() {
            break;
        }
    }
    chunks
}

/// Whether an endpoint has a sample: it lacks some of them in runs.
fn has(bits: u64, n: usize) -> bool {
    bits.rotate_right(n as u32 / 7) & 3 != 0
}

/// What one endpoint holds: of each series its chunks.
type Held = Vec<(Labels, Vec<StoreChunk>)>;

/// A stream of frames: a series with many chunks comes in several.
fn messages(held: &Held) -> Vec<SeriesMessage> {
    let frames = held.iter().flat_map(|(labels, chunks)| {
        let frame = |chunks: &[StoreChunk]| StoreSeries { labels: labels.clone(), chunks: chunks.to_vec() };
        chunks.chunks(5).map(frame).map(SeriesMessage::Series).collect::<Vec<_>>()
    });
    frames.collect()
}

/// What an evaluation reads of these endpoints.
async fn read_all(endpoints: &[Held], selection: &Selection, gather: &Gather) -> Vec<(Labels, Plain)> {
    let mut peers = Vec::new();
    for held in endpoints {
        peers.push(Peer::start(everything("store", &[]), Does::Sends(messages(held))).await);
    }
    let addresses: Vec<&str> = peers.iter().map(|peer| peer.address.as_str()).collect();
    let told_of = Arc::default();
    let set = select(Arc::new(proxy_over(&addresses, 0).await), selection, gather, &told_of);
    let read = tokio::task::spawn_blocking(move || collect(set)).await.unwrap();
    assert!(told_of.warnings().is_empty(), "{:?}", told_of.warnings());
    read
}

fn collect(mut set: Box<dyn SeriesSet>) -> Vec<(Labels, Plain)> {
    let mut all = Vec::new();
    while let Some(series) = set.next().unwrap() {
        let mut read = Samples::default();
        series.data.read(&mut read).unwrap();
        assert!(read.times.is_sorted_by(|a, b| a < b) && read.histogram_times.is_sorted_by(|a, b| a < b));
        let count = read.times.len() + read.histogram_times.len();
        let floats = read.times.into_iter().zip(read.floats.into_iter().map(Value::Float));
        let histograms = read.histograms.into_iter().map(|value| Value::Histogram(Box::new(value)));
        let both = floats.chain(read.histogram_times.into_iter().zip(histograms));
        let plain: Plain = both.map(|(t, value)| (t, told(&value))).collect();
        assert_eq!(plain.len(), count, "a number and a histogram at one time");
        all.push((series.labels, plain));
    }
    all
}

fn within(all: Plain, range: TimeRange) -> Plain {
    all.into_iter().filter(|(t, _)| range.contains(*t)).collect()
}

/// Stays with a replica, and passes over those of the other that come sooner than twice the time between its last two samples; at first
/// that is five seconds. What was passed over does not come back.
fn one_of_two(left: &Plain, right: &Plain) -> Plain {
    let mut one = Plain::new();
    let (mut at, mut penalties, mut last) = ([Some(Timestamp::MIN); 2], [0, 0], None);
    loop {
        let next = [left, right].map(|side| {
            let this = usize::from(std::ptr::eq(side, right));
            let from = last.map_or(Timestamp::MIN, |last: Timestamp| last + 1 + penalties[this]);
            let found = at[this].and_then(|at| side.range(from.max(at)..).next());
            at[this] = found.map(|(t, _)| *t);
            found
        });
        let (this, (&t, value)) = match next {
            [None, None] => return one,
            [Some(left), None] => (0, left),
            [None, Some(right)] => (1, right),
            [Some(left), Some(right)] if left.0 <= right.0 => (0, left),
            [_, Some(right)] => (1, right),
        };
        if next.iter().all(Option::is_some) {
            penalties[1 - this] = last.map_or(5000, |last| 2 * (t - last));
        }
        penalties[this] = 0;
        last = Some(t);
        one.insert(t, value.clone());
    }
}

/// The rule for replicas in plain: chunks in order, each to the first row that has ended; rows are made one from the left. `None` if the
/// order is not decided by the times of the chunks.
fn penalty(mut chunks: Vec<StoreChunk>, range: TimeRange) -> Option<Plain> {
    let key = |chunk: &StoreChunk| (chunk.range.min, chunk.range.max);
    chunks.sort_by_key(key);
    chunks.dedup();
    if !chunks.is_sorted_by(|a, b| key(a) < key(b)) {
        return None;
    }
    let mut rows: Vec<(Timestamp, Plain)> = Vec::new();
    for chunk in &chunks {
        let ChunkParts::Raw(raw) = &chunk.parts else { return None };
        let timed = [sarsen_block::TimedChunk { range: chunk.range, chunk: raw.clone() }];
        let samples = sarsen_block::decode_chunks(&timed, TimeRange::new(range.min, Timestamp::MAX)).unwrap();
        let free = rows.iter().position(|(end, _)| *end < chunk.range.min);
        let at = free.unwrap_or_else(|| {
            rows.push((Timestamp::MIN, Plain::new()));
            rows.len() - 1
        });
        rows[at].0 = chunk.range.max;
        rows[at].1.extend(plain(&samples));
    }
    let one = rows.into_iter().map(|(_, row)| row).reduce(|left, right| one_of_two(&left, &right));
    Some(within(one.unwrap_or_default(), range))
}

fn named(n: usize) -> Labels {
    Labels::from_pairs([("pod", n.to_string())]).unwrap()
}

/// Runs to its end on a runtime of its own.
fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(work)
}

fn drawn() -> impl Strategy<Value = Vec<Drawn>> {
    let step = prop_oneof![4 => Just(1000i64), 4 => 1..4000i64, 1 => 10_000..90_000i64];
    vec((vec(step, 1..160), prop::array::uniform4(0..6u8)), 1..4)
}

fn ways() -> [Gather; 3] {
    let replica_labels = vec![Bytes::from_static(b"replica")];
    let one = |replicas| Gather { replica_labels: replica_labels.clone(), replicas, ..Gather::default() };
    [Gather::default(), one(Replicas::Penalty), one(Replicas::Chain)]
}

fn asked(function: usize, from: i64, length: i64) -> Selection {
    let functions = ["", "rate", "sum_over_time", "max_over_time", "count", "avg_over_time"];
    selection(functions[function], TimeRange::new(1_000_000 + from, 1_000_000 + from + length))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// The same chunks at some of the endpoints, at least at one each; or all that there is at each endpoint, in chunks of its own.
    #[test]
    fn equal_replicas_are_the_series(
        drawn in drawn(),
        holders in vec((any::<u64>(), vec(1..50usize, 1..5)), 1..4),
        same_chunks in any::<bool>(),
        (function, from, length) in (0..6usize, -5000..200_000i64, 0..2_000_000i64),
    ) {
        let all: Vec<_> = drawn.iter().map(samples).collect();
        let mut endpoints: Vec<Held> = vec![Held::new(); holders.len()];
        for (n, samples) in all.iter().enumerate() {
            for (who, (bits, lengths)) in holders.iter().enumerate() {
                let lengths = if same_chunks { &holders[0].1 } else { lengths };
                let mut chunks = cut(samples, lengths);
                if same_chunks && who > 0 {
                    let mut at = 0;
                    chunks.retain(|_| { at += 1; has(*bits, 7 * (at + n)) });
                }
                endpoints[who].push((named(n), chunks));
            }
        }
        endpoints.iter_mut().for_each(|held| held.retain(|(_, chunks)| !chunks.is_empty()));
        let selection = asked(function, from, length);
        for gather in ways() {
            let found = run(read_all(&endpoints, &selection, &gather));
            prop_assert_eq!(found.len(), all.len());
            for (n, (labels, found)) in found.into_iter().enumerate() {
                prop_assert_eq!(labels, named(n));
                let found = within(found, selection.range);
                prop_assert_eq!(found, within(plain(&all[n]), selection.range), "{:?}", gather);
            }
        }
    }

    /// Each endpoint lacks something else.
    #[test]
    fn replicas_with_gaps(
        drawn in drawn(),
        holders in vec((any::<u64>(), vec(1..50usize, 1..5)), 1..4),
        (function, from, length) in (0..6usize, -5000..200_000i64, 0..2_000_000i64),
    ) {
        let all: Vec<_> = drawn.iter().map(samples).collect();
        let mut endpoints: Vec<Held> = vec![Held::new(); holders.len()];
        let mut expected: BTreeMap<Labels, (Plain, Vec<StoreChunk>)> = BTreeMap::new();
        for (n, samples) in all.iter().enumerate() {
            for ((bits, lengths), held) in holders.iter().zip(&mut endpoints) {
                let own = samples.iter().enumerate().filter(|(at, _)| has(*bits, at + n));
                let own: Vec<Sample> = own.map(|(_, sample)| sample.clone()).collect();
                if own.is_empty() {
                    continue;
                }
                let chunks = cut(&own, lengths);
                let union = expected.entry(named(n)).or_default();
                union.0.extend(plain(&own));
                union.1.extend(chunks.iter().cloned());
                held.push((named(n), chunks));
            }
        }
        let selection = asked(function, from, length);
        for gather in ways() {
            let found = run(read_all(&endpoints, &selection, &gather));
            prop_assert!(found.iter().map(|(labels, _)| labels).eq(expected.keys()));
            for ((_, found), (union, chunks)) in found.into_iter().zip(expected.values()) {
                let (found, union) = (within(found, selection.range), within(union.clone(), selection.range));
                if gather.replicas == Replicas::Chain || gather.replica_labels.is_empty() {
                    prop_assert_eq!(found, union, "{:?}", gather);
                } else if let Some(model) = penalty(chunks.clone(), selection.range).filter(|_| function != 1) {
                    prop_assert_eq!(found, model);
                } else {
                    prop_assert!(found.keys().all(|t| union.contains_key(t)));
                }
            }
        }
    }
}
