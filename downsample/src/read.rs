//! Which aggregate answers which function, and what the chunks of a series say to it.
//!
//! Raw samples answer every question themselves: a sample is its own sum, least, greatest and average, and counts once. Aggregates
//! answer with one part, averages with two; for a counter the resets are taken out over all chunks, raw or not, so that what was
//! gained between two chunks of different resolution is counted once too.

use sarsen_block::{
    Aggregates, Chunk, Encoding, Error, Sample, SampleIter, TimeRange, TimedChunk, Value, decode_chunks,
    is_stale,
};

use crate::aggr::{AggrChunk, Aggregate};
use crate::average::AverageIter;
use crate::counter::Gains;
use crate::merge::AggregateChunks;
use crate::window::Resolution;

/// What is asked of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// One part of the aggregates.
    Part(Aggregate),
    /// The average of each window.
    Average,
}

/// What answers a function of PromQL, as Thanos has it: `min`, `max` and `count` and what begins with one of them and an underscore read that
/// part, `sum_over_time` and its like the sums, `rate`, `increase`, `irate`, `resets`, `xrate` and `xincrease` the counters. All
/// others, `sum` and `avg` too, and a selector without a function (the empty name), read averages.
pub fn aggregate_for(function: &str) -> Wanted {
    let family = function.split_once('_').map_or(function, |(family, _)| family);
    match (family, function) {
        ("min", _) => Wanted::Part(Aggregate::Min),
        ("max", _) => Wanted::Part(Aggregate::Max),
        ("count", _) => Wanted::Part(Aggregate::Count),
        ("sum", "sum") => Wanted::Average,
        ("sum", _) => Wanted::Part(Aggregate::Sum),
        (_, "increase" | "rate" | "irate" | "resets" | "xincrease" | "xrate") => {
            Wanted::Part(Aggregate::Counter)
        }
        _ => Wanted::Average,
    }
}

/// Chunks of one resolution that answer for a stretch of time.
#[derive(Debug, Clone)]
pub(crate) struct Stretch {
    pub(crate) resolution: Resolution,
    /// Samples outside are answered by others, or by nobody.
    pub(crate) range: TimeRange,
    /// By first, then last time. They may overlap, and may reach beyond the range.
    pub(crate) chunks: Vec<TimedChunk>,
}

/// What `wanted` is over stretches in order of time.
pub(crate) fn read(stretches: Vec<Stretch>, wanted: Wanted) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    if wanted == Wanted::Part(Aggregate::Counter) {
        let mut gains = Gains::new();
        for stretch in stretches {
            read_counter(stretch, &mut gains, &mut samples)?;
        }
        return Ok(samples);
    }
    for Stretch { resolution, range, chunks } in stretches {
        let start = samples.len();
        if resolution == Resolution::Raw {
            samples.extend(decode_chunks(&chunks, range)?);
            if wanted == Wanted::Part(Aggregate::Count) {
                each_once(&mut samples, start);
            }
            continue;
        }
        for timed in apart(chunks, resolution)? {
            if timed.chunk.encoding != Encoding::Aggregate {
                samples.extend(decode_chunks(std::slice::from_ref(&timed), range)?);
                continue;
            }
            let parts = AggrChunk::parse(&timed.chunk)?;
            let part = |aggregate| parts.get(aggregate);
            match wanted {
                Wanted::Part(aggregate) => {
                    if let Some(part) = part(aggregate) {
                        within(part.samples()?, range, &mut samples)?;
                    }
                }
                Wanted::Average => {
                    if let (Some(counts), Some(sums)) = (part(Aggregate::Count), part(Aggregate::Sum)) {
                        within(AverageIter::new(counts, sums)?, range, &mut samples)?;
                    }
                }
            }
        }
    }
    Ok(samples)
}

/// Makes raw samples from `start` on counts of themselves. The marks where a series ended are no samples.
fn each_once(samples: &mut Vec<Sample>, start: usize) {
    let ended = |sample: &Sample| match &sample.value {
        Value::Float(value) => is_stale(*value),
        Value::Histogram(histogram) => histogram.is_stale(),
    };
    let mut at = 0;
    samples.retain(|sample| {
        at += 1;
        at <= start || !ended(sample)
    });
    for sample in samples.iter_mut().skip(start) {
        sample.value = Value::Float(1.0);
    }
}

fn within(mut all: impl SampleIter, range: TimeRange, into: &mut Vec<Sample>) -> Result<(), Error> {
    while let Some(sample) = all.next()? {
        if range.contains(sample.t) {
            into.push(sample);
        }
    }
    Ok(())
}

/// Aggregate chunks as a run without overlaps.
fn apart(chunks: Vec<TimedChunk>, resolution: Resolution) -> Result<Vec<TimedChunk>, Error> {
    let overlap = chunks.windows(2).any(|pair| matches!(pair, [a, b] if a.range.max >= b.range.min));
    if !overlap || chunks.iter().any(|timed| timed.chunk.encoding != Encoding::Aggregate) {
        return Ok(chunks);
    }
    // Each chunk goes behind the first run that it does not overlap.
    let mut runs: Vec<Vec<TimedChunk>> = Vec::new();
    for timed in chunks {
        let fits =
            |run: &&mut Vec<TimedChunk>| run.last().is_none_or(|last| last.range.max < timed.range.min);
        match runs.iter_mut().find(fits) {
            Some(run) => run.push(timed),
            None => runs.push(vec![timed]),
        }
    }
    AggregateChunks::of(resolution).merge(runs)
}

/// What a counter gained in a stretch. A chunk that began before it is another account of what was gained there already.
fn read_counter(stretch: Stretch, gains: &mut Gains, into: &mut Vec<Sample>) -> Result<(), Error> {
    let Stretch { resolution, range, chunks } = stretch;
    if resolution == Resolution::Raw {
        for sample in decode_chunks(&chunks, range)? {
            add_counter(sample, gains, into);
        }
        gains.end_chunk();
        return Ok(());
    }
    for timed in apart(chunks, resolution)? {
        let parts;
        let part: Option<&Chunk> = if timed.chunk.encoding == Encoding::Aggregate {
            parts = AggrChunk::parse(&timed.chunk)?;
            parts.get(Aggregate::Counter)
        } else {
            Some(&timed.chunk)
        };
        let Some(part) = part else { continue };
        let mut all = part.samples()?;
        let (mut first, mut before) = (true, None);
        while let Some(sample) = all.next()? {
            // The first true value may lie before the stretch, though all windows lie in it.
            let opens = std::mem::take(&mut first) && timed.range.min >= range.min;
            if sample.t < range.min && !opens {
                before = Some(sample);
                continue;
            }
            if sample.t > range.max {
                break;
            }
            if let Some(Sample { t, value: Value::Float(value), .. }) = before.take() {
                gains.take_up(t, value);
            }
            let given = into.len();
            add_counter(sample, gains, into);
            if opens && into.last().is_some_and(|sample| sample.t < range.min) {
                into.truncate(given);
            }
        }
        gains.end_chunk();
    }
    Ok(())
}

fn add_counter(sample: Sample, gains: &mut Gains, into: &mut Vec<Sample>) {
    match sample.value {
        Value::Float(value) => {
            let total = gains.add(sample.t, value);
            into.extend(total.map(|total| Sample::float(sample.t, total)));
        }
        Value::Histogram(ref histogram) => {
            if !histogram.is_stale() && gains.pass(sample.t) {
                into.push(sample);
            }
        }
    }
}
