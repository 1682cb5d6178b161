//! `tools tsdb verify` and `repair`: a database directory, log and blocks.
//!
//! Verifying reads and changes nothing, so it may run beside a server, whose unfinished last write it then reports as torn
//! bytes and not as a fault. Repairing takes the directory's lock, so it cannot. The last write of a log that a power
//! cut tore is no damage: opening the database takes it away.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};

use sarsen_wal::{Damage, Disk, Lock, Position, Record, Step, real_disk, repair as cut_off, replay};

use super::directories;
use super::open::{blocks_in, fail};
use super::print::{Stopped, on_stdout};
use super::verify::{blocks, ended};
use crate::cli::Failure;
use crate::config::flags::Given;

/// Name of the lock file, as Prometheus has it.
const LOCK: &str = "lock";

/// What a log holds.
#[derive(Debug, Default)]
struct Contents {
    records: u64,
    births: u64,
    samples: u64,
    /// Ids of series with samples but without a birth.
    orphans: BTreeSet<u64>,
    /// Records of a checkpoint with series in a form that only a database reads: births may stand there.
    states: u64,
    torn_bytes: u64,
    damage: Option<Damage>,
    /// Records that pass their checksum and cannot be read.
    unreadable: Vec<(Position, String)>,
}

/// Says what is damaged in the databases of the arguments.
pub(super) fn verify(given: Given) -> Result<(), Failure> {
    let mut faults = 0;
    on_stdout(|out| {
        for database in databases(&given)? {
            faults += verify_log(&database, out)?;
            faults += blocks(&blocks_in(&database)?, out)?;
        }
        Ok(())
    })?;
    ended(faults)
}

/// Cuts the logs of the databases of the arguments at their damage.
pub(super) fn repair(given: Given) -> Result<(), Failure> {
    let disk = real_disk();
    on_stdout(|out| {
        for database in databases(&given)? {
            let _held = take(disk.as_ref(), &database)?;
            // A log can be damaged in its checkpoint and again in a segment: each round cuts one damage.
            while let Some(damage) = read_log(&database)?.damage {
                let lost = cut_off(&disk, &database, &damage).map_err(|why| fail(&database, why))?;
                writeln!(
                    out,
                    "{}: {damage}: cut off {} bytes with {} readable records, {} births and {} samples",
                    database.display(),
                    lost.bytes,
                    lost.records,
                    lost.births,
                    lost.samples,
                )?;
            }
            let left = read_log(&database)?;
            writeln!(
                out,
                "{}: the log is sound: {} records, {} births, {} samples",
                database.display(),
                left.records,
                left.births,
                left.samples,
            )?;
        }
        Ok(())
    })
}

fn take(disk: &dyn Disk, database: &Path) -> Result<Box<dyn Lock>, Failure> {
    let path = database.join(LOCK);
    let held = disk.lock(&path).map_err(|why| fail(&path, why))?;
    held.ok_or_else(|| fail(database, "a running process has this database open, stop it first"))
}

fn verify_log(database: &Path, out: &mut impl Write) -> Result<u64, Stopped> {
    let (contents, place) = (read_log(database)?, database.display());
    let mut faults = 0;
    for (position, why) in &contents.unreadable {
        faults += 1;
        writeln!(out, "{place}: log segment {} at offset {}: {why}", position.segment, position.offset)?;
    }
    if let Some(damage) = &contents.damage {
        faults += 1;
        writeln!(out, "{place}: {damage}")?;
    }
    if !contents.orphans.is_empty() && contents.states == 0 {
        writeln!(
            out,
            "{place}: the log has samples of {} series whose birth it has not",
            contents.orphans.len()
        )?;
    }
    if contents.torn_bytes > 0 {
        writeln!(
            out,
            "{place}: the log ends in {} bytes of a write that was never acknowledged",
            contents.torn_bytes
        )?;
    }
    if faults == 0 {
        let Contents { records, births, samples, .. } = contents;
        writeln!(out, "{place}: the log is sound: {records} records, {births} births, {samples} samples")?;
    }
    Ok(faults)
}

fn read_log(database: &Path) -> Result<Contents, Failure> {
    let say = |why: sarsen_wal::Error| fail(database, why);
    let mut steps = replay(real_disk(), database, None).map_err(say)?;
    let (mut contents, mut known, mut scratch) = (Contents::default(), BTreeSet::new(), Vec::new());
    loop {
        match steps.next().map_err(say)? {
            Step::End(end) => {
                contents.torn_bytes = end.torn_bytes;
                return Ok(contents);
            }
            Step::Damage(damage) => {
                contents.damage = Some(damage);
                return Ok(contents);
            }
            Step::Record(logged) => {
                let record = logged.record(&mut scratch).map_err(|why| why.to_string());
                if let Err(why) = record.and_then(|record| count(&record, &mut contents, &mut known)) {
                    contents.unreadable.push((logged.position, why));
                }
            }
        }
    }
}

/// The databases that the arguments stand for: each itself, or the tenants that lie in it.
fn databases(given: &Given) -> Result<Vec<PathBuf>, Failure> {
    let mut found = Vec::new();
    for directory in directories(given)? {
        let directory = Path::new(directory);
        if is_database(directory) {
            found.push(directory.to_owned());
            continue;
        }
        let entries = std::fs::read_dir(directory).map_err(|why| fail(directory, why))?;
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        let mut tenants: Vec<PathBuf> = paths.filter(|path| is_database(path)).collect();
        tenants.sort_unstable();
        if tenants.is_empty() {
            return Err(fail(
                directory,
                "no database and no directory of databases (there is no log/ in it)",
            ));
        }
        found.extend(tenants);
    }
    Ok(found)
}

fn is_database(path: &Path) -> bool {
    path.join("log").is_dir()
}

/// Counts what a record holds. A record that breaks off in the middle counts with what came before.
fn count(record: &Record<'_>, contents: &mut Contents, known: &mut BTreeSet<u64>) -> Result<(), String> {
    contents.records += 1;
    match record {
        Record::Births(births) => {
            let mut births = births.clone();
            while let Some((id, _)) = births.next().map_err(|why| why.to_string())? {
                contents.births += 1;
                known.insert(id.0);
            }
        }
        Record::Samples(samples) => {
            let mut samples = samples.clone();
            while let Some(sample) = samples.next().map_err(|why| why.to_string())? {
                contents.samples += 1;
                if !known.contains(&sample.id.0) {
                    contents.orphans.insert(sample.id.0);
                }
            }
        }
        Record::Rows(rows) | Record::Late(rows) => {
            let mut rows = rows.clone();
            while let Some(row) = rows.next().map_err(|why| why.to_string())? {
                row.value.decode().map_err(|why| why.to_string())?;
                contents.samples += 1;
                if !known.contains(&row.id.0) {
                    contents.orphans.insert(row.id.0);
                }
            }
        }
        Record::State(_) => contents.states += 1,
        _ => {}
    }
    Ok(())
}
