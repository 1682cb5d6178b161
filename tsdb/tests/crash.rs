//! The power goes at any moment: what was acknowledged is there afterwards, and nothing that was never sent.
//!
//! A seed makes a history of commits, cuts, flushes, retirements and restarts. It runs once in peace to count the calls
//! that change the disk, and then again for every one of them, with the power cut during that call, or with that
//! call failing. The disk is simulated and unkind: see `SimDisk`.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod support;

use std::sync::Arc;

use sarsen_block::{Labels, Timestamp};
use sarsen_tsdb::{Advice, Db, Error, Options, Position};
use sarsen_wal::{Disk, Fault, SimDisk, Survival};
use support::{Content, builder, read_all, series};

const RANGE: Timestamp = 1000;

fn options() -> Options {
    let mut options = Options::default();
    options.block_range = RANGE;
    options.idle_grace = 0;
    options.log_segment_bytes = 64 << 10;
    options.chunk_segment_size = 200;
    options.open_chunk_bytes = 8;
    options.spill_buffer_bytes = 300;
    // Often between cuts, too.
    options.checkpoint_log_bytes = 600;
    options
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<(usize, Timestamp, f64)>),
    Maintain(Timestamp),
    Flush(Timestamp),
    Retire,
    Close,
    Drop,
}

struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(0x1405_7B7E_F767_814F);
        (self.0 >> 33) % end
    }
}

fn history(seed: u64) -> Vec<Step> {
    let mut chance = Chance(seed);
    let mut clock = 10 * RANGE + 17;
    let mut steps = Vec::new();
    for _ in 0..24 {
        let step = match chance.below(24) {
            0..=14 => {
                clock += chance.below(400) as Timestamp;
                let mut rows = Vec::new();
                for i in 0..12 {
                    if chance.below(3) > 0 {
                        // Mostly new, sometimes late, sometimes the same again.
                        let t = clock - (chance.below(8) * chance.below(2) * 40) as Timestamp;
                        rows.push((i, t, f64::from(chance.below(5) as u32) + t as f64 / 3.0));
                    }
                }
                Step::Commit(rows)
            }
            15..=18 => Step::Maintain(clock + (chance.below(3) * 1500) as Timestamp),
            19 => Step::Flush(clock),
            20 => Step::Retire,
            21 => Step::Close,
            _ => Step::Drop,
        };
        steps.push(step);
    }
    steps
}

/// What a history has done so far.
#[derive(Default)]
struct Ledger {
    /// Everything that was ever handed to an appender.
    sent: Content,
    /// What was acknowledged and not retired.
    acknowledged: Content,
}

impl Ledger {
    fn check(&self, found: &Content) {
        for (set, samples) in &self.acknowledged {
            for (t, bits) in samples {
                let there = found.get(set).and_then(|samples| samples.get(t));
                assert_eq!(there, Some(bits), "acknowledged and lost: {set:?} at {t}");
            }
        }
        for (set, samples) in found {
            for (t, bits) in samples {
                let several = self.sent.get(set).and_then(|samples| samples.get(t));
                assert!(several.is_some(), "never sent: {set:?} at {t}");
                // A time may have been sent twice with different bits; one of the two was refused.
                let acknowledged = self.acknowledged.get(set).and_then(|samples| samples.get(t));
                assert!(
                    acknowledged.is_none_or(|a| a == bits),
                    "other bits than acknowledged: {set:?} at {t}"
                );
            }
        }
    }

    fn retired(&mut self, from: Timestamp, until: Timestamp) {
        for samples in self.acknowledged.values_mut() {
            samples.retain(|&t, _| t < from || t >= until);
        }
    }
}

/// Takes one step.
fn take(db: &Db, step: &Step, ledger: &mut Ledger) -> Result<(), Error> {
    match step {
        Step::Commit(rows) => {
            let sets: Vec<Labels> = rows.iter().map(|&(i, ..)| series(i)).collect();
            for (set, &(_, t, v)) in sets.iter().zip(rows) {
                ledger.sent.entry(set.clone()).or_default().insert(t, v.to_bits());
            }
            let mut batch = db.appender();
            for (set, &(_, t, v)) in sets.iter().zip(rows) {
                batch.append(set.as_ref(), t, v);
            }
            let commit = batch.commit()?;
            let refused: Vec<usize> =
                commit.committed.refused.iter().map(|refusal| refusal.sample as usize).collect();
            commit.pending.wait()?;
            for (at, (set, &(_, t, v))) in sets.iter().zip(rows).enumerate() {
                if !refused.contains(&at) {
                    ledger.acknowledged.entry(set.clone()).or_default().insert(t, v.to_bits());
                }
            }
            Ok(())
        }
        Step::Maintain(now) => db.maintain(*now).map(|_| ()),
        Step::Flush(now) => db.flush(*now).map(|_| ()),
        Step::Retire => {
            if let Some(block) = db.blocks().first() {
                ledger.retired(block.meta.min_time, block.meta.max_time);
                db.retire(block.id)?;
            }
            Ok(())
        }
        Step::Close => db.close(),
        Step::Drop => Ok(()),
    }
}

