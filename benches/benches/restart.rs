//! How soon does a killed database take writes and answer, and what does a series weigh in its window?
//!
//! One process writes a fleet of 11 labels every 15 s (by its own clock) with `maintain` every minute of it, 10 % of the pods renamed each
//! half hour, for so many minutes as the second argument says; it tells resident bytes a series that was active, what the head
//! says of them, what checkpoints cost, and the longest commit in each kind of `maintain`. Then it is killed, as by `kill -9`, and
//! another process opens what it left: told are the seconds until the first commit is on disk, until every series
//! was read in full, and the most memory that was ever resident, beside that of the first.
//!
//! `cargo bench -p sarsen-benches --bench restart -- 1000000 130`
//!
//! Last answer: see `tsdb/DESIGN.md`.

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sarsen_benches::{Fleet, usage};
use sarsen_block::{ChunkSet, LabelsRef, TimeRange, Timestamp};
use sarsen_tsdb::{Db, MaintainReport, Options, SyncPolicy};

const START: Timestamp = 1_700_006_400_000;
const BATCH: usize = 2_000;
const ROUNDS_A_MINUTE: u64 = 4;

fn fleet(series: u64) -> Fleet {
    // Every pod is renamed once in five hours: a tenth of them in half an hour.
    Fleet { churn_rounds: 300 * ROUNDS_A_MINUTE, ..Fleet::steady(series, START) }
}

fn open(directory: &Path) -> Result<Db> {
    let mut options = Options::default();
    options.sync = SyncPolicy::Os;
    Ok(Db::builder(directory).options(options).hash_seed([1, 2, 3, 4]).open()?)
}

/// Sends one round; the longest commit, by what `maintain` was doing.
fn send(db: &Db, fleet: &Fleet, round: u64, note: &mut impl FnMut(Duration)) -> Result<u64> {
    let (mut bytes, mut ends, mut births) = (Vec::new(), Vec::new(), 0);
    for first in (0..fleet.series).step_by(BATCH) {
        let last = fleet.series.min(first + BATCH as u64);
        bytes.clear();
        ends.clear();
        for i in first..last {
            fleet.put_labels(i, round, &mut bytes);
            ends.push(bytes.len());
        }
        let mut batch = db.appender();
        batch.reserve(ends.len());
        let mut start = 0;
        for (i, &end) in (first..last).zip(&ends) {
            if let Some((t, v)) = fleet.sample(i, round) {
                batch.append(LabelsRef::trusted(&bytes[start..end]), t, v);
            }
            start = end;
        }
        let before = Instant::now();
        let commit = batch.commit()?;
        note(before.elapsed());
        ensure!(commit.committed.refused.is_empty(), "{:?}", commit.committed.refused.first());
        births += commit.committed.births;
        commit.pending.wait()?;
    }
    Ok(births)
}

/// What `maintain` is doing, for the writer to see.
#[derive(Default)]
struct Doing {
    now: AtomicU64,
    stop: AtomicBool,
}

/// Writes for so many minutes, then waits to be killed.
fn write(directory: &Path, series: u64, minutes: u64) -> Result<()> {
    let fleet = fleet(series);
    let db = open(directory)?;
    let empty = usage(std::process::id())?.resident;
    let (doing, mut longest) = (Doing::default(), BTreeMap::<u64, Duration>::new());
    let (mut active, mut cut_at) = (0, None);
    for minute in 0..minutes {
        let now = START + (minute as i64 + 1) * 60_000;
        // The last round of a minute is sent while `maintain` runs, and again while it still does.
        let report = std::thread::scope(|scope| -> Result<MaintainReport> {
            for round in minute * ROUNDS_A_MINUTE..(minute + 1) * ROUNDS_A_MINUTE - 1 {
                active += send(&db, &fleet, round, &mut |took| keep(&mut longest, 0, took))?;
            }
            doing.stop.store(false, Ordering::SeqCst);
            doing.now.store(1, Ordering::SeqCst);
            let upkeep = scope.spawn(|| {
                let begun = Instant::now();
                let report = db.maintain(now);
                doing.stop.store(true, Ordering::SeqCst);
                (report, begun.elapsed())
            });
            let round = (minute + 1) * ROUNDS_A_MINUTE - 1;
            let mut during = Duration::ZERO;
            active += send(&db, &fleet, round, &mut |took| {
                if !doing.stop.load(Ordering::SeqCst) {
                    during = during.max(took);
                }
            })?;
            // Duplicates judge and wait as new samples do.
            while !doing.stop.load(Ordering::SeqCst) {
                send(&db, &fleet, round, &mut |took| during = during.max(took))?;
                std::thread::sleep(Duration::from_millis(500));
            }
            let (report, took) = upkeep.join().map_err(|_| anyhow::anyhow!("the upkeep panicked"))?;
            let report = report?;
            let kind = if report.cuts.is_empty() { u64::from(report.checkpoint_bytes > 0) } else { 2 };
            keep(&mut longest, kind, during);
            if kind > 0 {
                let used = usage(std::process::id())?;
                println!(
                    "  minute {minute}: {} samples cut, checkpoint {} MB, {:.1} s, longest commit {:.1} ms, resident {} MB, most {} MB",
                    report.cuts.iter().map(|cut| cut.samples).sum::<u64>(),
                    report.checkpoint_bytes >> 20,
                    took.as_secs_f64(),
                    during.as_secs_f64() * 1e3,
                    used.resident >> 20,
                    used.peak >> 20,
                );
            }
            Ok(report)
        })?;
        if !report.cuts.is_empty() {
            cut_at.get_or_insert(minute);
        }
    }
    let (used, stats) = (usage(std::process::id())?, db.stats());
    println!("  longest commit beside a call that did nothing, a checkpoint, a cut: {longest:?}");
    println!(
        "  {active} series were active, {} are in the head; first cut at minute {cut_at:?}; log {} MB, spill {} MB",
        stats.series,
        stats.log_bytes >> 20,
        stats.spill_bytes >> 20
    );
    println!(
        "  most resident {} MB = {} bytes a series active; now {} MB; the head says {} a series: {:?}",
        used.peak >> 20,
        (used.peak - empty) / active.max(1),
        used.resident >> 20,
        stats.bytes.total() / stats.series.max(1),
        stats.bytes
    );
    std::process::abort();
}

