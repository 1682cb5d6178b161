//! The power goes during a delete, a clean-up or a note: what was acknowledged holds, and what was not holds for each sample
//! wholly or not at all.
//!
//! A history of commits with exemplars and metadata, deletes, cuts and restarts runs once in peace to count the calls that
//! change the disk, and then again for every one of them, with the power cut during that call or with the call failing.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sarsen_block::{Labels, Matcher, TimeRange, Timestamp};
use sarsen_tsdb::{Advice, Db, Error, ExemplarRef, MetadataRef, MetricType, Options};
use sarsen_wal::{Disk, Fault, SimDisk, Survival};
use support::{Content, builder, labels, read_all, series};

const RANGE: Timestamp = 1000;

fn options() -> Options {
    let mut options = Options::default();
    options.block_range = RANGE;
    options.idle_grace = 0;
    options.log_segment_bytes = 64 << 10;
    options.checkpoint_log_bytes = 1000;
    options.max_exemplars = 1000;
    options
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Timestamp, u8),
    Delete(Option<usize>, TimeRange),
    Maintain(Timestamp),
    Restart,
}

fn history(seed: u64) -> Vec<Step> {
    let mut state = seed;
    let mut below = |end: u64| {
        state = state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (state >> 33) % end
    };
    let mut clock = 10 * RANGE + 17;
    (0..26)
        .map(|_| match below(16) {
            0..=8 => {
                clock += 100 + below(300) as Timestamp;
                Step::Commit(clock, below(3) as u8)
            }
            9..=12 => {
                let from = clock - below(3000) as Timestamp;
                let only = (below(3) > 0).then(|| below(4) as usize);
                Step::Delete(only, TimeRange::new(from, from + below(900) as Timestamp))
            }
            13..=14 => Step::Maintain(clock),
            _ => Step::Restart,
        })
        .collect()
}

/// What a history has done so far.
#[derive(Default)]
struct Ledger {
    sent: Content,
    acknowledged: Content,
    /// A delete that did not come to its end may have taken these.
    doubtful: BTreeSet<(Labels, Timestamp)>,
    /// What each series was last told to mean, and whether that was acknowledged.
    meaning: BTreeMap<Labels, BTreeSet<u8>>,
}

impl Ledger {
    /// Takes acknowledged samples out; where to is for the caller to say.
    fn covered(&self, only: Option<usize>, range: TimeRange) -> Vec<(Labels, Timestamp)> {
        let sets = self.acknowledged.iter().filter(|(set, _)| only.is_none_or(|i| **set == series(i)));
        sets.flat_map(|(set, samples)| samples.keys().map(|&t| (set.clone(), t)))
            .filter(|&(_, t)| range.contains(t))
            .collect()
    }

    fn check(&self, db: &Db) {
        let found = read_all(db);
        for (set, samples) in &self.acknowledged {
            for (t, bits) in samples {
                if !self.doubtful.contains(&(set.clone(), *t)) {
                    let there = found.get(set).and_then(|samples| samples.get(t));
                    assert_eq!(there, Some(bits), "acknowledged and lost: {set:?} at {t}");
                }
            }
        }
        for (set, samples) in &found {
            for t in samples.keys() {
                // What an acknowledged delete covered is among neither.
                assert!(self.sent.get(set).is_some_and(|sent| sent.contains_key(t)), "{set:?} at {t}");
            }
        }
        for found in db.metadata(&[]).unwrap() {
            let told = &self.meaning[&found.labels];
            assert!(told.contains(&found.metadata.kind.number()), "{:?}: {told:?}", found.labels);
        }
    }
}

fn take(db: &Db, step: &Step, ledger: &mut Ledger) -> Result<(), Error> {
    match step {
        Step::Commit(t, kind) => {
            let sets: Vec<Labels> = (0..4).map(series).collect();
            let trace = labels(&[("trace_id", &t.to_string())]);
            let help = vec![b'x'; 3000];
            let mut batch = db.appender();
            for set in &sets {
                let value = *t as f64 / 3.0;
                ledger.sent.entry(set.clone()).or_default().insert(*t, value.to_bits());
                ledger.meaning.entry(set.clone()).or_default().insert(*kind);
                batch.append(set.as_ref(), *t, value);
                batch.append_exemplar(set.as_ref(), ExemplarRef { labels: trace.as_ref(), t: *t, value });
                let kind = MetricType::from_number(*kind);
                batch.append_metadata(set.as_ref(), MetadataRef { kind, unit: b"", help: &help });
            }
            let commit = batch.commit()?;
            assert_eq!((commit.committed.accepted, commit.committed.exemplars.accepted), (4, 4));
            commit.pending.wait()?;
            for set in sets {
                ledger.acknowledged.entry(set.clone()).or_default().insert(*t, (*t as f64 / 3.0).to_bits());
                ledger.meaning.insert(set, BTreeSet::from([*kind]));
            }
            // All that was acknowledged and is not behind a cut is there.
            let newest: Vec<Timestamp> = db
                .exemplars(&[Vec::<Matcher>::new()], TimeRange::ALL)
                .iter()
                .filter_map(|found| found.exemplars.last())
                .map(|exemplar| exemplar.t)
                .collect();
            assert_eq!(newest, [*t; 4]);
            Ok(())
        }
        Step::Delete(only, range) => {
            let covered = ledger.covered(*only, *range);
            let matchers = only.map_or(Vec::new(), |i| vec![Matcher::equal("i", i.to_string())]);
            // Samples sent and not acknowledged may be there; nobody says what becomes of them.
            match db.delete(&matchers, *range) {
                Ok(_) => {
                    for (set, t) in covered {
                        ledger.acknowledged.entry(set.clone()).or_default().remove(&t);
                        ledger.sent.entry(set).or_default().remove(&t);
                    }
                    Ok(())
                }
                Err(error) => {
                    ledger.doubtful.extend(covered);
                    Err(error)
                }
            }
        }
        Step::Maintain(now) => db.maintain(*now).map(|_| ()),
        Step::Restart => Ok(()),
    }
}

