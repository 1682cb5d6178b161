//! Native histograms with custom buckets out of the classic ones of a `load_with_nhcb` (Prometheus: `util/convertnhcb`).

use std::collections::BTreeMap;

use sarsen_block::{CUSTOM_BUCKETS, Counts, Histogram, Labels, METRIC_NAME, Span};

use super::commands::Load;
use super::series::Written;
use super::text::number;

/// The parts of a classic histogram at one time.
#[derive(Debug, Default)]
struct Parts {
    /// Upper bounds and cumulative counts, by bound; of equal bounds the first counts.
    buckets: Vec<(f64, f64)>,
    count: Option<f64>,
    sum: f64,
}

/// The converted histograms of the load: labels, time, histogram; each series by rising time.
///
/// # Errors
/// Whose counts do not rise with the bounds, or are negative.
pub(super) fn converted(load: &Load) -> Result<Vec<(Labels, i64, Histogram)>, String> {
    let mut found: BTreeMap<Labels, BTreeMap<i64, Parts>> = BTreeMap::new();
    for (series, _) in &load.series {
        let name = series.labels.get(METRIC_NAME).unwrap_or_default();
        let suffix = [&b"_bucket"[..], b"_sum", b"_count"].into_iter().find(|suffix| name.ends_with(suffix));
        let Some(suffix) = suffix else { continue };
        let bound = series.labels.get(b"le").and_then(|le| number(str::from_utf8(le).ok()?));
        let bound = bound.filter(|bound| !bound.is_nan());
        if suffix == b"_bucket" && bound.is_none() {
            continue;
        }
        let base = name.get(..name.len() - suffix.len()).unwrap_or_default();
        let kept = series.labels.iter().filter(|(name, _)| *name != METRIC_NAME && *name != b"le");
        let labels =
            Labels::from_pairs(kept.chain([(METRIC_NAME, base)])).map_err(|error| error.to_string())?;
        let times = found.entry(labels).or_default();
        let mut t = -load.gap_ms;
        for value in &series.values {
            t += load.gap_ms;
            let Written::Float(value) = *value else { continue };
            let parts = times.entry(t).or_default();
            match (suffix, bound) {
                (b"_bucket", Some(bound)) => parts.buckets.push((bound, value)),
                (b"_sum", _) => parts.sum = value,
                _ => parts.count = Some(value),
            }
        }
    }
    let mut histograms = Vec::new();
    for (labels, times) in found {
        for (t, parts) in times {
            let histogram = parts.convert().map_err(|why| format!("{}: {why}", labels.as_ref()))?;
            histograms.push((labels.clone(), t, histogram));
        }
    }
    Ok(histograms)
}

impl Parts {
    fn convert(mut self) -> Result<Histogram, String> {
        // Stable, so that of equal bounds the first stays.
        self.buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        self.buckets.dedup_by(|later, first| later.0 == first.0);
        let highest = self.buckets.last().copied();
        let count = self.count.or(highest.map(|(_, count)| count)).unwrap_or_default();
        if highest.is_none_or(|(bound, _)| bound != f64::INFINITY) {
            self.buckets.push((f64::INFINITY, count));
        }
        let mut counts = Vec::with_capacity(self.buckets.len());
        let mut below = 0.0;
        for (bound, cumulative) in &self.buckets {
            if *cumulative < below {
                return Err(format!(
                    "the count of le={bound} is less than that below it: {cumulative} < {below}"
                ));
            }
            counts.push(cumulative - below);
            below = *cumulative;
        }
        if below != count {
            return Err(format!("count mismatch: {count} in all, {below} in the buckets"));
        }
        let whole = self.buckets.iter().all(|(_, count)| count.round() == *count);
        let (positive_spans, positive) = compact(&counts, if whole { 2 } else { 0 });
        let bounds = self.buckets.iter().map(|(bound, _)| *bound).filter(|bound| *bound != f64::INFINITY);
        Ok(Histogram {
            schema: CUSTOM_BUCKETS,
            sum: self.sum,
            positive_spans,
            custom_values: bounds.collect(),
            counts: Counts::Float { count, zero: 0.0, positive, negative: Vec::new() },
            ..Histogram::default()
        })
    }
}

/// Spans and counts without empty buckets at either end and without more than `gap` empty ones in a row.
fn compact(counts: &[f64], gap: usize) -> (Vec<Span>, Vec<f64>) {
    let (mut spans, mut kept): (Vec<Span>, Vec<f64>) = (Vec::new(), Vec::new());
    let mut empty = 0_usize;
    for count in counts {
        if *count == 0.0 {
            empty += 1;
            continue;
        }
        match spans.last_mut() {
            Some(span) if empty <= gap => {
                kept.extend(std::iter::repeat_n(0.0, empty));
                span.length += u32::try_from(empty).unwrap_or(u32::MAX) + 1;
            }
            _ => spans.push(Span { offset: i32::try_from(empty).unwrap_or(i32::MAX), length: 1 }),
        }
        kept.push(*count);
        empty = 0;
    }
    (spans, kept)
}