fn keep(longest: &mut BTreeMap<u64, Duration>, kind: u64, took: Duration) {
    let known = longest.entry(kind).or_default();
    *known = (*known).max(took);
}

/// Opens what was left, writes, reads everything.
fn read(directory: &Path, series: u64, minutes: u64) -> Result<()> {
    let begun = Instant::now();
    let db = open(directory)?;
    let (opened, used) = (begun.elapsed(), usage(std::process::id())?);
    let fleet = Fleet { series: series.min(BATCH as u64), ..fleet(series) };
    send(&db, &fleet, minutes * ROUNDS_A_MINUTE, &mut |_| ())?;
    db.sync()?;
    let written = begun.elapsed();
    let range = TimeRange::new(START + minutes as i64 * 60_000 - 300_000, Timestamp::MAX);
    let mut found = db.querier(range).select(&[])?;
    let (mut count, mut chunks) = (0u64, 0u64);
    while let Some(one) = found.next()? {
        count += 1;
        chunks += one.chunks.len() as u64;
    }
    let report = db.open_report();
    println!(
        "  opened in {:.2} s ({:.2} CPU-s, {} records, {} samples; most resident {} MB), wrote at {:.2} s, read {count} series with {chunks} chunks of the last five minutes at {:.2} s ({:.2} CPU-s), most resident {} MB",
        opened.as_secs_f64(),
        used.cpu_ms as f64 / 1e3,
        report.records,
        report.samples,
        used.peak >> 20,
        written.as_secs_f64(),
        begun.elapsed().as_secs_f64(),
        usage(std::process::id())?.cpu_ms as f64 / 1e3,
        usage(std::process::id())?.peak >> 20
    );
    Ok(())
}

fn child(what: &str, directory: &Path, series: u64, minutes: u64) -> Result<()> {
    let (series, minutes) = (series.to_string(), minutes.to_string());
    let status = Command::new(std::env::current_exe()?)
        .args([what.as_ref(), directory.as_os_str(), series.as_ref(), minutes.as_ref()])
        .stdin(Stdio::null())
        .status()?;
    // The writer ends itself, as abruptly as it can.
    ensure!(status.success() || what == "write", "{what} failed: {status}");
    Ok(())
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|one| one != "--bench").collect();
    let number = |at: usize, default: u64| arguments.get(at).map_or(Ok(default), |text| text.parse());
    if let Some(what @ ("write" | "read")) = arguments.first().map(String::as_str) {
        let directory = PathBuf::from(arguments.get(1).context("no directory")?);
        let (series, minutes) = (number(2, 0)?, number(3, 0)?);
        return if what == "write" {
            write(&directory, series, minutes)
        } else {
            read(&directory, series, minutes)
        };
    }
    let (series, minutes) = (number(0, 100_000)?, number(1, 20)?);
    println!("{series} series, {minutes} minutes");
    let directory = tempfile::tempdir()?;
    child("write", directory.path(), series, minutes)?;
    child("read", directory.path(), series, minutes)
}
