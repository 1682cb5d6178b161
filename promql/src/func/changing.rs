//! `changes` and `resets`: how often a sample differs from the one before it, or begins anew; numbers and histograms by time.

use sarsen_block::{Histogram, Timestamp};

use super::notes::Notes;
use super::start;
use crate::ast::Extension;
use crate::eval::Window;
use crate::histogram;
use crate::value::Point;

/// A sample of a window.
#[derive(Debug, Clone, Copy)]
struct Seen<'a> {
    t: Timestamp,
    start: Timestamp,
    value: Value<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Value<'a> {
    Float(f64),
    Histogram(&'a Histogram),
}

pub(super) fn changes(window: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Option<Point> {
    count(window, |before, now| match (before.value, now.value) {
        (Value::Float(a), Value::Float(b)) => a != b && !(a.is_nan() && b.is_nan()),
        (Value::Histogram(a), Value::Histogram(b)) => !histogram::equals(b, a),
        _ => true,
    })
}

pub(super) fn resets(window: &Window<'_>, _: &[f64], _: &mut Notes<'_>) -> Option<Point> {
    count(window, |before, now| {
        let anew = || start::began_anew((before.start, before.t), (now.start, now.t));
        match (before.value, now.value) {
            (Value::Float(a), Value::Float(b)) => b < a || anew(),
            (Value::Histogram(a), Value::Histogram(b)) => anew() || histogram::began_anew(b, a),
            _ => true,
        }
    })
}

/// How many neighbours `differ`. An anchored window begins with its last sample at or before its bound; nothing comes of it if there is no sample behind.
fn count(window: &Window<'_>, differ: impl Fn(Seen<'_>, Seen<'_>) -> bool) -> Option<Point> {
    let mut samples = by_time(window).peekable();
    if window.extension == Some(Extension::Anchored) {
        let mut anchor = None;
        while let Some(sample) = samples.next_if(|sample| sample.t <= window.from) {
            anchor = Some(sample);
        }
        samples.peek()?;
        return Some(Point::Float(neighbours(anchor.into_iter().chain(samples), differ)));
    }
    samples.peek()?;
    Some(Point::Float(neighbours(samples, differ)))
}

fn neighbours<'a>(
    samples: impl Iterator<Item = Seen<'a>>,
    differ: impl Fn(Seen<'_>, Seen<'_>) -> bool,
) -> f64 {
    let mut count = 0u64;
    let mut before: Option<Seen<'_>> = None;
    for sample in samples {
        count += u64::from(before.is_some_and(|before| differ(before, sample)));
        before = Some(sample);
    }
    count as f64
}

fn by_time<'a>(window: &Window<'a>) -> impl Iterator<Item = Seen<'a>> {
    let Window { times, floats, starts, histogram_times, histograms, histogram_starts, .. } = *window;
    let start = |starts: &[Timestamp], at: usize| starts.get(at).copied().unwrap_or(0);
    let (mut float, mut histogram) = (0, 0);
    std::iter::from_fn(move || {
        let x = times.get(float).zip(floats.get(float));
        let h = histogram_times.get(histogram).zip(histograms.get(histogram));
        match (x, h) {
            (Some((t, x)), h) if h.is_none_or(|(other, _)| t <= other) => {
                float += 1;
                Some(Seen { t: *t, start: start(starts, float - 1), value: Value::Float(*x) })
            }
            (_, Some((t, h))) => {
                histogram += 1;
                Some(Seen {
                    t: *t,
                    start: start(histogram_starts, histogram - 1),
                    value: Value::Histogram(h),
                })
            }
            _ => None,
        }
    })
}
