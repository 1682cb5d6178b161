//! One query over all that is left of a series: raw for the last days, five minutes before, an hour before that.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use golden::making::{block, chunks, coarser, points};
use sarsen_block::{
    Ancestry, Block, BlockId, Files, Matcher, RewriteOptions, Rewritten, SampleSet, TimeRange, Tombstones,
    rewrite,
};
use sarsen_downsample::{
    Aggregate, DownsampleOptions, History, Resolution, Wanted, aggregate_for, downsample,
};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A counter that begins anew every 50 minutes, a sample every 30 s from `from` to before `to`.
fn samples(from: i64, to: i64) -> Vec<(i64, f64)> {
    (from..to).step_by(30_000).map(|t| (t, (t / 1000 % 3000) as f64)).collect()
}

/// A raw block over a range, and what is made of it.
fn blocks(number: u64, from: i64, to: i64) -> [Block; 3] {
    let raw = block(number, TimeRange::new(from, to - 1), &[("a", chunks(&samples(from, to), 120))]);
    let five = coarser(&raw, number + 1, Resolution::FiveMinutes);
    let hour = coarser(&five, number + 2, Resolution::OneHour);
    [raw, five, hour]
}

fn asked(history: &History, range: TimeRange, wanted: Wanted, coarsest: Resolution) -> Vec<(i64, f64)> {
    let mut set = history.select(&[Matcher::equal("n", "a")], range, wanted, coarsest).unwrap();
    let found = set.next().unwrap();
    assert!(set.next().unwrap().is_none());
    let samples = found.map(|series| points(&series.samples)).unwrap_or_default();
    assert!(samples.windows(2).all(|pair| pair[0].0 < pair[1].0), "times rise");
    samples
}

/// Three days: of the first the hours are left, of the second the five minutes too, of the third everything.
fn aged() -> History {
    let [first, second, third] =
        [0, 1, 2].map(|day| blocks(10 * day + 10, day as i64 * DAY, (day as i64 + 1) * DAY));
    let [_, _, hour] = first;
    let [_, five, hour2] = second;
    History::new([vec![hour, five, hour2], third.to_vec()].concat())
}

#[test]
fn every_sample_counts_once() {
    let history = aged();
    let all = samples(0, 3 * DAY);
    let of = |part| asked(&history, TimeRange::ALL, Wanted::Part(part), Resolution::OneHour);
    let total = |samples: &[(i64, f64)]| samples.iter().map(|sample| sample.1).sum::<f64>();
    assert_eq!(total(&of(Aggregate::Count)), all.len() as f64);
    assert_eq!(total(&of(Aggregate::Sum)), total(&all));
    assert_eq!(of(Aggregate::Max).len(), 24 + 288 + 2880);
    for (part, best) in [(Aggregate::Min, 0.0), (Aggregate::Max, 2970.0)] {
        let extreme = of(part).into_iter().map(|sample| sample.1);
        let found = if part == Aggregate::Min {
            extreme.fold(f64::MAX, f64::min)
        } else {
            extreme.fold(0.0, f64::max)
        };
        assert_eq!(found, best);
    }
}

#[test]
fn counters_go_on_over_resolutions() {
    let found = asked(&aged(), TimeRange::ALL, aggregate_for("rate"), Resolution::OneHour);
    // From 0 to 2970 in 50 minutes, then to 0, 72 times a day and a third, without a gap.
    let resets = samples(0, 3 * DAY).windows(2).filter(|pair| pair[1].1 < pair[0].1).count();
    let last = samples(0, 3 * DAY).last().unwrap().1;
    assert_eq!(found[0], (0, 0.0));
    assert_eq!(found[found.len() - 1].1, resets as f64 * 2970.0 + last);
    assert!(found.windows(2).all(|pair| pair[0].1 <= pair[1].1));
}

#[test]
fn the_finest_answers_and_a_limit_holds() {
    let history = aged();
    let day = |n: i64| TimeRange::new(n * DAY, (n + 1) * DAY - 1);
    let (raw, five, hour) = (Resolution::Raw, Resolution::FiveMinutes, Resolution::OneHour);
    assert_eq!(history.stretches(hour), [(day(0), hour), (day(1), five), (day(2), raw)]);
    assert_eq!(history.stretches(five), [(day(1), five), (day(2), raw)]);
    assert_eq!(history.stretches(raw), [(day(2), raw)]);
    let averages = |range, coarsest| asked(&history, range, aggregate_for(""), coarsest);
    assert_eq!(averages(TimeRange::ALL, raw), samples(2 * DAY, 3 * DAY));
    assert_eq!(averages(day(0), five), []);
    assert_eq!(averages(TimeRange::new(DAY, DAY + HOUR - 1), hour).len(), 12);
    assert_eq!(averages(TimeRange::new(2 * DAY - 2 * HOUR, 2 * DAY + 60_000), five).len(), 24 + 3);
}

