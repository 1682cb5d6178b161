//! What does an answer from the bucket cost a store gateway, cold and warm, beside Thanos' on the same bucket in the same run?
//!
//! `benches/peers/build.sh`, then `cargo bench -p sarsen-benches --bench gateway` (`-- --help` names everything).
//!
//! A bucket of half a year is made: five tenants, raw blocks of two hours for a week, five-minute aggregates for a month, one-hour aggregates
//! for half a year, together more than 500 blocks and 2 M series. Each gateway gets it as a directory and on MinIO. Its first start
//! makes its headers; for each kind of question it is started again, and asked different questions once (cold: headers on its disk,
//! nothing in its caches), and then the same ones again (warm). The answers of both gateways must be the same series and chunks.
//! `--small-blocks 10000` measures starts with very many blocks instead, `--pod` puts the gateway into half a core and 2 GiB.
//! Last answer: `benches/README.md`.

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

mod bring;
mod measure;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use sarsen_benches::{ArchivePlan, GatewayProgram, Minio, Pod, Question, build_gateway, small_blocks};

use bring::bring;
use measure::{Row, ask, print_head};

/// Measures store gateways.
#[derive(Debug, Parser)]
#[command(name = "gateway")]
struct Arguments {
    /// Tenants, each with its own blocks.
    #[arg(long, default_value_t = 5)]
    tenants: u64,
    /// Series of a tenant at a time.
    #[arg(long, default_value_t = 3_500)]
    series: u64,
    /// Days of raw blocks; aggregates are kept four times and twenty-six times as long.
    #[arg(long, default_value_t = 7)]
    raw: i64,
    /// Questions of each kind.
    #[arg(long, default_value_t = 60)]
    questions: u64,
    /// How often all are asked again, warm.
    #[arg(long, default_value_t = 3)]
    again: u64,
    /// Only kinds whose names contain this.
    #[arg(long, default_value = "")]
    only: String,
    /// Only on this store: `directory` or `minio`.
    #[arg(long)]
    store: Option<String>,
    /// Leave Thanos out.
    #[arg(long)]
    alone: bool,
    /// Half a core and 2 GiB for the gateway (needs root and control groups of the first version).
    #[arg(long)]
    pod: bool,
    /// Measure starts with so many little blocks, and nothing else.
    #[arg(long)]
    small_blocks: Option<u64>,
    /// Where the bucket is made, or lies already; a temporary folder unless given.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// What `cargo bench` passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn peer(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("peers/bin").join(name)
}

fn programs(arguments: &Arguments) -> Result<Vec<GatewayProgram>> {
    let mut programs = vec![GatewayProgram { name: "sarsen", path: build_gateway()?, role: Some("store") }];
    if !arguments.alone && peer("thanos").is_file() {
        programs.push(GatewayProgram { name: "thanos", path: peer("thanos"), role: Some("store") });
    }
    Ok(programs)
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let temporary = tempfile::tempdir()?;
    let folder = arguments.folder.clone().unwrap_or_else(|| temporary.path().to_owned());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let programs = programs(&arguments)?;
    let plan = ArchivePlan {
        tenants: arguments.tenants,
        series: arguments.series,
        raw: arguments.raw,
        fine: arguments.raw * 4 + 2,
        coarse: arguments.raw * 26,
        buckets: false,
    };
    let bucket = folder.join("bucket");
    if !bucket.is_dir() {
        let begin = Instant::now();
        if let Some(count) = arguments.small_blocks {
            small_blocks(&bucket, count)?;
            println!("{count} little blocks made in {:.0} s", begin.elapsed().as_secs_f64());
        } else {
            let made = plan.make(&bucket)?;
            let (seconds, gigabytes) = (begin.elapsed().as_secs_f64(), made.bytes as f64 / 1e9);
            println!(
                "{} blocks, {} series, {gigabytes:.2} GB made in {seconds:.0} s",
                made.blocks, made.series
            );
        }
    }
    let mut stores = vec![("directory", directory(&bucket))];
    let minio = match peer("minio") {
        program if program.is_file() && arguments.store.as_deref() != Some("directory") => {
            let filled = folder.join("minio/blocks").is_dir();
            let minio = Minio::start(&program, &folder)?;
            if !filled {
                let begin = Instant::now();
                let count = runtime.block_on(bring(&bucket, &minio.config))?;
                println!("{count} objects brought to minio in {:.0} s", begin.elapsed().as_secs_f64());
            }
            Some(minio)
        }
        _ => None,
    };
    stores.extend(minio.iter().map(|minio| ("minio", minio.config.clone())));
    stores.retain(|(name, _)| arguments.store.as_deref().is_none_or(|only| only == *name));
    let work = folder.join("work");
    for (store, objstore) in &stores {
        if arguments.small_blocks.is_some() {
            starts(&programs, store, objstore, &work)?;
        } else {
            questions(&arguments, &plan, &programs, (store, objstore, &work), &runtime)?;
        }
        fs::remove_dir_all(&work).ok();
    }
    Ok(())
}

