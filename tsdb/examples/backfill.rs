//! A month of readings that lie somewhere else become blocks, without a detour through a log. Run with
//! `cargo run -p sarsen-tsdb --example backfill -- /some/directory`.
//!
//! The directory can then be opened by this crate, by Prometheus or by promtool, or be handed to a shipper.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use sarsen_block::{Labels, Sample, TimeRange, Timestamp, parse_selector};
use sarsen_tsdb::{Backfill, Db, Options};

const MINUTE: Timestamp = 60_000;
const DAY: Timestamp = 24 * 60 * MINUTE;
const START: Timestamp = 1_600_000_000_000;

/// Readings of one meter, as a file or another database would give them: times rise.
fn readings(meter: u32) -> impl Iterator<Item = Sample> {
    (0..30 * 24 * 12).map(move |step| {
        let swing = (f64::from(step) / 144.0).sin();
        Sample::float(START + Timestamp::from(step) * 5 * MINUTE, f64::from(meter) + swing)
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("which directory?")?;
    let mut options = Options::default();
    // Old data is read in long stretches: blocks of ten days instead of two hours.
    options.block_range = 10 * DAY;
    let mut backfill = Backfill::new(&directory).options(options.clone()).id_seed(7);
    for meter in 0..20 {
        let number = meter.to_string();
        let labels = Labels::from_pairs([("__name__", "meter_kilowatts"), ("meter", number.as_str())])?;
        backfill.add(labels.as_ref(), readings(meter))?;
    }
    for block in backfill.finish(START + 40 * DAY)? {
        let stats = block.meta.stats;
        let per_sample = block.bytes as f64 / stats.num_samples as f64;
        println!("{}: {} samples, {per_sample:.2} bytes each", block.id, stats.num_samples);
    }

    let db = Db::builder(&directory).options(options).open()?;
    let names = db.querier(TimeRange::ALL).label_values(b"meter", &parse_selector("meter_kilowatts")?)?;
    println!("{} meters in {} blocks", names.len(), db.blocks().len());
    Ok(())
}
