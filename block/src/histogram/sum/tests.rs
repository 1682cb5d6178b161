//! Sums of many against plain ones, products, compaction, and the buckets in both directions.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{Bucket, CUSTOM_BUCKETS, ResetHint, Span};
use super::*;

type Layout = (Vec<(i32, u32)>, Vec<f64>);

fn spans(layout: &[(i32, u32)]) -> Vec<Span> {
    layout.iter().map(|&(offset, length)| Span { offset, length }).collect()
}

fn exponential(schema: i32, (threshold, zero): (f64, f64), positive: Layout, negative: Layout) -> Histogram {
    let sum = positive.1.iter().sum::<f64>() - negative.1.iter().sum::<f64>();
    let count = zero + positive.1.iter().chain(&negative.1).sum::<f64>();
    Histogram {
        schema,
        sum,
        zero_threshold: threshold,
        positive_spans: spans(&positive.0),
        negative_spans: spans(&negative.0),
        counts: Counts::Float { count, zero, positive: positive.1, negative: negative.1 },
        ..Histogram::stale(true)
    }
}

fn layouts() -> impl Strategy<Value = Layout> {
    let span = (0..3i32, 0..4u32);
    (proptest::collection::vec(span, 0..4), -4..4i32, proptest::collection::vec(0..5u8, 12)).prop_map(
        |(mut layout, first, counts)| {
            if let Some(span) = layout.first_mut() {
                span.0 = first;
            }
            let length: u32 = layout.iter().map(|span| span.1).sum();
            let counts = counts.into_iter().take(length as usize).map(f64::from).collect();
            (layout, counts)
        },
    )
}

fn histograms() -> impl Strategy<Value = Histogram> {
    let zero = prop_oneof![Just(0.0), Just(0.001), Just(0.5), Just(1.0), Just(2.5)];
    (0..3i32, zero, 0..4u8, layouts(), layouts()).prop_map(|(schema, width, zero, positive, negative)| {
        exponential(schema, (width, zero.into()), positive, negative)
    })
}

/// What lies in each bucket, by the bits of its bounds.
fn content(histogram: &Histogram) -> BTreeMap<(u64, u64), f64> {
    let filled = histogram.buckets().filter(|bucket| bucket.count != 0.0);
    filled.map(|bucket| ((bucket.lower.to_bits(), bucket.upper.to_bits()), bucket.count)).collect()
}

proptest! {
    #[test]
    fn a_sum_of_whole_numbers_is_that_of_plain_additions(
        first in histograms(),
        others in proptest::collection::vec(histograms(), 0..5),
    ) {
        let mut plain = first.clone();
        let mut sum = HistogramSum::new(&first).unwrap();
        for other in &others {
            let told = plain.add(other).unwrap();
            prop_assert_eq!(sum.add(other).unwrap(), told);
        }
        let sum = sum.into_histogram();
        prop_assert_eq!(&sum, &plain);
        let mut compact = sum.clone();
        compact.compact().unwrap();
        prop_assert_eq!(content(&compact), content(&sum));
        let Counts::Float { positive, negative, .. } = &compact.counts else { panic!("floats") };
        prop_assert!(positive.iter().chain(negative).all(|&count| count != 0.0));
        prop_assert!(compact.positive_spans.iter().skip(1).all(|span| span.offset > 0 && span.length > 0));
    }

    #[test]
    fn down_is_up_the_other_way_round(histogram in histograms()) {
        let up: Vec<Bucket> = histogram.buckets().collect();
        let mut down: Vec<Bucket> = histogram.buckets_down().collect();
        down.reverse();
        prop_assert_eq!(&up, &down);
        // Where nothing reaches into the zero bucket, buckets follow each other.
        if histogram.zero_threshold == 0.0 {
            prop_assert!(up.windows(2).all(|pair| pair[0].upper <= pair[1].lower));
        }
        let counted: f64 = up.iter().map(|bucket| bucket.count).sum();
        let Counts::Float { count, .. } = histogram.counts else { panic!("floats") };
        prop_assert_eq!(counted, count);
    }

    #[test]
    fn products_and_quotients_change_every_number(histogram in histograms(), factor in -3..4i8) {
        let factor = f64::from(factor);
        let mut product = histogram.clone();
        product.multiply(factor).unwrap();
        for (bucket, was) in product.positive_buckets().zip(histogram.positive_buckets()) {
            prop_assert_eq!(bucket.count, was.count * factor);
        }
        prop_assert_eq!(product.sum, histogram.sum * factor);
        prop_assert_eq!(product.hint == ResetHint::Gauge, factor < 0.0);
        if factor != 0.0 {
            product.divide(factor).unwrap();
            prop_assert_eq!(content(&product), content(&histogram));
        }
    }
}

#[test]
fn small_numbers_are_not_lost_in_large_ones() {
    let one = |count: f64| exponential(0, (0.0, count), (vec![(0, 1)], vec![count]), (vec![], vec![]));
    let mut sum = HistogramSum::new(&one(1e100)).unwrap();
    for count in [1.0, -1e100, 1.0] {
        sum.add(&one(count)).unwrap();
    }
    assert!(!sum.has_overflow() && sum.is_within(2.0) && !sum.is_within(0.5));
    let sum = sum.into_histogram();
    let Counts::Float { count, zero, positive, .. } = sum.counts else { panic!("floats") };
    assert_eq!((count, zero, &*positive), (4.0, 2.0, &[2.0][..]));
}

#[test]
fn custom_buckets_get_no_zero_bucket() {
    let listed = Histogram {
        schema: CUSTOM_BUCKETS,
        custom_values: vec![1.0],
        ..exponential(0, (0.0, 0.0), (vec![(0, 2)], vec![1.0, 2.0]), (vec![], vec![]))
    };
    let (mut quotient, mut product) = (listed.clone(), listed);
    quotient.divide(0.0).unwrap();
    product.multiply(f64::INFINITY).unwrap();
    for changed in [quotient, product] {
        let Counts::Float { count, zero, .. } = changed.counts else { panic!("floats") };
        assert_eq!((count, zero), (f64::INFINITY, 0.0));
    }
}

#[test]
fn an_overflow_is_seen() {
    let one = |count: f64| exponential(0, (0.0, 0.0), (vec![(0, 1)], vec![count]), (vec![], vec![]));
    let mut sum = HistogramSum::new(&one(1e308)).unwrap();
    sum.add(&one(1e308)).unwrap();
    assert!(sum.has_overflow());
}

#[test]
fn what_two_told_each_other() {
    let custom = |bounds: &[f64], hint| Histogram {
        schema: CUSTOM_BUCKETS,
        hint,
        custom_values: bounds.to_vec(),
        ..exponential(0, (0.0, 0.0), (vec![(0, 2)], vec![1.0, 2.0]), (vec![], vec![]))
    };
    let mut sum = custom(&[1.0], ResetHint::Reset);
    let told = sum.add(&custom(&[2.0], ResetHint::NotReset)).unwrap();
    assert_eq!(told, Combined { reset_collision: true, bounds_reconciled: true });
    assert_eq!((sum.hint, sum.custom_values.len()), (ResetHint::Unknown, 0));
    let only: Vec<Bucket> = sum.buckets().collect();
    let all = (only[0].lower, only[0].upper, only[0].lower_inclusive, only[0].count);
    assert_eq!((only.len(), all), (1, (f64::NEG_INFINITY, f64::INFINITY, true, 6.0)));
}
