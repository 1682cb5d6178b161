//! Histograms in small: texts, equality, trims, sums and means, against values that are reckoned by hand and against plain models.

use proptest::prelude::*;
use sarsen_block::{CUSTOM_BUCKETS, Counts, Histogram, ResetHint, Span};

use super::*;

/// A histogram of float counts with one span on either side.
pub(crate) fn histogram(
    schema: i32,
    zero: (f64, f64),
    positive: (i32, &[f64]),
    negative: (i32, &[f64]),
) -> Histogram {
    let spans = |(offset, counts): (i32, &[f64])| match counts.len() {
        0 => Vec::new(),
        length => vec![Span { offset, length: length as u32 }],
    };
    let count = zero.1 + positive.1.iter().chain(negative.1).sum::<f64>();
    Histogram {
        schema,
        zero_threshold: zero.0,
        sum: 1.5,
        positive_spans: spans(positive),
        negative_spans: spans(negative),
        counts: Counts::Float {
            count,
            zero: zero.1,
            positive: positive.1.to_vec(),
            negative: negative.1.to_vec(),
        },
        ..Histogram::stale(true)
    }
}

/// A histogram with listed bounds, without gaps.
pub(crate) fn custom(bounds: &[f64], counts: &[f64]) -> Histogram {
    let custom_values = bounds.to_vec();
    Histogram { custom_values, ..histogram(CUSTOM_BUCKETS, (0.0, 0.0), (0, counts), (0, &[])) }
}

fn counts(histogram: &Histogram) -> (f64, f64, &[f64], &[f64]) {
    match &histogram.counts {
        Counts::Float { count, zero, positive, negative } => (*count, *zero, positive, negative),
        Counts::Integer { .. } => panic!("float counts"),
    }
}

#[test]
fn a_text_lists_what_is_not_empty_from_the_lowest_up() {
    let both = histogram(0, (0.001, 2.0), (0, &[1.0, 0.0, 2.5]), (1, &[3.0, 4e6]));
    assert_eq!(
        text(&both),
        "{count:4.0000085e+06, sum:1.5, [-4,-2):4e+06, [-2,-1):3, [-0.001,0.001]:2, (0.5,1]:1, (2,4]:2.5}"
    );
    assert_eq!(text(&custom(&[5.0, 10.0], &[1.0, 0.0, 2.0])), "{count:3, sum:1.5, [-Inf,5]:1, (10,+Inf]:2}");
    assert_eq!(text(&histogram(0, (0.0, 0.0), (0, &[]), (0, &[]))), "{count:0, sum:1.5}");
}

#[test]
fn equality_looks_past_empty_spans_and_hints() {
    let plain = histogram(0, (0.0, 0.0), (2, &[1.0, 2.0]), (0, &[]));
    let mut other = plain.clone();
    other.hint = ResetHint::Gauge;
    other.positive_spans =
        vec![Span { offset: -1, length: 0 }, Span { offset: 3, length: 2 }, Span { offset: 9, length: 0 }];
    assert!(equals(&plain, &other));
    other.positive_spans = vec![Span { offset: 2, length: 1 }, Span { offset: 0, length: 1 }];
    assert!(!equals(&plain, &other), "another layout");
    let mut nan = plain.clone();
    nan.sum = f64::NAN;
    assert!(equals(&nan, &nan.clone()) && !equals(&nan, &plain));
}

#[test]
fn operators_compact_and_set_hints() {
    let a = histogram(0, (0.0, 0.0), (0, &[1.0, 2.0, 3.0]), (0, &[]));
    let b = histogram(0, (0.0, 0.0), (0, &[1.0, 2.0]), (0, &[]));
    let (difference, _) = subtract(&a, &b).unwrap();
    assert_eq!((difference.hint, counts(&difference).2), (ResetHint::Gauge, &[3.0][..]));
    assert_eq!(difference.positive_spans, [Span { offset: 2, length: 1 }]);
    assert_eq!(counts(&add(&a, &b).unwrap().0).2, [2.0, 4.0, 3.0]);
    assert_eq!(add(&a, &custom(&[1.0], &[1.0])), Err(Incompatible));
    assert_eq!(counts(&multiply(&a, 0.0)), (0.0, 0.0, &[][..], &[][..]));
    let infinite = divide(&a, 0.0);
    assert_eq!((counts(&infinite).0, counts(&infinite).2.len()), (f64::INFINITY, 0));
    assert_eq!((negate(&a).hint, counts(&negate(&a)).2), (ResetHint::Gauge, &[-1.0, -2.0, -3.0][..]));
    assert!(began_anew(&b, &a) && !began_anew(&a, &b));
    // 184 bytes, three buckets and a span.
    assert_eq!(weight(&a), (176 + 8 * 4) / 16);
}

