//! Functions over the windows of one series, for all steps at once.
//!
//! The windows of neighbouring steps overlap. What does not depend on where a window begins is found once for the series (where a
//! counter began anew, which sample is the largest from here on); sums, which do, are added up for several windows side by side, because each
//! addition waits for the one before it. Every result is, to the last bit, that of the function of one window: these stay
//! ([`range_function`](super::range_function)) for histograms, start timestamps and extended windows, none of which is seen here.

use sarsen_block::Timestamp;

use super::kahan::{Kahan, LANES, add_side_by_side};
use super::over_time::{extreme_of, mean_of, sum_of};
use super::rate::{Kind, Stretch, extrapolated};
use super::table::FunctionId;
use crate::eval::{Bounds, ColumnBuilder};

/// The window of one step: samples `from..to` of the series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Its first sample.
    pub(crate) from: usize,
    /// The first one behind it.
    pub(crate) to: usize,
    /// The time at which it ends.
    pub(crate) until: Timestamp,
}

/// A series of numbers and its windows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweep<'a> {
    /// Times of the numbers.
    pub(crate) times: &'a [Timestamp],
    /// The numbers.
    pub(crate) floats: &'a [f64],
    /// A window for each step; neither end ever falls.
    pub(crate) spans: &'a [Span],
    /// How long a window is.
    pub(crate) range_ms: i64,
}

/// Puts the results of all steps into a column; a step whose window is empty has none.
pub(crate) type SweepFunction = fn(&Sweep<'_>, &mut ColumnBuilder);

/// The function of that kind, if there is one for all steps at once.
pub(crate) fn sweep_function(id: FunctionId) -> Option<SweepFunction> {
    use FunctionId as Id;
    Some(match id {
        Id::Rate => |sweep, out| rate(sweep, Kind { counter: true, per_second: true }, out),
        Id::Increase => |sweep, out| rate(sweep, Kind { counter: true, per_second: false }, out),
        Id::Delta => |sweep, out| rate(sweep, Kind { counter: false, per_second: false }, out),
        Id::SumOverTime => sum,
        Id::AvgOverTime => avg,
        Id::CountOverTime => |sweep, out| sweep.each(out, |window| window.len() as f64),
        Id::PresentOverTime | Id::AbsentOverTime => |sweep, out| sweep.each(out, |_| 1.0),
        Id::MinOverTime => |sweep, out| extreme(sweep, out, |x, best| x < best),
        Id::MaxOverTime => |sweep, out| extreme(sweep, out, |x, best| x > best),
        Id::FirstOverTime => |sweep, out| sweep.each(out, |window| window.first().copied().unwrap_or(0.0)),
        Id::LastOverTime => |sweep, out| sweep.each(out, |window| window.last().copied().unwrap_or(0.0)),
        _ => return None,
    })
}

impl<'a> Sweep<'a> {
    fn window(&self, span: &Span) -> &'a [f64] {
        self.floats.get(span.from..span.to).unwrap_or_default()
    }

    /// A number of each window that holds something.
    fn each(&self, out: &mut ColumnBuilder, value: impl Fn(&[f64]) -> f64) {
        for (step, span) in self.spans.iter().enumerate() {
            let window = self.window(span);
            if !window.is_empty() {
                out.float(step, value(window));
            }
        }
    }

    /// The samples that some window holds.
    fn seen(&self) -> std::ops::Range<usize> {
        let (first, last) = (self.spans.first(), self.spans.last());
        first.map_or(0, |span| span.from)..last.map_or(0, |span| span.to)
    }
}

