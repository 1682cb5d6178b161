//! Selectors with `anchored` and `smoothed` that stand alone: a window with points at its bounds, and values between samples.

use std::sync::Arc;

use sarsen_block::Timestamp;

use super::column::{ColumnBuilder, Grid};
use super::series::{Made, Reference};
use super::source::Input;
use crate::Error;
use crate::ast::Extension;
use crate::input::Samples;

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
    (reference, lookback_ms): (Reference, i64),
) -> Made {
    let mut column = ColumnBuilder::new(grid.steps());
    for step in 0..grid.steps() {
        let t = reference.time(grid.at(step));
        let (begin, end) = (t.saturating_sub(lookback_ms), t.saturating_add(lookback_ms));
        let low = samples.times.partition_point(|at| *at <= begin);
        let high = samples.times.partition_point(|at| *at <= end);
        let times = samples.times.get(low..high).unwrap_or_default();
        let floats = samples.floats.get(low..high).unwrap_or_default();
        let behind = times.partition_point(|at| *at < t);
        let point = |at: usize| Some((*times.get(at)?, *floats.get(at)?));
        let value = match (behind.checked_sub(1).and_then(point), point(behind)) {
            (_, Some((at, value))) if at == t => value,
            (Some(before), Some(after)) => between(before, after, t),
            (Some((_, value)), None) => value,
            (None, _) => continue,
        };
        column.float(step, value);
    }
    let column = (!column.is_empty()).then(|| column.finish(Arc::clone(&input.labels), input.drop_name));
    Made { column, ..Made::default() }
}
