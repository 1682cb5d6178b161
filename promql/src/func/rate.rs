//! `rate`, `increase` and `delta` over a window as it is: the difference of last and first sample, corrected for counters that began
//! anew, and extended towards the bounds of the window.
//!
//! The order of operations is Prometheus' own (`extrapolatedRate`), so that results agree to the last bit.

use sarsen_block::Timestamp;

use super::extended;
use super::histogram;
use super::notes::{Notes, Spot};
use super::start::{began_anew, overlaps};
use crate::annotations::Note;
use crate::eval::{Bounds, Window};
use crate::value::Point;

/// What of the family is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kind {
    /// Whether samples count something, so that they only fall when they begin anew.
    pub(crate) counter: bool,
    /// Whether the result is per second.
    pub(crate) per_second: bool,
}

pub(super) fn rate(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    of_kind(window, Kind { counter: true, per_second: true }, notes)
}

pub(super) fn increase(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    of_kind(window, Kind { counter: true, per_second: false }, notes)
}

pub(super) fn delta(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    of_kind(window, Kind { counter: false, per_second: false }, notes)
}

fn of_kind(window: &Window<'_>, kind: Kind, notes: &mut Notes<'_>) -> Option<Point> {
    if !window.floats.is_empty() && !window.histograms.is_empty() {
        notes.of_metric(Note::mixed_floats_histograms, Spot::Argument(0));
        return None;
    }
    match (window.extension, window.histograms.is_empty()) {
        (None, true) => of_floats(window, kind, notes),
        (Some(_), true) => extended::of_floats(window, kind),
        (None, false) => histogram::rate::of_histograms(window, kind, notes),
        (Some(_), false) => histogram::extended::of_histograms(window, kind, notes),
    }
}

fn of_floats(window: &Window<'_>, kind: Kind, notes: &mut Notes<'_>) -> Option<Point> {
    let (first, last) = (*window.floats.first()?, *window.floats.last()?);
    let mut value = last - first;
    if kind.counter {
        value = corrected(window, value, notes);
    }
    let start = if kind.counter { window.starts.first().copied().unwrap_or(0) } else { 0 };
    let stretch = Stretch::of(window.times, start, window.bounds())?;
    Some(Point::Float(extrapolated((first, value), stretch, kind, window.bounds())))
}

/// What a window gained that begins with the number `first`, extended towards its bounds.
#[inline]
pub(super) fn extrapolated(
    (first, mut gain): (f64, f64),
    stretch: Stretch,
    kind: Kind,
    bounds: Bounds,
) -> f64 {
    let factor = if stretch.started {
        gain += first;
        stretch.factor(None, kind, bounds)
    } else {
        stretch.factor((gain > 0.0 && first >= 0.0).then_some(first / gain), kind, bounds)
    };
    gain * factor
}

/// Adds what the counter had before each new beginning.
fn corrected(window: &Window<'_>, mut value: f64, notes: &mut Notes<'_>) -> f64 {
    if window.starts.is_empty() {
        for pair in window.floats.windows(2) {
            if let [before, after] = pair
                && after < before
            {
                value += before;
            }
        }
        return value;
    }
    let samples = || window.floats.iter().zip(window.times).zip(window.starts);
    let mut overlap = false;
    for (((before, before_t), before_start), ((after, after_t), start)) in samples().zip(samples().skip(1)) {
        if !overlap && overlaps(*before_start, *before_t, *start) {
            notes.add(Note::start_time_overlap(notes.metric()), Spot::Argument(0));
            overlap = true;
        }
        if after < before || began_anew((*before_start, *before_t), (*start, *after_t)) {
            value += before;
        }
    }
    value
}

/// How the samples lie in their window, in seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stretch {
    to_start: f64,
    to_end: f64,
    sampled: f64,
    average: f64,
    /// Whether the counter is known to have begun at zero within the window: then the first sample is itself an increase.
    pub(crate) started: bool,
}

impl Stretch {
    /// Of samples at `times`, the first of which has the start timestamp `start` (0: not known, or no counter). `None` if there is but one sample, and
    /// it is not known when it began.
    #[inline]
    pub(crate) fn of(times: &[Timestamp], start: Timestamp, window: Bounds) -> Option<Self> {
        let (first, last) = (*times.first()?, *times.last()?);
        let seconds = |span: Timestamp| span as f64 / 1000.0;
        let mut sampled = seconds(last - first);
        let gaps = times.len() - 1;
        let average = if gaps > 0 { sampled / gaps as f64 } else { 0.0 };
        let mut to_start = seconds(first - window.from);
        let started = start != 0 && start > window.from && start < first;
        if started {
            to_start = 0.0;
            sampled = seconds(last - start);
        } else if gaps == 0 {
            return None;
        }
        Some(Self { to_start, to_end: seconds(window.to - last), sampled, average, started })
    }

    /// By what the difference is to be multiplied. `below` is the part of the difference that the first sample of a counter is: it cannot
    /// have begun before it was zero.
    #[inline]
    pub(crate) fn factor(&self, below: Option<f64>, kind: Kind, window: Bounds) -> f64 {
        let Self { mut to_start, mut to_end, sampled, average, started } = *self;
        let threshold = average * 1.1;
        if !started {
            if to_start >= threshold {
                to_start = average / 2.0;
            }
            if let Some(below) = below.filter(|_| kind.counter) {
                let to_zero = sampled * below;
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        let mut factor = if sampled == 0.0 { 1.0 } else { (sampled + to_start + to_end) / sampled };
        if kind.per_second {
            factor /= range_seconds(window);
        }
        factor
    }
}

/// The length of the window, added up as Go does: whole seconds and the rest apart.
#[inline]
pub(crate) fn range_seconds(window: Bounds) -> f64 {
    let range = window.to - window.from;
    (range / 1000) as f64 + (range % 1000) as f64 / 1000.0
}
