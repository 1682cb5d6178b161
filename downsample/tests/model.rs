//! What windows say is what a plain model says of the samples in them, whatever samples come.
//!
//! The model sorts samples into windows by division and computes each from scratch. A counter read from windows must stand, at each of
//! them, where it stands when read from the raw samples: over resets within a window, between windows, and between chunks.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::collections::BTreeMap;

use golden::making::{block, chunks, coarser, points};
use golden::{series, value_of};
use proptest::prelude::*;
use sarsen_block::{Chunk, STALE_NAN_BITS, SampleIter, TimeRange, TimedChunk};
use sarsen_downsample::{AggrChunk, Aggregate, AverageIter, CounterIter, Resolution};

type Samples = Vec<(i64, f64)>;

/// Steps from sample to sample, and values: counters with resets, gauges, and what is no number.
fn samples() -> impl Strategy<Value = Samples> {
    let step = prop_oneof![8 => Just(15_000i64), 2 => 1..900_000i64, 1 => Just(8_000_000i64)];
    let value = prop_oneof![
        12 => (0..400u32).prop_map(|gain| Some(f64::from(gain))),
        1 => Just(None),
        1 => Just(Some(f64::NAN)),
        1 => Just(Some(f64::from_bits(STALE_NAN_BITS))),
        1 => Just(Some(-1e300)),
    ];
    (0..4_000_000i64, proptest::collection::vec((step, value), 1..900)).prop_map(|(start, steps)| {
        let (mut t, mut total) = (start, 0.0);
        let sample = |(step, value): (i64, Option<f64>)| {
            t += step;
            let value = match value {
                Some(gain) if gain >= 0.0 => {
                    total += gain;
                    total
                }
                // A counter that begins anew, or something else than a counter.
                None => {
                    total = 0.0;
                    total
                }
                Some(other) => other,
            };
            (t, value)
        };
        steps.into_iter().map(sample).collect()
    })
}

/// What is known of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    count: f64,
    sum: f64,
    min: f64,
    max: f64,
    last: i64,
}

fn model(samples: &[(i64, f64)], width: i64) -> BTreeMap<i64, Known> {
    let mut windows: BTreeMap<i64, Known> = BTreeMap::new();
    for &(t, value) in samples.iter().filter(|(_, value)| !value.is_nan()) {
        let fresh = Known { count: 0.0, sum: 0.0, min: f64::INFINITY, max: f64::NEG_INFINITY, last: t };
        let known = windows.entry(t / width).or_insert(fresh);
        known.count += 1.0;
        known.sum += value;
        known.min = known.min.min(value);
        known.max = known.max.max(value);
        known.last = t;
    }
    windows
}

fn part(chunks: &[TimedChunk], aggregate: Aggregate) -> Samples {
    let mut all = Vec::new();
    for timed in chunks {
        let parts = AggrChunk::parse(&timed.chunk).unwrap();
        let mut samples = parts.get(aggregate).unwrap().samples().unwrap();
        while let Some(sample) = samples.next().unwrap() {
            all.push((sample.t, value_of(&sample)));
        }
    }
    all
}

/// A counter without its resets.
fn followed<'a>(chunks: impl IntoIterator<Item = &'a Chunk>) -> Samples {
    let mut iter = CounterIter::new(chunks);
    std::iter::from_fn(|| iter.next().unwrap()).map(|sample| (sample.t, value_of(&sample))).collect()
}

fn counters(chunks: &[TimedChunk]) -> Vec<Chunk> {
    let part =
        |timed: &TimedChunk| AggrChunk::parse(&timed.chunk).unwrap().get(Aggregate::Counter).unwrap().clone();
    chunks.iter().map(part).collect()
}

