//! What a request brings beside floats: native histograms, exemplars, metadata. Read when asked for, out of bytes that the
//! first pass has checked.
//!
//! A series without them costs nothing here. The counts of a histogram are allocated when it is read, which the first pass has
//! weighed. Whether a histogram makes sense is not decided here: the database does that.

use sarsen_block::{Counts, Histogram, ResetHint, Span, Timestamp};

use super::{EXEMPLARS, HISTOGRAMS, LoosePairs};
use crate::wire::proto::{Cursor, ProtoError, WireType};

/// The histogram samples of a series, in the order in which they were sent.
#[derive(Debug, Clone)]
pub struct Histograms<'a>(pub(super) Cursor<'a>);

/// The exemplars of a series, in the order in which they were sent.
#[derive(Debug, Clone)]
pub struct Exemplars<'a>(pub(super) Cursor<'a>);

/// An exemplar: one observation, with labels that say more about it.
#[derive(Debug, Clone, Copy)]
pub struct Exemplar<'a> {
    /// Its labels, as they were sent.
    pub labels: LoosePairs<'a>,
    /// What was observed.
    pub value: f64,
    /// When.
    pub t: Timestamp,
}

/// The entries of metadata in a request, in the order in which they were sent.
#[derive(Debug, Clone)]
pub struct MetadataEntries<'a>(pub(super) Cursor<'a>);

/// What a sender knows about a family of metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Number of the type: 0 unknown, 1 counter, 2 gauge, 3 histogram, 4 gauge histogram, 5 summary, 6 info, 7 state set.
    pub kind: u64,
    /// Name of the family.
    pub family: &'a [u8],
    /// A sentence for people.
    pub help: &'a [u8],
    /// Name of the unit; mostly empty.
    pub unit: &'a [u8],
}

impl Histograms<'_> {
    /// The next one; a fault only if the bytes were not checked before.
    fn read(&mut self) -> Result<Option<(Timestamp, Histogram)>, ProtoError> {
        next_message(&mut self.0, HISTOGRAMS)?.map(histogram).transpose()
    }
}

impl Iterator for Histograms<'_> {
    type Item = (Timestamp, Histogram);

    fn next(&mut self) -> Option<Self::Item> {
        // The message was checked when it was read, so nothing here fails; if it did, the samples would end.
        self.read().ok().flatten()
    }
}

impl<'a> Iterator for Exemplars<'a> {
    type Item = Exemplar<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        next_message(&mut self.0, EXEMPLARS).ok().flatten().and_then(|message| exemplar(message).ok())
    }
}

impl<'a> Iterator for MetadataEntries<'a> {
    type Item = Metadata<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        next_message(&mut self.0, 3).ok().flatten().and_then(|message| metadata(message).ok())
    }
}

/// The next field `number`, which is a message; others are passed over.
fn next_message<'a>(cursor: &mut Cursor<'a>, number: u32) -> Result<Option<Cursor<'a>>, ProtoError> {
    while !cursor.is_done() {
        let (found, wire_type) = cursor.tag()?;
        if found == number {
            return cursor.message().map(Some);
        }
        cursor.skip(wire_type)?;
    }
    Ok(None)
}

