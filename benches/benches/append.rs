//! What does a sample cost inside the database, and what does a series weigh?
//!
//! One thread appends 60 rounds of a steady fleet, 2,000 series a batch, labels borrowed as from a request: hash, lookup,
//! judgement, open chunk, log record, write to a file that nobody syncs. Printed are CPU nanoseconds a sample after
//! the first round (user and system, from `schedstat`, the generator's own subtracted), births a second in the first
//! round, resident bytes a series beyond what the generator holds, and where the head says they are. Then the first two
//! hours are cut while batches go on, and the longest commit is told.
//!
//! `cargo bench -p sarsen-benches --bench append -- 100000 1000000`
//!
//! Last answer (2 cores shared with other work): see `tsdb/DESIGN.md`.

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sarsen_benches::{Fleet, usage};
use sarsen_block::{LabelsRef, Timestamp};
use sarsen_tsdb::{Db, Options, SyncPolicy};

const START: Timestamp = 1_700_006_400_000;
const ROUNDS: u64 = 60;
const BATCH: usize = 2_000;

/// CPU time of this thread.
fn cpu() -> Result<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split_whitespace().next().context("schedstat is empty")?.parse()?;
    Ok(Duration::from_nanos(nanos))
}

/// The labels of a fleet, made once: what a server has in its request buffers.
struct Requests {
    fleet: Fleet,
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Requests {
    fn new(series: u64) -> Self {
        let fleet = Fleet::steady(series, START);
        let (mut bytes, mut ends) = (Vec::new(), vec![0]);
        for i in 0..series {
            fleet.put_labels(i, 0, &mut bytes);
            ends.push(bytes.len());
        }
        Self { fleet, bytes, ends }
    }

    fn labels(&self, series: usize) -> LabelsRef<'_> {
        LabelsRef::trusted(&self.bytes[self.ends[series]..self.ends[series + 1]])
    }

    /// The samples of one batch.
    fn samples(&self, first: usize, round: u64, out: &mut Vec<(Timestamp, f64)>) {
        out.clear();
        let last = (first + BATCH).min(self.ends.len() - 1);
        out.extend((first as u64..last as u64).filter_map(|i| self.fleet.sample(i, round)));
    }

    fn batches(&self) -> impl Iterator<Item = usize> {
        (0..self.ends.len() - 1).step_by(BATCH)
    }
}

/// Sends one round; the longest time that a single commit took.
fn send(db: &Db, requests: &Requests, round: u64) -> Result<Duration> {
    let mut samples = Vec::with_capacity(BATCH);
    let mut longest = Duration::ZERO;
    for first in requests.batches() {
        requests.samples(first, round, &mut samples);
        let mut batch = db.appender();
        batch.reserve(samples.len());
        for (i, &(t, v)) in samples.iter().enumerate() {
            batch.append(requests.labels(first + i), t, v);
        }
        let before = Instant::now();
        let commit = batch.commit()?;
        longest = longest.max(before.elapsed());
        ensure!(commit.committed.accepted == samples.len() as u64, "{:?}", commit.committed.refused.first());
        commit.pending.wait()?;
    }
    Ok(longest)
}

fn generate_only(requests: &Requests, rounds: std::ops::Range<u64>) -> Result<Duration> {
    let before = cpu()?;
    let mut samples = Vec::with_capacity(BATCH);
    for round in rounds {
        for first in requests.batches() {
            requests.samples(first, round, &mut samples);
            std::hint::black_box(&samples);
        }
    }
    Ok(cpu()?.saturating_sub(before))
}

fn measure(series: u64) -> Result<()> {
    let requests = Requests::new(series);
    let own = generate_only(&requests, 1..4)?.as_nanos() as f64 / (3 * series) as f64;
    let directory = tempfile::tempdir()?;
    let db = open(directory.path())?;
    let empty = usage(std::process::id())?.resident;

    let before = cpu()?;
    send(&db, &requests, 0)?;
    let births = cpu()?.saturating_sub(before).as_secs_f64();
    println!("{series} series: {:.2} million births a CPU-second", series as f64 / births / 1e6);

    let before = cpu()?;
    for round in 1..ROUNDS {
        send(&db, &requests, round)?;
    }
    let nanos = cpu()?.saturating_sub(before).as_nanos() as f64 / ((ROUNDS - 1) * series) as f64 - own;
    let stats = db.stats();
    let resident = usage(std::process::id())?.resident.saturating_sub(empty);
    println!("  {nanos:.0} ns a sample ({own:.0} ns of the generator subtracted)");
    println!(
        "  {} bytes resident a series; {} log bytes a sample",
        resident / series,
        stats.log_bytes / stats.samples
    );
    println!("  the head says {} a series: {:?}", stats.bytes.total() / series, stats.bytes);
    drop(db);
    let before = cpu()?;
    let db = open(directory.path())?;
    let used = cpu()?.saturating_sub(before);
    let samples = db.open_report().samples;
    println!(
        "  opened again in {:.2} CPU-s: {:.1} million samples a CPU-second",
        used.as_secs_f64(),
        samples as f64 / used.as_secs_f64() / 1e6
    );
    cut(&db, &requests)?;
    Ok(())
}

fn open(directory: &Path) -> Result<Db> {
    let mut options = Options::default();
    options.sync = SyncPolicy::Os;
    Ok(Db::builder(directory).options(options).hash_seed([1, 2, 3, 4]).open()?)
}

/// Fills three hours in larger steps, cuts the first two, and watches the writers meanwhile.
fn cut(db: &Db, requests: &Requests) -> Result<()> {
    for round in (ROUNDS..=725).step_by(5) {
        send(db, requests, round)?;
    }
    let before = usage(std::process::id())?;
    let done = AtomicBool::new(false);
    let longest = std::thread::scope(|scope| -> Result<Duration> {
        let writer = scope.spawn(|| -> Result<Duration> {
            let (mut longest, mut round) = (Duration::ZERO, 726);
            while !done.load(Ordering::SeqCst) {
                longest = longest.max(send(db, requests, round)?);
                round += 1;
                // Scrapes come at their time, not as fast as they can be taken.
                std::thread::sleep(Duration::from_secs(2));
            }
            Ok(longest)
        });
        let begun = Instant::now();
        let report = db.maintain(START);
        done.store(true, Ordering::SeqCst);
        let samples: u64 = report?.cuts.iter().map(|cut| cut.samples).sum();
        println!("  cut {samples} samples in {:.1} s", begun.elapsed().as_secs_f64());
        writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?
    })?;
    let after = usage(std::process::id())?;
    println!(
        "  longest commit meanwhile {:.1} ms; resident before the cut {} MB, most ever {} MB, after it {} MB",
        longest.as_secs_f64() * 1e3,
        before.resident >> 20,
        after.peak >> 20,
        after.resident >> 20
    );
    Ok(())
}

fn main() -> Result<()> {
    let sizes: Vec<u64> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    for series in if sizes.is_empty() { vec![100_000] } else { sizes } {
        measure(series)?;
    }
    Ok(())
}
