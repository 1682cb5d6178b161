//! A program that keeps its measurements for long: raw for two days, five minutes for twelve, hours for ever. Run with
//! `cargo run -p sarsen-compactor --example resolutions -- /some/directory`.
//!
//! The database cuts blocks into a directory. One call, as often as the program likes, merges them, makes both coarser resolutions and
//! removes what is too old and has become part of others. One query reads back all that is left, of each time the finest. Nothing
//! runs on its own, and the program says what time it is: here five weeks pass in seconds.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;
use std::path::Path;

use sarsen_block::{Labels, SampleSet, TimeRange, Timestamp, Value, parse_selector};
use sarsen_compactor::{Options, Retention, maintain_directory};
use sarsen_downsample::{Aggregate, History, Resolution, Wanted, aggregate_for};
use sarsen_tsdb::{Db, open_blocks};

const MINUTE: Timestamp = 60_000;
const DAY: Timestamp = 24 * 60 * MINUTE;
const STEP: Timestamp = 2 * MINUTE;
const START: Timestamp = 1_699_920_000_000;
const DAYS: i64 = 35;

/// What came of it.
#[derive(Debug, Default)]
struct Kept {
    /// Samples written, and samples that the windows and raw samples together count.
    written: u64,
    counted: f64,
    /// What the counter of requests gained, and what it is read to have gained.
    gained: f64,
    read_gained: f64,
    /// How many days are answered by each resolution, the finest first.
    days: [i64; 3],
}

/// Writes the samples of five weeks, two minutes apart, and keeps house once a day.
fn write(directory: &Path, options: &Options) -> Result<Kept, Box<dyn Error>> {
    let db = Db::builder(directory).hash_seed([1, 2, 3, 4]).id_seed(5).open()?;
    let requests = Labels::from_pairs([("__name__", "requests_total"), ("host", "a")])?;
    let warmth = Labels::from_pairs([("__name__", "temperature_celsius"), ("host", "a")])?;
    let (mut total, mut kept) = (0.0, Kept::default());
    for step in 0..DAYS * DAY / STEP {
        let now = START + step * STEP;
        // The host restarts now and then, and its counter begins anew.
        let gain = (step % 7) as f64;
        total = if step % 2_503 == 2_502 { gain } else { total + gain };
        kept.gained += if step == 0 { 0.0 } else { gain };
        let mut batch = db.appender();
        batch.append(requests.as_ref(), now, total);
        batch.append(warmth.as_ref(), now, 18.0 + (step as f64 / 350.0).sin());
        kept.written += batch.commit()?.committed.accepted;
        if step % 60 == 0 {
            db.maintain(now)?;
        }
        if step % 720 == 719 {
            keep_house(directory, now, options)?;
            db.refresh()?;
        }
    }
    db.flush(START + DAYS * DAY)?;
    db.close()?;
    Ok(kept)
}

/// Everything that a directory of blocks needs, in one call.
fn keep_house(directory: &Path, now: Timestamp, options: &Options) -> Result<(), Box<dyn Error>> {
    let report = maintain_directory(directory, now, options)?;
    for aside in &report.set_aside {
        println!("set aside: {aside:?}");
    }
    if report.failed.is_empty() { Ok(()) } else { Err(format!("{:?}", report.failed).into()) }
}

/// Asks all that is left of the samples.
fn read(directory: &Path, kept: &mut Kept) -> Result<(), Box<dyn Error>> {
    let history = History::new(open_blocks(directory)?);
    for (range, resolution) in history.stretches(Resolution::OneHour) {
        let length = (range.max - range.min + DAY / 2) / DAY;
        println!("{length} days are answered in {resolution:?}");
        if let Some(days) = kept.days.get_mut(resolution as usize) {
            *days += length;
        }
    }
    let floats = |selector: &str, wanted| -> Result<Vec<f64>, Box<dyn Error>> {
        let matchers = parse_selector(selector)?;
        let mut found = history.select(&matchers, TimeRange::ALL, wanted, Resolution::OneHour)?;
        let mut values = Vec::new();
        while let Some(series) = found.next()? {
            values.extend(series.samples.iter().filter_map(|sample| match sample.value {
                Value::Float(value) => Some(value),
                Value::Histogram(_) => None,
            }));
        }
        Ok(values)
    };
    kept.counted = floats("{host=\"a\"}", Wanted::Part(Aggregate::Count))?.iter().sum();
    let totals = floats("requests_total", aggregate_for("increase"))?;
    kept.read_gained = totals.last().zip(totals.first()).map_or(0.0, |(last, first)| last - first);
    let warmest = floats("temperature_celsius", aggregate_for("max_over_time"))?;
    println!("at most {:.2} degrees", warmest.into_iter().fold(0.0, f64::max));
    Ok(())
}

fn run(directory: &Path) -> Result<Kept, Box<dyn Error>> {
    let retention = Retention { raw_ms: 2 * DAY, five_minutes_ms: 12 * DAY, one_hour_ms: 0 };
    let options = Options { retention, ..Options::default() };
    let mut kept = write(directory, &options)?;
    keep_house(directory, START + DAYS * DAY, &options)?;
    read(directory, &mut kept)?;
    Ok(kept)
}

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("which directory?")?;
    let kept = run(Path::new(&directory))?;
    println!(
        "{} of {} samples, {} of {} requests",
        kept.counted, kept.written, kept.read_gained, kept.gained
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use sarsen_block::Decode;

    use super::*;

    #[test]
    fn nothing_is_lost_and_nothing_counts_twice() {
        let directory = tempfile::tempdir().unwrap();
        let kept = run(directory.path()).unwrap();
        assert_eq!(kept.counted, kept.written as f64);
        assert_eq!(kept.read_gained, kept.gained);
        let [raw, five, hour] = kept.days;
        assert!(raw > 0 && raw < 10 && five > 0 && hour > 0, "{:?}", kept.days);
        assert_eq!(raw + five + hour, DAYS);

        // The database reads what is left raw, and only that.
        let db = Db::builder(directory.path()).open().unwrap();
        assert!(db.open_report().set_aside.is_empty(), "{:?}", db.open_report().set_aside);
        let mut found = Decode::new(db.querier(TimeRange::ALL).select(&[]).unwrap(), TimeRange::ALL);
        let mut series = 0;
        while let Some(one) = found.next().unwrap() {
            assert!(one.samples.len() as i64 >= DAY / STEP);
            series += 1;
        }
        assert_eq!(series, 2);
    }
}
