//! What goes into chunks comes out of them, whatever kinds of samples are mixed.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::chunk::ResetHeader;
use crate::histogram::{Counts, Histogram, ResetHint, Span};

/// A histogram of `buckets` from bucket 0 on.
fn histogram(buckets: &[u8], is_float: bool, gauge: bool) -> Histogram {
    let total: u64 = buckets.iter().map(|&count| u64::from(count)).sum();
    let counts = if is_float {
        let positive = buckets.iter().map(|&count| count.into()).collect();
        Counts::Float { count: total as f64, zero: 0.0, positive, negative: Vec::new() }
    } else {
        let steps = std::iter::once(&0).chain(buckets).zip(buckets);
        let positive = steps.map(|(&last, &count)| i64::from(count) - i64::from(last)).collect();
        Counts::Integer { count: total, zero: 0, positive, negative: Vec::new() }
    };
    Histogram {
        hint: if gauge { ResetHint::Gauge } else { ResetHint::Unknown },
        sum: total as f64 * 1.5,
        positive_spans: vec![Span { offset: 0, length: buckets.len() as u32 }],
        counts,
        ..Histogram::stale(is_float)
    }
}

/// What a value says, however its buckets are laid out.
#[derive(Debug, PartialEq)]
struct Said {
    is_float: Option<bool>,
    gauge: bool,
    bits: u64,
    buckets: BTreeMap<i64, u64>,
}

fn said(value: &Value) -> Said {
    let histogram = match value {
        Value::Float(v) => {
            return Said { is_float: None, gauge: false, bits: v.to_bits(), buckets: BTreeMap::new() };
        }
        Value::Histogram(histogram) => histogram,
    };
    let mut at = 0;
    let numbers: Vec<i64> = histogram
        .positive_spans
        .iter()
        .flat_map(|span| {
            let first = at + i64::from(span.offset);
            at = first + i64::from(span.length);
            first..at
        })
        .collect();
    let counts: Vec<u64> = match &histogram.counts {
        Counts::Float { positive, .. } => positive.iter().map(|&count| count as u64).collect(),
        Counts::Integer { positive, .. } => {
            let sums = positive.iter().scan(0i64, |sum, step| {
                *sum += step;
                Some(*sum as u64)
            });
            sums.collect()
        }
    };
    assert_eq!(numbers.len(), counts.len());
    Said {
        is_float: Some(histogram.is_float()),
        gauge: histogram.hint == ResetHint::Gauge,
        bits: histogram.sum.to_bits(),
        buckets: numbers.into_iter().zip(counts).filter(|&(_, count)| count > 0).collect(),
    }
}

fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => (0..4u8).prop_map(|v| Value::Float(f64::from(v))),
        1 => any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        4 => (proptest::collection::vec(0..9u8, 1..4), any::<bool>(), 0..5u8)
            .prop_map(|(buckets, is_float, kind)| Value::Histogram(Box::new(histogram(&buckets, is_float, kind == 0)))),
    ]
}

/// Samples in runs of a kind; some have start timestamps.
fn samples() -> impl Strategy<Value = Vec<Sample>> {
    let run = (values(), 1..150usize, proptest::collection::vec(values(), 0..3), 0..4i64);
    (proptest::collection::vec(run, 0..4), -1000..1000i64).prop_map(|(runs, first)| {
        let mut samples = Vec::new();
        for (value, len, odd, start) in runs {
            for value in std::iter::repeat_n(value, len).chain(odd) {
                let t = first + 10 * samples.len() as i64;
                samples.push(Sample { t, start: if start == 1 { t - 5 } else { 0 }, value });
            }
        }
        samples
    })
}

fn decode(chunk: &Chunk) -> Vec<Sample> {
    let mut samples = chunk.samples().unwrap();
    std::iter::from_fn(|| samples.next().unwrap()).collect()
}

fn told(samples: &[Sample]) -> Vec<(i64, i64, Said)> {
    samples.iter().map(|sample| (sample.t, sample.start, said(&sample.value))).collect()
}

fn ranges_hold(chunks: &[TimedChunk]) {
    for timed in chunks {
        let samples = decode(&timed.chunk);
        assert_eq!(timed.range, TimeRange::new(samples[0].t, samples[samples.len() - 1].t));
    }
    assert!(chunks.windows(2).all(|pair| pair[0].range.max < pair[1].range.min));
}

