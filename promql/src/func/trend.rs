//! `deriv`, `predict_linear` and `double_exponential_smoothing`: the numbers of a window as a line.
//!
//! Histograms in the window are left out, which is noted.

use sarsen_block::Timestamp;

use super::kahan::Kahan;
use super::notes::{Notes, Spot};
use crate::annotations::Note;
use crate::eval::Window;
use crate::value::Point;

/// Notes that there are histograms beside numbers; whether there are at least two numbers.
fn enough(window: &Window<'_>, notes: &mut Notes<'_>) -> bool {
    if !window.histograms.is_empty() && !window.floats.is_empty() {
        notes.of_metric(Note::ignored_in_mixed_range, Spot::Argument(0));
    }
    window.floats.len() >= 2
}

pub(super) fn deriv(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    if !enough(window, notes) {
        return None;
    }
    let (slope, _) = regression(window, *window.times.first()?)?;
    Some(Point::Float(slope))
}

/// Where the line will be so many seconds after the time of the step, which no offset shifts.
pub(super) fn predict_linear(window: &Window<'_>, arguments: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    if !enough(window, notes) {
        return None;
    }
    let ahead = arguments.first()?;
    let (slope, intercept) = regression(window, window.at)?;
    Some(Point::Float(slope * ahead + intercept))
}

/// Slope by seconds, and the value at `origin`, of the line with the least squares.
fn regression(window: &Window<'_>, origin: Timestamp) -> Option<(f64, f64)> {
    let first = *window.floats.first()?;
    let [mut x_sum, mut y_sum, mut xy_sum, mut xx_sum] = [Kahan::default(); 4];
    let mut constant = true;
    for (at, (t, y)) in window.times.iter().zip(window.floats).enumerate() {
        // NaN differs from the first number even if that is NaN, too.
        constant = constant && (at == 0 || *y == first);
        let x = t.wrapping_sub(origin) as f64 / 1e3;
        x_sum.add(x);
        y_sum.add(*y);
        xy_sum.add(x * y);
        xx_sum.add(x * x);
    }
    if constant {
        return Some(if first.is_infinite() { (f64::NAN, f64::NAN) } else { (0.0, first) });
    }
    let n = window.floats.len() as f64;
    let (x, y, xy, xx) = (x_sum.total(), y_sum.total(), xy_sum.total(), xx_sum.total());
    let covariance = xy - x * y / n;
    let variance = xx - x * x / n;
    let slope = covariance / variance;
    Some((slope, y / n - slope * x / n))
}

pub(super) fn double_exponential_smoothing(
    window: &Window<'_>,
    arguments: &[f64],
    notes: &mut Notes<'_>,
) -> Option<Point> {
    let [smoothing, trend] = arguments else { return None };
    for (factor, what, name) in [(smoothing, "smoothing", "sf"), (trend, "trend", "tf")] {
        if *factor <= 0.0 || *factor >= 1.0 {
            let got = fixed(*factor);
            notes.fail(format!("invalid {what} factor. Expected: 0 < {name} < 1, got: {got}"));
            return None;
        }
    }
    if !enough(window, notes) {
        return None;
    }
    let [first, second, ..] = window.floats else { return None };
    let (mut before, mut smoothed, mut slope) = (0.0, *first, second - first);
    for (at, x) in window.floats.iter().enumerate().skip(1) {
        let scaled = smoothing * x;
        if at > 1 {
            slope = trend * (smoothed - before) + (1.0 - trend) * slope;
        }
        let carried = (1.0 - smoothing) * (smoothed + slope);
        (before, smoothed) = (smoothed, scaled + carried);
    }
    Some(Point::Float(smoothed))
}

/// As Go's `%f`.
fn fixed(x: f64) -> String {
    match x {
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        x => format!("{x:.6}"),
    }
}
