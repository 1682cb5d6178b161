//! Histograms, exemplars and metadata: what a sender encodes is read, packed or not, in whatever order.

use proptest::prelude::*;
use sarsen_block::codec::put_uvarint;
use sarsen_block::{Histogram, ResetHint, Span};

use super::super::{Scratch, WireLabels, decode};
use super::*;

fn tag(out: &mut Vec<u8>, number: u64, wire_type: u64) {
    put_uvarint(out, number << 3 | wire_type);
}

fn bytes(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    tag(out, number, 2);
    put_uvarint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn varint(out: &mut Vec<u8>, number: u64, value: u64) {
    tag(out, number, 0);
    put_uvarint(out, value);
}

fn double(out: &mut Vec<u8>, number: u64, value: f64) {
    tag(out, number, 1);
    out.extend(value.to_le_bytes());
}

fn signed(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

fn doubles(out: &mut Vec<u8>, number: u64, values: &[f64], packed: bool) {
    if !packed {
        values.iter().for_each(|value| double(out, number, *value));
    } else if !values.is_empty() {
        bytes(out, number, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>());
    }
}

fn differences(out: &mut Vec<u8>, number: u64, values: &[i64], packed: bool) {
    if !packed {
        values.iter().for_each(|value| varint(out, number, signed(*value)));
    } else if !values.is_empty() {
        let mut run = Vec::new();
        values.iter().for_each(|value| put_uvarint(&mut run, signed(*value)));
        bytes(out, number, &run);
    }
}

fn spans(out: &mut Vec<u8>, number: u64, spans: &[Span]) {
    for span in spans {
        let mut message = Vec::new();
        varint(&mut message, 1, signed(span.offset.into()));
        varint(&mut message, 2, span.length.into());
        bytes(out, number, &message);
    }
}

fn encode(t: Timestamp, histogram: &Histogram, packed: bool) -> Vec<u8> {
    let mut out = Vec::new();
    match &histogram.counts {
        Counts::Integer { count, zero, positive, negative } => {
            varint(&mut out, 1, *count);
            varint(&mut out, 6, *zero);
            differences(&mut out, 9, negative, packed);
            differences(&mut out, 12, positive, packed);
        }
        Counts::Float { count, zero, positive, negative } => {
            double(&mut out, 2, *count);
            double(&mut out, 7, *zero);
            doubles(&mut out, 10, negative, packed);
            doubles(&mut out, 13, positive, packed);
        }
    }
    double(&mut out, 3, histogram.sum);
    varint(&mut out, 4, signed(histogram.schema.into()));
    double(&mut out, 5, histogram.zero_threshold);
    spans(&mut out, 8, &histogram.negative_spans);
    spans(&mut out, 11, &histogram.positive_spans);
    varint(&mut out, 14, histogram.hint as u64);
    varint(&mut out, 15, t as u64);
    doubles(&mut out, 16, &histogram.custom_values, packed);
    // A field of a later version.
    varint(&mut out, 17, 5);
    out
}

fn any_histogram() -> impl Strategy<Value = Histogram> {
    let span = (any::<i32>(), any::<u32>()).prop_map(|(offset, length)| Span { offset, length });
    let spans = prop::collection::vec(span, 0..4);
    let floats = prop::collection::vec(any::<u64>().prop_map(f64::from_bits), 0..5);
    let wholes = prop::collection::vec(any::<i64>(), 0..5);
    let hint = prop::sample::select(vec![
        ResetHint::Unknown,
        ResetHint::Reset,
        ResetHint::NotReset,
        ResetHint::Gauge,
    ]);
    let counts = prop_oneof![
        (any::<u64>(), any::<u64>(), wholes.clone(), wholes).prop_map(|(count, zero, positive, negative)| {
            Counts::Integer { count, zero, positive, negative }
        }),
        (any::<f64>(), any::<f64>(), floats.clone(), floats.clone())
            .prop_map(|(count, zero, positive, negative)| Counts::Float { count, zero, positive, negative }),
    ];
    (hint, any::<i32>(), any::<(u64, u64)>(), spans.clone(), spans, floats, counts).prop_map(
        |(hint, schema, (threshold, sum), positive_spans, negative_spans, custom_values, counts)| Histogram {
            hint,
            schema,
            zero_threshold: f64::from_bits(threshold),
            sum: f64::from_bits(sum),
            positive_spans,
            negative_spans,
            custom_values,
            counts,
        },
    )
}

/// A request of one series.
fn request(histograms: &[Vec<u8>], exemplars: &[Vec<u8>], metadata: &[Vec<u8>]) -> Vec<u8> {
    let mut series = vec![0x0A, 6, 0x0A, 1, b'a', 0x12, 1, b'b'];
    // Kinds in turn, as no sender does it and every reader must take it.
    for at in 0..histograms.len().max(exemplars.len()) {
        histograms.get(at).into_iter().for_each(|message| bytes(&mut series, 4, message));
        exemplars.get(at).into_iter().for_each(|message| bytes(&mut series, 3, message));
    }
    let mut out = Vec::new();
    bytes(&mut out, 1, &series);
    metadata.iter().for_each(|message| bytes(&mut out, 3, message));
    out
}

proptest! {
    #[test]
    fn histograms_are_read_as_they_were_sent(
        sent in prop::collection::vec((any::<i64>(), any_histogram()), 0..4),
        packed in any::<bool>(),
    ) {
        let messages: Vec<_> = sent.iter().map(|(t, histogram)| encode(*t, histogram, packed)).collect();
        let body = request(&messages, &[], &[]);
        let mut scratch = Scratch::default();
        let request = decode(&body, usize::MAX, &mut scratch).unwrap();
        prop_assert_eq!(request.counts().histograms, sent.len() as u64);
        let found: Vec<_> = request.series().flat_map(|series| series.histograms()).collect();
        prop_assert_eq!(found, sent);
    }

    #[test]
    fn no_bytes_that_pass_the_first_look_lose_a_histogram(message in prop::collection::vec(any::<u8>(), 0..60)) {
        let body = request(&[message], &[], &[]);
        let mut scratch = Scratch::default();
        if let Ok(request) = decode(&body, usize::MAX, &mut scratch) {
            prop_assert_eq!(request.series().flat_map(|series| series.histograms()).count(), 1);
        }
    }
}

#[test]
fn the_kind_of_the_count_decides() {
    // An integer count behind a float one: the last counts, and float buckets are then none of its own.
    let mut message = Vec::new();
    double(&mut message, 2, 9.0);
    varint(&mut message, 1, 7);
    doubles(&mut message, 13, &[1.0], true);
    double(&mut message, 7, 2.0);
    let body = request(&[message, Vec::new()], &[], &[]);
    let mut scratch = Scratch::default();
    let request = decode(&body, 10_000, &mut scratch).unwrap();
    let found: Vec<_> =
        request.series().flat_map(|series| series.histograms()).map(|(_, h)| h.counts).collect();
    let integer = |count| Counts::Integer { count, zero: 0, positive: Vec::new(), negative: Vec::new() };
    assert_eq!(found, [integer(7), integer(0)]);
}

#[test]
fn exemplars_and_metadata_are_read() {
    let mut first = Vec::new();
    bytes(&mut first, 1, &[0x0A, 1, b'x', 0x12, 1, b'y']);
    double(&mut first, 2, 1.5);
    varint(&mut first, 3, 77);
    let mut entry = Vec::new();
    varint(&mut entry, 1, 2);
    bytes(&mut entry, 2, b"up");
    bytes(&mut entry, 4, b"whether it is up");
    bytes(&mut entry, 5, b"");
    let body = request(&[encode(5, &Histogram::stale(true), true)], &[first, Vec::new()], &[entry]);
    let mut scratch = Scratch::default();
    let request = decode(&body, 10_000, &mut scratch).unwrap();
    let series = request.series().next().unwrap();
    assert!(matches!(series.labels, WireLabels::Canonical(_)));
    let found: Vec<_> = series
        .exemplars()
        .map(|exemplar| (exemplar.labels.collect::<Vec<_>>(), exemplar.value, exemplar.t))
        .collect();
    let pair: (&[u8], &[u8]) = (b"x", b"y");
    assert_eq!(found, [(vec![pair], 1.5, 77), (vec![], 0.0, 0)]);
    assert!(series.histograms().all(|(t, histogram)| t == 5 && histogram.is_stale()));
    let metadata: Vec<_> = request.metadata().collect();
    assert_eq!(metadata, [Metadata { kind: 2, family: b"up", help: b"whether it is up", unit: b"" }]);
}

#[test]
fn what_histograms_become_is_bounded() {
    // A hundred empty spans take two bytes each and eight when they are read.
    let message = [0x5A, 0].repeat(100);
    let body = request(&vec![message; 50], &[], &[]);
    assert!(decode(&body, 20_000, &mut Scratch::default()).is_err());
    assert!(decode(&body, 200_000, &mut Scratch::default()).is_ok());
}
