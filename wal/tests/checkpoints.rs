//! A checkpoint keeps what is needed and drops the rest; interrupted at any call, it leaves a log that opens.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod history;

use std::path::Path;

use history::copying::{CheckpointOutcome, Keep, checkpoint};
use history::{Chance, DIR, Model, disk, options, read, shared};
use sarsen_wal::{Batch, Disk, Fault, Position, SegmentNo, SimDisk, Survival, SyncPolicy, Wal};

/// Some commits in two segments, then an open third one.
fn three_segments(seed: u64) -> (SimDisk, Wal, Model) {
    let disk = disk(seed);
    let (mut model, mut chance) = (Model::default(), Chance(seed));
    let wal =
        Wal::open(shared(&disk), Path::new(DIR), &options(SyncPolicy::EveryCommit), Position::START).unwrap();
    for i in 0..30 {
        let mut batch = Batch::new();
        model.fill(&mut batch, &mut chance);
        wal.append(&mut batch).unwrap().wait().unwrap();
        if i == 10 || i == 20 {
            wal.roll().unwrap();
        }
    }
    model.acknowledge();
    (disk, wal, model)
}

fn names(disk: &SimDisk, dir: &str) -> Vec<String> {
    disk.read_dir(&Path::new(DIR).join(dir)).unwrap().into_iter().map(|entry| entry.name).collect()
}

fn all<'a>(series: &'a mut dyn FnMut(sarsen_wal::SeriesId) -> bool) -> Keep<'a> {
    Keep { series, since: i64::MIN, late_after: SegmentNo(0) }
}

#[test]
fn what_is_not_needed_goes_and_the_rest_stays() {
    let (disk, wal, model) = three_segments(1);
    let upto = wal.roll().unwrap();
    let since = model.samples[model.samples.len() / 3].1;
    let keep = Keep { series: &mut |id| id.0 % 2 == 0, since, late_after: SegmentNo(0) };
    let CheckpointOutcome::Done(done) = checkpoint(&shared(&disk), Path::new(DIR), upto, keep).unwrap()
    else {
        panic!("damaged");
    };
    assert!(names(&disk, "log").is_empty());
    assert_eq!(names(&disk, "checkpoint"), [upto.to_string()]);
    let found = read(&disk).unwrap();
    let births: Vec<_> = model.births.iter().filter(|(id, _)| id % 2 == 0).cloned().collect();
    let samples: Vec<_> =
        model.samples.iter().filter(|(id, t, _)| id % 2 == 0 && *t >= since).copied().collect();
    assert_eq!((&found.births, &found.samples), (&births, &samples));
    assert_eq!(done.births, (births.len() as u64, (model.births.len() - births.len()) as u64));
    assert_eq!(done.samples, (samples.len() as u64, (model.samples.len() - samples.len()) as u64));
    // The numbers go on behind the checkpoint, also over a restart.
    assert_eq!(found.end.unwrap().position, Position { segment: upto.next(), offset: 0 });
    drop(wal);
    let start = found.end.unwrap().position;
    let wal = Wal::open(shared(&disk), Path::new(DIR), &options(SyncPolicy::EveryCommit), start).unwrap();
    let mut batch = Batch::new();
    batch.sample(sarsen_wal::SeriesId(births[0].0), 7, 8);
    wal.append(&mut batch).unwrap().wait().unwrap();
    let found = read(&disk.survivor(Survival::Nothing)).unwrap();
    assert_eq!(found.samples.last(), Some(&(births[0].0, 7, 8)));
    assert_eq!(names(&disk, "log"), [upto.next().to_string()]);
}

#[test]
fn a_checkpoint_takes_up_the_one_before_and_leaves_later_segments_alone() {
    let (disk, wal, model) = three_segments(2);
    for upto in [1, 2, 2, 1] {
        checkpoint(&shared(&disk), Path::new(DIR), SegmentNo(upto), all(&mut |_| true)).unwrap();
        let found = read(&disk).unwrap();
        model.check(&found, "after a checkpoint");
        assert_eq!(found.samples.len(), model.samples.len());
    }
    assert_eq!(names(&disk, "log"), ["00000003"]);
    assert_eq!(names(&disk, "checkpoint"), ["00000002"]);
    drop(wal);
}

#[test]
fn interrupted_at_any_call_nothing_is_lost() {
    let (before, _, model) = three_segments(3);
    let upto = SegmentNo(2);
    let dry = before.survivor(Survival::Everything);
    checkpoint(&shared(&dry), Path::new(DIR), upto, all(&mut |_| true)).unwrap();
    assert!(dry.calls() > 8, "{} calls", dry.calls());
    for call in 0..dry.calls() {
        for fault in [Fault::PowerCut, Fault::Error(std::io::ErrorKind::Other)] {
            let disk = before.survivor(Survival::Everything);
            disk.fail_call(call, fault);
            drop(checkpoint(&shared(&disk), Path::new(DIR), upto, all(&mut |_| true)));
            disk.heal();
            let mut lefts = vec![disk.survivor(Survival::Nothing), disk.survivor(Survival::Everything)];
            lefts.extend((0..8).map(|seed| disk.survivor(Survival::Some(call * 100 + seed))));
            for left in lefts {
                let when = format!("{fault:?} at call {call}");
                let found = read(&left).unwrap();
                model.check(&found, &when);
                // The next attempt finishes, and nothing of the interrupted one is left.
                let start = found.end.unwrap().position;
                let wal = Wal::open(shared(&left), Path::new(DIR), &options(SyncPolicy::EveryCommit), start)
                    .unwrap();
                assert!(left.stat(&Path::new(DIR).join("checkpoint/00000002.tmp")).unwrap().is_none());
                checkpoint(&shared(&left), Path::new(DIR), upto, all(&mut |_| true)).unwrap();
                model.check(&read(&left.survivor(Survival::Nothing)).unwrap(), &when);
                assert_eq!(names(&left, "checkpoint"), ["00000002"]);
                assert_eq!(names(&left, "log"), ["00000003"]);
                drop(wal);
            }
        }
    }
}

#[test]
fn a_damaged_log_is_not_dropped() {
    let (disk, _wal, _) = three_segments(4);
    for (number, offset) in [(1, 100), (2, 100)] {
        let disk = disk.survivor(Survival::Nothing);
        let path = Path::new(DIR).join("log").join(SegmentNo(number).to_string());
        disk.damage(&path, |bytes| bytes[offset] ^= 1).unwrap();
        let outcome = checkpoint(&shared(&disk), Path::new(DIR), SegmentNo(2), all(&mut |_| true)).unwrap();
        assert!(matches!(outcome, CheckpointOutcome::Damaged(damage) if damage.segment == SegmentNo(number)));
        assert_eq!(names(&disk, "log").len(), 3);
        assert!(names(&disk, "checkpoint").is_empty());
    }
}

/// The last finished segment has nothing behind it that could prove its damage; being finished is proof enough.
#[test]
fn damage_at_the_end_of_the_last_finished_segment_is_no_torn_end() {
    let (disk, wal, _) = three_segments(5);
    let upto = wal.roll().unwrap();
    let path = Path::new(DIR).join("log").join(upto.to_string());
    disk.damage(&path, |bytes| {
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
    })
    .unwrap();
    let outcome = checkpoint(&shared(&disk), Path::new(DIR), upto, all(&mut |_| true)).unwrap();
    assert!(matches!(outcome, CheckpointOutcome::Damaged(damage) if damage.segment == upto));
}
