//! Operators between histograms, and between a histogram and a number.

use sarsen_block::{Combined, Counts, Histogram, ResetHint, Span};

use super::Incompatible;

/// `a + b`, compacted.
pub(crate) fn add(a: &Histogram, b: &Histogram) -> Result<(Histogram, Combined), Incompatible> {
    let mut sum = a.clone();
    let combined = sum.add(b)?;
    sum.compact()?;
    Ok((sum, combined))
}

/// `a - b`, compacted; a difference is a gauge.
pub(crate) fn subtract(a: &Histogram, b: &Histogram) -> Result<(Histogram, Combined), Incompatible> {
    let mut difference = a.clone();
    let combined = difference.subtract(b)?;
    difference.hint = ResetHint::Gauge;
    difference.compact()?;
    Ok((difference, combined))
}

/// `h * factor`, compacted.
pub(crate) fn multiply(histogram: &Histogram, factor: f64) -> Histogram {
    changed(histogram, |h| h.multiply(factor).and_then(|()| h.compact()))
}

/// `h / divisor`, compacted; by 0 no bucket is left.
pub(crate) fn divide(histogram: &Histogram, divisor: f64) -> Histogram {
    changed(histogram, |h| h.divide(divisor).and_then(|()| h.compact()))
}

/// `-h`, a gauge.
pub(crate) fn negate(histogram: &Histogram) -> Histogram {
    changed(histogram, |h| h.multiply(-1.0))
}

fn changed(
    histogram: &Histogram,
    change: impl FnOnce(&mut Histogram) -> Result<(), sarsen_block::Error>,
) -> Histogram {
    let mut result = histogram.clone();
    // Only integer counts are refused, and there are none.
    let _done = change(&mut result);
    result
}

/// Whether `now` is not what `before` has grown to: Prometheus' `DetectReset`.
pub(crate) fn began_anew(now: &Histogram, before: &Histogram) -> bool {
    now.is_reset_since(before).unwrap_or(false)
}

/// Whether both are the same data: numbers by their bits, layouts but for empty spans, hints not at all (Prometheus' `Equals`).
pub(crate) fn equals(a: &Histogram, b: &Histogram) -> bool {
    a.schema == b.schema
        && same_bits(&[a.sum], &[b.sum])
        && (!a.has_custom_buckets() || a.custom_values == b.custom_values)
        && a.zero_threshold == b.zero_threshold
        && layout(&a.negative_spans).eq(layout(&b.negative_spans))
        && layout(&a.positive_spans).eq(layout(&b.positive_spans))
        && a.counts == b.counts
}

fn same_bits(a: &[f64], b: &[f64]) -> bool {
    a.iter().map(|x| x.to_bits()).eq(b.iter().map(|x| x.to_bits()))
}

/// Offset and length of the spans that are not empty.
fn layout(spans: &[Span]) -> impl Iterator<Item = (i64, u32)> + '_ {
    let mut gap = 0;
    spans.iter().filter_map(move |span| {
        gap += i64::from(span.offset);
        (span.length > 0).then(|| (std::mem::take(&mut gap), span.length))
    })
}

/// How many samples of numbers it stands for where samples in memory are counted.
pub(crate) fn weight(histogram: &Histogram) -> u64 {
    // Prometheus counts 16 bytes for one: its struct has 168, a time 8, and every element of its lists 8.
    const FIXED: usize = 168 + 8;
    let buckets = match &histogram.counts {
        Counts::Integer { positive, negative, .. } => positive.len() + negative.len(),
        Counts::Float { positive, negative, .. } => positive.len() + negative.len(),
    };
    let spans = histogram.positive_spans.len() + histogram.negative_spans.len();
    ((FIXED + 8 * (buckets + spans + histogram.custom_values.len())) / 16) as u64
}