fn rate(sweep: &Sweep<'_>, kind: Kind, out: &mut ColumnBuilder) {
    // Where the counter began anew, and what it had before.
    let mut resets: Vec<(usize, f64)> = Vec::new();
    if kind.counter {
        let seen = sweep.seen();
        let pairs = sweep.floats.get(seen.clone()).unwrap_or_default().windows(2);
        for (at, pair) in (seen.start + 1..).zip(pairs) {
            if let [before, after] = pair
                && after < before
            {
                resets.push((at, *before));
            }
        }
    }
    let (mut from, mut to) = (0, 0);
    for (step, span) in sweep.spans.iter().enumerate() {
        let (Some(times), [first, .., last]) = (sweep.times.get(span.from..span.to), sweep.window(span))
        else {
            continue;
        };
        let mut gain = last - first;
        while resets.get(to).is_some_and(|(at, _)| *at < span.to) {
            to += 1;
        }
        while from < to && resets.get(from).is_some_and(|(at, _)| *at <= span.from) {
            from += 1;
        }
        for (_, before) in resets.get(from..to).unwrap_or_default() {
            gain += before;
        }
        let bounds = Bounds { from: span.until.saturating_sub(sweep.range_ms), to: span.until };
        if let Some(stretch) = Stretch::of(times, 0, bounds) {
            out.float(step, extrapolated((*first, gain), stretch, kind, bounds));
        }
    }
}

fn sum(sweep: &Sweep<'_>, out: &mut ColumnBuilder) {
    side_by_side(
        sweep,
        out,
        |_| (Kahan::default(), 0),
        |window, sum| {
            if sum.is_finite() { sum.total() } else { sum_of(window) }
        },
    );
}

fn avg(sweep: &Sweep<'_>, out: &mut ColumnBuilder) {
    side_by_side(
        sweep,
        out,
        |first| (Kahan::from(first), 1),
        |window, sum| {
            let count = window.len() as f64;
            if sum.is_finite() {
                sum.sum / count + sum.lost / count
            } else {
                mean_of(window).unwrap_or(f64::NAN)
            }
        },
    );
}

/// Adds up windows. `begin` tells the sum that stands at the beginning, and how many numbers are in it already. A sum that did not stay finite is not what
/// the plain way makes of it; `finish` sees to that.
#[inline(always)]
fn side_by_side(
    sweep: &Sweep<'_>,
    out: &mut ColumnBuilder,
    begin: impl Fn(f64) -> (Kahan, usize),
    finish: impl Fn(&[f64], Kahan) -> f64,
) {
    for (at, spans) in sweep.spans.chunks(LANES).enumerate() {
        let mut windows: [&[f64]; LANES] = [&[]; LANES];
        let mut rests = windows;
        let mut sums = [Kahan::default(); LANES];
        for (((window, rest), sum), span) in windows.iter_mut().zip(&mut rests).zip(&mut sums).zip(spans) {
            *window = sweep.window(span);
            let (begun, used) = begin(window.first().copied().unwrap_or(0.0));
            (*sum, *rest) = (begun, window.get(used..).unwrap_or_default());
        }
        let sums = add_side_by_side(sums, rests);
        for (lane, (window, sum)) in windows.into_iter().zip(sums).enumerate() {
            if !window.is_empty() {
                out.float(at * LANES + lane, finish(window, sum));
            }
        }
    }
}

