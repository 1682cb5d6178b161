//! What does the bucket weigh after half a year of replicated samples, for each resolution, and what did keeping it cost?
//!
//! `cargo bench -p sarsen-benches --bench age -- --series 500 --days 180` (`-- --help` names everything).
//!
//! Every simulated day three replicas bring their blocks of 2 h, all of the same few series, and a compactor that removes replicas,
//! merges, downsamples and ages works until it has nothing left to do. At the end the blocks that count are weighed by resolution,
//! and what is marked and waits for its removal apart. No day is left out; only series are few, and everything in a block grows
//! with them. Last answer: `benches/README.md`.

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use sarsen_benches::{Fleet, REPLICA, Shipper, blocks_left, folder_bytes, usage};
use sarsen_bucket::{ObjstoreConfig, Reloading};
use sarsen_compactor::{Compactor, Options, Retention, Unobserved};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// A multiple of the longest range of blocks.
const START: i64 = 1_700_000_000_000 / (14 * DAY) * (14 * DAY);
/// A block is there an hour after its end, and is believed half an hour later.
const SEEN_AFTER: i64 = 2 * HOUR;

/// Simulates a bucket.
#[derive(Debug, Parser)]
#[command(name = "age")]
struct Arguments {
    /// Active series.
    #[arg(long, default_value_t = 500)]
    series: u64,
    /// Simulated days.
    #[arg(long, default_value_t = 180)]
    days: i64,
    /// Receivers that each sample goes to.
    #[arg(long, default_value_t = 3)]
    replication: u64,
    /// Seconds between two samples of a series.
    #[arg(long, default_value_t = 30)]
    interval: i64,
    /// Percent of the pods that are renamed in an hour.
    #[arg(long, default_value_t = 5)]
    churn: i64,
    /// Days that raw samples stay.
    #[arg(long, default_value_t = 7)]
    retention_raw: i64,
    /// Days that five-minute aggregates stay.
    #[arg(long, default_value_t = 30)]
    retention_5m: i64,
    /// Days that one-hour aggregates stay.
    #[arg(long, default_value_t = 180)]
    retention_1h: i64,
    /// Active series to multiply with.
    #[arg(long, default_value_t = 1_000_000)]
    deployed: u64,
    /// What `cargo bench` passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir()?;
    let place = folder.path().join("bucket");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let text = format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\n", place.display());
    let store = Reloading::open(ObjstoreConfig::parse(&text, |_| None)?)?;
    let options = Options {
        replica_labels: vec![REPLICA.to_owned()],
        retention: Retention {
            raw_ms: arguments.retention_raw * DAY,
            five_minutes_ms: arguments.retention_5m * DAY,
            one_hour_ms: arguments.retention_1h * DAY,
        },
        ..Options::default()
    };
    let scratch = folder.path().join("scratch");
    let mut compactor = Compactor::new(store.bucket().build(), scratch, options, Arc::new(Unobserved))?;
    let interval = arguments.interval * 1000;
    let life = 100 * HOUR / arguments.churn.max(1) / interval;
    let churn_rounds = if arguments.churn == 0 { 0 } else { u64::try_from(life)? };
    let fleet = Fleet { interval, churn_rounds, ..Fleet::steady(arguments.series, START) };
    let names: Vec<String> = (0..arguments.replication).map(|replica| replica.to_string()).collect();
    let replicas = names.iter().zip(0..);
    let shippers: Vec<Shipper> = replicas
        .map(|(name, seed)| Shipper::new(fleet.clone(), &[("tenant_id", "aged"), (REPLICA, name)], seed))
        .collect();
    let (mut brought, mut cpu_ms, begin) = (0, 0, Instant::now());
    for day in 0..arguments.days {
        let start = START + day * DAY;
        for shipper in &shippers {
            for meta in shipper.ship_all(&place, start..start + DAY, 2 * HOUR)? {
                brought += folder_bytes(&place.join(meta.id.to_string()));
            }
        }
        let before = usage(std::process::id())?.cpu_ms;
        let report = runtime.block_on(compactor.round(start + DAY + SEEN_AFTER))?;
        cpu_ms += usage(std::process::id())?.cpu_ms - before;
        ensure!(report.set_aside.is_empty() && report.failed.is_empty(), "set aside: {:?}", report.set_aside);
    }
    println!("{} simulated days in {:.0} s", arguments.days, begin.elapsed().as_secs_f64());
    let gigabytes = brought as f64 / 1e9;
    println!("brought {gigabytes:.2} GB; {:.1} CPU-seconds a GB brought\n", cpu_ms as f64 / 1e3 / gigabytes);
    weigh(&arguments, &place)
}

fn weigh(arguments: &Arguments, place: &Path) -> Result<()> {
    let mut counted: BTreeMap<i64, (u64, usize)> = BTreeMap::new();
    for block in blocks_left(place)? {
        let (bytes, number) = counted.entry(block.resolution).or_default();
        (*bytes, *number) = (*bytes + block.bytes, *number + 1);
    }
    let all: u64 = folder_bytes(place);
    let live: u64 = counted.values().map(|(bytes, _)| bytes).sum();
    let times = arguments.deployed as f64 / arguments.series as f64;
    let million = arguments.deployed as f64 / 1e6;
    println!("| resolution | blocks | bytes a series | with {million:.1} M series |\n|---|---|---|---|");
    let row = |what: &str, number: usize, bytes: u64| {
        let each = bytes as f64 / arguments.series as f64;
        println!("| {what} | {number} | {each:.0} | {:.1} GB |", bytes as f64 * times / 1e9);
    };
    for (resolution, name) in [(0, "raw"), (300_000, "5 m"), (3_600_000, "1 h")] {
        let (bytes, number) = counted.get(&resolution).copied().unwrap_or_default();
        row(name, number, bytes);
    }
    let folders = fs::read_dir(place)?.count();
    let counted: usize = counted.values().map(|(_, number)| number).sum();
    row("marked, waiting for removal", folders.saturating_sub(counted), all.saturating_sub(live));
    Ok(())
}
