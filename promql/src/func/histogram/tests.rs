//! Functions of histograms against naive models: observations one by one, buckets in maps.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use sarsen_block::{Counts, Histogram, Labels, ResetHint};

use super::classic::Cumulative;
use super::*;
use crate::annotations::Severity;
use crate::ast::{ExprKind, Extension, Place};
use crate::eval::{Column, ColumnBuilder, Grid, VectorCall, Window};
use crate::func::notes::{Notes, Places};
use crate::func::rate::Kind;
use crate::histogram::tests::{custom, histogram, ill_formed};
use crate::parse::{ParseOptions, parse};
use crate::value::Point;
use crate::{Annotations, FunctionId};

const QUERY: &str = "rate(m[1m])";

fn places() -> Places {
    let tree = parse(QUERY, &ParseOptions::default()).unwrap();
    let ExprKind::Call(call) = &tree.kind else { panic!("a call") };
    Places::of(call, tree.place)
}

fn close(a: f64, b: f64) -> bool {
    (a.is_nan() && b.is_nan()) || a == b || (a - b).abs() <= 1e-9 * (a.abs() + b.abs()).max(1e-3)
}

/// What a function over a window of histograms makes, and what it notes.
fn over(
    times: &[i64],
    histograms: &[Histogram],
    extension: Option<Extension>,
    run: impl Fn(&Window<'_>, &mut Notes<'_>) -> Option<Point>,
) -> (Option<Histogram>, Vec<String>) {
    let window = Window {
        times: &[],
        floats: &[],
        starts: &[],
        histogram_times: times,
        histograms,
        histogram_starts: &[],
        from: 0,
        to: 60_000,
        at: 60_000,
        extension,
    };
    let places = places();
    let mut notes = Notes::new(&places);
    notes.series(b"m");
    let made = run(&window, &mut notes).map(|point| match point {
        Point::Histogram(histogram) => *histogram,
        Point::Float(_) => panic!("a histogram"),
    });
    let notes = notes.finish().unwrap();
    let texts = [Severity::Warning, Severity::Info].map(|severity| notes.texts(severity, QUERY));
    (made, texts.concat())
}

const INCREASE: Kind = Kind { counter: true, per_second: false };

fn increase(times: &[i64], histograms: &[Histogram]) -> (Option<Histogram>, Vec<String>) {
    over(times, histograms, None, |window, notes| rate::of_histograms(window, INCREASE, notes))
}

fn positive(histogram: &Histogram) -> BTreeMap<u64, f64> {
    let filled = histogram.positive_buckets().filter(|bucket| bucket.count != 0.0);
    filled.map(|bucket| (bucket.upper.to_bits(), bucket.count)).collect()
}

