//! `rate`, `increase` and `delta` of numbers with `anchored` or `smoothed`: no extrapolation, but values at the bounds of the window.
//!
//! The window reaches beyond its bounds. `anchored` takes the last sample at or before the beginning, or else the first one within; `smoothed`
//! lays a line between the samples on either side of a bound. All in Prometheus' order of operations (`extendedRate`).

use sarsen_block::Timestamp;

use super::rate::{Kind, range_seconds};
use crate::ast::Extension;
use crate::eval::Window;
use crate::value::Point;

pub(super) fn of_floats(window: &Window<'_>, kind: Kind) -> Option<Point> {
    let (times, floats) = (window.times, window.floats);
    let smoothed = window.extension == Some(Extension::Smoothed);
    let mut last = times.len().checked_sub(1)?;
    // The last sample is not asked: if all others lie before, it is the one behind the anchor.
    let others = times.get(..last)?;
    let mut first = others.partition_point(|t| *t <= window.from).saturating_sub(1);
    if smoothed {
        last = others.partition_point(|t| *t < window.to);
    }
    let (first_t, last_t) = (*times.get(first)?, *times.get(last)?);
    if last_t <= window.from || (smoothed && first_t > window.to) {
        return None;
    }
    let sample = |at: usize| Some((*times.get(at)?, *floats.get(at)?));
    let left = match smoothed && first_t < window.from {
        true => between(sample(first)?, sample(first + 1)?, window.from, kind.counter),
        false => *floats.get(first)?,
    };
    let right = match smoothed && last > 0 && last_t > window.to {
        true => between(sample(last - 1)?, sample(last)?, window.to, kind.counter),
        false => *floats.get(last)?,
    };
    let mut result = right - left;
    if kind.counter {
        // Only what lies strictly within: the bounds have seen to themselves.
        if first_t <= window.from {
            first += 1;
        }
        let end = if last_t >= window.to { last } else { last + 1 };
        result += lost(left, right, floats.get(first..end).unwrap_or_default());
    }
    if kind.per_second {
        result /= range_seconds(window.bounds());
    }
    Some(Point::Float(result))
}

/// The value at `t` on the line between two samples. A counter that began anew between them began at 0.
pub(crate) fn between(a: (Timestamp, f64), b: (Timestamp, f64), t: Timestamp, counter: bool) -> f64 {
    let low = if counter && b.1 < a.1 { 0.0 } else { a.1 };
    low + (b.1 - low) * (t - a.0) as f64 / (b.0 - a.0) as f64
}

/// What the counter had before each new beginning.
fn lost(left: f64, right: f64, within: &[f64]) -> f64 {
    let mut sum = 0.0;
    let mut before = left;
    for x in within.iter().chain([&right]) {
        if *x < before {
            sum += before;
        }
        before = *x;
    }
    sum
}
