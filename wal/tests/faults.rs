//! Every disk call fails in turn, the disk fills up, writes tear: the log refuses everything until it is opened again
//! at its last synced position, and nothing acknowledged is lost.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod history;

use std::io::ErrorKind;

use history::{Chance, Model, disk, options, read, run, run_from, shared};
use sarsen_wal::{Advice, Batch, Error, Fault, Operation, Position, SimDisk, Survival, SyncPolicy, Wal};

const STEPS: usize = 40;

/// Goes on after a failure as an owner does: opens at the last synced position, forgets what was not acknowledged.
fn go_on(disk: &SimDisk, synced: Option<Position>, model: &mut Model, chance: &mut Chance) {
    let Some(synced) = synced else {
        run(disk, model, SyncPolicy::EveryCommit, chance, STEPS).unwrap();
        return;
    };
    // Opening cuts the log there; only then it is known what is left.
    let wal =
        Wal::open(shared(disk), history::DIR.as_ref(), &options(SyncPolicy::EveryCommit), synced).unwrap();
    drop(wal);
    let found = read(disk).unwrap();
    model.check(&found, "opened at the last synced position");
    model.forget_lost(&found);
    run_from(disk, synced, model, SyncPolicy::EveryCommit, chance, STEPS).unwrap();
}

fn fail_everywhere(seed: u64, fault: Fault) {
    let whole = disk(seed);
    let first = whole.calls();
    run(&whole, &mut Model::default(), SyncPolicy::EveryCommit, &mut Chance(seed), STEPS).unwrap();
    for call in first..whole.calls() {
        let disk = disk(seed);
        disk.fail_call(call, fault);
        let (mut model, mut chance) = (Model::default(), Chance(seed));
        // Some calls may fail without harm: removing what no longer counts.
        if let Err((synced, error)) = run(&disk, &mut model, SyncPolicy::EveryCommit, &mut chance, STEPS) {
            assert!(matches!(error.advice(), Advice::Reopen | Advice::Retry), "call {call}: {error}");
            go_on(&disk, synced, &mut model, &mut chance);
        }
        let when = format!("seed {seed}, {fault:?} at call {call}");
        model.check(&read(&disk.survivor(Survival::Nothing)).unwrap(), &when);
        model.check(&read(&disk).unwrap(), &when);
    }
}

#[test]
fn one_failed_call_loses_nothing_acknowledged() {
    for seed in 1..=2 {
        fail_everywhere(seed, Fault::Error(ErrorKind::Other));
        fail_everywhere(seed, Fault::Torn(ErrorKind::StorageFull));
    }
}

#[test]
fn a_full_disk_is_refused_and_work_resumes_when_there_is_room() {
    for seed in 0..10 {
        let disk = disk(seed);
        let (mut model, mut chance) = (Model::default(), Chance(seed));
        let mut capacity = 20_000;
        disk.set_capacity(Some(capacity));
        let mut outcome = run(&disk, &mut model, SyncPolicy::EveryCommit, &mut chance, 200).map(drop);
        let mut refused = 0;
        while let Err((synced, error)) = outcome {
            assert!(error.is_full(), "{error}");
            refused += 1;
            capacity = if refused < 4 { capacity + 50_000 } else { u64::MAX };
            // With no room even to begin a segment, opening works and writing is refused again.
            outcome = match synced {
                None => run(&disk, &mut model, SyncPolicy::EveryCommit, &mut chance, 200).map(drop),
                Some(synced) => {
                    drop(
                        Wal::open(
                            shared(&disk),
                            history::DIR.as_ref(),
                            &options(SyncPolicy::EveryCommit),
                            synced,
                        )
                        .unwrap(),
                    );
                    let found = read(&disk).unwrap();
                    model.check(&found, "full");
                    model.forget_lost(&found);
                    disk.set_capacity(Some(capacity));
                    run_from(&disk, synced, &mut model, SyncPolicy::EveryCommit, &mut chance, 200).map(drop)
                }
            };
        }
        assert!(refused > 0, "seed {seed}: the disk never filled up");
        model.check(&read(&disk.survivor(Survival::Nothing)).unwrap(), "room again");
    }
}

/// The next sync after a failed one would succeed, and bytes would be gone: so there is no next sync.
#[test]
fn after_a_failed_sync_everything_is_refused() {
    let disk = disk(1);
    let (mut model, mut chance) = (Model::default(), Chance(1));
    let wal = run(&disk, &mut model, SyncPolicy::EveryCommit, &mut chance, 10).unwrap();
    wal.sync().unwrap();
    model.acknowledge();
    let before = wal.stats().synced;
    let mut batch = Batch::new();
    model.fill(&mut batch, &mut chance);
    let (first, second) = (wal.append(&mut batch).unwrap(), wal.pending());
    disk.fail_after(Operation::Sync, 0, Fault::Error(ErrorKind::Other));
    assert!(matches!(first.wait(), Err(Error::Latched(_))));
    assert!(matches!(second.wait(), Err(Error::Latched(_))), "every waiter of that sync fails");
    assert!(matches!(wal.sync(), Err(Error::Latched(_))));
    assert!(matches!(wal.append(&mut batch), Err(Error::Latched(_))));
    assert_eq!(wal.check().unwrap_err().advice(), Advice::Reopen);
    assert_eq!(wal.stats().synced, before);
    drop(wal);
    go_on(&disk, Some(before), &mut model, &mut chance);
    model.check(&read(&disk.survivor(Survival::Nothing)).unwrap(), "after reopening");
}

/// Commits that were synced before the failure are acknowledged even if their waiter comes late.
#[test]
fn a_late_waiter_of_synced_bytes_is_told_the_truth() {
    let disk = disk(1);
    let mut model = Model::default();
    let wal = run(&disk, &mut model, SyncPolicy::EveryCommit, &mut Chance(1), 5).unwrap();
    let mut batch = Batch::new();
    model.fill(&mut batch, &mut Chance(9));
    let late = wal.append(&mut batch).unwrap();
    wal.sync().unwrap();
    model.fill(&mut batch, &mut Chance(10));
    let lost = wal.append(&mut batch).unwrap();
    disk.fail_after(Operation::Append, 0, Fault::Torn(ErrorKind::StorageFull));
    assert!(lost.wait().unwrap_err().is_full());
    late.wait().unwrap();
}
