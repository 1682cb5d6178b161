//! Damage in the middle, at the end, pages of zeros, missing files: found at its place, told apart from a torn end,
//! and taken out by a repair that says what went with it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod history;

use std::path::{Path, PathBuf};

use history::copying::{CheckpointOutcome, Keep, checkpoint};
use history::{Chance, DIR, Found, Model, disk, options, read, run, shared};
use sarsen_wal::{
    Batch, Damage, Disk, Part, Position, SegmentNo, SeriesId, SimDisk, Survival, SyncPolicy, Wal, repair,
    replay,
};

fn segment(number: u64) -> PathBuf {
    Path::new(DIR).join("log").join(format!("{number:08}"))
}

/// A log of one segment with ten synced commits of one sample each, closed or not; and where each frame ends.
fn ten_commits(close: bool) -> (SimDisk, Vec<u64>) {
    let disk = disk(1);
    let wal =
        Wal::open(shared(&disk), Path::new(DIR), &options(SyncPolicy::EveryCommit), Position::START).unwrap();
    let mut ends = vec![32];
    for i in 0..10 {
        let mut batch = Batch::new();
        if i == 0 {
            let labels = sarsen_block::Labels::from_pairs([("a", "b")]).unwrap();
            batch.birth(SeriesId(1), labels.as_ref());
        } else {
            batch.sample(SeriesId(1), i, 0);
        }
        let pending = wal.append(&mut batch).unwrap();
        ends.push(pending.end().offset);
        pending.wait().unwrap();
    }
    if close {
        wal.close().unwrap();
    }
    (disk, ends)
}

fn damage_of(disk: &SimDisk) -> Damage {
    read(disk).unwrap().damage.unwrap()
}

#[test]
fn every_changed_byte_before_the_last_write_is_damage_at_its_frame() {
    let (disk, ends) = ten_commits(false);
    let last = ends[9];
    for offset in 0..last {
        let disk = disk.survivor(Survival::Nothing);
        disk.damage(&segment(1), |bytes| bytes[offset as usize] ^= 0x40).unwrap();
        let damage = damage_of(&disk);
        let place = ends.iter().rev().find(|end| **end <= offset).copied().unwrap_or(0);
        assert_eq!(
            (damage.part, damage.segment, damage.offset),
            (Part::Log, SegmentNo(1), place),
            "byte {offset}: {damage}"
        );
    }
}

/// Of the last write of a log that was not closed nobody can know whether it was synced.
#[test]
fn the_last_write_counts_as_torn_unless_the_log_was_closed() {
    let (disk, ends) = ten_commits(false);
    for offset in ends[9]..ends[10] {
        let disk = disk.survivor(Survival::Nothing);
        disk.damage(&segment(1), |bytes| bytes[offset as usize] ^= 1).unwrap();
        let found = read(&disk).unwrap();
        assert_eq!((found.damage, found.samples.len()), (None, 8));
        let end = found.end.unwrap();
        assert_eq!((end.position.offset, end.torn_bytes), (ends[9], ends[10] - ends[9]));
    }
    let (disk, ends) = ten_commits(true);
    disk.damage(&segment(1), |bytes| bytes[ends[9] as usize + 20] ^= 1).unwrap();
    assert_eq!(damage_of(&disk).offset, ends[9]);
}

#[test]
fn a_tail_of_zeros_or_of_noise_is_a_torn_end() {
    let mut chance = Chance(4);
    for length in [1, 15, 16, 17, 511, 5000] {
        for noise in [false, true] {
            let (disk, ends) = ten_commits(false);
            disk.damage(&segment(1), |bytes| {
                bytes.extend((0..length).map(|_| if noise { chance.next() as u8 } else { 0 }));
            })
            .unwrap();
            let found = read(&disk).unwrap();
            assert_eq!((found.damage.clone(), found.samples.len()), (None, 9));
            assert_eq!(found.end.unwrap().position.offset, ends[10]);
            assert_eq!(found.end.unwrap().torn_bytes, length);
        }
    }
}

