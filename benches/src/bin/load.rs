//! The load generator: remote write of a made-up fleet to any server that takes it, and the dump it must lead to.
//!
//! `cargo run --release -p sarsen-benches --bin load -- --help`

use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use clap::Parser;
use sarsen_benches::{Fleet, Plan, Report, run, write_dump};

/// Sends N series, M samples each, and says what was acknowledged.
#[derive(Parser)]
struct Arguments {
    /// Where to send: plain http only.
    #[arg(long, default_value = "http://127.0.0.1:19291/api/v1/receive")]
    url: String,
    /// Active series.
    #[arg(long, default_value_t = 100_000)]
    series: u64,
    /// Samples of each series.
    #[arg(long, default_value_t = 60)]
    samples: u64,
    /// Milliseconds between two samples of a series.
    #[arg(long, default_value_t = 15_000)]
    interval: i64,
    /// Time of the first sample in milliseconds; by default such that the last one is now.
    #[arg(long)]
    start: Option<i64>,
    /// Skip so many samples of each series (to go on where another run ended).
    #[arg(long, default_value_t = 0)]
    skip: u64,
    /// Series a request.
    #[arg(long, default_value_t = 2_000)]
    per_request: u64,
    /// Consecutive samples of a series in one request.
    #[arg(long, default_value_t = 1)]
    samples_per_request: u64,
    /// Connections, each with one request on its way.
    #[arg(long, default_value_t = 2)]
    connections: usize,
    /// Tenant header.
    #[arg(long, default_value = "")]
    tenant: String,
    /// Every target restarts under a new name after so many scrapes; 0 means never.
    #[arg(long, default_value_t = 0)]
    churn: u64,
    /// Of a thousand scrapes, how many are missed.
    #[arg(long, default_value_t = 0)]
    gaps: u64,
    /// Another seed, another fleet.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Megabytes of bodies prepared at a time.
    #[arg(long, default_value_t = 512)]
    wave: u64,
    /// Seconds to send a request again that was answered 5xx or 429 or not at all.
    #[arg(long, default_value_t = 10)]
    patience: u64,
    /// Write the dump that the blocks must give to this file.
    #[arg(long)]
    dump: Option<String>,
    /// Send nothing, only write the dump.
    #[arg(long)]
    only_dump: bool,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis();
    let span = i64::try_from(arguments.skip + arguments.samples)? * arguments.interval;
    let start = arguments.start.unwrap_or(i64::try_from(now)? - span);
    let fleet = Fleet {
        series: arguments.series,
        start,
        interval: arguments.interval,
        seed: arguments.seed,
        gaps_per_mille: arguments.gaps,
        churn_rounds: arguments.churn,
        buckets: false,
    };
    let rounds = arguments.skip..arguments.skip + arguments.samples;
    let mut screen = std::io::stdout().lock();
    if let Some(path) = &arguments.dump {
        let mut file = BufWriter::new(File::create(path).with_context(|| format!("creating {path}"))?);
        let lines = write_dump(&fleet, rounds.clone(), &mut file)?;
        file.flush()?;
        writeln!(screen, "{path}: {lines} samples")?;
    }
    if arguments.only_dump {
        return Ok(());
    }
    let target = arguments.url.strip_prefix("http://").context("--url must begin with http://")?;
    let (address, path) = target.split_once('/').context("--url has no path")?;
    let report = run(&Plan {
        fleet,
        rounds,
        address: address.to_owned(),
        path: format!("/{path}"),
        tenant: arguments.tenant,
        per_request: arguments.per_request,
        rounds_per_request: arguments.samples_per_request,
        connections: arguments.connections,
        wave_bytes: arguments.wave << 20,
        patience: Duration::from_secs(arguments.patience),
    })?;
    print(&mut screen, &report)?;
    anyhow::ensure!(report.refused == 0, "{} samples were refused", report.refused);
    Ok(())
}

fn print(screen: &mut impl Write, report: &Report) -> std::io::Result<()> {
    writeln!(
        screen,
        "acknowledged {} samples in {} requests, {:.1} MB, {:.2} s of sending: {:.0} samples a second",
        report.acknowledged,
        report.requests,
        report.bytes as f64 / 1e6,
        report.sending.as_secs_f64(),
        report.rate()
    )?;
    let milliseconds = |share| report.quantile(share).as_secs_f64() * 1e3;
    writeln!(
        screen,
        "acknowledgement p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms; {} requests sent again; {} samples refused",
        milliseconds(0.5),
        milliseconds(0.99),
        milliseconds(1.0),
        report.repeated,
        report.refused
    )?;
    if let Some(complaint) = &report.complaint {
        writeln!(screen, "first refusal: {complaint}")?;
    }
    Ok(())
}
