//! `rate`, `increase` and `delta` of native histograms with `anchored` or `smoothed`: no extrapolation, but values at the bounds of the window.
//!
//! The window reaches beyond its bounds. `anchored` takes the last histogram at or before the beginning; `smoothed` lays a line between the histograms
//! on either side of a bound. All as Prometheus' `extendedHistogramRate` does it.

use sarsen_block::{Histogram, ResetHint, Timestamp};

use super::rate::{ARGUMENT, add, is_gauge, subtract};
use crate::annotations::{Annotations, Note, Operation};
use crate::ast::{Extension, Place};
use crate::eval::Window;
use crate::func::notes::Notes;
use crate::func::rate::{Kind, range_seconds};
use crate::histogram::{Incompatible, began_anew};
use crate::value::Point;

/// The histograms of a window that are looked at.
struct Reach<'a> {
    times: &'a [Timestamp],
    histograms: &'a [Histogram],
    /// The first and the last of them that count.
    first: usize,
    last: usize,
    from: Timestamp,
    to: Timestamp,
    smoothed: bool,
}

/// The rate of an extended window that holds histograms and no numbers.
pub(crate) fn of_histograms(window: &Window<'_>, kind: Kind, notes: &mut Notes<'_>) -> Option<Point> {
    let reach = Reach::of(window)?;
    if !reach.is_of_one_kind(kind, notes) {
        return None;
    }
    let left = reach.left(kind, notes)?;
    let right = reach.right(kind, notes)?;
    let gauges = is_gauge(&left) && is_gauge(&right);
    if !kind.counter && !gauges {
        notes.of_metric(Note::native_not_gauge, ARGUMENT);
    }
    let mut result = right.clone();
    subtract(&mut result, &left, notes)?;
    if kind.counter
        && let Some(before) = reach.before_new_beginnings(&left, &right, notes)?
    {
        add(&mut result, &before, notes)?;
    }
    if kind.per_second {
        result.divide(range_seconds(window.bounds())).ok()?;
    }
    result.hint = ResetHint::Gauge;
    result.compact().ok()?;
    Some(Point::Histogram(Box::new(result)))
}

impl<'a> Reach<'a> {
    /// `None` if nothing lies in the window.
    fn of(window: &Window<'a>) -> Option<Self> {
        let (times, histograms) = (window.histogram_times, window.histograms);
        let (from, to) = (window.from, window.to);
        let smoothed = window.extension == Some(Extension::Smoothed);
        let mut last = times.len().min(histograms.len()).checked_sub(1)?;
        let inner = times.get(..last)?;
        let first = inner.partition_point(|&t| t <= from).saturating_sub(1);
        if smoothed {
            last = inner.partition_point(|&t| t < to);
        }
        let outside = *times.get(last)? <= from || (smoothed && *times.get(first)? > to);
        (!outside).then_some(Self { times, histograms, first, last, from, to, smoothed })
    }

    fn at(&self, at: usize) -> Option<(&'a Histogram, Timestamp)> {
        Some((self.histograms.get(at)?, *self.times.get(at)?))
    }

    /// Whether all have exponential buckets, or all have custom ones. What is not so is noted, and gauges where counters are asked for.
    fn is_of_one_kind(&self, kind: Kind, notes: &mut Notes<'_>) -> bool {
        let all = self.histograms.get(self.first..=self.last).unwrap_or_default();
        let custom = all.first().is_some_and(Histogram::has_custom_buckets);
        for histogram in all {
            if histogram.has_custom_buckets() != custom {
                notes.of_metric(Note::mixed_exponential_custom, ARGUMENT);
                return false;
            }
            if kind.counter && is_gauge(histogram) {
                notes.of_metric(Note::native_not_counter, ARGUMENT);
            }
        }
        true
    }

    /// The histogram at the beginning of the window.
    fn left(&self, kind: Kind, notes: &mut Notes<'_>) -> Option<Histogram> {
        let (histogram, t) = self.at(self.first)?;
        match self.at(self.first + 1) {
            Some(next) if self.smoothed && t < self.from => {
                noted(interpolate([(histogram, t), next], self.from, kind.counter), notes)
            }
            _ => Some(histogram.clone()),
        }
    }

    /// The histogram at the end of the window.
    fn right(&self, kind: Kind, notes: &mut Notes<'_>) -> Option<Histogram> {
        let (histogram, t) = self.at(self.last)?;
        match self.last.checked_sub(1).and_then(|before| self.at(before)) {
            Some(before) if self.smoothed && t > self.to => {
                noted(interpolate([before, (histogram, t)], self.to, kind.counter), notes)
            }
            _ => Some(histogram.clone()),
        }
    }