/// Runs a history until its end or the first failure; the database is dropped then.
fn run(disk: &Arc<dyn Disk>, steps: &[Step], ledger: &mut Ledger) -> Result<(), Error> {
    let mut db = builder(disk, options()).open()?;
    for step in steps {
        take(&db, step, ledger)?;
        if matches!(step, Step::Close | Step::Drop) {
            drop(db);
            db = builder(disk, options()).open()?;
        }
    }
    Ok(())
}

fn share(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// The database lives on: it takes samples, cuts, restarts.
fn goes_on(disk: &Arc<dyn Disk>, ledger: &mut Ledger) {
    let db = builder(disk, options()).open().unwrap();
    assert!(db.open_report().lost.is_empty() && db.open_report().set_aside.is_empty());
    ledger.check(&read_all(&db));
    let t = db.stats().max_time.unwrap_or(100 * RANGE).max(30 * RANGE);
    for late in [1, RANGE, 2 * RANGE] {
        let rows = (0..12).map(|i| (i, t + late, 7.0)).collect();
        take(&db, &Step::Commit(rows), ledger).unwrap();
    }
    db.maintain(t + 2 * RANGE).unwrap();
    ledger.check(&read_all(&db));
    drop(db);
    let db = builder(disk, options()).open().unwrap();
    ledger.check(&read_all(&db));
}

fn cut_power_everywhere(seed: u64) {
    let steps = history(seed);
    let peaceful = SimDisk::new(seed);
    let mut ledger = Ledger::default();
    run(&share(&peaceful), &steps, &mut ledger).unwrap();
    ledger.check(&read_all(&builder(&share(&peaceful), options()).open().unwrap()));
    for call in 0..peaceful.calls() {
        let disk = SimDisk::new(seed);
        disk.fail_call(call, Fault::PowerCut);
        let mut ledger = Ledger::default();
        let _ = run(&share(&disk), &steps, &mut ledger);
        let survivals =
            [Survival::Nothing, Survival::Everything, Survival::Some(call), Survival::Some(!call)];
        let survival = survivals[(call + seed) as usize % survivals.len()];
        let survivor = disk.survivor(survival);
        let story = format!("seed {seed}, power cut at call {call}, {survival:?}");
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            goes_on(&share(&survivor), &mut ledger);
        }));
        assert!(checked.is_ok(), "{story}");
    }
}

/// The same with a call that fails, and an owner who does what the advice says.
fn fail_everywhere(seed: u64) {
    let steps = history(seed);
    let peaceful = SimDisk::new(seed);
    run(&share(&peaceful), &steps, &mut Ledger::default()).unwrap();
    for call in 0..peaceful.calls() {
        let kind = [std::io::ErrorKind::StorageFull, std::io::ErrorKind::Other][call as usize % 2];
        let fault = if call % 3 == 0 { Fault::Torn(kind) } else { Fault::Error(kind) };
        let disk = SimDisk::new(seed);
        disk.fail_call(call, fault);
        let mut ledger = Ledger::default();
        let shared = share(&disk);
        let mut db = open_again(&shared, None);
        for step in &steps {
            let result = take(&db, step, &mut ledger);
            let log_failed = result.as_ref().is_err_and(|error| error.advice() == Advice::Reopen);
            if log_failed || matches!(step, Step::Close | Step::Drop) {
                let place = log_failed.then(|| db.synced_position());
                drop(db);
                db = open_again(&shared, place);
            }
        }
        ledger.check(&read_all(&db));
        drop(db);
        // And the power goes as well: what a failed sync has lost must not have been counted on.
        let survivor = disk.survivor(Survival::Nothing);
        let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            goes_on(&share(&survivor), &mut ledger);
        }));
        assert!(checked.is_ok(), "seed {seed}, call {call} fails with {fault:?}");
    }
}

fn open_again(disk: &Arc<dyn Disk>, place: Option<Position>) -> Db {
    for _ in 0..3 {
        let mut builder = builder(disk, options());
        if let Some(place) = place {
            builder = builder.resume_at(place);
        }
        match builder.open() {
            Ok(db) => return db,
            Err(error) => assert_ne!(error.advice(), Advice::Stop, "{error}"),
        }
    }
    panic!("one fault, and still closed")
}

#[test]
fn power_cuts_1() {
    (1..=2).for_each(cut_power_everywhere);
}

#[test]
fn power_cuts_2() {
    (3..=4).for_each(cut_power_everywhere);
}

#[test]
fn failing_calls_1() {
    (12..=13).for_each(fail_everywhere);
}

#[test]
fn failing_calls_2() {
    (14..=15).for_each(fail_everywhere);
}
