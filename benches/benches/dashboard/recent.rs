//! Twenty panels over six hours, all at once: a screen is opened.

#![expect(clippy::print_stdout, reason = "a bench tells what it measured")]

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use sarsen_benches::{Fleet, PANELS, Shipper, View};

use crate::measure::wall;
use crate::{Arguments, Programs, directory};

const HOUR: i64 = 3_600_000;
const START: i64 = 1_700_006_400_000;
/// Blocks of two hours.
const BLOCKS: i64 = 4;
/// Fifty metrics of 1,600 series each; a panel of the histogram has ten series for each of the two hundred targets of a service.
const SERIES: u64 = 80_000;
/// How often the same screen is opened again.
const AGAIN: usize = 5;

/// Makes the bucket if it is not there, and asks.
pub(crate) fn measure(arguments: &Arguments, programs: &Programs, folder: &Path) -> Result<()> {
    let interval = arguments.interval.max(1) * 1000;
    let fleet = Fleet { interval, buckets: true, ..Fleet::steady(SERIES, START) };
    let bucket = folder.join(format!("recent-{}", arguments.interval));
    let end = START + BLOCKS * 2 * HOUR;
    if !bucket.is_dir() {
        let begin = Instant::now();
        let shipper = Shipper::new(fleet.clone(), &[("tenant_id", "tenant-0"), ("replica", "r0")], 1);
        shipper.ship_all(&bucket, START..end, 2 * HOUR)?;
        println!("a bucket made in {:.0} s", begin.elapsed().as_secs_f64());
    }
    let work = folder.join("recent-work");
    fs::remove_dir_all(&work).ok();
    let view = View { fleet: &fleet, end: end - interval, span: 6 * HOUR, scrape: interval };
    let panels = || {
        [0, 3]
            .into_iter()
            .flat_map(|number| PANELS.map(|panel| (panel.name, view.form(panel, number))))
            .collect()
    };
    let objstore = directory(&bucket);
    // The first start makes the headers.
    let first = programs.start(&work, &objstore, false)?;
    wall(&first.querier.http, panels())?;
    drop(first);
    let pair = programs.start(&work, &objstore, false)?;
    println!(
        "\n| 20 panels over 6 h at once | all there after, ms | querier, CPU-ms | gateway, CPU-ms | MiB of chunks | MiB answered |"
    );
    println!("|---|---|---|---|---|---|");
    for turn in 0..=AGAIN {
        let before = (pair.querier.usage()?, pair.gateway.usage()?, pair.gateway.sent()?);
        let (milliseconds, asked) = wall(&pair.querier.http, panels())?;
        let after = (pair.querier.usage()?, pair.gateway.usage()?, pair.gateway.sent()?);
        println!(
            "| {} | {milliseconds:.0} | {} | {} | {:.1} | {:.1} |",
            if turn == 0 { "cold" } else { "warm" },
            after.0.cpu_ms - before.0.cpu_ms,
            after.1.cpu_ms - before.1.cpu_ms,
            (after.2 - before.2) as f64 / f64::from(1 << 20),
            asked.iter().map(|asked| asked.bytes).sum::<u64>() as f64 / f64::from(1 << 20)
        );
        if arguments.panels {
            let times = asked.iter().map(|asked| format!("{} {:.0}", asked.panel, asked.milliseconds));
            println!("{}", times.collect::<Vec<_>>().join(", "));
        }
    }
    let (querier, gateway) = (pair.querier.usage()?.peak >> 20, pair.gateway.usage()?.peak >> 20);
    println!("\nPeak resident: querier {querier} MiB, gateway {gateway} MiB");
    fs::remove_dir_all(&work).ok();
    Ok(())
}
