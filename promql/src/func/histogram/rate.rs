//! `rate`, `increase`, `delta`, `irate` and `idelta` over a window of native histograms.
//!
//! Observations of the last histogram less those of the first, with what counters had before each new beginning added. A first histogram
//! that the second one does not go on from is not looked at: its layout may be another. The order of operations is Prometheus' own
//! (`histogramRate`, `instantValue`).

use sarsen_block::{Combined, Histogram, ResetHint, Timestamp};

use super::moments::count;
use crate::annotations::{Note, Operation};
use crate::eval::Window;
use crate::func::notes::{Notes, Spot};
use crate::func::rate::{Kind, Stretch};
use crate::func::start;
use crate::histogram::began_anew;
use crate::value::Point;

pub(super) const ARGUMENT: Spot = Spot::Argument(0);

/// The rate of a window that holds histograms and no numbers, and is not extended.
pub(crate) fn of_histograms(window: &Window<'_>, kind: Kind, notes: &mut Notes<'_>) -> Option<Point> {
    let first = window.histograms.first()?;
    let mut result = match window.histograms.len() {
        1 => None,
        _ => Some(gain(window, kind, notes)?),
    };
    let start = if kind.counter { window.histogram_starts.first().copied().unwrap_or(0) } else { 0 };
    let stretch = Stretch::of(window.histogram_times, start, window.bounds())?;
    if stretch.started {
        // The counter was at zero within the window: all of the first histogram is an increase.
        match &mut result {
            Some(result) => add(result, first, notes)?,
            None => result = Some(first.clone()),
        }
    }
    let mut result = result?;
    let (total, begin) = (count(&result), count(first));
    let factor =
        stretch.factor((total > 0.0 && begin >= 0.0).then_some(begin / total), kind, window.bounds());
    result.multiply(factor).ok()?;
    Some(Point::Histogram(Box::new(result)))
}

/// The difference between the last and the first histogram of at least two, corrected for new beginnings.
fn gain(window: &Window<'_>, kind: Kind, notes: &mut Notes<'_>) -> Option<Histogram> {
    let all = window.histograms;
    let ([first, second, ..], [.., last]) = (all, all) else { return None };
    let empty;
    let mut previous = first;
    if kind.counter && (starts_anew(window, 1) || began_anew(second, first)) {
        empty = nothing_like(second);
        previous = &empty;
    }
    let mut gauges = is_gauge(first) || is_gauge(last);
    let custom = previous.has_custom_buckets();
    let mut mixed = false;
    let mut schema = last.schema.min(previous.schema);
    if last.has_custom_buckets() == custom && kind.counter {
        for between in all.get(1..all.len() - 1).unwrap_or_default() {
            gauges |= is_gauge(between);
            schema = schema.min(between.schema);
            mixed |= between.has_custom_buckets() != custom;
        }
    }
    if kind.counter && gauges && !mixed {
        notes.of_metric(Note::native_not_counter, ARGUMENT);
    }
    if mixed || last.has_custom_buckets() != custom {
        notes.of_metric(Note::mixed_exponential_custom, ARGUMENT);
        return None;
    }
    let mut result = last.clone();
    result.reduce_resolution(schema);
    subtract(&mut result, previous, notes)?;
    if kind.counter {
        add_what_was_before(&mut result, previous, window, notes)?;
    } else if !is_gauge(first) || !is_gauge(last) {
        notes.of_metric(Note::native_not_gauge, ARGUMENT);
    }
    result.hint = ResetHint::Gauge;
    result.compact().ok()?;
    Some(result)
}

/// Adds what the counters had before each new beginning.
fn add_what_was_before(
    result: &mut Histogram,
    first: &Histogram,
    window: &Window<'_>,
    notes: &mut Notes<'_>,
) -> Option<()> {
    let mut previous = first;
    let mut overlap = false;
    for (at, now) in window.histograms.iter().enumerate().skip(1) {
        if !overlap && overlaps(window, at) {
            notes.add(Note::start_time_overlap(notes.metric()), ARGUMENT);
            overlap = true;
        }
        // The second one goes on from the first, or from nothing, against which nothing begins anew; its hint may say what is known of a
        // first one that is not looked at.
        if starts_anew(window, at) || (at > 1 && began_anew(now, previous)) {
            add(result, previous, notes)?;
        }
        previous = now;
    }
    Some(())
}

