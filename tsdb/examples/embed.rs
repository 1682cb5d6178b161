//! A program that keeps its own measurements: open, write, cut, read back. Run with
//! `cargo run -p sarsen-tsdb --example embed -- /some/directory`.
//!
//! The library starts no thread and asks no clock: the program says what time it is and when there is time for upkeep.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use sarsen_block::{Decode, Labels, MatchOp, Matcher, SampleSet, TimeRange, Timestamp, Value};
use sarsen_tsdb::Db;

const MINUTE: Timestamp = 60_000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("which directory?")?;
    // A program that takes labels from strangers draws the seeds at random.
    let db = Db::builder(&directory).hash_seed([1, 2, 3, 4]).id_seed(5).open()?;
    println!("{} samples came back from the log", db.open_report().samples);

    let rooms: Vec<Labels> = ["kitchen", "cellar", "attic"]
        .iter()
        .map(|room| Labels::from_pairs([("__name__", "temperature_celsius"), ("room", *room)]))
        .collect::<Result<_, _>>()?;
    let start = db.stats().max_time.map_or(1_700_000_000_000, |newest| newest + MINUTE);
    for step in 0..300 {
        let now = start + step * MINUTE;
        let mut batch = db.appender();
        for (i, room) in rooms.iter().enumerate() {
            batch.append(room.as_ref(), now, 18.0 + i as f64 + (step as f64 / 40.0).sin());
        }
        let commit = batch.commit()?;
        assert!(commit.committed.refused.is_empty());
        commit.pending.wait()?;
        for cut in db.maintain(now)?.cuts {
            let block = cut.block.map_or("no block".to_owned(), |id| format!("block {id}"));
            println!("cut {} samples of {} series into {block}", cut.samples, cut.series);
        }
    }

    let last_hour = TimeRange::new(start + 240 * MINUTE, start + 300 * MINUTE);
    let matchers = [Matcher::new(MatchOp::Regex, "room", "kitchen|attic")?];
    let mut found = Decode::new(db.querier(last_hour).select(&matchers)?, last_hour);
    while let Some(series) = found.next()? {
        let values = series.samples.iter().filter_map(|sample| match sample.value {
            Value::Float(v) => Some(v),
            _ => None,
        });
        let highest = values.fold(f64::NEG_INFINITY, f64::max);
        println!("{:?}: {} samples, at most {highest:.2}", series.labels, series.samples.len());
    }
    db.close()?;
    Ok(())
}
