//! Measures a whole receiver process: samples per CPU-second, resident bytes per series, acknowledgements while a block
//! is cut, with slow syncs, and the time back after `kill -9`.
//!
//! `cargo run --release -p sarsen-benches --bin measure` builds the receiver, runs every scenario one after the other
//! and prints a row for each; name scenarios to run only those. What matters is the ratio to a peer in the same run:
//! `--peer` sends the same load to the Prometheus of `benches/peers/bin`. Slow syncs are made by `strace`, which delays
//! every fdatasync and fsync of the unchanged program; without strace that scenario is skipped and says so.

mod scale;
mod scenarios;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use sarsen_benches::{Program, build_receiver};
use scenarios::{Scenario, Size};

/// Starts a server, loads it, reads what it used.
#[derive(Parser)]
struct Arguments {
    /// Which scenarios; all but `soak` if none is named.
    scenarios: Vec<Scenario>,
    /// Series of `known`, `churn`, `cut` and `slow`.
    #[arg(long, default_value_t = 100_000)]
    series: u64,
    /// Series of `memory` and `window`, and of `tenants` in halves.
    #[arg(long, default_value_t = 1_000_000)]
    many_series: u64,
    /// Samples of each series.
    #[arg(long, default_value_t = 60)]
    samples: u64,
    /// How long `soak` takes.
    #[arg(long, default_value_t = 60)]
    minutes: u64,
    /// The program to measure; built from this workspace if not given.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Further arguments for the program.
    #[arg(long, allow_hyphen_values = true)]
    with: Vec<String>,
    /// Measure the Prometheus of `benches/peers/bin` instead (scenarios `known`, `churn` and `memory`).
    #[arg(long)]
    peer: bool,
    /// Keep databases below this folder instead of a temporary one.
    #[arg(long)]
    scratch: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let program = match (arguments.peer, &arguments.program) {
        (true, Some(path)) => Program::prometheus(path, &arguments.with),
        (true, None) => Program::prometheus("benches/peers/bin/prometheus", &arguments.with),
        (false, Some(path)) => Program::sarsen(path, &arguments.with),
        (false, None) => Program::sarsen(build_receiver()?, &arguments.with),
    };
    let scratch = arguments.scratch.unwrap_or_else(std::env::temp_dir);
    let size = Size {
        series: arguments.series,
        many: arguments.many_series,
        samples: arguments.samples,
        minutes: arguments.minutes,
    };
    let chosen = if arguments.scenarios.is_empty() { Scenario::ALL.to_vec() } else { arguments.scenarios };
    let mut screen = std::io::stdout().lock();
    writeln!(screen, "| measured | value |\n|---|---|")?;
    for scenario in chosen {
        let folder = scratch.join(format!("sarsen-measure-{}-{scenario:?}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let rows = scenario.run(&program, &folder, &size).with_context(|| format!("scenario {scenario:?}"));
        // The databases are large: they go whether the scenario came to its end or not.
        std::fs::remove_dir_all(&folder).ok();
        for (what, value) in rows? {
            writeln!(screen, "| {what} | {value} |")?;
        }
        screen.flush()?;
    }
    Ok(())
}
