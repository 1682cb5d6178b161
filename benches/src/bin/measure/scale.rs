//! The large scenarios: two hours of many series under churn, many small tenants against one large one, half a day.

use std::path::Path;
use std::time::{Duration, Instant};

use sarsen_benches::{Fleet, Plan, Program, Report, Server, folder_bytes, run};

use crate::scenarios::{Rows, Size, acknowledgement, complete, plan, recent};

/// Scrapes of two hours at 15 s.
const WINDOW: u64 = 480;
/// Ten half hours: at any time a tenth of the targets is renamed within the next half hour.
const RENAMED_AFTER: u64 = 1_200;
/// Series of one of the small tenants.
const SMALL: u64 = 500;

/// How many series had a sample in the window: all at its beginning, and every new name since.
fn active(fleet: &Fleet) -> u64 {
    let series = (0..fleet.series).step_by(50);
    let names: u64 = series.map(|series| 1 + fleet.renamed(series, 0..WINDOW)).sum();
    names * 50
}

/// Two hours of many series, a tenth of the pods renamed every half hour; then `kill -9`, and the time back.
pub(crate) fn window(program: &Program, folder: &Path, size: &Size) -> anyhow::Result<Rows> {
    let fleet = Fleet { churn_rounds: RENAMED_AFTER, ..recent(size.many, WINDOW + 8)? };
    let server = Server::start(program, folder)?;
    let report = run(&plan(&server, program, &fleet, 0..WINDOW))?;
    complete(&report)?;
    let used = server.usage()?;
    let disk = folder_bytes(&program.database(folder));
    server.kill()?;
    let begin = Instant::now();
    let again = Server::start_without_waiting(program, folder)?;
    // The first request that is taken; until then the sender repeats it.
    let first = Plan {
        rounds: WINDOW..WINDOW + 1,
        fleet: Fleet { series: 50, ..fleet.clone() },
        patience: Duration::from_secs(300),
        ..plan(&again, program, &fleet, 0..1)
    };
    complete(&run(&first)?)?;
    let taken = begin.elapsed();
    let again = again.ready()?;
    let ready = again.ready_after;
    let back = again.usage()?;
    complete(&run(&plan(&again, program, &fleet, WINDOW + 1..WINDOW + 3))?)?;
    let after = again.usage()?;
    let series = active(&fleet);
    let name = format!("{} k series at a time, {} k in the two hours", size.many / 1000, series / 1000);
    Ok(vec![
        (
            format!("{name}: peak resident bytes a series of the window"),
            format!("{} ({} MB)", used.peak / series, used.peak >> 20),
        ),
        (
            format!("{name}: samples per CPU-second"),
            format!("{:.2} M", report.acknowledged as f64 / used.cpu_ms as f64 / 1e3),
        ),
        (format!("{name}: acknowledgement"), acknowledgement(&report)),
        (format!("{name}: on disk"), format!("{} MB", disk >> 20)),
        (
            format!("{name}: after kill -9"),
            format!(
                "first write taken after {:.2} s, ready after {:.2} s ({:.2} CPU-s)",
                taken.as_secs_f64(),
                ready.as_secs_f64(),
                back.cpu_ms as f64 / 1e3
            ),
        ),
        (
            format!("{name}: peak resident, before the kill and after it"),
            format!("{} MB, {} MB", used.peak >> 20, after.peak >> 20),
        ),
    ])
}

/// The same series as one tenant and as many: what memory the many cost.
pub(crate) fn tenants(program: &Program, folder: &Path, size: &Size) -> anyhow::Result<Rows> {
    let series = size.many / 2;
    let tenants = series / SMALL;
    let fleet = recent(series, size.samples)?;
    let (one, many) = (folder.join("one"), folder.join("many"));
    let whole = {
        std::fs::create_dir_all(&one)?;
        let server = Server::start(program, &one)?;
        complete(&run(&plan(&server, program, &fleet, 0..size.samples))?)?;
        server.usage()?
    };
    std::fs::create_dir_all(&many)?;
    let server = Server::start(program, &many)?;
    let mut sent = Report::default();
    for tenant in 0..tenants {
        let fleet = Fleet { series: SMALL, seed: tenant + 1, ..fleet.clone() };
        let plan = Plan {
            fleet,
            tenant: format!("tenant-{tenant:04}"),
            connections: 1,
            ..plan(&server, program, &recent(SMALL, size.samples)?, 0..size.samples)
        };
        let report = run(&plan)?;
        complete(&report)?;
        sent.acknowledged += report.acknowledged;
    }
    let parts = server.usage()?;
    let name = format!("{tenants} tenants of {SMALL} series, {} samples each", size.samples);
    Ok(vec![
        (
            format!("{name}: peak resident, against one tenant of {} k", series / 1000),
            format!(
                "{} MB against {} MB: {:.2} times",
                parts.peak >> 20,
                whole.peak >> 20,
                parts.peak as f64 / whole.peak as f64
            ),
        ),
        (
            format!("{name}: samples per CPU-second"),
            format!("{:.2} M", sent.acknowledged as f64 / parts.cpu_ms as f64 / 1e3),
        ),
    ])
}

/// Half a day of churning series in `--minutes`: blocks are cut and series forgotten all the while. For each two hours of the
/// data, the most that was resident at the end of a round, the acknowledgements, and the bytes on disk beside blocks.
pub(crate) fn soak(program: &Program, folder: &Path, size: &Size) -> anyhow::Result<Rows> {
    const HOURS: i64 = 13;
    let now = recent(1, 0)?.start;
    let two_hours = 7_200_000;
    let start = (now - HOURS * 3_600_000) / two_hours * two_hours;
    let fleet = Fleet { churn_rounds: RENAMED_AFTER, ..Fleet::steady(size.series, start) };
    let rounds = u64::try_from(HOURS * 240)?;
    let pace = Duration::from_secs(size.minutes * 60) / u32::try_from(rounds)?;
    let server = Server::start(program, folder)?;
    let begin = Instant::now();
    let mut rows = Rows::new();
    let mut part = Report::default();
    let mut resident = 0;
    for round in 0..rounds {
        let mut report = run(&plan(&server, program, &fleet, round..round + 1))?;
        complete(&report)?;
        part.latencies.append(&mut report.latencies);
        resident = resident.max(server.usage()?.resident);
        if (round + 1) % WINDOW == 0 || round + 1 == rounds {
            part.latencies.sort_unstable();
            let disk = folder_bytes(&program.database(folder)) >> 20;
            rows.push((
                format!("{} k series under churn, hours {} and on", size.series / 1000, round / WINDOW * 2),
                format!(
                    "{} MB resident at most, {disk} MB on disk; {}",
                    resident >> 20,
                    acknowledgement(&part)
                ),
            ));
            (part, resident) = (Report::default(), 0);
        }
        let due = pace * u32::try_from(round + 1)?;
        std::thread::sleep(due.saturating_sub(begin.elapsed()));
    }
    Ok(rows)
}