/// Whether `found` is what `samples` say, window by window.
fn check(found: &[TimedChunk], samples: &[(i64, f64)], width: i64) {
    let windows = model(samples, width);
    let ends: Vec<i64> = found.iter().map(|timed| timed.range.max).collect();
    let times: Vec<i64> = part(found, Aggregate::Count).iter().map(|sample| sample.0).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]));
    let told = Aggregate::ALL.map(|aggregate| part(found, aggregate));
    let [count, sum, min, max, _] = &told;
    assert!([sum, min, max].iter().all(|part| part.iter().map(|sample| sample.0).eq(times.iter().copied())));
    // Two chunks may share a window where whole chunks were joined; then both together are the window.
    let mut joined: BTreeMap<i64, Known> = BTreeMap::new();
    for (at, &t) in times.iter().enumerate() {
        let last = if ends.contains(&t) { t } else { windows[&(t / width)].last };
        let own = Known { count: count[at].1, sum: sum[at].1, min: min[at].1, max: max[at].1, last };
        joined
            .entry(t / width)
            .and_modify(|known| {
                *known = Known {
                    count: known.count + own.count,
                    sum: known.sum + own.sum,
                    min: known.min.min(own.min),
                    max: known.max.max(own.max),
                    last,
                };
            })
            .or_insert(own);
        assert!(t == t / width * width + width - 1 || ends.contains(&t), "{t} is no end of a window");
    }
    for (window, known) in &windows {
        let told = joined[window];
        let close = |a: f64, b: f64| a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
        assert!(close(told.sum, known.sum), "{told:?} {known:?}");
        assert_eq!(Known { sum: known.sum, ..told }, *known);
    }
    assert_eq!(joined.len(), windows.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn windows_are_those_of_the_model(samples in samples(), most in 1..240usize) {
        let range = TimeRange::new(0, i64::MAX / 2);
        let raw = block(1, range, &[("a", chunks(&samples, most))]);
        let five = coarser(&raw, 2, Resolution::FiveMinutes);
        let hour = coarser(&five, 3, Resolution::OneHour);
        let [found_five, found_hour] = [&five, &hour].map(series);
        if samples.iter().all(|(_, value)| value.is_nan()) {
            prop_assert!(found_five.is_empty() && found_hour.is_empty());
            return Ok(());
        }
        check(&found_five[0].chunks, &samples, 300_000);
        check(&found_hour[0].chunks, &samples, 3_600_000);

        // A counter stands at the end of each window where it stands in the raw samples.
        let raw: Vec<Chunk> = chunks(&samples, most).into_iter().map(|timed| timed.chunk).collect();
        let stood: BTreeMap<i64, f64> = followed(&raw).into_iter().collect();
        for found in [&found_five[0].chunks, &found_hour[0].chunks] {
            for (t, total) in followed(&counters(found)) {
                let (_, wanted) = stood.range(..=t).next_back().unwrap();
                let tolerance = 1e-9 * wanted.abs().max(total.abs()).max(1e300 * 1e-9);
                let exact = samples.iter().all(|(_, value)| value.is_nan() || *value >= 0.0);
                prop_assert!(if exact { total == *wanted } else { (total - wanted).abs() <= tolerance }, "{t}: {total} {wanted}");
            }
        }
    }

    #[test]
    fn averages_are_sums_divided(samples in samples()) {
        let raw = block(1, TimeRange::new(0, i64::MAX / 2), &[("a", chunks(&samples, 120))]);
        for found in series(&coarser(&raw, 2, Resolution::FiveMinutes)) {
            let (sums, counts) = (part(&found.chunks, Aggregate::Sum), part(&found.chunks, Aggregate::Count));
            let mut averages = Vec::new();
            for timed in &found.chunks {
                let parts = AggrChunk::parse(&timed.chunk).unwrap();
                let (count, sum) = (parts.get(Aggregate::Count).unwrap(), parts.get(Aggregate::Sum).unwrap());
                let mut iter = AverageIter::new(count, sum).unwrap();
                let all: Vec<_> = std::iter::from_fn(|| iter.next().unwrap()).collect();
                averages.extend(points(&all));
            }
            let wanted: Samples = sums.iter().zip(&counts).map(|(sum, count)| (sum.0, sum.1 / count.1)).collect();
            prop_assert_eq!(averages, wanted);
        }
    }
}