/// The extreme of each window: of the samples seen, only those stay in line that could still be one, because none behind them is better.
fn extreme(sweep: &Sweep<'_>, out: &mut ColumnBuilder, better: impl Fn(f64, f64) -> bool + Copy) {
    let seen = sweep.floats.get(sweep.seen()).unwrap_or_default();
    if seen.iter().any(|x| x.is_nan()) {
        return sweep.each(out, |window| extreme_of(window, better));
    }
    let mut line: Vec<(usize, f64)> = Vec::with_capacity(16);
    let (mut head, mut next) = (0, sweep.seen().start);
    for (step, span) in sweep.spans.iter().enumerate() {
        let fresh = next.max(span.from)..span.to;
        for (at, &x) in fresh.clone().zip(sweep.floats.get(fresh).unwrap_or_default()) {
            while line.len() > head && line.last().is_some_and(|(_, last)| better(x, *last)) {
                line.pop();
            }
            line.push((at, x));
        }
        next = next.max(span.to);
        while line.get(head).is_some_and(|(at, _)| *at < span.from) {
            head += 1;
        }
        if head > 64 {
            line.drain(..head);
            head = 0;
        }
        if let Some((_, x)) = line.get(head).filter(|_| span.from < span.to) {
            out.float(step, *x);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::Point;
    use crate::ast::Place;
    use crate::eval::Window;
    use crate::func::notes::{Notes, Places};
    use crate::func::{Function, range_function};

    const ALL: [FunctionId; 11] = [
        FunctionId::Rate,
        FunctionId::Increase,
        FunctionId::Delta,
        FunctionId::SumOverTime,
        FunctionId::AvgOverTime,
        FunctionId::CountOverTime,
        FunctionId::PresentOverTime,
        FunctionId::MinOverTime,
        FunctionId::MaxOverTime,
        FunctionId::FirstOverTime,
        FunctionId::LastOverTime,
    ];

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![
            8 => (0u32..50).prop_map(f64::from),
            8 => -1e3..1e6,
            2 => prop::sample::select(vec![0.0, -0.0, 1e300, -1e300, f64::MAX, f64::MIN, f64::MIN_POSITIVE]),
            1 => prop::sample::select(vec![f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY]),
        ]
    }

    /// Finite numbers are the rule, because one that is not ends the ways that are special.
    fn numbers() -> impl Strategy<Value = Vec<f64>> {
        let tame = prop_oneof![(0u32..9).prop_map(f64::from), -1e9..1e9, Just(-0.0), Just(1e16)];
        prop_oneof![prop::collection::vec(tame, 0..150), prop::collection::vec(number(), 0..80)]
    }

    proptest! {
        #[test]
        fn all_steps_at_once_are_each_step_on_its_own(
            floats in numbers(),
            gaps in prop::collection::vec(prop_oneof![4 => Just(15i64), 2 => 1i64..40, 1 => 200i64..900], 150),
            (start, step, range_ms, held) in (0i64..600, 0i64..90, 1i64..700, any::<bool>()),
        ) {
            let times: Vec<i64> = gaps.iter().scan(0, |t, gap| { *t += gap; Some(*t) }).take(floats.len()).collect();
            let ends: Vec<i64> = (0..45).map(|at| start + if held { 0 } else { at * step }).collect();
            let part = |until: i64| {
                let behind = |end: i64| times.partition_point(|t| *t <= end);
                (behind(until - range_ms), behind(until))
            };
            let spans: Vec<Span> = ends.iter().map(|until| {
                let (from, to) = part(*until);
                Span { from, to, until: *until }
            }).collect();
            let places = Places::plain(Place::default(), 1);
            for id in ALL {
                let function = sweep_function(id).expect("a function for all steps");
                let mut out = ColumnBuilder::new(spans.len());
                function(&Sweep { times: &times, floats: &floats, spans: &spans, range_ms }, &mut out);
                let column = out.finish(Arc::default(), false);
                for (step, until) in ends.iter().enumerate() {
                    let (from, to) = part(*until);
                    let window = Window {
                        times: &times[from..to],
                        floats: &floats[from..to],
                        starts: &[],
                        histogram_times: &[],
                        histograms: &[],
                        histogram_starts: &[],
                        from: until - range_ms,
                        to: *until,
                        at: *until,
                        extension: None,
                    };
                    let point = (from < to).then(|| range_function(id).unwrap()(&window, &[], &mut Notes::new(&places)));
                    let wanted = point.flatten().map(|point| match point {
                        Point::Float(x) => x.to_bits(),
                        Point::Histogram(_) => unreachable!("of numbers"),
                    });
                    prop_assert_eq!(column.float(step).map(f64::to_bits), wanted, "{:?} at {} of {:?}", id, step, &window);
                }
            }
        }
    }

    #[test]
    fn every_function_here_is_one_of_windows() {
        let swept = |function: &&Function| sweep_function(function.id).is_some();
        for function in Function::all().iter().filter(swept) {
            assert!(range_function(function.id).is_some(), "{}", function.name);
            assert!(
                ALL.contains(&function.id) || function.id == FunctionId::AbsentOverTime,
                "{}",
                function.name
            );
        }
    }
}