#[test]
fn zeroed_pages_are_damage_and_a_repair_says_what_followed() {
    let (disk, ends) = ten_commits(false);
    disk.damage(&segment(1), |bytes| bytes[ends[4] as usize..ends[5] as usize].fill(0)).unwrap();
    let damage = damage_of(&disk);
    assert_eq!(damage.offset, ends[4]);
    let lost = repair(&shared(&disk), Path::new(DIR), &damage).unwrap();
    assert_eq!((lost.bytes, lost.records, lost.births, lost.samples), (ends[10] - ends[4], 5, 0, 5));
    let found = read(&disk).unwrap();
    assert_eq!((found.damage.clone(), found.births.len(), found.samples.len()), (None, 1, 3));
    let mut model = Model { births: found.births, samples: found.samples, acknowledged: (1, 3) };
    drop(run(&disk, &mut model, SyncPolicy::EveryCommit, &mut Chance(1), 20).unwrap());
    model.check(&read(&disk.survivor(Survival::Nothing)).unwrap(), "gone on after a repair");
}

/// A log of several segments, with the model of what is in it.
fn long_log() -> (SimDisk, Model) {
    let disk = disk(2);
    let (mut model, mut chance) = (Model::default(), Chance(2));
    let wal =
        Wal::open(shared(&disk), Path::new(DIR), &options(SyncPolicy::EveryCommit), Position::START).unwrap();
    for i in 0..100 {
        let mut batch = Batch::new();
        model.fill(&mut batch, &mut chance);
        wal.append(&mut batch).unwrap().wait().unwrap();
        if i % 20 == 19 {
            wal.roll().unwrap();
        }
    }
    wal.close().unwrap();
    (disk, model)
}

fn segments(disk: &SimDisk) -> Vec<u64> {
    let entries = disk.read_dir(&Path::new(DIR).join("log")).unwrap();
    entries.iter().map(|entry| entry.name.parse().unwrap()).collect()
}

/// Repairs until a replay comes to an end; how often, and what was found at the end.
fn repair_all(disk: &SimDisk) -> (usize, Found) {
    for repairs in 0..10 {
        let found = read(disk).unwrap();
        let Some(damage) = &found.damage else { return (repairs, found) };
        repair(&shared(disk), Path::new(DIR), damage).unwrap();
    }
    panic!("repairs do not come to an end");
}

#[test]
fn a_missing_segment_is_damage_before_the_next() {
    let (disk, mut model) = long_log();
    let numbers = segments(&disk);
    assert!(numbers.len() > 3);
    for missing in 1..numbers.len() as u64 {
        let disk = disk.survivor(Survival::Nothing);
        disk.remove_file(&segment(missing)).unwrap();
        let damage = damage_of(&disk);
        assert_eq!((damage.segment, damage.offset), (SegmentNo(missing), 0), "{damage}");
        let (repairs, found) = repair_all(&disk);
        assert_eq!(repairs, 1);
        model.acknowledged = (0, 0);
        model.check(&found, "after the repair");
        assert_eq!(segments(&disk).len() as u64, missing - 1);
    }
}

/// A segment cut at the end of a frame looks whole; the header of the next one knows better.
#[test]
fn a_segment_cut_short_between_frames_is_noticed() {
    let (disk, mut model) = long_log();
    let whole = read(&disk).unwrap();
    let mut walk = replay(shared(&disk), Path::new(DIR), None).unwrap();
    let mut last = Position::START;
    while let sarsen_wal::Step::Record(logged) = walk.next().unwrap() {
        if logged.position.segment == SegmentNo(2) {
            last = logged.position;
        }
    }
    disk.damage(&segment(2), |bytes| bytes.truncate(last.offset as usize)).unwrap();
    let damage = damage_of(&disk);
    assert_eq!((damage.segment, damage.offset), (SegmentNo(2), last.offset), "{damage}");
    let (_, found) = repair_all(&disk);
    model.acknowledged = (0, 0);
    model.check(&found, "after the repair");
    assert!(found.samples.len() < whole.samples.len());
}