fn directory(path: &Path) -> String {
    format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\n", path.display())
}

fn limits(arguments: &Arguments) -> Result<Option<Pod>> {
    arguments.pod.then(|| Pod::new("sarsen-gateway", 500, 2 << 30)).transpose()
}

/// All kinds of questions on one store, gateway beside gateway.
fn questions(
    arguments: &Arguments,
    plan: &ArchivePlan,
    programs: &[GatewayProgram],
    (store, objstore, work): (&str, &str, &Path),
    runtime: &tokio::runtime::Runtime,
) -> Result<()> {
    println!("\n## {store}{}\n", if arguments.pod { ", half a core and 2 GiB" } else { "" });
    for program in programs {
        let first = program.start(&work.join(program.name), objstore, &[])?;
        let used = first.usage()?;
        println!(
            "{}: first start {:.1} s, {:.1} CPU-s, {} MiB",
            program.name,
            first.ready_after.as_secs_f64(),
            used.cpu_ms as f64 / 1e3,
            used.peak >> 20
        );
        if arguments.pod {
            // What is lazy is made outside of the limits, as it would have been long ago.
            let all = Question::ALL.map(|class| ask(&first, class, plan, 0..arguments.questions, runtime));
            all.into_iter().collect::<Result<Vec<_>>>()?;
        }
    }
    print_head();
    for class in Question::ALL.into_iter().filter(|class| class.name().contains(&arguments.only)) {
        let mut seen: Vec<Row> = Vec::new();
        for program in programs {
            let pod = limits(arguments)?;
            let under = pod.as_ref().map(Pod::under).unwrap_or_default();
            let gateway = program.start(&work.join(program.name), objstore, &under)?;
            let cold = ask(&gateway, class, plan, 0..arguments.questions, runtime)?;
            cold.print(program.name, "cold", &class.name());
            let mut warm = Vec::new();
            for _ in 0..arguments.again {
                warm.push(ask(&gateway, class, plan, 0..arguments.questions, runtime)?);
            }
            if let Some(warm) = Row::together(warm) {
                warm.print(program.name, "warm", &class.name());
            }
            seen.push(cold);
        }
        if let [ours, theirs] = seen.as_slice()
            && ours.sum != theirs.sum
        {
            println!("the answers differ: {:?} and {:?}", ours.sum, theirs.sum);
        }
    }
    Ok(())
}

/// First start and start again.
fn starts(programs: &[GatewayProgram], store: &str, objstore: &str, work: &Path) -> Result<()> {
    println!(
        "\n## {store}\n\n| gateway | start | ready after, s | CPU-s | resident, MiB | requests |\n|---|---|---|---|---|---|"
    );
    for program in programs {
        for what in ["first", "again"] {
            let gateway = program.start(&work.join(program.name), objstore, &[])?;
            let used = gateway.usage()?;
            let requests: u64 =
                gateway.requests()?.iter().filter(|(name, _)| *name != "bytes").map(|(_, n)| n).sum();
            println!(
                "| {} | {what} | {:.2} | {:.2} | {} | {requests} |",
                program.name,
                gateway.ready_after.as_secs_f64(),
                used.cpu_ms as f64 / 1e3,
                used.peak >> 20
            );
        }
    }
    Ok(())
}
