//! A native histogram as the log of Prometheus holds it.

use sarsen_block::codec::Reader;
use sarsen_block::{CUSTOM_BUCKETS, Counts, Histogram, ResetHint, Span};

use crate::error::Error;

/// Reads an integer or a float histogram.
pub(super) fn read(reader: &mut Reader<'_>, is_float: bool) -> Result<Histogram, Error> {
    let hint = match reader.u8("hint")? {
        1 => ResetHint::Reset,
        2 => ResetHint::NotReset,
        3 => ResetHint::Gauge,
        _ => ResetHint::Unknown,
    };
    // The writer has 32 bits of it; a reader takes the low ones, as Go does.
    let schema = reader.varint("schema")? as i32;
    let zero_threshold = float(reader, "zero threshold")?;
    let (mut heads, mut float_heads) = ((0, 0), (0.0, 0.0));
    if is_float {
        float_heads = (float(reader, "zero count")?, float(reader, "count")?);
    } else {
        heads = (reader.uvarint("zero count")?, reader.uvarint("count")?);
    }
    let sum = float(reader, "sum")?;
    let positive_spans = spans(reader)?;
    let negative_spans = spans(reader)?;
    let counts = if is_float {
        let (zero, count) = float_heads;
        Counts::Float { count, zero, positive: floats(reader)?, negative: floats(reader)? }
    } else {
        let (zero, count) = heads;
        Counts::Integer { count, zero, positive: integers(reader)?, negative: integers(reader)? }
    };
    let custom_values = if schema == CUSTOM_BUCKETS { floats(reader)? } else { Vec::new() };
    Ok(Histogram { hint, schema, zero_threshold, sum, positive_spans, negative_spans, custom_values, counts })
}

fn float(reader: &mut Reader<'_>, what: &'static str) -> Result<f64, Error> {
    Ok(f64::from_bits(reader.u64(what)?))
}

fn spans(reader: &mut Reader<'_>) -> Result<Vec<Span>, Error> {
    let count = reader.length(reader.remaining() / 2, "number of spans")?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let offset = reader.varint("offset of a span")? as i32;
        let length = reader.uvarint("length of a span")?;
        let length = u32::try_from(length).map_err(|_| reader.corrupt("a span of more than 32 bits"))?;
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn floats(reader: &mut Reader<'_>) -> Result<Vec<f64>, Error> {
    let count = reader.length(reader.remaining() / 8, "number of floats")?;
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(float(reader, "float")?);
    }
    Ok(list)
}

fn integers(reader: &mut Reader<'_>) -> Result<Vec<i64>, Error> {
    let count = reader.length(reader.remaining(), "number of buckets")?;
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(reader.varint("bucket")?);
    }
    Ok(list)
}
