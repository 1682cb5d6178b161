//! A random history of a log, and the plain model that it is held against.
//!
//! The model is two lists: births and samples in the order they were appended. A log may hold any beginning of each
//! list that is at least as long as what was acknowledged, and no sample whose birth it does not hold.
#![allow(dead_code, reason = "each test uses its part")]

pub(crate) mod copying;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use copying::{CheckpointOutcome, Keep, checkpoint};
use sarsen_block::Labels;
use sarsen_wal::{
    Batch, Damage, Disk, End, Error, Options, Position, Record, SegmentNo, SeriesId, SimDisk, Step,
    SyncPolicy, Wal, replay,
};

pub(crate) const DIR: &str = "/db";

pub(crate) type Birth = (u64, Vec<u8>);
pub(crate) type Sample = (u64, i64, u64);

/// Random numbers from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// What was appended, and how much of it was acknowledged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) births: Vec<Birth>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) acknowledged: (usize, usize),
}

/// What a replay found.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    pub(crate) births: Vec<Birth>,
    pub(crate) samples: Vec<Sample>,
    pub(crate) end: Option<End>,
    pub(crate) damage: Option<Damage>,
}

/// A disk with the directory of a database on it, durable.
pub(crate) fn disk(seed: u64) -> SimDisk {
    let disk = SimDisk::new(seed);
    disk.create_dir_all(Path::new(DIR)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

pub(crate) fn options(sync: SyncPolicy) -> Options {
    Options { sync, segment_bytes: 64 << 10, ..Options::default() }
}

pub(crate) fn shared(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// Everything that a replay gives.
pub(crate) fn read(disk: &SimDisk) -> Result<Found, Error> {
    let mut walk = replay(shared(disk), Path::new(DIR), None)?;
    let (mut found, mut scratch, mut born) = (Found::default(), Vec::new(), HashSet::new());
    loop {
        match walk.next()? {
            Step::Record(logged) => match logged.record(&mut scratch)? {
                Record::Births(mut rows) => {
                    while let Some((id, labels)) = rows.next()? {
                        born.insert(id);
                        found.births.push((id.0, labels.as_bytes().to_vec()));
                    }
                }
                Record::Samples(mut rows) => {
                    while let Some(sample) = rows.next()? {
                        assert!(born.contains(&sample.id), "a sample before the birth of its series");
                        found.samples.push((sample.id.0, sample.t, sample.bits));
                    }
                }
                other => panic!("a record nobody wrote: {other:?}"),
            },
            Step::End(end) => {
                found.end = Some(end);
                return Ok(found);
            }
            Step::Damage(damage) => {
                found.damage = Some(damage);
                return Ok(found);
            }
        }
    }
}

impl Model {
    pub(crate) fn acknowledge(&mut self) {
        self.acknowledged = (self.births.len(), self.samples.len());
    }

    /// Holds what was found against what may be there.
    pub(crate) fn check(&self, found: &Found, when: &str) {
        assert_eq!(found.damage, None, "{when}: damage");
        assert!(self.births.starts_with(&found.births), "{when}: births that were never appended");
        assert!(self.samples.starts_with(&found.samples), "{when}: samples that were never appended");
        assert!(
            found.births.len() >= self.acknowledged.0,
            "{when}: {} births of {:?} acknowledged",
            found.births.len(),
            self.acknowledged
        );
        assert!(
            found.samples.len() >= self.acknowledged.1,
            "{when}: {} samples of {:?} acknowledged",
            found.samples.len(),
            self.acknowledged
        );
    }

    /// From now on the log holds exactly what was found.
    pub(crate) fn forget_lost(&mut self, found: &Found) {
        self.births.truncate(found.births.len());
        self.samples.truncate(found.samples.len());
    }

    /// Adds random rows to a batch and to the model.
    pub(crate) fn fill(&mut self, batch: &mut Batch, chance: &mut Chance) {
        for _ in 0..chance.below(3) {
            let id = self.births.len() as u64 + 1;
            let length = if chance.below(3) == 0 { 8000 } else { 10 };
            let value: Vec<u8> = (0..length).map(|_| chance.next() as u8).collect();
            let labels = Labels::from_pairs([(&b"name"[..], &value[..])]).unwrap();
            batch.birth(SeriesId(id), labels.as_ref());
            self.births.push((id, labels.as_ref().as_bytes().to_vec()));
        }
        if self.births.is_empty() {
            return;
        }
        for _ in 0..chance.below(30) {
            let id = chance.below(self.births.len() as u64) + 1;
            let sample = (id, self.samples.len() as i64 * 1000, (chance.below(1000) as f64 / 10.0).to_bits());
            batch.sample(SeriesId(id), sample.1, sample.2);
            self.samples.push(sample);
        }
    }
}

/// What one step of a history does.
fn step(
    disk: &SimDisk,
    wal: &Wal,
    model: &mut Model,
    policy: SyncPolicy,
    chance: &mut Chance,
) -> Result<(), Error> {
    match chance.below(20) {
        0 => {
            wal.roll()?;
            model.acknowledge();
        }
        1 => {
            let upto = wal.roll()?;
            model.acknowledge();
            let keep = Keep { series: &mut |_| true, since: i64::MIN, late_after: SegmentNo(0) };
            let outcome = checkpoint(&shared(disk), Path::new(DIR), upto, keep)?;
            assert!(matches!(outcome, CheckpointOutcome::Done(_)), "{outcome:?}");
        }
        2 => {
            wal.sync()?;
            model.acknowledge();
        }
        3 => {
            wal.pending().wait()?;
            if policy == SyncPolicy::EveryCommit {
                model.acknowledge();
            }
        }
        roll => {
            let mut batch = if roll % 2 == 0 { Batch::new() } else { Batch::uncompressed() };
            model.fill(&mut batch, chance);
            let pending = wal.append(&mut batch)?;
            if roll > 5 {
                pending.wait()?;
                if policy == SyncPolicy::EveryCommit {
                    model.acknowledge();
                }
            }
        }
    }
    Ok(())
}

/// Opens the log where a replay ends and takes `steps` random steps. Gives the log as it is then, or how it failed.
pub(crate) fn run(
    disk: &SimDisk,
    model: &mut Model,
    policy: SyncPolicy,
    chance: &mut Chance,
    steps: usize,
) -> Result<Wal, (Option<Position>, Error)> {
    let found = read(disk).map_err(|error| (None, error))?;
    model.check(&found, "before opening");
    model.forget_lost(&found);
    let start = found.end.unwrap().position;
    run_from(disk, start, model, policy, chance, steps)
}

/// As [`run`], opening at `start`.
pub(crate) fn run_from(
    disk: &SimDisk,
    start: Position,
    model: &mut Model,
    policy: SyncPolicy,
    chance: &mut Chance,
    steps: usize,
) -> Result<Wal, (Option<Position>, Error)> {
    let wal =
        Wal::open(shared(disk), Path::new(DIR), &options(policy), start).map_err(|error| (None, error))?;
    for _ in 0..steps {
        step(disk, &wal, model, policy, chance).map_err(|error| (Some(wal.stats().synced), error))?;
    }
    Ok(wal)
}
