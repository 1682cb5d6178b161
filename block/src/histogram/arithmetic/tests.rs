//! Sums of histograms, against a plain model: every bucket by its bounds.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::bounds::upper_bound;
use super::super::side::numbered;
use super::super::{CUSTOM_BUCKETS, Span};
use super::*;

type Buckets = BTreeMap<i64, f64>;

fn floats(spans: &[(i32, u32)], buckets: &[f64]) -> Histogram {
    let positive_spans = spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
    let positive = buckets.to_vec();
    let counts = Counts::Float { count: buckets.iter().sum(), zero: 0.0, positive, negative: Vec::new() };
    Histogram { schema: 2, positive_spans, counts, ..Histogram::stale(true) }
}

fn custom(bounds: &[f64], buckets: &[f64]) -> Histogram {
    let custom_values = bounds.to_vec();
    Histogram { schema: CUSTOM_BUCKETS, custom_values, ..floats(&[(0, buckets.len() as u32)], buckets) }
}

fn positive(histogram: &Histogram) -> Buckets {
    numbered(&histogram.positive_spans, histogram.floats().unwrap().positive).collect()
}

fn spans(histogram: &Histogram) -> Vec<(i32, u32)> {
    histogram.positive_spans.iter().map(|span| (span.offset, span.length)).collect()
}

#[test]
fn bounds_are_those_of_the_table() {
    let known = [
        (0, 0, 1.0),
        (3, 1, 2.82842712474619),
        (3, 2, 1.6817928305074288),
        (255, 8, 1.9945921121709396),
        (-5, 0, 0.03125),
        (-2, -1, 0.0625),
        (1024, 0, f64::MAX),
        (2048, 1, f64::MAX),
        (1025, 0, f64::INFINITY),
        (256, -2, f64::MAX),
        (-1074, 0, 5e-324),
    ];
    for (number, schema, bound) in known {
        let found: f64 = upper_bound(number, schema);
        assert_eq!(found.to_bits(), f64::to_bits(bound), "bucket {number} of schema {schema}: {found:?}");
    }
    for schema in -4..=8 {
        let bounds: Vec<f64> = (-60..60).map(|number| upper_bound(number, schema)).collect();
        assert!(bounds.windows(2).all(|pair| pair[0] < pair[1]), "schema {schema}");
    }
}

#[test]
fn a_new_bucket_lengthens_what_ends_before_it_first() {
    let own = [(0, 2), (3, 1), (1, 1)];
    let cases: [(i32, &[(i32, u32)]); 6] = [
        (-3, &[(-3, 1), (2, 2), (3, 1), (1, 1)]),
        (-1, &[(-1, 3), (3, 1), (1, 1)]),
        (2, &[(0, 3), (2, 1), (1, 1)]),
        (4, &[(0, 2), (2, 2), (1, 1)]),
        (6, &[(0, 2), (3, 2), (0, 1)]),
        (11, &[(0, 2), (3, 1), (1, 1), (3, 1)]),
    ];
    for (number, wanted) in cases {
        let mut sum = floats(&own, &[1.0, 2.0, 3.0, 4.0]);
        sum.add(&floats(&[(number, 1)], &[9.0])).unwrap();
        assert_eq!(spans(&sum), wanted, "bucket {number}");
        assert_eq!(positive(&sum)[&i64::from(number)], 9.0);
    }
}

#[test]
fn zero_buckets_take_the_wider_width() {
    // Bucket 1 of schema 2 ends at 2^0.25, bucket 4 at 2.
    let mut narrow = floats(&[(1, 4)], &[1.0, 2.0, 3.0, 4.0]);
    narrow.zero_threshold = 0.5;
    let mut wide = floats(&[(8, 1)], &[1.0]);
    wide.zero_threshold = 1.3;
    let mut sum = narrow.clone();
    sum.add(&wide).unwrap();
    // The width lies within bucket 2, which is not empty, so it grows to the end of that.
    assert_eq!(sum.zero_threshold, upper_bound(2, 2));
    assert_eq!(sum.floats().unwrap().zero, 3.0);
    assert_eq!(positive(&sum), Buckets::from([(3, 3.0), (4, 4.0), (8, 1.0)]));
    let mut other_way = wide.clone();
    other_way.add(&narrow).unwrap();
    assert_eq!(positive(&other_way), positive(&sum));
    assert_eq!(other_way.zero_threshold, sum.zero_threshold);
    assert!(wide.is_reset_since(&narrow).unwrap(), "bucket 2 was cut");
    assert!(narrow.is_reset_since(&wide).unwrap(), "the zero bucket became narrower");
}

