//! Selectors with `anchored` and `smoothed` that stand alone: a window with points at its bounds, and values between samples.

use std::sync::Arc;

use sarsen_block::{METRIC_NAME, Timestamp};

use super::column::{ColumnBuilder, Grid};
use super::series::{Made, Reference};
use super::source::Input;
use crate::ast::{Extension, Place};
use crate::func::interpolate_at;
use crate::input::Samples;
use crate::{Annotations, Error, Note};

/// The value at `t` on the line between two samples.
fn between(a: (Timestamp, f64), b: (Timestamp, f64), t: Timestamp) -> f64 {
    a.1 + (b.1 - a.1) * (t - a.0) as f64 / (b.0 - a.0) as f64
}

/// The samples of a window that is extended to its bounds; `samples` are without stale markers.
///
/// # Errors
/// [`Error::Execution`] if there are histograms.
pub(super) fn window(
    samples: &Samples,
    (from, to): (Timestamp, Timestamp),
    lookback_ms: i64,
    extension: Extension,
) -> Result<Vec<(Timestamp, f64)>, Error> {
    let smoothed = extension == Extension::Smoothed;
    let (begin, end) =
        (from.saturating_sub(lookback_ms), if smoothed { to.saturating_add(lookback_ms) } else { to });
    if samples.histogram_times.iter().any(|t| begin < *t && *t <= end) {
        let word = extension.name();
        return Err(Error::Execution(format!("{word} modifier is not supported with histograms")));
    }
    let points: Vec<(Timestamp, f64)> = samples
        .times
        .iter()
        .copied()
        .zip(samples.floats.iter().copied())
        .filter(|(t, _)| begin < *t && *t <= end)
        .collect();
    Ok(extended(&points, (from, to), smoothed).unwrap_or_default())
}

fn extended(
    points: &[(Timestamp, f64)],
    (from, to): (Timestamp, Timestamp),
    smoothed: bool,
) -> Option<Vec<(Timestamp, f64)>> {
    let mut last = points.len().checked_sub(1)?;
    // The last point is not asked: if all others lie before, it is the one behind the anchor.
    let others = points.get(..last)?;
    let mut first = others.partition_point(|(t, _)| *t <= from).saturating_sub(1);
    if smoothed {
        last = others.partition_point(|(t, _)| *t < to);
    }
    let (first_point, last_point) = (*points.get(first)?, *points.get(last)?);
    if last_point.0 <= from {
        return None;
    }
    let left = match points.get(first + 1) {
        Some(next) if smoothed && first_point.0 < from => between(first_point, *next, from),
        _ => first_point.1,
    };
    let right = match last.checked_sub(1).and_then(|at| points.get(at)) {
        Some(before) if smoothed && last_point.0 > to => between(*before, last_point, to),
        _ => last_point.1,
    };
    if first_point.0 <= from {
        first += 1;
    }
    let end = if last_point.0 >= to { last } else { last + 1 };
    let inner = points.get(first..end).unwrap_or_default();
    Some([&[(from, left)], inner, &[(to, right)]].concat())
}

/// Values between the samples on either side of each step; without one behind, the one before.
pub(super) fn smoothed(
    input: &Input,
    samples: &Samples,
    grid: Grid,
    (reference, lookback_ms, place): (Reference, i64, Place),
) -> Made {
    let mut column = ColumnBuilder::new(grid.steps());
    let mut notes = Annotations::default();
    let metric = input.labels.get(METRIC_NAME).unwrap_or_default();
    for step in 0..grid.steps() {
        let t = reference.time(grid.at(step));
        let near = (t.saturating_sub(lookback_ms), t.saturating_add(lookback_ms));
        let floats = part(&samples.times, &samples.floats, near);
        let histograms = part(&samples.histogram_times, &samples.histograms, near);
        match (floats.0.is_empty(), histograms.0.is_empty()) {
            (true, true) => {}
            (false, false) => notes.add(Note::mixed_floats_histograms(metric), place),
            (false, true) => {
                if let Some(value) = value_at(floats, t) {
                    column.float(step, value);
                }
            }
            (true, false) => {
                if let Some(value) = interpolate_at(histograms, t, metric, (&mut notes, place)) {
                    column.histogram(step, Arc::new(value));
                }
            }
        }
    }
    let column = (!column.is_empty()).then(|| column.finish(Arc::clone(&input.labels), input.drop_name));
    Made { column, notes, ..Made::default() }
}

/// The samples with `begin < t <= end`.
fn part<'a, T>(
    times: &'a [Timestamp],
    values: &'a [T],
    (begin, end): (Timestamp, Timestamp),
) -> (&'a [Timestamp], &'a [T]) {
    let (low, high) = (times.partition_point(|at| *at <= begin), times.partition_point(|at| *at <= end));
    (times.get(low..high).unwrap_or_default(), values.get(low..high).unwrap_or_default())
}

fn value_at((times, floats): (&[Timestamp], &[f64]), t: Timestamp) -> Option<f64> {
    let behind = times.partition_point(|at| *at < t);
    let point = |at: usize| Some((*times.get(at)?, *floats.get(at)?));
    match (behind.checked_sub(1).and_then(point), point(behind)) {
        (_, Some((at, value))) if at == t => Some(value),
        (Some(before), Some(after)) => Some(between(before, after, t)),
        (Some((_, value)), None) => Some(value),
        (None, _) => None,
    }
}