/// Any damage anywhere: reading is safe, what comes before it is right, and repairs come to an end.
#[test]
fn random_damage_never_invents_anything() {
    let (disk, model) = long_log();
    let numbers = segments(&disk);
    let mut chance = Chance(77);
    for round in 0..150 {
        let disk = disk.survivor(Survival::Nothing);
        for _ in 0..=chance.below(3) {
            let number = numbers[chance.below(numbers.len() as u64) as usize];
            let mut dice = chance.clone();
            disk.damage(&segment(number), |bytes| {
                let at = dice.below(bytes.len() as u64) as usize;
                match dice.below(4) {
                    0 => bytes.truncate(at),
                    1 => bytes[at] ^= 1 << dice.below(8),
                    2 => {
                        let end = bytes.len().min(at + 4096);
                        bytes[at..end].fill(0);
                    }
                    _ => {
                        let copy: Vec<u8> = bytes[..at / 2].to_vec();
                        bytes.splice(at..at, copy);
                    }
                }
            })
            .unwrap();
            chance = dice;
        }
        let (_, found) = repair_all(&disk);
        let model = Model { acknowledged: (0, 0), ..model.clone() };
        model.check(&found, &format!("round {round}"));
        let mut model = Model { births: found.births, samples: found.samples, acknowledged: (0, 0) };
        model.acknowledge();
        run(&disk, &mut model, SyncPolicy::EveryCommit, &mut chance, 5).unwrap().close().unwrap();
        model.acknowledge();
        model.check(&read(&disk.survivor(Survival::Nothing)).unwrap(), &format!("round {round}, gone on"));
    }
}

#[test]
fn a_damaged_checkpoint_loses_the_damaged_stretch_alone() {
    let (disk, model) = long_log();
    let upto = SegmentNo(3);
    let keep = Keep { series: &mut |_| true, since: i64::MIN, late_after: SegmentNo(0) };
    let done = checkpoint(&shared(&disk), Path::new(DIR), upto, keep).unwrap();
    assert!(matches!(done, CheckpointOutcome::Done(done) if done.removed.0 == 3), "{done:?}");
    let path = Path::new(DIR).join("checkpoint").join("00000003");
    let size = disk.stat(&path).unwrap().unwrap().len;
    disk.damage(&path, |bytes| bytes[size as usize - 60] ^= 1).unwrap();
    let damage = damage_of(&disk);
    assert_eq!((damage.part, damage.segment), (Part::Checkpoint, upto), "{damage}");
    let lost = repair(&shared(&disk), Path::new(DIR), &damage).unwrap();
    assert_eq!(lost.bytes, size - 16 - damage.offset);
    let found = read(&disk).unwrap();
    assert_eq!(found.damage, None);
    assert!(found.samples.len() < model.samples.len());
    assert!(model.samples.ends_with(&found.samples[found.samples.len() - 100..]), "the segments are whole");
    // Cut short: the mark is missing.
    disk.damage(&path, |bytes| bytes.truncate(bytes.len() - 16)).unwrap();
    assert!(damage_of(&disk).why.contains("mark"));
}

#[test]
fn replay_from_a_position_gives_what_follows() {
    let (disk, ends) = ten_commits(true);
    for (i, end) in ends.iter().enumerate().skip(1) {
        let from = Position { segment: SegmentNo(1), offset: *end };
        let mut walk = replay(shared(&disk), Path::new(DIR), Some(from)).unwrap();
        let mut count = 0;
        while let sarsen_wal::Step::Record(_) = walk.next().unwrap() {
            count += 1;
        }
        assert_eq!(count, 10 - i);
    }
    let beyond = Position { segment: SegmentNo(1), offset: 1 << 20 };
    let mut walk = replay(shared(&disk), Path::new(DIR), Some(beyond)).unwrap();
    assert!(matches!(walk.next().unwrap(), sarsen_wal::Step::Damage(_)));
}