#[test]
fn unequal_custom_bounds_leave_those_that_both_have() {
    let mut sum = custom(&[1.0, 2.0, 4.0], &[1.0, 2.0, 3.0, 4.0]);
    sum.add(&custom(&[2.0, 3.0, 4.0], &[10.0, 20.0, 0.0, 40.0])).unwrap();
    assert_eq!(sum.custom_values, [2.0, 4.0]);
    assert_eq!(positive(&sum), Buckets::from([(0, 13.0), (1, 23.0), (2, 44.0)]));
    assert!(sum.add(&floats(&[(0, 1)], &[1.0])).is_err());
    assert!(sum.clone().is_reset_since(&custom(&[4.0], &[36.5, 0.0])).unwrap());
    assert!(!sum.is_reset_since(&custom(&[4.0], &[36.0, 43.0])).unwrap());
}

#[test]
fn integers_become_floats_and_are_not_computed_with() {
    let integers = Histogram {
        schema: 1,
        positive_spans: vec![Span { offset: 0, length: 3 }],
        counts: Counts::Integer { count: 9, zero: 2, positive: vec![3, -1, 0], negative: vec![] },
        ..Histogram::default()
    };
    let mut float = integers.clone().to_float();
    assert_eq!(positive(&float), Buckets::from([(0, 3.0), (1, 2.0), (2, 2.0)]));
    assert!(float.add(&integers).is_err() && integers.clone().divide(2.0).is_err());
    assert!(integers.is_reset_since(&float).is_err());
    float.divide(0.0).unwrap();
    assert!(positive(&float).is_empty() && float.positive_spans.is_empty());
}

fn histograms() -> impl Strategy<Value = Histogram> {
    let span = (0..4i32, 0..4u32);
    (proptest::collection::vec(span, 1..5), -6..6i32, proptest::collection::vec(0..4u8, 16), 0..3i32)
        .prop_map(|(mut spans, first, buckets, schema)| {
            spans[0] = (first, spans[0].1.max(1));
            let length: u32 = spans.iter().map(|span| span.1).sum();
            let buckets: Vec<f64> = buckets.iter().take(length as usize).map(|&b| b.into()).collect();
            Histogram { schema, ..floats(&spans, &buckets) }
        })
}

/// Added bucket by bucket.
fn model(a: &Histogram, b: &Histogram, sign: f64) -> Buckets {
    let schema = a.schema.min(b.schema);
    let mut sum = Buckets::new();
    for (histogram, sign) in [(a, 1.0), (b, sign)] {
        for (number, count) in positive(histogram) {
            let steps = histogram.schema - schema;
            let number = (0..steps).fold(number, |number, _| (number + 1).div_euclid(2));
            *sum.entry(number).or_insert(0.0) += sign * count;
        }
    }
    sum
}

proptest! {
    #[test]
    fn sums_and_differences_are_those_of_the_buckets(a in histograms(), b in histograms()) {
        let (mut sum, mut difference) = (a.clone(), a.clone());
        sum.add(&b).unwrap();
        difference.subtract(&b).unwrap();
        prop_assert_eq!(positive(&sum), model(&a, &b, 1.0));
        prop_assert_eq!(positive(&difference), model(&a, &b, -1.0));
        let promised: u32 = sum.positive_spans.iter().map(|span| span.length).sum();
        prop_assert_eq!(promised as usize, sum.floats().unwrap().positive.len());
        // What grew did not begin anew, and what lost something did.
        sum.hint = ResetHint::Unknown;
        prop_assert!(!sum.is_reset_since(&a).unwrap() || sum.schema > a.schema);
        let mut less = sum.clone();
        less.subtract(&a).unwrap();
        less.hint = ResetHint::Unknown;
        let lost = positive(&a).values().any(|&count| count > 0.0);
        prop_assert_eq!(less.is_reset_since(&sum).unwrap(), lost);
    }
}
