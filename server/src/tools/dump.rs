//! `tools block dump`: a line a sample, in the form of `promtool tsdb dump`, so that the two can be compared with `diff`.
//!
//! Of downsampled blocks the parts named by `--aggregate` are printed as they are stored: for each series one part after the other, in the
//! order of the flag, a line a sample; where several are named, the name stands at the end of the line.
//!
//! Every sample has its line. promtool passes over the first sample of a series of float histograms, and over the first two of one
//! of integer histograms.

use std::io::Write as _;
use std::path::Path;

use sarsen_block::{
    ChunkSet, Decode, Encoding, Error, Matcher, Merge, Sample, SampleIter as _, SampleSet as _, TimeRange,
    TimedChunk, Value, parse_selector,
};
use sarsen_downsample::{AggrChunk, Aggregate};

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
    Flag::new(
        "aggregate",
        Kind::Text,
        "",
        "Parts of a downsampled block, separated by commas: count, sum, min, max, counter.",
    ),
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
    let aggregates = aggregates(given.text("aggregate"))?;
    let mut sets: Vec<Box<dyn ChunkSet>> = Vec::new();
    for directory in directories {
        for path in some_blocks_in(Path::new(directory))? {
            let opened = open_block(&path)?;
            let raw = opened.block.meta().thanos.as_ref().is_none_or(|thanos| thanos.resolution == 0);
            match (raw, aggregates.is_empty()) {
                (true, false) => {
                    return Err(fail(&path, "it is not downsampled: there is no --aggregate of it"));
                }
                (false, true) => {
                    return Err(fail(&path, "it is downsampled: name what to print with --aggregate"));
                }
                _ => {}
            }
            for matchers in &selectors {
                let set = opened.block.select(matchers, range).map_err(|why| fail(&path, why))?;
                sets.push(Box::new(set));
            }
        }
    }
    if aggregates.is_empty() {
        raw(Merge::new(sets), range)
    } else {
        parts(Merge::new(sets), range, &aggregates)
    }
}

/// The aggregates in `text`.
fn aggregates(text: &str) -> Result<Vec<Aggregate>, Failure> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let of_name = |name| {
        Aggregate::of_name(name)
            .ok_or_else(|| usage(format!("--aggregate: {name:?} is none of count, sum, min, max, counter")))
    };
    names.map(of_name).collect()
}

/// Prints raw samples.
fn raw(sets: impl ChunkSet, range: TimeRange) -> Result<(), Failure> {
    let mut series = Decode::new(sets, range);
    on_stdout(|out| {
        while let Some(one) = series.next().map_err(damaged)? {
            let labels = one.labels.as_ref().to_string();
            for sample in &one.samples {
                writeln!(out, "{labels} {} {}", text(sample), sample.t)?;
            }
        }
        Ok(())
    })
}

/// Prints parts of aggregate chunks.
fn parts(mut sets: impl ChunkSet, range: TimeRange, aggregates: &[Aggregate]) -> Result<(), Failure> {
    on_stdout(|out| {
        while let Some(one) = sets.next().map_err(damaged)? {
            let labels = one.labels.as_ref().to_string();
            for &aggregate in aggregates {
                let name =
                    if aggregates.len() > 1 { format!(" {}", aggregate.name()) } else { String::new() };
                for timed in &one.chunks {
                    for sample in samples_of(timed, aggregate, range).map_err(damaged)? {
                        writeln!(out, "{labels} {} {}{name}", text(&sample), sample.t)?;
                    }
                }
            }
        }
        Ok(())
    })
}

/// The samples in `range` of one part of a chunk; none if it lacks the part. Chunks of raw samples that strayed in have none.
fn samples_of(timed: &TimedChunk, aggregate: Aggregate, range: TimeRange) -> Result<Vec<Sample>, Error> {
    if timed.chunk.encoding != Encoding::Aggregate {
        return Ok(Vec::new());
    }
    let parts = AggrChunk::parse(&timed.chunk)?;
    let mut found = Vec::new();
    if let Some(part) = parts.get(aggregate) {
        let mut samples = part.samples()?;
        while let Some(sample) = samples.next()? {
            if range.contains(sample.t) {
                found.push(sample);
            }
        }
    }
    Ok(found)
}

fn text(sample: &Sample) -> String {
    match &sample.value {
        Value::Float(value) => go_float::general(*value),
        Value::Histogram(value) => histogram::text(value),
    }
}

fn damaged(why: Error) -> Stopped {
    Stopped::Failed(Failure::Run(why.to_string()))
}

fn time(given: &Given, name: &str) -> Result<i64, Failure> {
    given.text(name).parse().map_err(|_| usage(format!("--{name}: no whole number")))
}