#[test]
fn trims_cut_on_a_line_or_on_a_logarithmic_one() {
    let bounds = custom(&[5.0, 10.0, 15.0], &[10.0, 20.0, 30.0, 40.0]);
    let below = trim(&bounds, 7.5, Keep::Below);
    assert_eq!(counts(&below), (20.0, 0.0, &[10.0, 10.0][..], &[][..]));
    assert_eq!(below.sum, 10.0 * 2.5 + 10.0 * 6.25);
    let above = trim(&bounds, 7.5, Keep::Above);
    assert_eq!(counts(&above), (80.0, 0.0, &[10.0, 30.0, 40.0][..], &[][..]));
    assert_eq!(above.sum, 10.0 * 8.75 + 30.0 * 12.5 + 40.0 * 15.0);
    assert_eq!(counts(&trim(&bounds, 100.0, Keep::Below)).2, [10.0, 20.0, 30.0], "the infinite one goes");
    assert_eq!(counts(&trim(&bounds, 2.5, Keep::Below)).2, [5.0], "the first one begins at zero");
    let powers = histogram(0, (0.0, 0.0), (1, &[8.0, 8.0]), (1, &[8.0]));
    let half = trim(&powers, 2f64.sqrt(), Keep::Below);
    assert!((counts(&half).2[0] - 4.0).abs() < 1e-12 && counts(&half).3 == [8.0]);
    assert_eq!(trim(&powers, f64::INFINITY, Keep::Below), powers, "what is not cut keeps its sum");
    let zero = histogram(0, (1.0, 8.0), (2, &[1.0]), (0, &[]));
    assert_eq!(counts(&trim(&zero, 0.5, Keep::Below)), (4.0, 4.0, &[][..], &[][..]));
}

#[test]
fn a_mean_goes_on_where_a_sum_would_overflow() {
    let large = |count: f64| histogram(0, (0.0, 0.0), (0, &[count]), (0, &[]));
    let mut mean = Mean::new(&large(1e308)).unwrap();
    for count in [1e308, 1.5e308, 0.5e308] {
        mean.add(&large(count)).unwrap();
    }
    let mean = mean.finish();
    let (count, _, positive, _) = counts(&mean);
    assert!((count / 1e308 - 1.0).abs() < 1e-12 && (positive[0] / 1e308 - 1.0).abs() < 1e-12);
    assert_eq!(mean.sum, 1.5);
}

#[test]
fn sums_tell_of_hints_and_bounds() {
    let with = |hint, bounds: &[f64]| Histogram { hint, ..custom(bounds, &[1.0]) };
    let mut sum = Sum::new(&with(ResetHint::Reset, &[1.0])).unwrap();
    sum.add(&with(ResetHint::Unknown, &[1.0])).unwrap();
    assert!(!sum.told().reset_collision() && !sum.told().bounds_reconciled);
    sum.add(&with(ResetHint::NotReset, &[2.0])).unwrap();
    assert!(sum.told().reset_collision() && sum.told().bounds_reconciled);
    assert_eq!(sum.add(&histogram(0, (0.0, 0.0), (0, &[]), (0, &[]))), Err(Incompatible));
}

#[test]
fn resets_are_found_once_and_totals_kept() {
    let at = |counts: &[f64]| histogram(0, (0.0, 0.0), (0, counts), (0, &[]));
    let gauge = Histogram { hint: ResetHint::Gauge, ..at(&[1.0]) };
    let mut all = vec![at(&[1.0, 2.0]), at(&[2.0, 2.0]), at(&[5.0, 1.0]), gauge, at(&[9.0, 9.0])];
    keep_totals(&mut all);
    let hints: Vec<ResetHint> = all.iter().map(|histogram| histogram.hint).collect();
    let (unknown, reset, on) = (ResetHint::Unknown, ResetHint::Reset, ResetHint::NotReset);
    assert_eq!(hints, [unknown, on, reset, ResetHint::Gauge, on]);
    assert_eq!(counts(&all[2]), (6.0, 0.0, &[][..], &[][..]));
    assert!(all[2].positive_spans.is_empty() && all[2].sum == 1.5);
}