/// A raw block that begins and ends within windows of the coarser ones: these windows are answered once, by the coarser.
#[test]
fn windows_that_are_half_covered_are_not_torn() {
    let [_, five, hour] = blocks(10, 0, DAY);
    let (from, to) = (6 * HOUR + 130_000, 12 * HOUR + 10_000);
    let part: Vec<(i64, f64)> = samples(0, DAY).into_iter().filter(|(t, _)| (from..to).contains(t)).collect();
    let raw = block(99, TimeRange::new(from, to - 1), &[("a", chunks(&part, 120))]);
    let total = |found: Vec<(i64, f64)>| found.iter().map(|sample| sample.1).sum::<f64>();
    for blocks in [vec![raw.clone(), five.clone()], vec![raw.clone(), hour.clone()], vec![raw, five, hour]] {
        let history = History::new(blocks);
        let count = asked(&history, TimeRange::ALL, Wanted::Part(Aggregate::Count), Resolution::OneHour);
        assert_eq!(total(count), 2880.0);
        let counter = asked(&history, TimeRange::ALL, aggregate_for("increase"), Resolution::OneHour);
        let resets = samples(0, DAY).windows(2).filter(|pair| pair[1].1 < pair[0].1).count();
        let gained = resets as f64 * 2970.0 + samples(0, DAY)[2879].1;
        // Where the chunk of windows is left in its middle, the counter's true value is not known.
        let found = counter[counter.len() - 1].1;
        assert!(found >= gained && found <= gained + 3000.0, "{found} {gained}");
    }
}

#[test]
fn blocks_that_were_compacted_are_left_out() {
    let [raw, five, _] = blocks(10, 0, DAY);
    let options = RewriteOptions::new(BlockId::from_parts(50, 0), Ancestry::Compacted);
    let Rewritten { written, mut meta } =
        rewrite(std::slice::from_ref(&raw), Files::default(), options).unwrap();
    let files = written.sink;
    meta.compaction.sources = vec![BlockId::from_parts(1, 1), meta.compaction.sources[0]];
    meta.max_time = 2 * DAY;
    let wider = files.open(meta, Tombstones::default()).unwrap();
    let history = History::new([raw, five, wider]);
    let stretches = history.stretches(Resolution::OneHour);
    assert_eq!(stretches, [(TimeRange::new(0, 2 * DAY - 1), Resolution::Raw)]);
    assert_eq!(asked(&history, TimeRange::ALL, aggregate_for("avg"), Resolution::Raw), samples(0, DAY));
}

/// What was deleted is gone from every resolution, in whole windows.
#[test]
fn deleted_windows_are_not_seen() {
    let [raw, five, _] = blocks(10, 0, DAY);
    let mut tombstones = Tombstones::default();
    let no = five.postings(&[]).unwrap()[0];
    tombstones.add(no, TimeRange::new(6 * HOUR + 1_000, 12 * HOUR - 1));
    let options = DownsampleOptions::new(five.meta().id, Resolution::FiveMinutes);
    let made = downsample(&raw, Files::default(), options).unwrap();
    let stoned = made.written.sink.open(made.meta, tombstones).unwrap();
    let gone = |samples: &[(i64, f64)], width: i64| {
        assert!(samples.iter().all(|(t, _)| !(6 * HOUR..12 * HOUR).contains(&(t / width * width))));
    };
    let history = History::new([stoned.clone()]);
    let counts = asked(&history, TimeRange::ALL, Wanted::Part(Aggregate::Count), Resolution::OneHour);
    gone(&counts, 300_000);
    assert_eq!(counts.len(), 288 - 72);
    let hour = coarser(&stoned, 70, Resolution::OneHour);
    let counts =
        asked(&History::new([hour]), TimeRange::ALL, Wanted::Part(Aggregate::Count), Resolution::OneHour);
    gone(&counts, HOUR);
    assert_eq!(counts.iter().map(|count| count.1).sum::<f64>(), 18.0 * 120.0);
}

#[test]
fn functions_read_what_thanos_reads() {
    let part = Wanted::Part;
    let cases = [
        ("min", part(Aggregate::Min)),
        ("min_over_time", part(Aggregate::Min)),
        ("minute", Wanted::Average),
        ("max_over_time", part(Aggregate::Max)),
        ("count", part(Aggregate::Count)),
        ("count_values", part(Aggregate::Count)),
        ("sum", Wanted::Average),
        ("sum_over_time", part(Aggregate::Sum)),
        ("rate", part(Aggregate::Counter)),
        ("irate", part(Aggregate::Counter)),
        ("increase", part(Aggregate::Counter)),
        ("resets", part(Aggregate::Counter)),
        ("xrate", part(Aggregate::Counter)),
        ("xincrease", part(Aggregate::Counter)),
        ("delta", Wanted::Average),
        ("avg_over_time", Wanted::Average),
        ("", Wanted::Average),
    ];
    for (function, wanted) in cases {
        assert_eq!(aggregate_for(function), wanted, "{function}");
    }
}
