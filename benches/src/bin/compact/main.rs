//! Measures a whole compactor process, ours or Thanos', on the same made-up bucket: CPU time, peak resident memory, disk.
//!
//! `cargo run --release -p sarsen-benches --bin compact -- --peer` builds `sarsen-compact`, makes a bucket for each
//! scenario, gives a copy of it to each program, and prints a row for each; name scenarios to run only those. Both are started
//! with the same flags, which are Thanos', and both have to leave the same samples behind. `--under` puts a command in
//! front of the program, such as one that limits it.

mod scenarios;

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::Parser;

use sarsen_benches::{Compactor, build_compactor};
use scenarios::{Scenario, Setting};

/// Makes buckets and has them compacted.
#[derive(Parser)]
struct Arguments {
    /// Which scenarios; all if none is named.
    scenarios: Vec<Scenario>,
    /// The program to measure; built from this workspace if not given.
    #[arg(long)]
    program: Option<PathBuf>,
    /// Measure Thanos as well, from `benches/peers/bin` (`benches/peers/build.sh thanos` builds it).
    #[arg(long)]
    peer: bool,
    /// Only Thanos.
    #[arg(long)]
    peer_alone: bool,
    /// A command that starts our program, limited, in `pod`: it gets program and arguments behind its own.
    #[arg(long, default_value = "taskset -c 0")]
    under: String,
    /// Further arguments for our program.
    #[arg(long, allow_hyphen_values = true)]
    with: Vec<String>,
    /// Series of `fortnight` and `pod`.
    #[arg(long, default_value_t = 2_000)]
    series: u64,
    /// Keep buckets below this folder instead of a temporary one.
    #[arg(long)]
    scratch: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let mut programs = Vec::new();
    if !arguments.peer_alone {
        let path = arguments.program.map_or_else(build_compactor, Ok)?;
        programs.push(Compactor { name: "Sarsen", path, further: arguments.with, role: None });
    }
    if arguments.peer || arguments.peer_alone {
        let path = PathBuf::from("benches/peers/bin/thanos");
        anyhow::ensure!(path.is_file(), "no Thanos here: benches/peers/build.sh thanos builds it");
        programs.push(Compactor { name: "Thanos", path, further: Vec::new(), role: Some("compact") });
    }
    let under = arguments.under.split_whitespace().map(str::to_owned).collect();
    let setting = Setting { programs, under, series: arguments.series };
    let scratch = arguments.scratch.unwrap_or_else(std::env::temp_dir);
    let chosen = if arguments.scenarios.is_empty() { Scenario::ALL.to_vec() } else { arguments.scenarios };
    for scenario in chosen {
        let folder = scratch.join(format!("sarsen-compact-{}-{scenario:?}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let table = scenario.run(&setting, &folder).with_context(|| format!("scenario {scenario:?}"));
        // Buckets are large: they go whether the scenario came to its end or not.
        std::fs::remove_dir_all(&folder).ok();
        let mut screen = std::io::stdout().lock();
        writeln!(screen, "{}", table?)?;
        screen.flush()?;
    }
    Ok(())
}
