//! `irate` and `idelta`: the difference of the last two samples of a window, numbers and histograms by time.

use sarsen_block::Timestamp;

use super::histogram::{Stamped, instant};
use super::notes::{Notes, Spot};
use super::start::began_anew;
use crate::annotations::Note;
use crate::eval::Window;
use crate::value::Point;

pub(super) fn irate(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    of_last_two(window, true, notes)
}

pub(super) fn idelta(window: &Window<'_>, _: &[f64], notes: &mut Notes<'_>) -> Option<Point> {
    of_last_two(window, false, notes)
}

/// A sample of a window.
#[derive(Debug, Clone, Copy)]
struct Last {
    t: Timestamp,
    start: Timestamp,
    at: Place,
}

/// Where it stands in the window.
#[derive(Debug, Clone, Copy)]
enum Place {
    Float(f64),
    Histogram(usize),
}

fn of_last_two(window: &Window<'_>, is_rate: bool, notes: &mut Notes<'_>) -> Option<Point> {
    let [before, now] = last_two(window)?;
    if now.t == before.t {
        return None;
    }
    match (before.at, now.at) {
        (Place::Float(earlier), Place::Float(value)) => {
            let anew =
                is_rate && (value < earlier || began_anew((before.start, before.t), (now.start, now.t)));
            let mut result = if anew { value } else { value - earlier };
            if is_rate {
                result /= (now.t - before.t) as f64 / 1000.0;
            }
            Some(Point::Float(result))
        }
        (Place::Histogram(earlier), Place::Histogram(at)) => {
            let stamped = |last: Last, at: usize| {
                window.histograms.get(at).map(|histogram| Stamped { start: last.start, t: last.t, histogram })
            };
            instant([stamped(before, earlier)?, stamped(now, at)?], is_rate, notes)
        }
        _ => {
            notes.of_metric(Note::mixed_floats_histograms, Spot::List);
            None
        }
    }
}

/// The last two samples by time. Of a number and a histogram at the same time the number is the later one.
fn last_two(window: &Window<'_>) -> Option<[Last; 2]> {
    let start = |starts: &[Timestamp], at: usize| starts.get(at).copied().unwrap_or(0);
    let float = |back: usize| {
        let at = window.times.len().checked_sub(back)?;
        let (t, x) = (window.times.get(at)?, window.floats.get(at)?);
        Some(Last { t: *t, start: start(window.starts, at), at: Place::Float(*x) })
    };
    let histogram = |back: usize| {
        let at = window.histogram_times.len().checked_sub(back)?;
        let t = window.histogram_times.get(at)?;
        Some(Last { t: *t, start: start(window.histogram_starts, at), at: Place::Histogram(at) })
    };
    let (mut floats, mut histograms) = (1, 1);
    let mut next = || {
        let (x, h) = (float(floats), histogram(histograms));
        let is_float = match (x, h) {
            (Some(x), Some(h)) => x.t >= h.t,
            (x, _) => x.is_some(),
        };
        if is_float {
            floats += 1;
            x
        } else {
            histograms += 1;
            h
        }
    };
    let now = next()?;
    Some([next()?, now])
}
