//! The power goes at every disk call of random histories in turn; what was acknowledged is there, in order, and
//! nothing else is.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod history;

use std::path::Path;

use history::{Chance, DIR, Model, disk, options, read, run, shared};
use sarsen_wal::{Fault, SimDisk, Survival, SyncPolicy, Wal};

const STEPS: usize = 40;

/// After the cut: the log is sound, can be opened and appended to, and once something is acknowledged, everything that
/// replay showed survives another cut.
fn look(left: &SimDisk, model: &Model, when: &str) {
    let found = read(left).unwrap();
    model.check(&found, when);
    let mut model = model.clone();
    model.forget_lost(&found);
    // Nothing new is appended: seeing it and waiting is enough to rely on it.
    let start = found.end.unwrap().position;
    let wal = Wal::open(shared(left), Path::new(DIR), &options(SyncPolicy::EveryCommit), start).unwrap();
    wal.pending().wait().unwrap();
    model.acknowledge();
    model.check(&read(&left.survivor(Survival::Nothing)).unwrap(), &format!("{when}, opened, cut again"));
    drop(wal);
    let wal = run(left, &mut model, SyncPolicy::EveryCommit, &mut Chance(5), 6).unwrap();
    wal.close().unwrap();
    model.acknowledge();
    model.check(&read(&left.survivor(Survival::Nothing)).unwrap(), &format!("{when}, gone on, cut again"));
}

fn cut_everywhere(seed: u64, policy: SyncPolicy) {
    let whole = disk(seed);
    let first = whole.calls();
    run(&whole, &mut Model::default(), policy, &mut Chance(seed), STEPS).unwrap();
    for call in first..whole.calls() {
        let disk = disk(seed);
        disk.fail_call(call, Fault::PowerCut);
        let mut model = Model::default();
        run(&disk, &mut model, policy, &mut Chance(seed), STEPS).unwrap_err();
        let mut kinds = vec![Survival::Nothing, Survival::Everything];
        kinds.extend((0..4).map(|i| Survival::Some(seed * 1000 + call * 10 + i)));
        for survival in kinds {
            let when = format!("seed {seed}, {policy:?}, power cut at call {call}, {survival:?}");
            look(&disk.survivor(survival), &model, &when);
        }
    }
}

#[test]
fn every_commit_survives_a_cut_at_every_call() {
    for seed in 1..=3 {
        cut_everywhere(seed, SyncPolicy::EveryCommit);
    }
}

#[test]
fn what_was_synced_by_interval_survives_a_cut_at_every_call() {
    for seed in 11..=12 {
        cut_everywhere(seed, SyncPolicy::Interval);
    }
}

/// A process that is killed loses nothing that was written, whatever the policy.
#[test]
fn the_end_of_the_process_loses_nothing_that_was_waited_for() {
    let disk = disk(3);
    let mut model = Model::default();
    let wal = run(&disk, &mut model, SyncPolicy::Os, &mut Chance(3), STEPS).unwrap();
    wal.pending().wait().unwrap();
    model.acknowledge();
    model.check(&read(&disk.survivor(Survival::Everything)).unwrap(), "killed");
}

/// Many restarts, each after a cut, add up.
#[test]
fn a_log_lives_through_many_cuts() {
    for seed in 0..20 {
        let mut chance = Chance(seed);
        let mut disk = disk(seed);
        let mut model = Model::default();
        for round in 0..8 {
            let call = disk.calls() + chance.below(60);
            disk.fail_call(call, Fault::PowerCut);
            drop(run(&disk, &mut model, SyncPolicy::EveryCommit, &mut chance, STEPS));
            disk.cut_power();
            disk = disk.survivor(Survival::Some(chance.next()));
            let found = read(&disk).unwrap();
            model.check(&found, &format!("seed {seed}, round {round}"));
            model.forget_lost(&found);
        }
    }
}