/// Start timestamp and time of the histogram before and of that at `at`.
fn starts(window: &Window<'_>, at: usize) -> Option<[(Timestamp, Timestamp); 2]> {
    let one = |at: usize| Some((*window.histogram_starts.get(at)?, *window.histogram_times.get(at)?));
    Some([one(at.checked_sub(1)?)?, one(at)?])
}

fn starts_anew(window: &Window<'_>, at: usize) -> bool {
    starts(window, at).is_some_and(|[before, now]| start::began_anew(before, now))
}

fn overlaps(window: &Window<'_>, at: usize) -> bool {
    starts(window, at).is_some_and(|[before, now]| start::overlaps(before.0, before.1, now.0))
}

/// A histogram without observations in the layout of another.
fn nothing_like(other: &Histogram) -> Histogram {
    Histogram {
        schema: other.schema,
        sum: 0.0,
        custom_values: other.custom_values.clone(),
        ..Histogram::stale(true)
    }
}

pub(super) fn is_gauge(histogram: &Histogram) -> bool {
    histogram.hint == ResetHint::Gauge
}

/// Adds; notes what is to be noted; `None` if the two do not go together.
pub(super) fn add(result: &mut Histogram, other: &Histogram, notes: &mut Notes<'_>) -> Option<()> {
    let combined = result.add(other);
    note(combined, Operation::Addition, ARGUMENT, notes)
}

/// Subtracts, likewise.
pub(super) fn subtract(result: &mut Histogram, other: &Histogram, notes: &mut Notes<'_>) -> Option<()> {
    let combined = result.subtract(other);
    note(combined, Operation::Subtraction, ARGUMENT, notes)
}

fn note(
    combined: Result<Combined, sarsen_block::Error>,
    operation: Operation,
    spot: Spot,
    notes: &mut Notes<'_>,
) -> Option<()> {
    // Collisions of hints are no news here: new beginnings are looked for.
    match combined {
        Err(_) => {
            notes.of_metric(Note::mixed_exponential_custom, spot);
            return None;
        }
        Ok(Combined { bounds_reconciled: true, .. }) => {
            notes.add(Note::mismatched_custom_buckets(operation), spot);
        }
        Ok(_) => {}
    }
    Some(())
}

/// A histogram of a window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamped<'a> {
    /// Its start timestamp, 0 where not known.
    pub(crate) start: Timestamp,
    /// Its time.
    pub(crate) t: Timestamp,
    /// What it is.
    pub(crate) histogram: &'a Histogram,
}

/// `irate` (`is_rate`) or `idelta` between two histograms at different times.
pub(crate) fn instant(
    [before, now]: [Stamped<'_>; 2],
    is_rate: bool,
    notes: &mut Notes<'_>,
) -> Option<Point> {
    let gauges = [is_gauge(now.histogram), is_gauge(before.histogram)];
    if is_rate && gauges != [false, false] {
        notes.of_metric(Note::native_not_counter, Spot::List);
    }
    if !is_rate && gauges != [true, true] {
        notes.of_metric(Note::native_not_gauge, Spot::List);
    }
    let mut result = now.histogram.clone();
    let anew = || {
        start::began_anew((before.start, before.t), (now.start, now.t))
            || began_anew(now.histogram, before.histogram)
    };
    if !is_rate || !anew() {
        let combined = result.subtract(before.histogram);
        note(combined, Operation::Subtraction, Spot::List, notes)?;
    }
    result.hint = ResetHint::Gauge;
    result.compact().ok()?;
    if is_rate {
        result.divide((now.t - before.t) as f64 / 1000.0).ok()?;
    }
    Some(Point::Histogram(Box::new(result)))
}
