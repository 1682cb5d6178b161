//! What a querier, and those whom it asks, need for dashboards: over hours from a receiver, over days and months from a store gateway.

use std::path::Path;

use anyhow::Result;
use sarsen_benches::{ArchivePlan, Client, PANELS, Querier, View, ask_range, build_querier};

use crate::gateway::Archived;
use crate::{Arguments, Loaded};

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Dashboards of each range, each another one.
const DASHBOARDS: u64 = 5;

/// What a dashboard of ten panels over a range costs, in milliseconds of CPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dashboard {
    pub(crate) range: &'static str,
    /// Whether a receiver answered, and not a gateway.
    pub(crate) recent: bool,
    pub(crate) querier: f64,
    /// The receiver or the gateway.
    pub(crate) store: f64,
}

/// What a querier used.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) dashboards: Vec<Dashboard>,
    /// Resident before the first question, and the most ever.
    pub(crate) resident_empty: u64,
    pub(crate) resident_peak: u64,
}

/// Starts a querier over the receiver and the gateway, and asks it dashboards of every range.
pub(crate) fn ask(
    arguments: &Arguments,
    folder: &Path,
    loaded: &Loaded,
    archive: &Archived,
) -> Result<Answered> {
    let program = arguments.querier.clone().map_or_else(build_querier, Ok)?;
    let endpoints = [loaded.server.grpc.as_str(), &archive.gateway.grpc];
    let querier = Querier::start(&program, &folder.join("querier"), &endpoints, &[])?;
    let resident_empty = querier.usage()?.peak;
    let scrape = i64::try_from(arguments.interval)?.max(1) * 1000;
    let old = archive.plan.fleet(0, MINUTE);
    let recent = View { fleet: &loaded.fleet, end: loaded.end, span: 3 * HOUR, scrape };
    let days =
        |days: i64| View { fleet: &old, end: ArchivePlan::END - MINUTE, span: days * DAY, scrape: MINUTE };
    let ranges = [
        ("3 h", recent, true),
        ("7 d", days(7), false),
        ("30 d", days(30), false),
        ("180 d", days(180), false),
    ];
    let mut dashboards = Vec::new();
    for (range, view, recent) in ranges {
        let used = || -> Result<[u64; 2]> {
            let store = if recent { loaded.server.usage()? } else { archive.gateway.usage()? };
            Ok([querier.usage()?.cpu_ms, store.cpu_ms])
        };
        let mut client = Client::new(querier.http.as_str());
        let mut all = || -> Result<()> {
            for number in 0..DASHBOARDS {
                for panel in PANELS {
                    ask_range(&mut client, &view.form(panel, number))?;
                }
            }
            Ok(())
        };
        // The first time fills caches.
        all()?;
        let before = used()?;
        all()?;
        let after = used()?;
        let [own, theirs] =
            [(after[0], before[0]), (after[1], before[1])].map(|(after, before)| (after - before) as f64);
        let each = DASHBOARDS as f64;
        dashboards.push(Dashboard { range, recent, querier: own / each, store: theirs / each });
    }
    Ok(Answered { dashboards, resident_empty, resident_peak: querier.usage()?.peak })
}