    /// What counters had before each new beginning between the bounds; the outer `None` if histograms do not go together.
    fn before_new_beginnings(
        &self,
        left: &Histogram,
        right: &Histogram,
        notes: &mut Notes<'_>,
    ) -> Option<Option<Histogram>> {
        let (mut next, mut previous) = (self.first + 1, left);
        let spanned = self.smoothed && self.at(self.first)?.1 < self.from;
        if spanned && let (Some(old), Some(new)) = (self.at(self.first), self.at(next)) {
            // The line at the left bound went over this beginning already.
            if began_anew(new.0, old.0) {
                previous = new.0;
                next += 1;
            }
        }
        // The last one is `right`, as it is or by a line with its hint.
        if next > self.last {
            return Some(None);
        }
        let between = self.histograms.get(next..self.last).unwrap_or_default();
        let mut correction: Option<Histogram> = None;
        for now in between.iter().chain([right]) {
            if began_anew(now, previous) {
                match &mut correction {
                    Some(correction) => add(correction, previous, notes)?,
                    None => correction = Some(previous.clone()),
                }
            }
            previous = now;
        }
        Some(correction)
    }
}

/// A histogram on a line between two, and whether custom bounds were reconciled when subtracting and when adding.
struct Between {
    histogram: Histogram,
    reconciled: [bool; 2],
}

impl Between {
    fn plain(histogram: &Histogram) -> Self {
        Self { histogram: histogram.clone(), reconciled: [false; 2] }
    }

    /// What is to be noted.
    fn notes(&self) -> impl Iterator<Item = Note> {
        let operations = [Operation::Subtraction, Operation::Addition];
        let told = operations.into_iter().zip(self.reconciled);
        told.filter(|(_, reconciled)| *reconciled)
            .map(|(operation, _)| Note::mismatched_custom_buckets(operation))
    }
}

/// The histogram at `t` on the line between two. A counter that began anew between them comes from zero.
fn interpolate(
    [(before, from), (after, to)]: [(&Histogram, Timestamp); 2],
    t: Timestamp,
    counter: bool,
) -> Result<Between, Incompatible> {
    if t == from {
        return Ok(Between::plain(before));
    }
    let mut line = Between::plain(after);
    if t == to {
        return Ok(line);
    }
    let fraction = (t - from) as f64 / (to - from) as f64;
    if counter && began_anew(after, before) {
        line.histogram.multiply(fraction)?;
        return Ok(line);
    }
    let subtracted = line.histogram.subtract(before)?;
    line.histogram.multiply(fraction)?;
    let added = line.histogram.add(before)?;
    line.reconciled = [subtracted.bounds_reconciled, added.bounds_reconciled];
    Ok(line)
}

fn noted(line: Result<Between, Incompatible>, notes: &mut Notes<'_>) -> Option<Histogram> {
    let Ok(line) = line else {
        notes.of_metric(Note::mixed_exponential_custom, ARGUMENT);
        return None;
    };
    line.notes().for_each(|note| notes.add(note, ARGUMENT));
    Some(line.histogram)
}

/// The histogram at `t` of a selector that is `smoothed`, of histograms round it by time. `None`: there is none. What is to be noted belongs to
/// the selector at `place`.
pub(crate) fn interpolate_at(
    (times, histograms): (&[Timestamp], &[Histogram]),
    t: Timestamp,
    metric: &[u8],
    (notes, place): (&mut Annotations, Place),
) -> Option<Histogram> {
    let at = times.partition_point(|&time| time < t);
    let pair = |at: usize| Some((histograms.get(at)?, *times.get(at)?));
    let before = at.checked_sub(1).and_then(pair);
    let line = match (before, pair(at)) {
        (_, Some((exact, time))) if time == t => return Some(exact.clone()),
        (Some(before), Some(after)) => {
            let counter = !(is_gauge(before.0) && is_gauge(after.0));
            if before.0.has_custom_buckets() == after.0.has_custom_buckets() {
                interpolate([before, after], t, counter)
            } else {
                Err(Incompatible)
            }
        }
        // A hint says how a histogram follows from the one before it, which is not so any more.
        (Some((before, _)), None) => return Some(Histogram { hint: ResetHint::Unknown, ..before.clone() }),
        (None, _) => return None,
    };
    let Ok(line) = line else {
        notes.add(Note::mixed_exponential_custom(metric), place);
        return None;
    };
    line.notes().for_each(|note| notes.add(note, place));
    Some(line.histogram)
}
