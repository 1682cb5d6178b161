//! How many cores, how much memory, disk, bucket and wire does a deployment need, and how many series fit a receiver?
//!
//! `cargo bench -p sarsen-benches --bench capacity -- --clusters 4 --series 250000` (`-- --help` names everything).
//!
//! A receiver as it is shipped takes `--measured` series over three and a quarter hours of invented time, with the given
//! interval and churn, so that a block is cut on the way. Its CPU time, resident memory, log, disk, and the block that it made
//! are read off, divided by samples and series, and multiplied by the deployment. A compactor as it is shipped then makes 14 d
//! blocks and both coarser resolutions of two weeks of `--compacted` series, with as many replicas as there are copies. A store gateway
//! answers panels over half a year of as many series, and a querier over both answers dashboards. Last answer: `benches/README.md`.

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

mod compactor;
mod gateway;
mod querier;
mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use sarsen_benches::{Fleet, Plan, Program, Report, Server, build_receiver, folder_bytes, run};
use sarsen_block::BlockMeta;

use table::{Sizing, print};

const TWO_HOURS: i64 = 7_200_000;
/// Rounds after which the log is weighed.
const LOGGED: u64 = 20;

/// Sizes a deployment from measurements on this machine.
#[derive(Debug, Parser)]
#[command(name = "capacity")]
pub(crate) struct Arguments {
    /// Clusters that write.
    #[arg(long, default_value_t = 4)]
    pub(crate) clusters: u64,
    /// Tenants in all; a cluster is one unless told otherwise.
    #[arg(long)]
    pub(crate) tenants: Option<u64>,
    /// Active series of a cluster.
    #[arg(long, default_value_t = 250_000)]
    pub(crate) series: u64,
    /// Seconds between two samples of a series.
    #[arg(long, default_value_t = 30)]
    pub(crate) interval: u64,
    /// Percent of the pods that are renamed in an hour.
    #[arg(long, default_value_t = 5)]
    pub(crate) churn: u64,
    /// Days that raw samples stay.
    #[arg(long, default_value_t = 7)]
    pub(crate) retention_raw: u64,
    /// Days that five-minute aggregates stay.
    #[arg(long, default_value_t = 30)]
    pub(crate) retention_5m: u64,
    /// Days that one-hour aggregates stay.
    #[arg(long, default_value_t = 180)]
    pub(crate) retention_1h: u64,
    /// Hours that a replaced block stays in the bucket.
    #[arg(long, default_value_t = 48)]
    pub(crate) delete_delay: u64,
    /// Receivers that each sample goes to.
    #[arg(long, default_value_t = 1)]
    pub(crate) replication: u64,
    /// Panels of one series a second that somebody else than the querier asks the store gateway for.
    #[arg(long, default_value_t = 1)]
    pub(crate) queries: u64,
    /// Dashboards that are open, of ten panels each: four in five over three hours, the others over 7, 30 and 180 days alike.
    #[arg(long, default_value_t = 20)]
    pub(crate) dashboards: u64,
    /// Seconds after which a dashboard asks everything again.
    #[arg(long, default_value_t = 30)]
    pub(crate) refresh: u64,
    /// Receivers.
    #[arg(long, default_value_t = 3)]
    pub(crate) receivers: u64,
    /// Cores of a receiver, in thousandths.
    #[arg(long, default_value_t = 1000)]
    pub(crate) receiver_millicores: u64,
    /// MiB of memory of a receiver.
    #[arg(long, default_value_t = 2048)]
    pub(crate) receiver_memory: u64,
    /// GiB of a receiver's volume.
    #[arg(long, default_value_t = 30)]
    pub(crate) receiver_volume: u64,
    /// Hours that a receiver keeps a block after it was uploaded.
    #[arg(long, default_value_t = 24)]
    pub(crate) local_retention: u64,
    /// Series to measure with. What a receiver needs however few there are is spread over them, so use about as many as it will have.
    #[arg(long, default_value_t = 200_000)]
    pub(crate) measured: u64,
    /// Series to fill a bucket of two weeks with, for the compactor. A third of them shows how its memory grows.
    #[arg(long, default_value_t = 6_000)]
    pub(crate) compacted: u64,
    /// The receiver to measure; built from this workspace if not given.
    #[arg(long)]
    pub(crate) receiver: Option<PathBuf>,
    /// The compactor to measure; built from this workspace if not given.
    #[arg(long)]
    pub(crate) compactor: Option<PathBuf>,
    /// The store gateway to measure; built from this workspace if not given.
    #[arg(long)]
    pub(crate) gateway: Option<PathBuf>,
    /// The querier to measure; built from this workspace if not given.
    #[arg(long)]
    pub(crate) querier: Option<PathBuf>,
    /// What `cargo bench` passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What one receiver used.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) samples: u64,
    /// Series of the block, churned ones included.
    pub(crate) block_series: u64,
    pub(crate) block_samples: u64,
    pub(crate) block_index: u64,
    pub(crate) block_chunks: u64,
    pub(crate) wire_bytes: u64,
    pub(crate) cpu_seconds: f64,
    /// Resident before the first sample, and the most ever.
    pub(crate) resident_empty: u64,
    pub(crate) resident_peak: u64,
    pub(crate) log_per_sample: f64,
    /// Everything written to the disk: log, spilled chunks, checkpoints, blocks.
    pub(crate) written: u64,
    /// What lies on the disk at the end beside blocks.
    pub(crate) head_bytes: u64,
}

