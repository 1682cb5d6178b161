//! The scenarios: what is sent, and which numbers come out.

use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::ValueEnum;
use sarsen_benches::{Fleet, Plan, Program, Report, Server, folder_bytes, run};

use crate::scale;

const TWO_HOURS: i64 = 7_200_000;

/// What can be measured.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Scenario {
    /// Samples of series that the server knows.
    Known,
    /// Half of the samples are the first of a new series.
    Churn,
    /// Many series: resident memory, and the time back after `kill -9`.
    Memory,
    /// A block is cut while samples come in.
    Cut,
    /// Every sync takes 10 and 50 ms longer.
    Slow,
    /// Two hours of many series under churn, and back after `kill -9`.
    Window,
    /// Many small tenants against one large one: resident memory.
    Tenants,
    /// Thirteen hours of churning series in `--minutes`, cuts included: whether memory stays flat. Only if named.
    Soak,
}

/// How large the scenarios are.
pub(crate) struct Size {
    pub(crate) series: u64,
    pub(crate) many: u64,
    pub(crate) samples: u64,
    pub(crate) minutes: u64,
}

pub(crate) type Rows = Vec<(String, String)>;

impl Scenario {
    pub(crate) const ALL: [Self; 7] =
        [Self::Known, Self::Churn, Self::Memory, Self::Cut, Self::Slow, Self::Window, Self::Tenants];

    pub(crate) fn run(self, program: &Program, folder: &Path, size: &Size) -> anyhow::Result<Rows> {
        match self {
            Self::Known => known(program, folder, size),
            Self::Churn => churn(program, folder, size),
            Self::Memory => memory(program, folder, size),
            Self::Cut => cut(program, folder, size),
            Self::Slow => slow(program, folder, size),
            Self::Window => scale::window(program, folder, size),
            Self::Tenants => scale::tenants(program, folder, size),
            Self::Soak => scale::soak(program, folder, size),
        }
    }
}

pub(crate) fn plan(server: &Server, program: &Program, fleet: &Fleet, rounds: std::ops::Range<u64>) -> Plan {
    Plan {
        fleet: fleet.clone(),
        rounds,
        address: server.write.clone(),
        path: program.write_path().to_owned(),
        tenant: String::new(),
        per_request: 2_000,
        rounds_per_request: 1,
        connections: 2,
        wave_bytes: 1 << 30,
        patience: Duration::from_secs(10),
    }
}

/// A fleet whose last of `rounds` scrapes is now.
pub(crate) fn recent(series: u64, rounds: u64) -> anyhow::Result<Fleet> {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    Ok(Fleet::steady(series, now - i64::try_from(rounds + 1)? * 15_000))
}

pub(crate) fn complete(report: &Report) -> anyhow::Result<()> {
    let complaint = report.complaint.as_deref().unwrap_or("");
    anyhow::ensure!(report.refused == 0, "{} samples refused: {complaint}", report.refused);
    Ok(())
}

pub(crate) fn acknowledgement(report: &Report) -> String {
    let milliseconds = |share| report.quantile(share).as_secs_f64() * 1e3;
    format!(
        "p50 {:.1} ms, p99 {:.1} ms, max {:.1} ms",
        milliseconds(0.5),
        milliseconds(0.99),
        milliseconds(1.0)
    )
}

fn known(program: &Program, folder: &Path, size: &Size) -> anyhow::Result<Rows> {
    let fleet = recent(size.series, size.samples + 1)?;
    let server = Server::start(program, folder)?;
    complete(&run(&plan(&server, program, &fleet, 0..1))?)?;
    let (before, log_before) = (server.usage()?, folder_bytes(&program.log_folder(folder)));
    let report = run(&plan(&server, program, &fleet, 1..size.samples + 1))?;
    complete(&report)?;
    let (after, log_after) = (server.usage()?, folder_bytes(&program.log_folder(folder)));
    let cpu = (after.cpu_ms - before.cpu_ms) as f64 / 1e3;
    let samples = report.acknowledged as f64;
    let name = format!("{} k known series, {} samples each", size.series / 1000, size.samples);
    Ok(vec![
        (format!("{name}: samples per CPU-second"), format!("{:.2} M ({cpu:.2} CPU-s)", samples / cpu / 1e6)),
        (format!("{name}: samples per second, 2 connections"), format!("{:.2} M", report.rate() / 1e6)),
        (format!("{name}: acknowledgement"), acknowledgement(&report)),
        (
            format!("{name}: log bytes per sample"),
            format!("{:.2}", log_after.saturating_sub(log_before) as f64 / samples),
        ),
        (
            format!("{name}: peak resident bytes per series"),
            format!("{} ({} MB)", after.peak / size.series, after.peak >> 20),
        ),
    ])
}

fn churn(program: &Program, folder: &Path, size: &Size) -> anyhow::Result<Rows> {
    // A new name every second scrape, the two halves in turn: half of the samples of every round are births.
    let fleet = Fleet { churn_rounds: 2, ..recent(size.series, 12)? };
    let server = Server::start(program, folder)?;
    complete(&run(&plan(&server, program, &fleet, 0..2))?)?;
    let before = server.usage()?;
    let report = run(&plan(&server, program, &fleet, 2..12))?;
    complete(&report)?;
    let cpu = (server.usage()?.cpu_ms - before.cpu_ms) as f64 / 1e3;
    Ok(vec![(
        format!("{} k series, half of the samples of new ones: samples per CPU-second", size.series / 1000),
        format!("{:.2} M ({cpu:.2} CPU-s)", report.acknowledged as f64 / cpu / 1e6),
    )])
}

