//! Histograms of a series made cheaper before windows slide over them.

use sarsen_block::{Counts, Histogram, ResetHint};

/// Finds out once for each histogram of a series whether its counters began anew, and writes it into its hint, so that windows that overlap
/// need not compare buckets again. Only for functions that ask nothing else of hints; gauges stay gauges, and stale markers are passed over.
pub(crate) fn resolve_resets(histograms: &mut [Histogram]) {
    let mut previous: Option<usize> = None;
    for at in 0..histograms.len() {
        let (done, rest) = histograms.split_at_mut(at);
        let Some(now) = rest.first_mut().filter(|now| !now.is_stale()) else { continue };
        if now.hint == ResetHint::Unknown
            && let Some(before) = previous.and_then(|previous| done.get(previous))
        {
            now.hint = match now.is_reset_since(before) {
                Ok(true) => ResetHint::Reset,
                Ok(false) => ResetHint::NotReset,
                Err(_) => ResetHint::Unknown,
            };
        }
        previous = Some(at);
    }
}

/// Leaves of each histogram of a series its count, its sum and its schema: all that `histogram_count`, `histogram_sum` and `histogram_avg`
/// ask for. Whether counters began anew is found out before, and stays in the hints, as Prometheus' `HistogramStatsIterator` does it.
pub(crate) fn keep_totals(histograms: &mut [Histogram]) {
    resolve_resets(histograms);
    for histogram in histograms {
        let Counts::Float { count, .. } = histogram.counts else { continue };
        let Histogram { hint, schema, sum, .. } = *histogram;
        let empty = Histogram::stale(true);
        let counts = Counts::Float { count, zero: 0.0, positive: Vec::new(), negative: Vec::new() };
        *histogram = Histogram { hint, schema, sum, counts, ..empty };
    }
}
