//! Asks a database for the samples of a range. Run with
//! `cargo run -p sarsen-tsdb --example query -- /some/directory 'selector' [from] [to]`, times in milliseconds.
//!
//! Two levels: a [`Querier`](sarsen_tsdb::Querier) gives chunks as they are stored, `Decode` makes samples of them.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use sarsen_block::{Decode, SampleSet, TimeRange, Timestamp, Value, is_stale, parse_selector};
use sarsen_tsdb::Db;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let directory = arguments.next().ok_or("which directory?")?;
    let selector = arguments.next().ok_or("which series? for example {job=\"node\"}")?;
    let mut time = |otherwise: Timestamp| arguments.next().map_or(Ok(otherwise), |text| text.parse());
    let range = TimeRange::new(time(Timestamp::MIN)?, time(Timestamp::MAX)?);

    let db = Db::builder(directory).open()?;
    let matchers = parse_selector(&selector)?;
    let mut found = Decode::new(db.querier(range).select(&matchers)?, range);
    let (mut series_count, mut sample_count) = (0, 0);
    while let Some(series) = found.next()? {
        series_count += 1;
        sample_count += series.samples.len();
        // A stale marker says that the series ended here; it is no reading.
        let last = series.samples.iter().rfind(|sample| match &sample.value {
            Value::Float(value) => !is_stale(*value),
            Value::Histogram(histogram) => !is_stale(histogram.sum),
        });
        match last.map(|sample| (sample.t, &sample.value)) {
            Some((t, Value::Float(value))) => println!("{:?} {value} at {t}", series.labels),
            Some((t, Value::Histogram(histogram))) => {
                println!("{:?} a histogram with sum {} at {t}", series.labels, histogram.sum);
            }
            None => println!("{:?} nothing but markers", series.labels),
        }
    }
    println!("{sample_count} samples of {series_count} series");
    Ok(())
}