fn share(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// The database lives on: the deletes of the history can be done again, and then nothing is in doubt.
fn goes_on(disk: &Arc<dyn Disk>, steps: &[Step], ledger: &mut Ledger) {
    let db = builder(disk, options()).open().unwrap();
    assert!(db.open_report().lost.is_empty() && db.open_report().set_aside.is_empty());
    ledger.check(&db);
    let t = 100 * RANGE;
    take(&db, &Step::Commit(t, 5), ledger).unwrap();
    for step in steps.iter().filter(|step| matches!(step, Step::Delete(..))) {
        let Step::Delete(only, range) = step else { continue };
        let covered = ledger.covered(*only, *range);
        take(&db, step, ledger).unwrap();
        ledger.doubtful.retain(|gone| !covered.contains(gone));
    }
    ledger.check(&db);
    db.maintain(t + 2 * RANGE).unwrap();
    ledger.check(&db);
    drop(db);
    ledger.check(&builder(disk, options()).open().unwrap());
}

fn run(disk: &Arc<dyn Disk>, steps: &[Step], ledger: &mut Ledger) -> Result<(), Error> {
    let mut db = builder(disk, options()).open()?;
    for step in steps {
        take(&db, step, ledger)?;
        if matches!(step, Step::Restart) {
            drop(db);
            db = builder(disk, options()).open()?;
        }
    }
    Ok(())
}

fn cut_power_everywhere(seed: u64) {
    let steps = history(seed);
    let peaceful = SimDisk::new(seed);
    let mut ledger = Ledger::default();
    run(&share(&peaceful), &steps, &mut ledger).unwrap();
    ledger.check(&builder(&share(&peaceful), options()).open().unwrap());
    for call in 0..peaceful.calls() {
        let disk = SimDisk::new(seed);
        disk.fail_call(call, Fault::PowerCut);
        let mut ledger = Ledger::default();
        let _ = run(&share(&disk), &steps, &mut ledger);
        let survivals =
            [Survival::Nothing, Survival::Everything, Survival::Some(call), Survival::Some(!call)];
        let survival = survivals[(call + seed) as usize % survivals.len()];
        let survivor = disk.survivor(survival);
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            goes_on(&share(&survivor), &steps, &mut ledger);
        }));
        assert!(checked.is_ok(), "seed {seed}, power cut at call {call}, {survival:?}");
    }
}

fn fail_everywhere(seed: u64) {
    let steps = history(seed);
    let peaceful = SimDisk::new(seed);
    run(&share(&peaceful), &steps, &mut Ledger::default()).unwrap();
    for call in 0..peaceful.calls() {
        let kind = [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other][call as usize % 2];
        let fault = if call % 3 == 0 { Fault::Torn(kind) } else { Fault::Error(kind) };
        let disk = SimDisk::new(seed);
        disk.fail_call(call, fault);
        let shared = share(&disk);
        let mut ledger = Ledger::default();
        let open = |place: Option<_>| {
            let builder = || {
                place
                    .map_or(builder(&shared, options()), |place| builder(&shared, options()).resume_at(place))
            };
            builder().open().or_else(|_| builder().open()).unwrap()
        };
        let mut db = open(None);
        for step in &steps {
            let result = take(&db, step, &mut ledger);
            let log_failed = result.as_ref().is_err_and(|error| error.advice() == Advice::Reopen);
            if log_failed || matches!(step, Step::Restart) {
                let place = log_failed.then(|| db.synced_position());
                drop(db);
                db = open(place);
            }
        }
        ledger.check(&db);
        drop(db);
        let survivor = disk.survivor(Survival::Nothing);
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            goes_on(&share(&survivor), &steps, &mut ledger);
        }));
        assert!(checked.is_ok(), "seed {seed}, call {call} fails with {fault:?}");
    }
}

#[test]
fn power_cuts() {
    (1..=2).for_each(cut_power_everywhere);
}

#[test]
fn failing_calls() {
    (5..=6).for_each(fail_everywhere);
}
