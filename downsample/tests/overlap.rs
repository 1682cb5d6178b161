//! Downsampled blocks that overlap lose no window, and deletes take whole ones.
//!
//! Two replicas of one counter miss different stretches. Together they must say of each window what one of them says, once; and a
//! counter read from both must gain what it gained.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::collections::BTreeSet;

use golden::making::{block, chunks, coarser};
use golden::{series, value_of};
use proptest::prelude::*;
use sarsen_block::{Aggregates, SampleIter, TimeRange, TimedChunk};
use sarsen_downsample::{AggrChunk, Aggregate, AggregateChunks, CounterIter, Resolution};

const WIDTH: i64 = 300_000;

/// A counter that gains 5 a second, scraped every 30 s `shift` ms late, but for the `missing` stretches of minutes.
fn replica(shift: i64, missing: &[(i64, i64)]) -> Vec<TimedChunk> {
    let all = (0..2_880i64).map(|scrape| scrape * 30_000 + shift);
    let there = |t: &i64| !missing.iter().any(|(from, len)| (*from..from + len).contains(&(t / 60_000)));
    let samples: Vec<(i64, f64)> = all.filter(there).map(|t| (t, (t / 1000 * 5) as f64)).collect();
    let raw = block(1, TimeRange::new(0, 90_000_000), &[("a", chunks(&samples, 120))]);
    let found = series(&coarser(&raw, 2, Resolution::FiveMinutes));
    found.into_iter().flat_map(|series| series.chunks).collect()
}

fn times(chunks: &[TimedChunk]) -> Vec<i64> {
    let mut all = Vec::new();
    for timed in chunks {
        let parts = AggrChunk::parse(&timed.chunk).unwrap();
        let mut samples = parts.get(Aggregate::Count).unwrap().samples().unwrap();
        all.extend(std::iter::from_fn(|| samples.next().unwrap()).map(|sample| sample.t));
    }
    all
}

fn windows(chunks: &[TimedChunk]) -> BTreeSet<i64> {
    times(chunks).into_iter().map(|t| t / WIDTH).collect()
}

/// What the counter gained over all chunks.
fn gain(all: &[TimedChunk]) -> f64 {
    let counters: Vec<_> = all
        .iter()
        .map(|timed| AggrChunk::parse(&timed.chunk).unwrap().get(Aggregate::Counter).unwrap().clone())
        .collect();
    let mut iter = CounterIter::new(&counters);
    let totals: Vec<f64> =
        std::iter::from_fn(|| iter.next().unwrap()).map(|sample| value_of(&sample)).collect();
    assert!(totals.windows(2).all(|pair| pair[0] <= pair[1]));
    totals[totals.len() - 1] - totals[0]
}

fn missing() -> impl Strategy<Value = Vec<(i64, i64)>> {
    proptest::collection::vec((0..1440i64, 1..200i64), 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn replicas_fill_each_other_in(a in missing(), b in missing()) {
        let (a, b) = (replica(0, &a), replica(7_000, &b));
        prop_assume!(!a.is_empty() && !b.is_empty());
        let merged = AggregateChunks::of(Resolution::FiveMinutes).merge(vec![a.clone(), b.clone()]).unwrap();
        prop_assert!(merged.windows(2).all(|pair| pair[0].range.max < pair[1].range.min));
        prop_assert!(merged.iter().all(|timed| timed.range.min <= timed.range.max));
        let found = times(&merged);
        prop_assert!(found.windows(2).all(|pair| pair[0] < pair[1]));
        let both: BTreeSet<i64> = windows(&a).union(&windows(&b)).copied().collect();
        prop_assert_eq!(windows(&merged), both);
        // Only windows of one chunk that ends and the next that begins within may come twice.
        prop_assert!(found.len() <= windows(&merged).len() + merged.len());
        // Five a second between the first and the last sample; scrapes of the two are up to a step apart at either end.
        let (first, last) = (a[0].range.min.min(b[0].range.min), merged[merged.len() - 1].range.max);
        let wanted = (last - first) as f64 / 200.0;
        prop_assert!((gain(&merged) - wanted).abs() <= 2_000.0 + 300.0 * 5.0, "{} {wanted}", gain(&merged));
    }

    #[test]
    fn deletes_take_the_windows_that_they_touch(gone in missing(), deleted in missing()) {
        let deleted: Vec<TimeRange> =
            deleted.iter().map(|(from, len)| TimeRange::new(from * 60_000, (from + len) * 60_000)).collect();
        prop_assume!(!deleted.is_empty());
        for timed in replica(0, &gone) {
            let kept = AggregateChunks::of(Resolution::FiveMinutes).without(&timed, &deleted).unwrap();
            let touched = |t: &i64| {
                let window = TimeRange::new(t / WIDTH * WIDTH, *t);
                deleted.iter().any(|range| range.overlaps(window))
            };
            let mut wanted = times(std::slice::from_ref(&timed));
            let all = wanted.len();
            wanted.retain(|t| !touched(t));
            prop_assert_eq!(&times(&kept), &wanted);
            if wanted.len() == all {
                prop_assert_eq!(kept, [timed]);
            } else if !wanted.is_empty() {
                prop_assert!(gain(&kept) <= gain(&[timed]));
            }
        }
    }
}

#[test]
fn what_does_not_miss_anything_stays_as_it_is() {
    let (whole, holes) = (replica(0, &[]), replica(7_000, &[(100, 50), (700, 10)]));
    let merge = |runs| AggregateChunks::of(Resolution::FiveMinutes).merge(runs).unwrap();
    assert_eq!(merge(vec![holes.clone(), whole.clone()]), whole);
    assert_eq!(merge(vec![whole.clone(), whole.clone()]), whole);
    assert_eq!(merge(vec![holes.clone(), holes.clone()]), holes);
}
