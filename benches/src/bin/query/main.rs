//! How long range queries over many series take, ours and Prometheus', on the same block in one run.
//!
//! `cargo run --release -p sarsen-benches --bin query -- --folder F --prometheus benches/peers/bin/prometheus`
//! writes the block if it is not there (100,000 counters every 15 s, as many buckets of classic histograms, 5,000 gauges, over two
//! hours), starts a Prometheus on it with as many threads as ours may use, and asks both each question some times; the best time counts. Ours
//! runs in a process of its own for each question, so that its peak of memory is that question's: select, prepare, evaluate.
//! Prometheus' times include writing its answer as JSON, which is short for all questions but the plain selector.
//!
//! Last answer (`--times 3`, November 2026, two virtual cores, hardly anything else on the machine, releases as they are built). Milliseconds of one
//! question on one thread, ours / Prometheus 3.14; on two threads; peaks of memory on one thread, Prometheus' over all questions so far:
//!
//! | question | one thread | times | two threads | times | MB |
//! |---|---|---|---|---|---|
//! | sum by rate | 519 / 2193 | 4.2 | 371 / 2148 | 5.8 | 31 / 418 |
//! | sum by rate, few | 24 / 94 | 3.9 | 18 / 82 | 4.5 | 23 / 418 |
//! | quantile | 547 / 2208 | 4.0 | 355 / 2113 | 6.0 | 31 / 532 |
//! | quantile, all | 24 / 123 | 5.2 | 17 / 117 | 6.7 | 27 / 532 |
//! | topk | 605 / 2210 | 3.7 | 465 / 2167 | 4.7 | 120 / 551 |
//! | join | 630 / 5259 | 8.4 | 484 / 5246 | 10.8 | 195 / 756 |
//! | max over time | 530 / 2746 | 5.2 | 365 / 2643 | 7.2 | 31 / 755 |
//! | avg over time | 686 / 2840 | 4.1 | 451 / 2844 | 6.3 | 31 / 755 |
//! | subquery | 704 / 3012 | 4.3 | 458 / 3016 | 6.6 | 29 / 755 |
//! | plain, added up | 402 / 1294 | 3.2 | 295 / 1270 | 4.3 | 29 / 755 |
//! | plain | 18 / 69 | 3.8 | 12 / 74 | 5.9 | 27 / 755 |
//!
//! So: three times and a third of the memory are reached for all of them. The second thread brings 1.3 to 1.55 times, not twice: reading and taking in
//! stay with the caller's thread, and CPU time grows by up to a tenth.

mod data;
mod ours;
mod peer;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use ours::Took;

/// As the programs have it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Asks both.
#[derive(Parser)]
struct Arguments {
    /// Where the block is, or is to be written.
    #[arg(long)]
    folder: PathBuf,
    /// The Prometheus; without one only ours is asked.
    #[arg(long)]
    prometheus: Option<PathBuf>,
    /// Threads of both.
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// How often each question is asked.
    #[arg(long, default_value_t = 3)]
    times: usize,
    /// Series of each of the two large metrics.
    #[arg(long, default_value_t = 100_000)]
    series: u64,
    /// Asks ours this one question, and prints its best time in microseconds.
    #[arg(long)]
    ask: Option<String>,
}

/// What is asked, by name.
const QUESTIONS: &[(&str, &str)] = &[
    ("sum by rate", "sum by (job) (rate(requests_total[5m]))"),
    ("sum by rate, few", r#"sum by (instance) (rate(requests_total{job="job-03"}[5m]))"#),
    ("quantile", "histogram_quantile(0.9, sum by (job, le) (rate(latency_seconds_bucket[5m])))"),
    ("quantile, all", r#"histogram_quantile(0.9, rate(latency_seconds_bucket{job="job-03"}[5m]))"#),
    ("topk", "topk(5, rate(requests_total[5m]))"),
    ("join", "sum by (job) (rate(requests_total[5m]) / on (instance) group_left () limits)"),
    ("max over time", "max by (job) (max_over_time(requests_total[10m]))"),
    ("avg over time", "sum by (job) (avg_over_time(requests_total[10m]))"),
    ("subquery", "max_over_time(sum by (job) (rate(requests_total[5m]))[30m:1m])"),
    ("plain, added up", "sum (requests_total)"),
    ("plain", r#"requests_total{job="job-03"}"#),
];

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let block = data::block(&arguments.folder, arguments.series)?;
    if let Some(query) = &arguments.ask {
        let (best, cpu) = ours::ask(&block, query, arguments.workers, arguments.times)?;
        let mut out = std::io::stdout();
        let text = format!("{} {}", best.as_micros(), cpu.as_micros());
        return std::io::Write::write_all(&mut out, text.as_bytes()).context("telling the time");
    }
    let mut peer = match &arguments.prometheus {
        Some(program) => Some(peer::Peer::start(program, &arguments.folder, arguments.workers)?),
        None => None,
    };
    let mut rows = vec![
        "| question | ours ms | peer ms | times | ours CPU ms | peer CPU ms | times | ours MB | peer MB |"
            .to_owned(),
    ];
    rows.push("|---|---|---|---|---|---|---|---|---|".to_owned());
    for (name, query) in QUESTIONS {
        let ours = ours::in_a_process(&arguments.folder, query, (arguments.workers, arguments.times))?;
        let theirs = match &mut peer {
            Some(peer) => Some(peer.ask(query, arguments.times)?),
            None => None,
        };
        rows.push(row(name, &ours, theirs.as_ref()));
    }
    let mut out = std::io::stdout();
    std::io::Write::write_all(&mut out, (rows.join("\n") + "\n").as_bytes()).context("telling the rows")
}

fn row(name: &str, ours: &Took, theirs: Option<&Took>) -> String {
    let pair = |what: fn(&Took) -> Duration| {
        let mine = what(ours).as_secs_f64() * 1000.0;
        let Some(theirs) = theirs else { return format!("{mine:.0} | | ") };
        let theirs = what(theirs).as_secs_f64() * 1000.0;
        format!("{mine:.0} | {theirs:.0} | {:.1}", theirs / mine)
    };
    let (time, cpu) = (pair(|took| took.time), pair(|took| took.cpu));
    let their_mb = theirs.map_or_else(String::new, |theirs| (theirs.peak >> 20).to_string());
    format!("| {name} | {time} | {cpu} | {} | {their_mb} |", ours.peak >> 20)
}
