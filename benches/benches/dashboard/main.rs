//! How long do dashboards take through a querier and a store gateway, each inside a pod, over days and months of downsampled blocks?
//!
//! `benches/peers/build.sh minio`, then `cargo bench -p sarsen-benches --bench dashboard` (`-- --help` names everything).
//!
//! The bucket is that of the bench `gateway` with classic histograms in it: raw blocks of a week, five-minute aggregates of a
//! month, one-hour aggregates of half a year. The gateway is held to half a core and 2 GiB, the querier to half a core and 1 GiB
//! (needs root and control groups of the first version). Dashboards of ten panels over 7, 30 and 180 days are asked as Grafana asks
//! them, panel after panel: once by processes that have just started (cold), then again (warm), then as many panels
//! at the same time as `--at-once` says.
//! `--recent` asks twenty panels over six hours at once instead, of a bucket of eight hours in which a metric has 1,600 series, without
//! limits, and tells when the last answer was there. Last answer: `benches/README.md`.

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

#[path = "../gateway/bring.rs"]
mod bring;
mod measure;
mod recent;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use sarsen_benches::{
    ArchivePlan, Gateway, GatewayProgram, Minio, Pod, Querier, View, build_gateway, build_querier,
};

use bring::bring;
use measure::{Row, print_head};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// Measures dashboards.
#[derive(Debug, Parser)]
#[command(name = "dashboard")]
struct Arguments {
    /// Tenants, each with its own blocks.
    #[arg(long, default_value_t = 2)]
    tenants: u64,
    /// Series of a tenant at a time.
    #[arg(long, default_value_t = 4_000)]
    series: u64,
    /// Dashboards of each range, each another one.
    #[arg(long, default_value_t = 12)]
    dashboards: u64,
    /// How often all are asked again, warm.
    #[arg(long, default_value_t = 2)]
    again: u64,
    /// Panels that are asked at the same time in the last phase; 0 leaves it out.
    #[arg(long, default_value_t = 5)]
    at_once: usize,
    /// Only on this store: `directory` or `minio`.
    #[arg(long)]
    store: Option<String>,
    /// A line for each panel too.
    #[arg(long)]
    panels: bool,
    /// No limits.
    #[arg(long)]
    free: bool,
    /// Twenty panels over six hours at once, and nothing else.
    #[arg(long)]
    recent: bool,
    /// Seconds between two samples of a series in `--recent`.
    #[arg(long, default_value_t = 15)]
    interval: i64,
    /// The querier; built from this workspace if not given.
    #[arg(long)]
    querier: Option<PathBuf>,
    /// The gateway; built from this workspace if not given.
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Where the bucket is made, or lies already; a temporary folder unless given.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// What `cargo bench` passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What is measured.
struct Programs {
    querier: PathBuf,
    gateway: GatewayProgram,
}

/// Both as processes, and what limits them.
struct Pair {
    querier: Querier,
    gateway: Gateway,
    /// The querier's and the gateway's.
    pods: Option<[Pod; 2]>,
}

impl Programs {
    /// Starts both on a bucket.
    fn start(&self, work: &Path, objstore: &str, held: bool) -> Result<Pair> {
        let pod = |name: &str, memory: u64| held.then(|| Pod::new(name, 500, memory)).transpose();
        let pods = [pod("sarsen-querier", 1 << 30)?, pod("sarsen-gateway", 2 << 30)?];
        let [under, under_gateway] =
            pods.each_ref().map(|pod| pod.as_ref().map(Pod::under).unwrap_or_default());
        let gateway = self.gateway.start(&work.join("gateway"), objstore, &under_gateway)?;
        let querier = Querier::start(&self.querier, &work.join("querier"), &[&gateway.grpc], &under)?;
        let [own, other] = pods;
        Ok(Pair { querier, gateway, pods: own.zip(other).map(<[Pod; 2]>::from) })
    }
}

fn minio() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/bin/minio")
}

fn directory(path: &Path) -> String {
    format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\n", path.display())
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    let programs = Programs {
        querier: arguments.querier.clone().map_or_else(build_querier, Ok)?,
        gateway: GatewayProgram {
            name: "sarsen",
            path: arguments.gateway.clone().map_or_else(build_gateway, Ok)?,
            role: Some("store"),
        },
    };
    if arguments.recent {
        return recent::measure(&arguments, &programs, &folder);
    }
    let plan = ArchivePlan {
        tenants: arguments.tenants,
        series: arguments.series,
        raw: 7,
        fine: 30,
        coarse: 180,
        buckets: true,
    };
    let bucket = folder.join("dashboard");
    if !bucket.is_dir() {
        let begin = Instant::now();
        let made = plan.make(&bucket)?;
        let (seconds, gigabytes) = (begin.elapsed().as_secs_f64(), made.bytes as f64 / 1e9);
        println!("{} blocks, {} series, {gigabytes:.2} GB made in {seconds:.0} s", made.blocks, made.series);
    }
    let is_wanted = |name: &str| arguments.store.as_deref().is_none_or(|only| only == name);
    if is_wanted("directory") {
        dashboards(&arguments, &plan, &programs, ("directory", &directory(&bucket)), &folder.join("work"))?;
    }
    if is_wanted("minio") && !minio().is_file() {
        println!("nothing is asked of MinIO: there is no {}", minio().display());
    }
    if is_wanted("minio") && minio().is_file() {
        let minio_folder = folder.join("dashboard-minio");
        let filled = minio_folder.join("minio/blocks").is_dir();
        let minio = Minio::start(&minio(), &minio_folder)?;
        if !filled {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let count = runtime.block_on(bring(&bucket, &minio.config))?;
            println!("{count} objects brought to minio");
        }
        dashboards(&arguments, &plan, &programs, ("minio", &minio.config), &folder.join("work"))?;
    }
    Ok(())
}

/// Every range on one store.
fn dashboards(
    arguments: &Arguments,
    plan: &ArchivePlan,
    programs: &Programs,
    (store, objstore): (&str, &str),
    work: &Path,
) -> Result<()> {
    let held = !arguments.free;
    println!("\n## {store}{}\n", if held { ", inside pods" } else { "" });
    fs::remove_dir_all(work).ok();
    // The first start makes headers, as it would have long ago; those that are made lazily are made by asking.
    let first = programs.start(work, objstore, false)?;
    let fleet = plan.fleet(0, MINUTE);
    let view =
        |days: i64| View { fleet: &fleet, end: ArchivePlan::END - MINUTE, span: days * DAY, scrape: MINUTE };
    for days in [7, 30, 180] {
        Row::of(&first, &view(days), 0..1, 1)?;
    }
    drop(first);
    print_head();
    for days in [7, 30, 180] {
        let pair = programs.start(work, objstore, held)?;
        let name = format!("{days} d");
        let numbers = || 0..arguments.dashboards;
        Row::of(&pair, &view(days), numbers(), 1)?.print(&name, "cold", arguments.panels);
        let again = (0..arguments.again).map(|_| Row::of(&pair, &view(days), numbers(), 1));
        if let Some(warm) = Row::together(again.collect::<Result<Vec<_>>>()?) {
            warm.print(&name, "warm", arguments.panels);
        }
        if arguments.at_once > 0 {
            let row = Row::of(&pair, &view(days), numbers(), arguments.at_once)?;
            row.print(&name, &format!("warm, {} at once", arguments.at_once), false);
        }
    }
    fs::remove_dir_all(work).ok();
    Ok(())
}
