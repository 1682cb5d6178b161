//! Samples of every kind in one database: outcomes, what a query gives back, after a restart and out of blocks.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use sarsen_block::{
    Counts, Decode, Encoding, Histogram, Labels, Matcher, ResetHint, STALE_NAN_BITS, Sample, SampleSet, Span,
    TimeRange, Timestamp, Value,
};
use sarsen_tsdb::{Committed, Db, Options, Reason};
use sarsen_wal::{Disk, SimDisk};
use support::{START, builder, series};

fn histogram(count: u64) -> Histogram {
    let counts = Counts::Integer {
        count,
        zero: 0,
        positive: vec![count as i64 - 1, 2 - count as i64],
        negative: Vec::new(),
    };
    let spans = vec![Span { offset: 3, length: 2 }];
    Histogram { schema: 2, sum: count as f64 / 2.0, positive_spans: spans, counts, ..Histogram::default() }
}

fn float_histogram(count: f64) -> Histogram {
    let counts = Counts::Float { count, zero: 0.0, positive: vec![count], negative: Vec::new() };
    let spans = vec![Span { offset: -1, length: 1 }];
    Histogram { sum: 1.5, positive_spans: spans, counts, ..Histogram::default() }
}

fn send(db: &Db, set: &Labels, samples: &[Sample]) -> Committed {
    let mut batch = db.appender();
    for sample in samples {
        batch.append_sample(set.as_ref(), sample.clone());
    }
    let commit = batch.commit().unwrap();
    commit.pending.wait().unwrap();
    commit.committed
}

/// The samples of a series, hints left out: reading finds them out anew.
fn read(db: &Db, set: &Labels) -> Vec<Sample> {
    let matchers: Vec<Matcher> = set.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    let mut found = Decode::new(db.querier(TimeRange::ALL).select(&matchers).unwrap(), TimeRange::ALL);
    let mut samples = found.next().unwrap().map(|series| series.samples).unwrap_or_default();
    for sample in &mut samples {
        if let Value::Histogram(histogram) = &mut sample.value {
            histogram.hint = ResetHint::Unknown;
        }
    }
    samples
}

fn reasons(committed: &Committed) -> Vec<(u32, Reason)> {
    committed.refused.iter().map(|refusal| (refusal.sample, refusal.reason)).collect()
}

fn restarted(db: Db, disk: &Arc<dyn Disk>, options: &Options) -> Db {
    drop(db);
    builder(disk, options.clone()).open().unwrap()
}

#[test]
fn histograms_are_judged_as_floats_are() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let options = Options::default();
    let db = builder(&disk, options.clone()).open().unwrap();
    let set = series(0);
    let at = |t, histogram: Histogram| Sample::histogram(START + t, histogram);
    assert_eq!(send(&db, &set, &[at(10, histogram(5))]).accepted, 1);
    let mut hinted = histogram(5);
    hinted.hint = ResetHint::NotReset;
    let again =
        send(&db, &set, &[at(10, histogram(5)), at(10, hinted), at(10, histogram(6)), at(9, histogram(5))]);
    assert_eq!((again.duplicates, again.accepted), (2, 0));
    assert_eq!(reasons(&again), [(2, Reason::DuplicateValue), (3, Reason::OutOfOrder)]);
    let other = send(&db, &set, &[at(10, float_histogram(1.0)), Sample::float(START + 10, 1.0)]);
    assert_eq!(reasons(&other), [(0, Reason::DuplicateValue), (1, Reason::DuplicateValue)]);
    let mut broken = histogram(7);
    broken.positive_spans.clear();
    let old = at(-support::HOUR, broken.clone());
    let refused = send(&db, &set, &[at(20, broken), old, at(20, histogram(7))]);
    assert_eq!(reasons(&refused), [(0, Reason::BrokenHistogram), (1, Reason::OutOfBounds)]);
    assert_eq!(refused.accepted, 1);
    // Of a float and a histogram at one time in one batch the first is kept, and nobody is told.
    let both = send(&db, &set, &[Sample::float(START + 30, 1.0), at(30, histogram(7))]);
    assert_eq!((both.accepted, both.overtaken, both.refused.len()), (1, 1, 0));
    let expected = [at(10, histogram(5)), at(20, histogram(7)), Sample::float(START + 30, 1.0)];
    assert_eq!(read(&db, &set), expected);
    let db = restarted(db, &disk, &options);
    assert_eq!(read(&db, &set), expected);
    let again = send(&db, &set, &[Sample::float(START + 30, 1.0)]);
    assert_eq!(again.duplicates, 1);
    db.flush(START).unwrap();
    assert_eq!(read(&db, &set), expected);
}

