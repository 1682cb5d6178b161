//! `*_over_time` of numbers: one number of all numbers of a window. Histograms in the window are noted or, where they can be
//! summed, handed to the room of histograms.

use sarsen_block::Timestamp;

use super::histogram;
use super::kahan::Kahan;
use super::notes::{Notes, Spot};
use super::quantile::quantile;
use crate::annotations::Note;
use crate::eval::Window;
use crate::value::Point;

const ARGUMENT: Spot = Spot::Argument(0);

fn seconds(t: Timestamp) -> f64 {
    t as f64 / 1000.0
}

/// Whether numbers and histograms stand in one window, which is noted: then there is no result.
fn mixed(window: &Window<'_>, notes: &mut Notes<'_>) -> bool {
    let mixed = !window.floats.is_empty() && !window.histograms.is_empty();
    if mixed {
        notes.of_metric(Note::mixed_floats_histograms, ARGUMENT);
    }
    mixed
}

/// The numbers, if there is one; histograms between them are noted.
fn only_floats<'a>(window: &Window<'a>, notes: &mut Notes<'_>) -> Option<&'a [f64]> {
    if window.floats.is_empty() {
        return None;
    }
    if !window.histograms.is_empty() {
        notes.of_metric(Note::ignored_in_mixed_range, ARGUMENT);
    }
    Some(window.floats)
}

pub(super) fn sum(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    if mixed(window, notes) {
        return None;
    }
    if window.floats.is_empty() {
        let sum = histogram::over_time::sum(window.histograms, notes)?;
        return Some(Point::Histogram(Box::new(sum)));
    }
    Some(Point::Float(sum_of(window.floats)))
}

/// Sum with compensation; an infinite one without, because that would be NaN.
pub(crate) fn sum_of(floats: &[f64]) -> f64 {
    let mut sum = Kahan::default();
    floats.iter().for_each(|x| sum.add(*x));
    if sum.sum.is_infinite() { sum.sum } else { sum.total() }
}

pub(super) fn avg(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    if mixed(window, notes) {
        return None;
    }
    if window.floats.is_empty() {
        let mean = histogram::over_time::mean(window.histograms, notes)?;
        return Some(Point::Histogram(Box::new(mean)));
    }
    mean_of(window.floats).map(Point::Float)
}

/// Sum by count, until the sum is too large for a float: from there on the mean is carried along.
pub(crate) fn mean_of(floats: &[f64]) -> Option<f64> {
    let (first, rest) = floats.split_first()?;
    let mut state = Kahan::from(*first);
    let mut carried = false;
    let mut count = 1.0;
    for x in rest {
        count += 1.0;
        if !carried {
            let mut sum = state;
            sum.add(*x);
            if !sum.sum.is_infinite() {
                state = sum;
                continue;
            }
            carried = true;
            state = Kahan { sum: state.sum / (count - 1.0), lost: state.lost / (count - 1.0) };
        }
        let shrink = (count - 1.0) / count;
        state = Kahan { sum: shrink * state.sum, lost: shrink * state.lost };
        state.add(x / count);
    }
    Some(if carried { state.total() } else { state.sum / count + state.lost / count })
}

