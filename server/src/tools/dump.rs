//! `tools block dump`: a line a sample, in the form of `promtool tsdb dump`, so that the two can be compared with `diff`.
//!
//! Every sample has its line. promtool passes over the first sample of a series of float histograms, and over the first two of one
//! of integer histograms.

use std::io::Write as _;
use std::path::Path;

use sarsen_block::{ChunkSet, Decode, Matcher, Merge, SampleSet as _, TimeRange, Value, parse_selector};

use super::open::{fail, open_block, some_blocks_in};
use super::print::{Stopped, on_stdout};
use super::{directories, histogram, usage};
use crate::cli::Failure;
use crate::config::flags::{Flag, Given, Kind};
use crate::go_float;

/// Own flags.
pub(super) const FLAGS: &[Flag] = &[
    Flag::new(
        "match",
        Kind::Text,
        "",
        "Series selector; several give every series that one of them accepts.",
    )
    .repeat(),
    Flag::new("min-time", Kind::Integer, "-9223372036854775808", "First timestamp, in milliseconds."),
    Flag::new("max-time", Kind::Integer, "9223372036854775807", "Last timestamp, in milliseconds."),
];

/// Prints the samples of the blocks in the arguments, as one sorted stream.
pub(super) fn run(given: Given) -> Result<(), Failure> {
    let directories = directories(&given)?;
    let range = TimeRange::new(time(&given, "min-time")?, time(&given, "max-time")?);
    let read = |text: &String| parse_selector(text).map_err(|why| usage(format!("--match: {why}")));
    let mut selectors = given.all("match").iter().map(read).collect::<Result<Vec<Vec<Matcher>>, _>>()?;
    if selectors.is_empty() {
        selectors.push(Vec::new());
    }
    let mut sets: Vec<Box<dyn ChunkSet>> = Vec::new();
    for directory in directories {
        for path in some_blocks_in(Path::new(directory))? {
            let opened = open_block(&path)?;
            for matchers in &selectors {
                let set = opened.block.select(matchers, range).map_err(|why| fail(&path, why))?;
                sets.push(Box::new(set));
            }
        }
    }
    let mut series = Decode::new(Merge::new(sets), range);
    on_stdout(|out| {
        while let Some(one) = series.next().map_err(|why| Stopped::Failed(Failure::Run(why.to_string())))? {
            let labels = one.labels.as_ref().to_string();
            for sample in &one.samples {
                let value = match &sample.value {
                    Value::Float(value) => go_float::general(*value),
                    Value::Histogram(value) => histogram::text(value),
                };
                writeln!(out, "{labels} {value} {}", sample.t)?;
            }
        }
        Ok(())
    })
}

fn time(given: &Given, name: &str) -> Result<i64, Failure> {
    given.text(name).parse().map_err(|_| usage(format!("--{name}: no whole number")))
}
