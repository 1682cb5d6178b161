//! A database is a plain model: samples of all kinds, late ones, deletes, cuts, rewrites, restarts and power cuts, in any order.
//!
//! Every outcome of a commit is the model's, every acknowledged sample is read, and nothing is read that the model does not have.
//! The power goes in the middle of a step, at any call of the disk; what was not acknowledged then is looked up afterwards and
//! must be there or not, for good.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod plain;
mod support;

use std::sync::Arc;

use plain::{Content, Expected, Model, Moment, Rules};
use proptest::prelude::*;
use sarsen_block::{
    Counts, Decode, Histogram, Matcher, ResetHint, STALE_NAN_BITS, Sample, SampleSet, Span, TimeRange,
    Timestamp, Value,
};
use sarsen_tsdb::{Db, Error, Options};
use sarsen_wal::{Disk, Fault, SimDisk, Survival};
use support::{builder, series};

const RANGE: Timestamp = 1000;
const SERIES: usize = 5;

/// A sample: which series, how long before the clock, start, kind, what.
type Row = (usize, Timestamp, u8, u8, u8);

#[derive(Debug, Clone)]
enum Step {
    /// The clock goes on, and samples come.
    Commit(Timestamp, Vec<Row>),
    Maintain,
    Flush,
    /// Of the series with an odd number, or of all: from so long before the clock, for so long.
    Delete(bool, Timestamp, Timestamp),
    Clean,
    Close,
    Kill,
    /// The power goes at this call of the disk in the next step, or behind it, and part of what is not synced stays.
    PowerCut(u64, u64),
}

fn row() -> impl Strategy<Value = Row> {
    // Mostly the newest, often late, sometimes far away.
    let before = prop_oneof![4 => 0i64..30, 3 => 0i64..1500, 1 => 0i64..4000];
    (0..SERIES, before, 0u8..4, 0u8..10, 0u8..6)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        24 => (0i64..350, prop::collection::vec(row(), 1..24)).prop_map(|(by, rows)| Step::Commit(by, rows)),
        4 => Just(Step::Maintain),
        1 => Just(Step::Flush),
        2 => (any::<bool>(), 0i64..3000, 0i64..1200).prop_map(|(odd, from, long)| Step::Delete(odd, from, long)),
        1 => Just(Step::Clean),
        1 => Just(Step::Close),
        2 => Just(Step::Kill),
        3 => (0u64..40, any::<u64>()).prop_map(|(call, seed)| Step::PowerCut(call, seed)),
    ]
}

fn sample(clock: Timestamp, &(_, before, start, kind, what): &Row) -> Sample {
    let t = clock - before;
    let value = match kind {
        0..=4 => Value::Float(f64::from(what / 2)),
        5 => Value::Float(f64::from_bits(STALE_NAN_BITS)),
        _ => Value::Histogram(Box::new(histogram(kind, what))),
    };
    Sample { t, start: if start == 0 { 0 } else { t - i64::from(start) }, value }
}

/// Histograms that grow, begin anew, change their buckets and their schema.
fn histogram(kind: u8, what: u8) -> Histogram {
    let spans = match what {
        0 | 1 => vec![Span { offset: 0, length: 2 }],
        2 | 3 => vec![Span { offset: 0, length: 1 }, Span { offset: 2, length: 1 }],
        _ => vec![Span { offset: -1, length: 2 }],
    };
    let (one, two) = (u64::from(what) + 1, u64::from(what / 2));
    let counts = if kind < 8 {
        let positive = vec![one as i64, two as i64 - one as i64];
        Counts::Integer { count: one + two, zero: 0, positive, negative: Vec::new() }
    } else {
        let positive = vec![one as f64, two as f64];
        Counts::Float { count: (one + two) as f64, zero: 0.0, positive, negative: Vec::new() }
    };
    let hint = if what == 5 { ResetHint::Gauge } else { ResetHint::Unknown };
    let schema = i32::from(what == 3);
    Histogram { hint, schema, sum: 1.5, positive_spans: spans, counts, ..Histogram::default() }
}

fn read(db: &Db) -> Content {
    let mut set = Decode::new(db.querier(TimeRange::ALL).select(&[]).unwrap(), TimeRange::ALL);
    let mut content = Content::new();
    while let Some(found) = set.next().unwrap() {
        let no = (0..SERIES).find(|&no| series(no) == found.labels).unwrap();
        assert!(content.insert(no, found.samples).is_none(), "a series came twice");
    }
    content
}

fn moment(db: &Db) -> Moment {
    let stats = db.stats();
    Moment { max: stats.max_time, floor: stats.min_valid_time }
}

struct World {
    disk: SimDisk,
    options: Options,
    db: Option<Db>,
    model: Model,
    clock: Timestamp,
}

impl World {
    fn new(options: Options) -> Self {
        let rules = Rules { range: RANGE, window: options.out_of_order_window, starts: options.xor2 };
        let disk = SimDisk::new(1);
        let db = Some(open(&disk, &options));
        Self { disk, options, db, model: Model::new(rules), clock: 20 * RANGE + 3 }
    }