#[test]
fn a_stale_marker_is_of_the_kind_of_its_series() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let mut options = Options::default();
    options.out_of_order_window = 1000;
    let db = builder(&disk, options.clone()).open().unwrap();
    let stale = |t| Sample::float(START + t, f64::from_bits(STALE_NAN_BITS));
    let (whole, floats, plain) = (series(0), series(1), series(2));
    send(&db, &whole, &[Sample::histogram(START, histogram(5)), stale(10)]);
    send(&db, &floats, &[Sample::histogram(START, float_histogram(1.0))]);
    assert_eq!(send(&db, &floats, &[stale(10), stale(-10)]).late, 1);
    assert_eq!(send(&db, &floats, &[stale(10)]).duplicates, 1);
    send(&db, &plain, &[Sample::float(START, 1.0), stale(10)]);
    let check = |db: &Db| {
        let ended = |is_float, t| Sample::histogram(START + t, Histogram::stale(is_float));
        assert_eq!(read(db, &whole), [Sample::histogram(START, histogram(5)), ended(false, 10)]);
        let first = Sample::histogram(START, float_histogram(1.0));
        assert_eq!(read(db, &floats), [ended(true, -10), first, ended(true, 10)]);
        assert_eq!(read(db, &plain), [Sample::float(START, 1.0), stale(10)]);
    };
    check(&db);
    let db = restarted(db, &disk, &options);
    check(&db);
    db.flush(START).unwrap();
    check(&db);
}

/// What kind of chunk each chunk of a series is.
fn encodings(db: &Db, set: &Labels) -> Vec<Encoding> {
    let matchers: Vec<Matcher> = set.iter().map(|(name, value)| Matcher::equal(name, value)).collect();
    let mut found = db.querier(TimeRange::ALL).select(&matchers).unwrap();
    let series = sarsen_block::ChunkSet::next(&mut found).unwrap().unwrap();
    series.chunks.iter().map(|chunk| chunk.chunk.encoding).collect()
}

#[test]
fn start_times_are_kept_where_the_option_says_so() {
    let with_start = |t: Timestamp, start, value: Value| Sample { t: START + t, start, value };
    let samples: Vec<Sample> = (0..400)
        .map(|i| with_start(i * 15_000, START - 1 - i / 100, Value::Float(i as f64)))
        .chain(
            (400..420)
                .map(|i| with_start(i * 15_000, START + 7, Value::Histogram(Box::new(histogram(i as u64))))),
        )
        .chain([with_start(430 * 15_000, 0, Value::Histogram(Box::new(float_histogram(1.0))))])
        .chain([with_start(440 * 15_000, 0, Value::Float(1.0))])
        .collect();
    for xor2 in [true, false] {
        let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
        let mut options = Options::default();
        (options.xor2, options.out_of_order_window) = (xor2, 60_000);
        let db = builder(&disk, options.clone()).open().unwrap();
        let set = series(0);
        let mut expected = samples.clone();
        for sample in &samples {
            assert_eq!(send(&db, &set, std::slice::from_ref(sample)).accepted, 1);
        }
        let late = with_start(440 * 15_000 - 5, START + 9, Value::Float(2.0));
        assert_eq!(send(&db, &set, std::slice::from_ref(&late)).late, 1);
        expected.insert(samples.len() - 1, late);
        if !xor2 {
            expected.iter_mut().for_each(|sample| sample.start = 0);
        }
        assert_eq!(read(&db, &set), expected);
        let kinds = encodings(&db, &set);
        let is_new = |kind: &Encoding| {
            matches!(kind, Encoding::Xor2 | Encoding::HistogramSt | Encoding::FloatHistogramSt)
        };
        assert_eq!(kinds.iter().filter(|kind| is_new(kind)).count(), if xor2 { kinds.len() } else { 0 });
        let db = restarted(db, &disk, &options);
        assert_eq!(read(&db, &set), expected);
        db.flush(START).unwrap();
        assert_eq!(read(&db, &set), expected);
        let db = restarted(db, &disk, &options);
        assert_eq!(read(&db, &set), expected);
    }
}