proptest! {
    #[test]
    fn samples_come_out_as_they_went_in(samples in samples(), xor2 in any::<bool>()) {
        let chunks = encode_chunks(&samples, EncodeOptions { xor2, ..EncodeOptions::default() }).unwrap();
        ranges_hold(&chunks);
        for timed in &chunks {
            let decoded = decode(&timed.chunk);
            prop_assert!(decoded.len() <= 120);
            let started = decoded[0].start != 0;
            prop_assert!(decoded.iter().all(|sample| (sample.start != 0) == started));
            let expected = match said(&decoded[0].value).is_float {
                None if started || xor2 => Encoding::Xor2,
                None => Encoding::Xor,
                Some(false) if started => Encoding::HistogramSt,
                Some(false) => Encoding::Histogram,
                Some(true) if started => Encoding::FloatHistogramSt,
                Some(true) => Encoding::FloatHistogram,
            };
            prop_assert_eq!(timed.chunk.encoding, expected);
        }
        let all: Vec<_> = chunks.iter().flat_map(|timed| decode(&timed.chunk)).collect();
        prop_assert_eq!(told(&all), told(&samples));
    }

    #[test]
    fn what_is_deleted_is_missing_and_nothing_else(
        samples in samples(),
        deleted in proptest::collection::vec((-1000..3000i64, 0..500i64), 0..4),
    ) {
        let deleted: Vec<_> = deleted.into_iter().map(|(min, len)| TimeRange::new(min, min + len)).collect();
        for timed in encode_chunks(&samples, EncodeOptions::default()).unwrap() {
            let mut kept = decode(&timed.chunk);
            kept.retain(|sample| !deleted.iter().any(|range| range.contains(sample.t)));
            let left = timed.chunk.without(&deleted).unwrap();
            prop_assert!(left.len() <= 1);
            ranges_hold(&left);
            let left: Vec<_> = left
                .iter()
                .inspect(|left| assert_eq!(left.chunk.encoding, timed.chunk.encoding))
                .flat_map(|left| decode(&left.chunk))
                .collect();
            prop_assert_eq!(told(&left), told(&kept));
        }
    }

    #[test]
    fn a_plain_chunk_has_the_same_samples_without_starts(samples in samples()) {
        for timed in encode_chunks(&samples, EncodeOptions { xor2: true, ..EncodeOptions::default() }).unwrap() {
            let plain = timed.chunk.to_plain().unwrap();
            prop_assert!(plain.encoding.byte() <= 3);
            prop_assert_eq!(plain.reset_header(), timed.chunk.reset_header());
            let mut wanted = decode(&timed.chunk);
            wanted.iter_mut().for_each(|sample| sample.start = 0);
            prop_assert_eq!(told(&decode(&plain)), told(&wanted));
            prop_assert_eq!(plain.to_plain().unwrap(), plain);
        }
    }
}

#[test]
fn a_chunk_keeps_what_its_header_says_when_its_starts_are_dropped() {
    for header in [ResetHeader::Unknown, ResetHeader::NotReset, ResetHeader::Reset] {
        let mut chunk = HistogramChunk::begin(true, false);
        chunk.append(None, 10, 5, &histogram(&[1], false, false)).unwrap();
        let mut data = chunk.to_bytes();
        data[0] = data[0] & 0x3F | (header as u8) << 6;
        let plain = Chunk { encoding: Encoding::HistogramSt, data: data.into() }.to_plain().unwrap();
        assert_eq!((plain.encoding, plain.reset_header()), (Encoding::Histogram, Some(header)));
    }
}

#[test]
fn chunks_without_samples_and_aggregates() {
    let empty = Chunk { encoding: Encoding::Xor2, data: vec![0, 0, 0].into() };
    assert_eq!(empty.to_plain().unwrap(), Chunk::xor(vec![0, 0]));
    assert_eq!(empty.without(&[]).unwrap(), []);
    let aggregate = Chunk { encoding: Encoding::Aggregate, data: vec![1, 2, 3].into() };
    assert_eq!(aggregate.to_plain().unwrap(), aggregate);
    assert!(aggregate.without(&[]).is_err());
}
