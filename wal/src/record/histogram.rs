//! A native histogram as it lies in a record: whole numbers as varints, then all floats as one column.
//!
//! Layouts repeat from sample to sample and from series to series; finding that out is left to zstd. The form holds any
//! histogram, also one that no chunk would take: judging is not the log's business.

use sarsen_block::codec::{Reader, put_uvarint, put_varint};
use sarsen_block::{Counts, Histogram, ResetHint, Span};

use super::values::{Values, ValuesEncoder};
use crate::error::Error;

/// Bit of the first byte: counts are floats. The two bits below are the hint.
const FLOAT: u8 = 4;

/// A logged histogram, not yet decoded: passing it over costs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedHistogram<'a> {
    bytes: &'a [u8],
}

/// Appends the form of `histogram`; `floats` is working space.
pub(super) fn encode(histogram: &Histogram, floats: &mut ValuesEncoder, out: &mut Vec<u8>) {
    floats.clear();
    let float = if histogram.is_float() { FLOAT } else { 0 };
    out.push(histogram.hint as u8 | float);
    put_varint(out, i64::from(histogram.schema));
    for spans in [&histogram.positive_spans, &histogram.negative_spans] {
        put_uvarint(out, spans.len() as u64);
        for span in spans {
            put_varint(out, i64::from(span.offset));
            put_uvarint(out, u64::from(span.length));
        }
    }
    put_uvarint(out, histogram.custom_values.len() as u64);
    floats.push(histogram.zero_threshold.to_bits());
    floats.push(histogram.sum.to_bits());
    push_all(floats, &histogram.custom_values);
    match &histogram.counts {
        Counts::Integer { count, zero, positive, negative } => {
            put_uvarint(out, *count);
            put_uvarint(out, *zero);
            for buckets in [positive, negative] {
                put_uvarint(out, buckets.len() as u64);
                for bucket in buckets {
                    put_varint(out, *bucket);
                }
            }
        }
        Counts::Float { count, zero, positive, negative } => {
            put_uvarint(out, positive.len() as u64);
            put_uvarint(out, negative.len() as u64);
            push_all(floats, &[*count, *zero]);
            push_all(floats, positive);
            push_all(floats, negative);
        }
    }
    floats.finish(out);
}

fn push_all(floats: &mut ValuesEncoder, values: &[f64]) {
    for value in values {
        floats.push(value.to_bits());
    }
}

impl<'a> LoggedHistogram<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// The histogram.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged.
    pub fn decode(self) -> Result<Histogram, Error> {
        let mut reader = Reader::new("logged histogram", self.bytes);
        let flags = reader.u8("hint")?;
        let hint = hint(flags & 3);
        if flags > 7 {
            return Err(reader.corrupt("unknown flags of a histogram").into());
        }
        let schema = number::<i32>(reader.varint("schema")?, &reader)?;
        let positive_spans = spans(&mut reader)?;
        let negative_spans = spans(&mut reader)?;
        // Half a byte of class is the least that a float takes.
        let customs = reader.length(reader.remaining().saturating_mul(2), "number of custom bounds")?;
        let (integers, positive, negative) = if flags & FLOAT == 0 {
            let heads = (reader.uvarint("count")?, reader.uvarint("zero count")?);
            (Some((heads, buckets(&mut reader)?, buckets(&mut reader)?)), 0, 0)
        } else {
            let limit = reader.remaining().saturating_mul(2);
            (None, reader.length(limit, "positive buckets")?, reader.length(limit, "negative buckets")?)
        };
        let heads = if integers.is_some() { 2 } else { 4 };
        let mut floats = Floats::decode(reader, heads + customs + positive + negative)?;
        let (zero_threshold, sum) = (floats.one()?, floats.one()?);
        let custom_values = floats.list(customs)?;
        let counts = match integers {
            Some(((count, zero), positive, negative)) => Counts::Integer { count, zero, positive, negative },
            None => Counts::Float {
                count: floats.one()?,
                zero: floats.one()?,
                positive: floats.list(positive)?,
                negative: floats.list(negative)?,
            },
        };
        floats.0.finish()?;
        Ok(Histogram {
            hint,
            schema,
            zero_threshold,
            sum,
            positive_spans,
            negative_spans,
            custom_values,
            counts,
        })
    }
}

const fn hint(bits: u8) -> ResetHint {
    match bits {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    }
}

fn number<T: TryFrom<i64>>(value: i64, reader: &Reader<'_>) -> Result<T, Error> {
    T::try_from(value).map_err(|_| reader.corrupt(format!("{value} has too many bits")).into())
}

fn spans(reader: &mut Reader<'_>) -> Result<Vec<Span>, Error> {
    // A span takes at least two bytes.
    let count = reader.length(reader.remaining() / 2, "number of spans")?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let offset = number(reader.varint("offset of a span")?, reader)?;
        let length = reader.uvarint("length of a span")?;
        let length = u32::try_from(length).map_err(|_| reader.corrupt("a span of more than 32 bits"))?;
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn buckets(reader: &mut Reader<'_>) -> Result<Vec<i64>, Error> {
    let count = reader.length(reader.remaining(), "number of buckets")?;
    let mut buckets = Vec::with_capacity(count);
    for _ in 0..count {
        buckets.push(reader.varint("bucket")?);
    }
    Ok(buckets)
}

/// The column of floats, read as numbers.
struct Floats<'a>(Values<'a>);

impl<'a> Floats<'a> {
    fn decode(reader: Reader<'a>, count: usize) -> Result<Self, Error> {
        Values::decode(reader, count).map(Self)
    }

    fn one(&mut self) -> Result<f64, Error> {
        self.0.next().map(f64::from_bits)
    }

    fn list(&mut self, count: usize) -> Result<Vec<f64>, Error> {
        let mut list = Vec::with_capacity(count);
        for _ in 0..count {
            list.push(self.one()?);
        }
        Ok(list)
    }
}
