//! The large scenarios: two hours of many series under churn, and many small tenants against one large one.

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