pub(super) fn count(window: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Option<Point> {
    Some(Point::Float((window.floats.len() + window.histograms.len()) as f64))
}

pub(super) fn present(_: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Option<Point> {
    Some(Point::Float(1.0))
}

/// The extreme by `better`, which is asked whether a number takes the place of the best one so far, and when it was.
fn extreme(
    window: &Window<'_>,
    notes: &mut Notes<'_>,
    better: impl Fn(f64, f64) -> bool,
) -> Option<(f64, Timestamp)> {
    let floats = only_floats(window, notes)?;
    let samples = floats.iter().copied().zip(window.times.iter().copied());
    samples.reduce(|best, one| if better(one.0, best.0) || best.0.is_nan() { one } else { best })
}

/// The extreme of numbers, by the same rule; of none it is NaN.
pub(super) fn extreme_of(floats: &[f64], better: impl Fn(f64, f64) -> bool) -> f64 {
    let all = floats.iter().copied();
    all.reduce(|best, x| if better(x, best) || best.is_nan() { x } else { best }).unwrap_or(f64::NAN)
}

pub(super) fn max(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    extreme(window, notes, |x, best| x > best).map(|(x, _)| Point::Float(x))
}

pub(super) fn min(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    extreme(window, notes, |x, best| x < best).map(|(x, _)| Point::Float(x))
}

pub(super) fn ts_of_max(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    extreme(window, notes, |x, best| x >= best).map(|(_, t)| Point::Float(seconds(t)))
}

pub(super) fn ts_of_min(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    extreme(window, notes, |x, best| x <= best).map(|(_, t)| Point::Float(seconds(t)))
}

pub(super) fn ts_of_first(window: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Option<Point> {
    let first = window.times.first().into_iter().chain(window.histogram_times.first()).min();
    first.map(|t| Point::Float(seconds(*t)))
}

pub(super) fn ts_of_last(window: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Option<Point> {
    // Prometheus takes the time of what is missing as 0, so that a last number before 1970 is at 0.
    let last = |times: &[Timestamp]| times.last().copied().unwrap_or(0);
    Some(Point::Float(seconds(last(window.times).max(last(window.histogram_times)))))
}

pub(super) fn first(window: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Option<Point> {
    let float = window.times.first().zip(window.floats.first());
    let histogram = window.histogram_times.first().zip(window.histograms.first());
    match (float, histogram) {
        (Some((t, _)), Some((other, histogram))) if t >= other => {
            Some(Point::Histogram(Box::new(histogram.clone())))
        }
        (Some((_, x)), _) => Some(Point::Float(*x)),
        (None, histogram) => histogram.map(|(_, histogram)| Point::Histogram(Box::new(histogram.clone()))),
    }
}

pub(super) fn last(window: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Option<Point> {
    let float = window.times.last().zip(window.floats.last());
    let histogram = window.histogram_times.last().zip(window.histograms.last());
    match (float, histogram) {
        (Some((t, _)), Some((other, histogram))) if other >= t => {
            Some(Point::Histogram(Box::new(histogram.clone())))
        }
        (Some((_, x)), _) => Some(Point::Float(*x)),
        (None, histogram) => histogram.map(|(_, histogram)| Point::Histogram(Box::new(histogram.clone()))),
    }
}

pub(super) fn quantile_at(window: &Window<'_>, arguments: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    if window.floats.is_empty() {
        return None;
    }
    let q = arguments.first().copied().unwrap_or(f64::NAN);
    if !(0.0..=1.0).contains(&q) {
        notes.add(Note::invalid_quantile(q), ARGUMENT);
    }
    let floats = only_floats(window, notes)?;
    Some(Point::Float(quantile(q, &mut floats.to_vec())))
}

pub(super) fn mad(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    let floats = only_floats(window, notes)?;
    if floats.iter().any(|x| x.is_nan()) {
        return Some(Point::Float(f64::NAN));
    }
    let mut values = floats.to_vec();
    let median = quantile(0.5, &mut values);
    values.iter_mut().for_each(|x| *x = (*x - median).abs());
    Some(Point::Float(quantile(0.5, &mut values)))
}

pub(super) fn stddev(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    only_floats(window, notes).map(|floats| Point::Float(variance(floats).sqrt()))
}

pub(super) fn stdvar(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    only_floats(window, notes).map(|floats| Point::Float(variance(floats)))
}

/// Of the population, by Welford with compensation of both sums.
fn variance(floats: &[f64]) -> f64 {
    let (mut mean, mut squares) = (Kahan::default(), Kahan::default());
    let mut count = 0.0;
    for x in floats {
        count += 1.0;
        let delta = x - mean.total();
        mean.add(delta / count);
        squares.add(delta * (x - mean.total()));
    }
    squares.total() / count
}