fn memory(program: &Program, folder: &Path, size: &Size) -> anyhow::Result<Rows> {
    let fleet = recent(size.many, size.samples)?;
    let server = Server::start(program, folder)?;
    let report = run(&plan(&server, program, &fleet, 0..size.samples))?;
    complete(&report)?;
    let used = server.usage()?;
    server.kill()?;
    let again = Server::start(program, folder)?;
    let cpu = again.usage()?.cpu_ms as f64 / 1e3;
    let name = format!("{} k series, {} samples each", size.many / 1000, size.samples);
    Ok(vec![
        (
            format!("{name}: peak resident bytes per series"),
            format!("{} ({} MB; {} now)", used.peak / size.many, used.peak >> 20, used.resident / size.many),
        ),
        (
            format!("{name}: samples per CPU-second, births included"),
            format!("{:.2} M", report.acknowledged as f64 / used.cpu_ms as f64 / 1e3),
        ),
        (format!("{name}: acknowledgement"), acknowledgement(&report)),
        (
            format!("{name}: ready after kill -9"),
            format!("{:.2} s ({cpu:.2} CPU-s)", again.ready_after.as_secs_f64()),
        ),
    ])
}

fn cut(program: &Program, folder: &Path, size: &Size) -> anyhow::Result<Rows> {
    // From a whole two hours on, four hours ago: the head is due for its first cut after three hours, 720 rounds.
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
    let fleet = Fleet::steady(size.series, (now - 2 * TWO_HOURS) / TWO_HOURS * TWO_HOURS);
    let server = Server::start(program, folder)?;
    // What only fills the head comes twenty scrapes a request, so that the generator is done in minutes with a million series.
    let filling = Plan { rounds_per_request: 20, per_request: 200, ..plan(&server, program, &fleet, 0..680) };
    complete(&run(&filling)?)?;
    let paced = |rounds: std::ops::Range<u64>, until_cut: bool| -> anyhow::Result<(Report, bool, u64)> {
        let mut whole = Report::default();
        let mut seen = None;
        let from = rounds.start;
        for round in rounds {
            let begin = Instant::now();
            let mut report = run(&plan(&server, program, &fleet, round..round + 1))?;
            complete(&report)?;
            whole.latencies.append(&mut report.latencies);
            if until_cut && seen.is_none() && has_block(&program.database(folder)) {
                seen = Some(round);
            }
            if seen.is_some_and(|seen| round > seen + 8) {
                break;
            }
            thread::sleep(Duration::from_millis(400).saturating_sub(begin.elapsed()));
        }
        whole.latencies.sort_unstable();
        Ok((whole, seen.is_some(), seen.unwrap_or(from) - from))
    };
    let (before, _, _) = paced(680..715, false)?;
    let resident = server.usage()?;
    let (during, found, _) = paced(715..900, true)?;
    let after = server.usage()?;
    anyhow::ensure!(found, "no block was cut");
    let growth = after.peak as f64 / resident.peak as f64;
    let name = format!("cutting two hours of {} k series", size.series / 1000);
    Ok(vec![
        (format!("{name}: acknowledgement before"), acknowledgement(&before)),
        (format!("{name}: acknowledgement while it is cut"), acknowledgement(&during)),
        (
            format!("{name}: peak resident before and after"),
            format!("{} MB, {} MB ({:+.0} %)", resident.peak >> 20, after.peak >> 20, (growth - 1.0) * 100.0),
        ),
    ])
}

fn slow(program: &Program, folder: &Path, size: &Size) -> anyhow::Result<Rows> {
    let mut rows = Vec::new();
    if Command::new("strace").arg("-V").output().is_err() {
        return Ok(vec![("slow syncs".to_owned(), "skipped: no strace on this machine".to_owned())]);
    }
    // As many requests on their way as there are groups of 2,000 series: a shard of a sender waits for its answer.
    for factor in [2, 4] {
        let fleet = recent(size.series * factor, 61)?;
        let connections = usize::try_from(fleet.series.div_ceil(2_000))?;
        for milliseconds in [0, 10, 50] {
            let own = folder.join(format!("{factor}-{milliseconds}"));
            std::fs::create_dir_all(&own)?;
            let server = Server::start_slow(program, &own, Duration::from_millis(milliseconds))?;
            let wide =
                |rounds| Plan { connections, wave_bytes: 4 << 30, ..plan(&server, program, &fleet, rounds) };
            complete(&run(&wide(0..1))?)?;
            let report = run(&wide(1..61))?;
            complete(&report)?;
            rows.push((
                format!(
                    "{connections} connections, {} k series, syncs {milliseconds} ms slower",
                    fleet.series / 1000
                ),
                format!("{:.2} M samples a second; {}", report.rate() / 1e6, acknowledgement(&report)),
            ));
        }
    }
    Ok(rows)
}

/// Whether a complete block lies in a database.
fn has_block(database: &Path) -> bool {
    let entries = std::fs::read_dir(database).into_iter().flatten().flatten();
    entries.into_iter().any(|entry| entry.path().join("meta.json").is_file() && entry.file_name().len() == 26)
}
