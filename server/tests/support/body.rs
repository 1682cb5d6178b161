//! Remote write bodies, built field by field: what a sender sends, and what none should.

use sarsen_block::codec::put_uvarint;
use sarsen_block::{Counts, Histogram, Span};

/// A length-delimited field.
pub(crate) fn field(out: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_uvarint(out, (number << 3) | 2);
    put_uvarint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// A field that is a varint; zeros are left out, as Prometheus' encoder does.
pub(crate) fn varint(out: &mut Vec<u8>, number: u64, value: u64) {
    if value != 0 {
        put_uvarint(out, number << 3);
        put_uvarint(out, value);
    }
}

/// A field that is a float; zeros are left out.
pub(crate) fn double(out: &mut Vec<u8>, number: u64, value: f64) {
    if value != 0.0 {
        put_uvarint(out, (number << 3) | 1);
        out.extend(value.to_le_bytes());
    }
}

/// The zigzag form.
pub(crate) fn signed(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// A packed run of values, none if there are none.
pub(crate) fn packed<T>(out: &mut Vec<u8>, number: u64, values: &[T], put: impl Fn(&mut Vec<u8>, &T)) {
    if !values.is_empty() {
        let mut run = Vec::new();
        values.iter().for_each(|value| put(&mut run, value));
        field(out, number, &run);
    }
}

fn spans(out: &mut Vec<u8>, number: u64, spans: &[Span]) {
    for span in spans {
        let mut message = Vec::new();
        varint(&mut message, 1, signed(span.offset.into()));
        varint(&mut message, 2, span.length.into());
        field(out, number, &message);
    }
}

/// A histogram message. Of the counts, which say what kind it is, zeros are sent too.
pub(crate) fn histogram(t: i64, histogram: &Histogram) -> Vec<u8> {
    let mut out = Vec::new();
    let floats = |run: &mut Vec<u8>, value: &f64| run.extend(value.to_le_bytes());
    let deltas = |run: &mut Vec<u8>, value: &i64| put_uvarint(run, signed(*value));
    match &histogram.counts {
        Counts::Integer { count, zero, positive, negative } => {
            out.push(0x08);
            put_uvarint(&mut out, *count);
            out.push(0x30);
            put_uvarint(&mut out, *zero);
            packed(&mut out, 9, negative, deltas);
            packed(&mut out, 12, positive, deltas);
        }
        Counts::Float { count, zero, positive, negative } => {
            out.push(0x11);
            out.extend(count.to_le_bytes());
            out.push(0x39);
            out.extend(zero.to_le_bytes());
            packed(&mut out, 10, negative, floats);
            packed(&mut out, 13, positive, floats);
        }
    }
    double(&mut out, 3, histogram.sum);
    varint(&mut out, 4, signed(histogram.schema.into()));
    double(&mut out, 5, histogram.zero_threshold);
    spans(&mut out, 8, &histogram.negative_spans);
    spans(&mut out, 11, &histogram.positive_spans);
    varint(&mut out, 14, histogram.hint as u64);
    varint(&mut out, 15, t as u64);
    packed(&mut out, 16, &histogram.custom_values, floats);
    out
}

/// A label message.
pub(crate) fn label(name: &[u8], value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    if !name.is_empty() {
        field(&mut out, 1, name);
    }
    if !value.is_empty() {
        field(&mut out, 2, value);
    }
    out
}

/// A sample message; zeros are left out, as Prometheus' encoder does.
pub(crate) fn sample(t: i64, bits: u64) -> Vec<u8> {
    let mut out = Vec::new();
    if f64::from_bits(bits) != 0.0 {
        out.push(0x09);
        out.extend(bits.to_le_bytes());
    }
    if t != 0 {
        out.push(0x10);
        put_uvarint(&mut out, t as u64);
    }
    out
}

/// A series message of version 1.0.
pub(crate) fn series<N: AsRef<[u8]>, V: AsRef<[u8]>>(labels: &[(N, V)], samples: &[(i64, u64)]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in labels {
        field(&mut out, 1, &label(name.as_ref(), value.as_ref()));
    }
    for (t, bits) in samples {
        field(&mut out, 2, &sample(*t, *bits));
    }
    out
}

/// A whole request of such series, not compressed.
pub(crate) fn request(all: &[Vec<u8>]) -> Vec<u8> {
    let mut out = Vec::new();
    for one in all {
        field(&mut out, 1, one);
    }
    out
}

/// A snappy block.
pub(crate) fn snappy(plain: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(plain).unwrap()
}

/// An S2 block with repeated offsets, which plain snappy does not have: runs that repeat what lies `distance` back.
pub(crate) fn s2(plain: &[u8], distance: usize) -> Vec<u8> {
    let mut out = Vec::new();
    put_uvarint(&mut out, plain.len() as u64);
    let mut at = 0;
    let mut last_offset = 0;
    while at < plain.len() {
        let same = if at < distance {
            0
        } else {
            plain[at..].iter().zip(&plain[at - distance..]).take_while(|(a, b)| a == b).count()
        };
        if same >= 4 {
            let length = same.min(60);
            if last_offset == distance && length >= 8 {
                // A repeat with one byte of length.
                out.extend([(5 << 2) | 1, 0, (length - 8) as u8]);
            } else {
                out.push((((length - 1) as u8) << 2) | 2);
                out.extend((distance as u16).to_le_bytes());
            }
            last_offset = distance;
            at += length;
        } else {
            out.extend([0, plain[at]]);
            at += 1;
        }
    }
    out
}