fn exemplar(message: Cursor<'_>) -> Result<Exemplar<'_>, ProtoError> {
    let mut exemplar = Exemplar { labels: LoosePairs(message), value: 0.0, t: 0 };
    let mut cursor = message;
    while !cursor.is_done() {
        match cursor.tag()? {
            (2, _) => exemplar.value = f64::from_bits(cursor.fixed64()?),
            (3, _) => exemplar.t = cursor.varint()? as i64,
            (_, wire_type) => cursor.skip(wire_type)?,
        }
    }
    Ok(exemplar)
}

fn metadata(mut cursor: Cursor<'_>) -> Result<Metadata<'_>, ProtoError> {
    let mut metadata = Metadata::default();
    while !cursor.is_done() {
        match cursor.tag()? {
            (1, _) => metadata.kind = cursor.varint()?,
            (2, _) => metadata.family = cursor.message()?.rest(),
            (4, _) => metadata.help = cursor.message()?.rest(),
            (5, _) => metadata.unit = cursor.message()?.rest(),
            (_, wire_type) => cursor.skip(wire_type)?,
        }
    }
    Ok(metadata)
}

/// Both kinds of counts, of which the message has one.
#[derive(Default)]
struct Parts {
    t: Timestamp,
    hint: ResetHint,
    schema: i32,
    zero_threshold: f64,
    sum: f64,
    count: Option<Number>,
    zero: Option<Number>,
    spans: [Vec<Span>; 2],
    deltas: [Vec<i64>; 2],
    counts: [Vec<f64>; 2],
    custom_values: Vec<f64>,
}

#[derive(Clone, Copy)]
enum Number {
    Integer(u64),
    Float(f64),
}

const POSITIVE: usize = 0;
const NEGATIVE: usize = 1;

fn histogram(mut cursor: Cursor<'_>) -> Result<(Timestamp, Histogram), ProtoError> {
    let mut parts = Parts::default();
    while !cursor.is_done() {
        let (number, wire_type) = cursor.tag()?;
        match number {
            1 => parts.count = Some(Number::Integer(cursor.varint()?)),
            2 => parts.count = Some(Number::Float(f64::from_bits(cursor.fixed64()?))),
            3 => parts.sum = f64::from_bits(cursor.fixed64()?),
            4 => parts.schema = zigzag(cursor.varint()? as u32),
            5 => parts.zero_threshold = f64::from_bits(cursor.fixed64()?),
            6 => parts.zero = Some(Number::Integer(cursor.varint()?)),
            7 => parts.zero = Some(Number::Float(f64::from_bits(cursor.fixed64()?))),
            8 => parts.spans[NEGATIVE].push(span(cursor.message()?)?),
            9 => deltas(&mut cursor, wire_type, &mut parts.deltas[NEGATIVE])?,
            10 => floats(&mut cursor, wire_type, &mut parts.counts[NEGATIVE])?,
            11 => parts.spans[POSITIVE].push(span(cursor.message()?)?),
            12 => deltas(&mut cursor, wire_type, &mut parts.deltas[POSITIVE])?,
            13 => floats(&mut cursor, wire_type, &mut parts.counts[POSITIVE])?,
            14 => parts.hint = hint(cursor.varint()?),
            15 => parts.t = cursor.varint()? as i64,
            16 => floats(&mut cursor, wire_type, &mut parts.custom_values)?,
            _ => cursor.skip(wire_type)?,
        }
    }
    Ok(parts.join())
}

impl Parts {
    /// What the kind of the count says it is; numbers of the other kind are as good as not sent.
    fn join(self) -> (Timestamp, Histogram) {
        let [positive_spans, negative_spans] = self.spans;
        let counts = if let Some(Number::Float(count)) = self.count {
            let [positive, negative] = self.counts;
            let zero = if let Some(Number::Float(zero)) = self.zero { zero } else { 0.0 };
            Counts::Float { count, zero, positive, negative }
        } else {
            let [positive, negative] = self.deltas;
            let whole = |number| if let Some(Number::Integer(count)) = number { count } else { 0 };
            Counts::Integer { count: whole(self.count), zero: whole(self.zero), positive, negative }
        };
        let histogram = Histogram {
            hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            sum: self.sum,
            positive_spans,
            negative_spans,
            custom_values: self.custom_values,
            counts,
        };
        (self.t, histogram)
    }
}

fn span(mut cursor: Cursor<'_>) -> Result<Span, ProtoError> {
    let mut span = Span::default();
    while !cursor.is_done() {
        match cursor.tag()? {
            (1, _) => span.offset = zigzag(cursor.varint()? as u32),
            (2, _) => span.length = cursor.varint()? as u32,
            (_, wire_type) => cursor.skip(wire_type)?,
        }
    }
    Ok(span)
}

/// Packed or one by one.
fn deltas(cursor: &mut Cursor<'_>, wire_type: WireType, out: &mut Vec<i64>) -> Result<(), ProtoError> {
    if wire_type == WireType::Varint {
        out.push(zigzag_long(cursor.varint()?));
        return Ok(());
    }
    let mut packed = cursor.message()?;
    while !packed.is_done() {
        out.push(zigzag_long(packed.varint()?));
    }
    Ok(())
}

/// Packed or one by one.
fn floats(cursor: &mut Cursor<'_>, wire_type: WireType, out: &mut Vec<f64>) -> Result<(), ProtoError> {
    if wire_type == WireType::Fixed64 {
        out.push(f64::from_bits(cursor.fixed64()?));
        return Ok(());
    }
    let mut packed = cursor.message()?;
    while !packed.is_done() {
        out.push(f64::from_bits(packed.fixed64()?));
    }
    Ok(())
}

const fn zigzag(value: u32) -> i32 {
    (value >> 1) as i32 ^ -((value & 1) as i32)
}

const fn zigzag_long(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// A number that has no meaning says as much as none.
const fn hint(number: u64) -> ResetHint {
    match number {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

#[cfg(test)]
mod tests;
