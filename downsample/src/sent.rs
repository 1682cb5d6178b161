//! Chunks as a store sends them, raw ones and the asked parts of aggregates mixed, read for what a function wants.
//!
//! The rules are those of Thanos' querier. Chunks follow each other in one row; of a chunk that begins before the row has ended, what is
//! behind that end is read. A raw chunk answers for every part. A counter goes through all chunks of the row, raw or not, and loses its
//! resets; averages are sums divided by counts. Only then the row is cut to the range, so that what a counter gained before it is in
//! its value. What a chunk lacks is left out.

use sarsen_block::{Chunk, ChunkIter, Encoding, Error, Histogram, SampleIter, TimeRange, Timestamp, Value};

use crate::aggr::{AggrChunk, Aggregate};
use crate::average::AverageIter;
use crate::counter::Gains;
use crate::read::Wanted;

/// A chunk of a row.
#[derive(Debug, Clone, Copy)]
pub enum Sent<'a> {
    /// Samples.
    Raw(&'a Chunk),
    /// Parts of aggregates.
    Aggregates(&'a AggrChunk),
}

/// Where samples go.
pub trait Sink {
    /// Takes a number: when, the start timestamp (0: not known), what.
    fn float(&mut self, t: Timestamp, start: Timestamp, value: f64);

    /// Takes a histogram.
    fn histogram(&mut self, t: Timestamp, start: Timestamp, value: Box<Histogram>);

    /// About so many numbers are to come.
    fn expect(&mut self, floats: usize);
}

/// Reads a row of chunks in order of time into `into`, which gets the samples in `range` with rising times, and the first one behind
/// it if `one_behind` says so and a chunk has it.
///
/// # Errors
/// `Corrupt` if a chunk is damaged.
pub fn read_sent<'a>(
    row: impl IntoIterator<Item = Sent<'a>>,
    wanted: Wanted,
    (range, one_behind): (TimeRange, bool),
    into: &mut impl Sink,
) -> Result<(), Error> {
    let mut cut = Cut { range, one_behind, last: None, done: range.is_empty(), into };
    if wanted == Wanted::Part(Aggregate::Counter) {
        return read_counter(row, &mut cut);
    }
    for sent in row {
        match (sent, wanted) {
            (Sent::Raw(chunk), _) => raw(chunk, &mut cut)?,
            (Sent::Aggregates(parts), Wanted::Part(aggregate)) => {
                if let Some(part) = parts.get(aggregate) {
                    raw(part, &mut cut)?;
                }
            }
            (Sent::Aggregates(parts), Wanted::Average) => {
                if let (Some(counts), Some(sums)) = (parts.get(Aggregate::Count), parts.get(Aggregate::Sum)) {
                    let mut averages = AverageIter::new(counts, sums)?;
                    while let Some(sample) = averages.next()? {
                        cut.value(sample.t, sample.start, sample.value);
                    }
                }
            }
        }
        if cut.done {
            break;
        }
    }
    Ok(())
}

/// Lets through what is in the range and behind what came before.
struct Cut<'s, S> {
    range: TimeRange,
    one_behind: bool,
    last: Option<Timestamp>,
    done: bool,
    into: &'s mut S,
}

impl<S: Sink> Cut<'_, S> {
    /// Whether a sample of this time is to be given out.
    #[inline]
    fn takes(&mut self, t: Timestamp) -> bool {
        if self.done || self.last.is_some_and(|last| t <= last) {
            return false;
        }
        self.last = Some(t);
        if t > self.range.max {
            self.done = true;
            return self.one_behind;
        }
        t >= self.range.min
    }

    #[inline]
    fn float(&mut self, t: Timestamp, start: Timestamp, value: f64) {
        if self.takes(t) {
            self.into.float(t, start, value);
        }
    }

    fn value(&mut self, t: Timestamp, start: Timestamp, value: Value) {
        match value {
            Value::Float(value) => self.float(t, start, value),
            Value::Histogram(value) => {
                if self.takes(t) {
                    self.into.histogram(t, start, value);
                }
            }
        }
    }
}

/// How many samples a chunk can have. A sample takes at least a bit, so a damaged count cannot ask for much memory.
fn room_for(chunk: &Chunk) -> Result<usize, Error> {
    Ok(chunk.data.len().saturating_mul(8).min(chunk.num_samples()?.into()))
}

/// Samples as they stand in a chunk.
fn raw<S: Sink>(chunk: &Chunk, cut: &mut Cut<'_, S>) -> Result<(), Error> {
    match chunk.samples()? {
        ChunkIter::Xor(mut iter) => {
            cut.into.expect(room_for(chunk)?);
            while let Some((t, value)) = iter.next()? {
                cut.float(t, 0, value);
                if cut.done {
                    break;
                }
            }
        }
        ChunkIter::Xor2(mut iter) => {
            cut.into.expect(room_for(chunk)?);
            while let Some((t, start, value)) = iter.next()? {
                cut.float(t, start, value);
                if cut.done {
                    break;
                }
            }
        }
        ChunkIter::Histogram(mut iter) => {
            while let Some(t) = iter.advance()? {
                if cut.takes(t)
                    && let Some(sample) = iter.sample()
                    && let Value::Histogram(value) = sample.value
                {
                    cut.into.histogram(t, sample.start, value);
                }
                if cut.done {
                    break;
                }
            }
        }
        mut other => {
            while let Some(sample) = other.next()? {
                cut.value(sample.t, sample.start, sample.value);
            }
        }
    }
    Ok(())
}

fn read_counter<'a, S: Sink>(
    row: impl IntoIterator<Item = Sent<'a>>,
    cut: &mut Cut<'_, S>,
) -> Result<(), Error> {
    let mut gains = Gains::new();
    for sent in row {
        let part = match sent {
            Sent::Raw(chunk) => Some(chunk),
            Sent::Aggregates(parts) => parts.get(Aggregate::Counter),
        };
        let Some(chunk) = part else { continue };
        counter(chunk, &mut gains, cut)?;
        gains.end_chunk();
        if cut.done {
            break;
        }
    }
    Ok(())
}

/// What a counter gained in a chunk.
fn counter<S: Sink>(chunk: &Chunk, gains: &mut Gains, cut: &mut Cut<'_, S>) -> Result<(), Error> {
    if chunk.encoding == Encoding::Xor
        && let ChunkIter::Xor(mut iter) = chunk.samples()?
    {
        cut.into.expect(room_for(chunk)?);
        while let Some((t, value)) = iter.next()? {
            if let Some(total) = gains.add(t, value) {
                cut.float(t, 0, total);
                if cut.done {
                    break;
                }
            }
        }
        return Ok(());
    }
    let mut iter = chunk.samples()?;
    while let Some(sample) = iter.next()? {
        match sample.value {
            Value::Float(value) => {
                if let Some(total) = gains.add(sample.t, value) {
                    cut.float(sample.t, sample.start, total);
                }
            }
            Value::Histogram(value) => {
                if gains.pass(sample.t) {
                    cut.value(sample.t, sample.start, Value::Histogram(value));
                }
            }
        }
        if cut.done {
            break;
        }
    }
    Ok(())
}