proptest! {
    /// Buckets that grow and are forgotten at times: an increase is what was observed since the first histogram.
    #[test]
    fn an_increase_is_what_was_observed(
        first in proptest::collection::vec(0..5u8, 4),
        later in proptest::collection::vec((any::<bool>(), proptest::collection::vec(0..5u8, 4)), 1..6),
    ) {
        let floats = |counts: &[u8]| counts.iter().map(|&count| f64::from(count)).collect::<Vec<f64>>();
        let mut now = floats(&first);
        let mut all = vec![histogram(0, (0.0, 0.0), (0, &now), (0, &[]))];
        let mut gained = [0.0; 4];
        for (anew, more) in &later {
            // What is forgotten is told; that it can also be found out is tested where it is found out.
            if *anew {
                now = vec![0.0; 4];
            }
            for ((now, more), gained) in now.iter_mut().zip(more).zip(&mut gained) {
                *now += f64::from(*more);
                *gained += f64::from(*more);
            }
            let hint = if *anew { ResetHint::Reset } else { ResetHint::NotReset };
            all.push(Histogram { hint, ..histogram(0, (0.0, 0.0), (0, &now), (0, &[])) });
        }
        // One step beyond the bound on either side: the whole is extended by the same factor everywhere.
        let times: Vec<i64> = (0..all.len() as i64).map(|at| 1 + at * 59_999 / (all.len() as i64 - 1)).collect();
        let (made, notes) = increase(&times, &all);
        prop_assert!(notes.is_empty(), "{:?}", notes);
        let made = made.unwrap();
        let total: f64 = gained.iter().sum();
        let factor = if total == 0.0 { 1.0 } else { moments::count(&made) / total };
        prop_assert!((1.0..1.001).contains(&factor), "{}", factor);
        let wanted = histogram(0, (0.0, 0.0), (0, &gained), (0, &[]));
        let (made, wanted) = (positive(&made), positive(&wanted));
        prop_assert_eq!(made.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
        prop_assert!(made.iter().zip(&wanted).all(|((_, a), (_, b))| close(*a, b * factor)));
    }

    /// A quantile found from the nearer end is that found by counting from the lowest bucket up, and fractions undo it.
    #[test]
    fn a_quantile_is_where_so_many_are_counted(
        up in proptest::collection::vec(0..9u8, 1..6),
        down in proptest::collection::vec(0..9u8, 0..4),
        zero in 0..4u8,
        schema in -1..3i32,
        // Not where buckets meet: there rounding decides on which side of a gap it lies.
        q in (0..1000u16).prop_map(|q| (f64::from(q) + 0.317) / 1000.0),
    ) {
        let floats = |counts: &[u8]| counts.iter().map(|&count| f64::from(count)).collect::<Vec<f64>>();
        let made = histogram(schema, (0.001, zero.into()), (-2, &floats(&up)), (-1, &floats(&down)));
        let total = moments::count(&made);
        prop_assume!(total > 0.0);
        let (found, told) = native::quantile(q, &made);
        prop_assert!(told.is_none());
        let mut below = 0.0;
        let holds = made.buckets().find(|bucket| {
            below += bucket.count;
            bucket.count > 0.0 && below >= q * total
        });
        let bucket = holds.unwrap();
        prop_assert!(bucket.lower <= found && found <= bucket.upper, "{} in {:?}", found, bucket);
        let (fraction, _) = native::fraction(f64::NEG_INFINITY, found, &made);
        prop_assert!(close(fraction, q), "{} of {}", fraction, q);
        let (rest, _) = native::fraction(found, f64::INFINITY, &made);
        prop_assert!(close(fraction + rest, 1.0));
    }

    /// Ill-formed histograms have some quantile and some rate, or none.
    #[test]
    fn ill_formed_histograms_are_walked_without_harm(
        all in proptest::collection::vec(ill_formed(), 1..4),
        (q, x) in (0.0..1.0f64, any::<f64>()),
    ) {
        for one in &all {
            let _numbers = (native::quantile(q, one), native::fraction(-x, x, one));
        }
        let times: Vec<i64> = (0..all.len() as i64).map(|at| 1 + at * 10_000).collect();
        let _rate = increase(&times, &all);
        for extension in [Extension::Anchored, Extension::Smoothed] {
            over(&times, &all, Some(extension), |window, notes| extended::of_histograms(window, INCREASE, notes));
        }
    }

    /// Native histograms with listed bounds and classic ones are the same thing written in two ways.
    #[test]
    fn custom_and_classic_buckets_agree(
        counts in proptest::collection::vec(0..9u8, 2..6),
        first in -3..3i8,
        q in (0..1000u16).prop_map(|q| (f64::from(q) + 0.317) / 1000.0),
        (lower, upper) in (-5.0..8.0f64, -5.0..8.0f64),
    ) {
        let bounds: Vec<f64> = (0..counts.len() - 1).map(|at| f64::from(first) + at as f64).collect();
        let floats: Vec<f64> = counts.iter().map(|&count| f64::from(count)).collect();
        let native = custom(&bounds, &floats);
        let mut total = 0.0;
        let mut classic: Vec<Cumulative> = bounds.iter().chain([&f64::INFINITY]).zip(&floats).map(|(bound, count)| {
            total += count;
            Cumulative { bound: *bound, count: total }
        }).collect();
        let (by_classic, forced) = classic::quantile(q, &mut classic.clone());
        prop_assert_eq!(forced, None);
        let (by_native, _) = native::quantile(q, &native);
        // In a lowest bucket without observations a native quantile begins where the first observation may lie.
        if floats[0] > 0.0 || first > 0 {
            prop_assert!(close(by_native, by_classic), "{} and {}", by_native, by_classic);
        }
        let by_classic = classic::fraction(lower, upper, &mut classic);
        let (by_native, _) = native::fraction(lower, upper, &native);
        if first > 0 {
            prop_assert!(close(by_native, by_classic), "{} and {}", by_native, by_classic);
        }
    }
}

#[test]
fn classic_buckets_are_made_to_rise() {
    let buckets = |counts: &[(f64, f64)]| {
        counts.iter().map(|&(bound, count)| Cumulative { bound, count }).collect::<Vec<_>>()
    };
    let mut falling = buckets(&[(1.0, 10.0), (2.0, 4.0), (4.0, 9.0), (f64::INFINITY, 20.0)]);
    let (value, forced) = classic::quantile(0.25, &mut falling);
    assert_eq!(value, 0.5);
    assert_eq!(forced, Some(classic::Forced { lowest: 2.0, highest: 4.0, difference: 6.0 }));
    let mut nearly = buckets(&[(1.0, 10.0), (2.0, 10.0 - 1e-12), (f64::INFINITY, 10.0 + 1e-12)]);
    assert_eq!(classic::quantile(0.5, &mut nearly), (0.5, None));
    let mut twice = buckets(&[(1.0, 1.0), (1.0, 1.0), (f64::INFINITY, 4.0)]);
    assert_eq!(classic::quantile(0.25, &mut twice), (0.5, None));
    let mut open = buckets(&[(1.0, 1.0), (2.0, 2.0)]);
    assert!(classic::quantile(0.5, &mut open).0.is_nan() && classic::fraction(0.0, 1.0, &mut open).is_nan());
    let mut only = buckets(&[(f64::INFINITY, 2.0)]);
    assert!(classic::quantile(0.5, &mut only).0.is_nan());
    assert_eq!(classic::quantile(-1.0, &mut only).0, f64::NEG_INFINITY);
}

#[test]
fn observations_that_are_no_numbers_are_told_of() {
    let mut some = histogram(0, (0.0, 0.0), (0, &[4.0, 4.0]), (0, &[]));
    some.sum = f64::NAN;
    let Counts::Float { count, .. } = &mut some.counts else { panic!("floats") };
    *count = 10.0;
    let (value, told) = native::quantile(0.9, &some);
    assert!(value.is_nan());
    let text = |told: native::Told| told.unwrap()(b"m").full_text();
    assert!(text(told).ends_with("result is NaN for metric name \"m\""));
    assert!(text(native::quantile(0.5, &some).1).ends_with("result is skewed higher for metric name \"m\""));
    let (fraction, told) = native::fraction(f64::NEG_INFINITY, f64::INFINITY, &some);
    assert_eq!((fraction, told.is_some()), (0.8, true));
}

#[test]
fn a_window_notes_what_does_not_fit() {
    let counter = histogram(0, (0.0, 0.0), (0, &[1.0, 2.0]), (0, &[]));
    let gauge = Histogram { hint: ResetHint::Gauge, ..counter.clone() };
    let listed = custom(&[1.0], &[5.0, 5.0]);
    let times = [10_000, 30_000, 50_000];
    let (made, notes) = increase(&times, &[counter.clone(), gauge, counter.clone()]);
    assert!(made.is_some());
    assert_eq!(notes, ["PromQL warning: this native histogram metric is not a counter: \"m\" (1:6)"]);
    let (made, notes) = increase(&times, &[counter.clone(), counter.clone(), listed.clone()]);
    assert!(made.is_none());
    assert_eq!(
        notes,
        [
            "PromQL warning: vector contains a mix of histograms with exponential and custom buckets schemas for metric name \"m\" (1:6)"
        ]
    );
    // The first one is not looked at if the second does not go on from it.
    let grown = custom(&[1.0], &[6.0, 7.0]);
    let (made, notes) = increase(&times, &[counter.clone(), listed.clone(), grown]);
    assert_eq!((made.unwrap().hint, notes.len()), (ResetHint::Gauge, 0));
    let (_, notes) = increase(&times[..2], &[listed.clone(), custom(&[2.0], &[9.0, 9.0])]);
    assert_eq!(notes, ["PromQL info: mismatched custom buckets were reconciled during subtraction (1:6)"]);
    let delta = Kind { counter: false, per_second: false };
    let both = [counter.clone(), counter.clone()];
    let (_, notes) =
        over(&times[..2], &both, None, |window, notes| rate::of_histograms(window, delta, notes));
    assert_eq!(notes, ["PromQL warning: this native histogram metric is not a gauge: \"m\" (1:6)"]);
    assert!(increase(&times[..1], &both[..1]).0.is_none(), "one is no increase");
    let (sum, notes) = over(&times, &[counter.clone(), listed], None, |window, notes| {
        over_time::sum(window.histograms, notes).map(|sum| Point::Histogram(Box::new(sum)))
    });
    assert!(sum.is_none() && notes.len() == 1);
}

#[test]
fn bounds_of_windows_lie_on_lines() {
    let at = |count: f64| histogram(0, (0.0, 0.0), (0, &[count]), (0, &[]));
    let all = [at(2.0), at(6.0), at(1.0), at(5.0)];
    let times = [-20_000, 20_000, 40_000, 80_000];
    let extended = |extension| {
        over(&times, &all, Some(extension), |window, notes| extended::of_histograms(window, INCREASE, notes))
            .0
    };
    // From 4 at the beginning to 6, from nothing to 1, and on to 3 at the end.
    assert_eq!(moments::count(&extended(Extension::Smoothed).unwrap()), 2.0 + 3.0);
    // All from the first one on, which lies before the window, to the last.
    assert_eq!(moments::count(&extended(Extension::Anchored).unwrap()), 4.0 + 5.0);
}

#[test]
fn moments_count_the_middles_of_buckets() {
    let of = |id| histogram_function(id).unwrap();
    let mut listed = custom(&[0.0, 2.0, 4.0], &[0.0, 1.0, 1.0]);
    listed.sum = 4.0;
    assert_eq!(of(FunctionId::HistogramCount)(&listed), 2.0);
    assert_eq!(of(FunctionId::HistogramAvg)(&listed), 2.0);
    assert_eq!(of(FunctionId::HistogramStdvar)(&listed), 1.0);
    let mut powers = histogram(-1, (0.5, 1.0), (1, &[1.0]), (1, &[1.0]));
    powers.sum = 0.0;
    // Middles -2, 0 and 2.
    assert_eq!(of(FunctionId::HistogramStddev)(&powers), (8.0 / 3.0f64).sqrt());
}

const QUANTILE: &str = "histogram_quantile(0.5, h)";

/// Runs `histogram_quantile(0.5, h)` at two steps.
fn quantile_of(vector: Vec<Column>, delayed: bool) -> (Vec<Column>, Vec<String>) {
    let mut notes = Annotations::default();
    let arguments = [Place { start: 19, end: 22 }, Place { start: 24, end: 25 }];
    let mut call = VectorCall {
        function: FunctionId::HistogramQuantile,
        grid: Grid { start: 0, end: 1000, step: 1000 },
        vector,
        scalars: vec![vec![0.5, 0.5]],
        texts: Vec::new(),
        place: Place { start: 0, end: 26 },
        arguments: &arguments,
        matchers: None,
        delayed,
        notes: &mut notes,
    };
    let made = vector::quantile(&mut call).unwrap();
    let texts = [Severity::Warning, Severity::Info].map(|severity| notes.texts(severity, QUANTILE));
    (made, texts.concat())
}

fn series(labels: &[(&str, &str)], floats: [Option<f64>; 2], native: Option<Histogram>) -> Column {
    let mut column = ColumnBuilder::new(2);
    floats.iter().enumerate().for_each(|(step, float)| {
        if let Some(float) = float {
            column.float(step, *float);
        }
    });
    if let Some(native) = native {
        column.histogram(1, Arc::new(native));
    }
    column.finish(Arc::new(Labels::from_pairs(labels.iter().copied()).unwrap()), false)
}

#[test]
fn a_vector_is_sorted_out_step_by_step() {
    let bucket = |le: &str, floats| series(&[("__name__", "h"), ("le", le)], floats, None);
    let both = Some(histogram(0, (0.0, 0.0), (1, &[2.0]), (0, &[])));
    let vector = || {
        vec![
            bucket("+Inf", [Some(4.0), Some(8.0)]),
            bucket("2", [Some(2.0), Some(8.0)]),
            bucket("x", [Some(1.0), None]),
            series(&[("__name__", "h")], [None, None], both.clone()),
            series(&[("__name__", "h"), ("job", "a")], [None, None], both.clone()),
        ]
    };
    let (made, notes) = quantile_of(vector(), true);
    assert_eq!(
        notes,
        [
            "PromQL warning: bucket label \"le\" is missing or has a malformed value of \"x\" for metric name \"h\" (1:25)",
            "PromQL warning: vector contains a mix of classic and native histograms for metric name \"h\" (1:25)",
        ]
    );
    // In Go, the root of two is the float below the nearest one.
    let root_of_two = 2f64.sqrt().next_down();
    // The native one without a job gives way at the step that it shares, and so does the classic one.
    assert_eq!(made.len(), 2);
    assert_eq!((made[0].float(0), made[0].float(1)), (None, Some(root_of_two)));
    assert_eq!((made[1].float(0), made[1].float(1)), (Some(2.0), None));
    assert!(made.iter().all(|column| column.drop_name && column.labels.get(b"__name__").is_some()));
    let (made, notes) = quantile_of(vector(), false);
    assert!(notes.iter().all(|text| !text.contains("metric name")));
    assert_eq!(made[1].labels.iter().count(), 0);
}