    fn db(&self) -> &Db {
        self.db.as_ref().unwrap()
    }

    fn check(&self) {
        self.model.check(&read(self.db())).unwrap_or_else(|why| panic!("{why}"));
    }

    fn commit(&mut self, rows: &[Row]) -> Result<(), Error> {
        let rows: Vec<(usize, Sample)> = rows.iter().map(|row| (row.0, sample(self.clock, row))).collect();
        let sets: Vec<_> = rows.iter().map(|(no, _)| series(*no)).collect();
        let now = moment(self.db());
        let mut batch = self.db().appender();
        for (set, (_, sample)) in sets.iter().zip(&rows) {
            batch.append_sample(set.as_ref(), sample.clone());
        }
        let done = batch.commit().and_then(|commit| commit.pending.wait().map(|()| commit.committed));
        let expected = self.model.send(now, &rows, done.is_ok());
        let committed = done?;
        if let Some(expected) = expected {
            assert_eq!(Expected::of(&committed), expected, "at {now:?}: {rows:?}");
        }
        Ok(())
    }

    /// Takes one step that the power may interrupt.
    fn take(&mut self, step: &Step) -> Result<(), Error> {
        match step {
            Step::Commit(by, rows) => {
                self.clock += by;
                self.commit(rows)
            }
            Step::Maintain | Step::Flush => {
                let db = self.db();
                let report = match step {
                    Step::Maintain => db.maintain(self.clock)?,
                    _ => db.flush(self.clock)?,
                };
                assert!(!report.memory_in_use);
                let floor = moment(db).floor;
                self.model.cut(floor);
                Ok(())
            }
            &Step::Delete(odd, from, long) => {
                let range = TimeRange::new(self.clock - from, self.clock - from + long);
                let matchers: &[Matcher] = if odd { &[Matcher::equal("odd", "yes")] } else { &[] };
                let done = self.db().delete(matchers, range);
                self.model.delete(|no| !odd || no % 2 == 1, range, done.is_ok());
                done.map(|_| ())
            }
            Step::Clean => self.db().clean_tombstones(self.clock).map(|_| ()),
            Step::Close => {
                self.db().close()?;
                self.reopen(None);
                Ok(())
            }
            Step::Kill => {
                self.reopen(None);
                Ok(())
            }
            Step::PowerCut(..) => Ok(()),
        }
    }

    /// The database is opened again, after a power cut on what that left.
    fn reopen(&mut self, survival: Option<Survival>) {
        self.db = None;
        if let Some(survival) = survival {
            self.disk = self.disk.survivor(survival);
        }
        let db = open(&self.disk, &self.options);
        assert!(db.open_report().lost.is_empty() && db.open_report().set_aside.is_empty());
        self.model.reopened(moment(&db).floor, &read(&db));
        self.db = Some(db);
        self.check();
    }

    fn run(&mut self, steps: &[Step]) {
        let mut steps = steps.iter();
        while let Some(step) = steps.next() {
            if let &Step::PowerCut(call, seed) = step {
                self.disk.fail_call(self.disk.calls() + call, Fault::PowerCut);
                // It may come as late as in the second step behind, or between two.
                for step in steps.by_ref().take(2) {
                    if matches!(step, Step::Close | Step::Kill | Step::PowerCut(..))
                        || self.take(step).is_err()
                    {
                        break;
                    }
                }
                let survival = [Survival::Nothing, Survival::Everything, Survival::Some(seed)];
                self.reopen(Some(survival[(seed % 3) as usize]));
            } else if let Err(error) = self.take(step) {
                panic!("{step:?}: {error}");
            }
        }
        self.check();
        self.take(&Step::Flush).unwrap();
        self.check();
        self.take(&Step::Clean).unwrap();
        self.check();
        self.take(&Step::Kill).unwrap();
    }
}

fn open(disk: &SimDisk, options: &Options) -> Db {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    builder(&disk, options.clone()).open().unwrap()
}

fn options() -> impl Strategy<Value = Options> {
    let window = prop_oneof![Just(0), Just(300), Just(3 * RANGE), Just(100 * RANGE)];
    let checkpoint = prop_oneof![Just(100), Just(3000), Just(1 << 20)];
    (window, 1usize..9, any::<bool>(), 1usize..5, checkpoint).prop_map(
        |(window, cap, xor2, words, checkpoint)| {
            let mut options = Options::default();
            (options.block_range, options.idle_grace) = (RANGE, 0);
            (options.out_of_order_window, options.out_of_order_cap_max, options.xor2) = (window, cap, xor2);
            (options.open_chunk_bytes, options.spill_buffer_bytes) = (words * 8, 100);
            (options.log_segment_bytes, options.checkpoint_log_bytes) = (64 << 10, checkpoint);
            options
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, max_shrink_iters: 3000, ..ProptestConfig::default() })]

    #[test]
    fn a_database_is_a_model(options in options(), steps in prop::collection::vec(step(), 1..60)) {
        World::new(options).run(&steps);
    }
}
