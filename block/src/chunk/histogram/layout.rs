//! What all histograms of a chunk have in common: the schema, the zero threshold and where the buckets lie.
//!
//! It is written once, before the first sample. A zero threshold that is a usual power of two takes one byte, a bound of a custom
//! bucket that is a multiple of a thousandth takes as few bits as its size asks for.

use crate::bits::{BitReader, BitWriter};
use crate::chunk::varbit;
use crate::histogram::{CUSTOM_BUCKETS, Histogram, Span};

/// Says that a zero threshold follows in full.
const THRESHOLD_IN_FULL: u64 = 0xFF;

/// What is added to the exponent of a power of two to store it in a byte: 2^-243 is 1, 2^10 is 254.
const EXPONENT_OFFSET: i32 = 244;

/// Bounds up to this many thousandths are stored in thousandths.
const MAX_THOUSANDTHS: f64 = 33_554_430.0;

/// The layout of the histograms of a chunk.
#[derive(Debug, Clone, Default)]
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive: Vec<Span>,
    pub(super) negative: Vec<Span>,
    pub(super) custom: Vec<f64>,
}

/// How many buckets `spans` have.
pub(super) fn buckets(spans: &[Span]) -> u64 {
    spans.iter().map(|span| u64::from(span.length)).sum()
}

impl Layout {
    /// The layout of `histogram`; that of a stale marker is empty.
    pub(super) fn of(histogram: &Histogram) -> Self {
        if histogram.is_stale() {
            return Self::default();
        }
        Self {
            schema: histogram.schema,
            zero_threshold: histogram.zero_threshold,
            positive: histogram.positive_spans.clone(),
            negative: histogram.negative_spans.clone(),
            custom: histogram.custom_values.clone(),
        }
    }

    /// Writes the layout.
    pub(super) fn put(&self, out: &mut BitWriter<'_>) {
        put_threshold(out, self.zero_threshold);
        varbit::put_int(out, i64::from(self.schema));
        for spans in [&self.positive, &self.negative] {
            varbit::put_uint(out, spans.len() as u64);
            for span in spans {
                varbit::put_uint(out, u64::from(span.length));
                varbit::put_int(out, i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_BUCKETS {
            varbit::put_uint(out, self.custom.len() as u64);
            for &bound in &self.custom {
                put_bound(out, bound);
            }
        }
    }

    /// Reads a layout.
    ///
    /// # Errors
    /// What is wrong: the bytes end, or promise more than they can hold.
    pub(super) fn read(bits: &mut BitReader<'_>) -> Result<Self, &'static str> {
        const CUT_OFF: &str = "the layout is cut off";
        let zero_threshold = read_threshold(bits).ok_or(CUT_OFF)?;
        let schema = varbit::read_int(bits).ok_or(CUT_OFF)?;
        let schema = i32::try_from(schema).ok().filter(|schema| is_known(*schema)).ok_or("unknown schema")?;
        let positive = read_spans(bits)?;
        let negative = read_spans(bits)?;
        let mut custom = Vec::new();
        if schema == CUSTOM_BUCKETS {
            // A bound takes five bits or more.
            let count = varbit::read_uint(bits).and_then(|n| fits(bits, n, 5)).ok_or(CUT_OFF)?;
            custom.reserve_exact(count);
            for _ in 0..count {
                custom.push(read_bound(bits).ok_or(CUT_OFF)?);
            }
        }
        // Each bucket of the first sample takes a bit or more.
        let buckets = buckets(&positive).saturating_add(buckets(&negative));
        fits(bits, buckets, 1).ok_or("more buckets than bits")?;
        Ok(Self { schema, zero_threshold, positive, negative, custom })
    }
}

/// Whether buckets of this schema can be read, if only with less resolution.
pub(super) const fn is_known(schema: i32) -> bool {
    matches!(schema, -9..=52 | CUSTOM_BUCKETS)
}

/// `count`, if so many things of `each` bits can follow.
fn fits(bits: &BitReader<'_>, count: u64, each: u64) -> Option<usize> {
    let left = (bits.bytes().len() * 8).saturating_sub(bits.position()) as u64;
    (count <= left / each).then_some(count as usize)
}

fn read_spans(bits: &mut BitReader<'_>) -> Result<Vec<Span>, &'static str> {
    // A span takes two bits or more.
    let count = varbit::read_uint(bits).and_then(|n| fits(bits, n, 2)).ok_or("the spans are cut off")?;
    let mut spans = Vec::with_capacity(count);
    for _ in 0..count {
        let length = varbit::read_uint(bits).ok_or("the spans are cut off")?;
        let offset = varbit::read_int(bits).ok_or("the spans are cut off")?;
        let (Ok(length), Ok(offset)) = (u32::try_from(length), i32::try_from(offset)) else {
            return Err("a span out of range");
        };
        spans.push(Span { offset, length });
    }
    Ok(spans)
}

fn put_threshold(out: &mut BitWriter<'_>, threshold: f64) {
    if threshold == 0.0 {
        return out.put(0, 8);
    }
    // A power of two has no mantissa; those below 2^-1022 are too small anyway.
    let bits = threshold.to_bits();
    let exponent = (bits >> 52) as i32 - 1023;
    if bits << 12 == 0 && (-243..=10).contains(&exponent) {
        return out.put((exponent + EXPONENT_OFFSET) as u64, 8);
    }
    out.put(THRESHOLD_IN_FULL, 8);
    out.put(bits, 64);
}

fn read_threshold(bits: &mut BitReader<'_>) -> Option<f64> {
    Some(match bits.take(bits.peek(), 0, 56)? {
        0 => 0.0,
        THRESHOLD_IN_FULL => f64::from_bits(bits.take(bits.peek(), 0, 0)?),
        byte => f64::from_bits(((byte as i32 - EXPONENT_OFFSET + 1023) as u64) << 52),
    })
}

fn put_bound(out: &mut BitWriter<'_>, bound: f64) {
    let thousandths = bound * 1000.0;
    let whole = thousandths.round();
    if (0.0..=MAX_THOUSANDTHS).contains(&thousandths) && whole / 1000.0 == bound {
        return varbit::put_uint(out, whole as u64 + 1);
    }
    out.put(0, 1);
    out.put(bound.to_bits(), 64);
}

fn read_bound(bits: &mut BitReader<'_>) -> Option<f64> {
    Some(match varbit::read_uint(bits)? {
        0 => f64::from_bits(bits.take(bits.peek(), 0, 0)?),
        number => (number - 1) as f64 / 1000.0,
    })
}