/// A receiver that has taken everything.
pub(crate) struct Loaded {
    pub(crate) server: Server,
    pub(crate) fleet: Fleet,
    /// The time of the last round.
    pub(crate) end: i64,
}

/// Loads a receiver until it has cut a block.
fn measure(arguments: &Arguments, folder: &Path) -> Result<(Loaded, Measured)> {
    let program = Program::sarsen(arguments.receiver.clone().map_or_else(build_receiver, Ok)?, &[]);
    let interval = i64::try_from(arguments.interval)?.max(1) * 1000;
    let rounds = u64::try_from(13 * TWO_HOURS / 8 / interval)?;
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    // So many rounds until a target has been renamed for certain, if `churn` percent are in an hour.
    let per_hour = u64::try_from(3_600_000 / interval)?;
    let churn_rounds = (per_hour * 100).checked_div(arguments.churn).map_or(0, |rounds| rounds.max(1));
    let start = (now - 2 * TWO_HOURS) / TWO_HOURS * TWO_HOURS;
    let fleet = Fleet { interval, churn_rounds, buckets: true, ..Fleet::steady(arguments.measured, start) };
    let server = Server::start(&program, folder)?;
    let before = server.usage()?;
    let plan = Plan {
        fleet: fleet.clone(),
        rounds: 0..rounds,
        address: server.write.clone(),
        path: program.write_path().to_owned(),
        tenant: String::new(),
        per_request: 2_000,
        rounds_per_request: 1,
        connections: 2,
        wave_bytes: 1 << 30,
        patience: Duration::from_secs(10),
    };
    let database = program.database(folder);
    let mut sent = run(&Plan { rounds: 0..1, ..plan.clone() })?;
    let (log_before, samples_before) = (folder_bytes(&program.log_folder(folder)), sent.acknowledged);
    // Few enough that nothing of the log is replaced meanwhile.
    add(&mut sent, run(&Plan { rounds: 1..LOGGED, ..plan.clone() })?);
    let logged = folder_bytes(&program.log_folder(folder)).saturating_sub(log_before);
    let log_per_sample = logged as f64 / (sent.acknowledged - samples_before) as f64;
    // All connections wait for one another every half an hour: what comes an hour behind the newest sample would be refused.
    let stretch = per_hour.div_ceil(2).max(1);
    let mut from = LOGGED.min(rounds);
    while from < rounds {
        let until = (from + stretch).min(rounds);
        add(&mut sent, run(&Plan { rounds: from..until, ..plan.clone() })?);
        from = until;
    }
    ensure!(sent.refused == 0, "refused: {}", sent.complaint.unwrap_or_default());
    let block = wait_for_block(&database)?;
    let after = server.usage()?;
    let meta = BlockMeta::parse(&std::fs::read(block.join("meta.json"))?)?;
    let measured = Measured {
        samples: sent.acknowledged,
        block_series: meta.stats.num_series,
        block_samples: meta.stats.num_samples,
        block_index: std::fs::metadata(block.join("index"))?.len(),
        block_chunks: folder_bytes(&block.join("chunks")),
        wire_bytes: sent.bytes,
        cpu_seconds: (after.cpu_ms - before.cpu_ms) as f64 / 1e3,
        resident_empty: before.resident,
        resident_peak: after.peak,
        log_per_sample,
        written: after.written,
        head_bytes: folder_bytes(&database).saturating_sub(folder_bytes(&block)),
    };
    let end = start + i64::try_from(rounds)? * interval;
    Ok((Loaded { server, fleet, end }, measured))
}

fn add(sent: &mut Report, more: Report) {
    sent.acknowledged += more.acknowledged;
    sent.refused += more.refused;
    sent.bytes += more.bytes;
    sent.complaint = sent.complaint.take().or(more.complaint);
}

/// The first block that lies in a database; the receiver looks every now and then whether one is due.
fn wait_for_block(database: &Path) -> Result<std::path::PathBuf> {
    for _ in 0..600 {
        let entries = std::fs::read_dir(database)?.flatten();
        let found = entries.map(|entry| entry.path()).find(|path| {
            path.join("meta.json").is_file() && path.file_name().is_some_and(|name| name.len() == 26)
        });
        if let Some(found) = found {
            return Ok(found);
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    Err(anyhow::anyhow!("no block was cut within five minutes")).context("waiting for a block")
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let (loaded, received) = measure(&arguments, &folder.path().join("receiver"))?;
    let compacted = compactor::compact(&arguments, folder.path())?;
    let (archive, served) = gateway::serve(&arguments, folder.path())?;
    let asked = querier::ask(&arguments, folder.path(), &loaded, &archive)?;
    print(&Sizing { arguments: &arguments, received, compacted, served, asked });
    Ok(())
}