/// What a damaged chunk might hold: layouts and counts that do not fit, bounds in any order, numbers that are none.
pub(crate) fn ill_formed() -> impl Strategy<Value = Histogram> {
    let number = || prop_oneof![any::<f64>(), Just(0.0), Just(1.0), Just(f64::NAN), Just(f64::INFINITY)];
    let spans = || {
        let offset = prop_oneof![-3..4i32, any::<i32>()];
        let length = prop_oneof![0..4u32, any::<u32>()];
        let span = (offset, length).prop_map(|(offset, length)| Span { offset, length });
        proptest::collection::vec(span, 0..3)
    };
    let numbers = move || proptest::collection::vec(number(), 0..5);
    let schema = prop_oneof![Just(CUSTOM_BUCKETS), -4..=8i32];
    (schema, spans(), spans(), numbers(), numbers(), proptest::collection::vec(number(), 4), numbers())
        .prop_map(|(schema, positive_spans, negative_spans, positive, negative, single, custom_values)| {
            Histogram {
                schema,
                zero_threshold: single[0],
                sum: single[1],
                positive_spans,
                negative_spans,
                custom_values,
                counts: Counts::Float { count: single[2], zero: single[3], positive, negative },
                ..Histogram::stale(true)
            }
        })
}

proptest! {
    /// Whatever comes out of them, nothing ends the process or goes on without end.
    #[test]
    fn ill_formed_histograms_do_no_harm(a in ill_formed(), b in ill_formed(), x in any::<f64>()) {
        let _all = (add(&a, &b), subtract(&a, &b), multiply(&a, x), divide(&a, x), negate(&a));
        let _more = (trim(&a, x, Keep::Below), trim(&a, x, Keep::Above), text(&a), weight(&a));
        let _compared = (equals(&a, &b), began_anew(&a, &b));
        prop_assert!(equals(&a, &a.clone()) || a.zero_threshold.is_nan() || a.has_custom_buckets());
        for mut pair in [[a.clone(), b.clone()], [b.clone(), a.clone()]] {
            let _sum = Sum::new(&pair[0]).and_then(|mut sum| sum.add(&pair[1]).map(|()| sum.finish()));
            let _mean = Mean::new(&pair[0]).and_then(|mut mean| mean.add(&pair[1]).map(|()| mean.finish()));
            resolve_resets(&mut pair);
            keep_totals(&mut pair);
        }
        let (up, down) = (a.buckets().count(), a.buckets_down().count());
        prop_assert_eq!(up, down);
        for id in [crate::FunctionId::HistogramStddev, crate::FunctionId::HistogramAvg] {
            let _number = crate::func::histogram_function(id).map(|function| function(&a));
        }
    }

    /// Both sides of a cut are the whole, wherever it lies.
    #[test]
    fn trims_lose_nothing(
        positive in proptest::collection::vec(0..9u8, 0..5),
        negative in proptest::collection::vec(0..9u8, 0..5),
        at in -40.0..40.0f64,
        schema in -1..3i32,
    ) {
        let floats = |counts: Vec<u8>| counts.into_iter().map(f64::from).collect::<Vec<_>>();
        let (positive, negative) = (floats(positive), floats(negative));
        let whole = histogram(schema, (0.25, 3.0), (1, &positive), (1, &negative));
        let (below, above) = (trim(&whole, at, Keep::Below), trim(&whole, at, Keep::Above));
        let total = counts(&below).0 + counts(&above).0;
        prop_assert!((total - counts(&whole).0).abs() < 1e-9, "{} of {}", total, counts(&whole).0);
        prop_assert!(below.buckets().filter(|b| b.count != 0.0).all(|b| b.lower < at));
        prop_assert!(above.buckets().filter(|b| b.count != 0.0).all(|b| b.upper > at));
    }

    /// The mean of whole numbers is their sum by their number.
    #[test]
    fn means_are_sums_by_counts(all in proptest::collection::vec(proptest::collection::vec(0..9u8, 3), 1..6)) {
        let one = |counts: &Vec<u8>| {
            let floats: Vec<f64> = counts.iter().map(|&count| count.into()).collect();
            histogram(0, (0.0, 0.0), (0, &floats), (0, &[]))
        };
        let (mut sum, mut mean) = (Sum::new(&one(&all[0])).unwrap(), Mean::new(&one(&all[0])).unwrap());
        for counts in &all[1..] {
            sum.add(&one(counts)).unwrap();
            mean.add(&one(counts)).unwrap();
        }
        prop_assert_eq!(divide(&sum.finish(), all.len() as f64), multiply(&mean.finish(), 1.0));
    }
}
