//! Raw samples to windows: the first step of downsampling.
//!
//! The usual series goes through `stream`. The samples of any other are decoded first, cut into batches of about equally many samples that end with a window, and each batch
//! becomes an aggregate chunk. Between floats and histograms a new chunk begins. Samples that are no numbers are left out. What one
//! series needs is kept in memory, and used again for the next.

use sarsen_block::{Encoding, Error, TimeRange, TimedChunk, Timestamp};

use crate::aggr::Aggregate;
use crate::floats::{FloatParts, Floats, walk};
use crate::histogram::{self, HistogramParts, Timed, Window};
use crate::stream::stream;
use crate::window::{RAW_STEP, chunk_count, window_end};

/// Makes windows of raw samples.
#[derive(Debug)]
pub(crate) struct Raw {
    width: i64,
    floats: Floats,
    /// Samples of a batch that are numbers, where not all are.
    numbers: Floats,
    histograms: Vec<Timed>,
    parts: FloatParts,
}

impl Raw {
    /// Windows of `width` milliseconds.
    pub(crate) fn new(width: i64) -> Self {
        let (floats, numbers) = (Floats::default(), Floats::default());
        Self { width, floats, numbers, histograms: Vec::new(), parts: FloatParts::default() }
    }

    /// Appends the aggregate chunks of a series to `into`.
    ///
    /// # Errors
    /// `Corrupt` if a chunk is damaged, `Invalid` if one holds aggregates.
    pub(crate) fn series(&mut self, chunks: &[TimedChunk], into: &mut Vec<TimedChunk>) -> Result<(), Error> {
        let is_float = |timed: &TimedChunk| matches!(timed.chunk.encoding, Encoding::Xor | Encoding::Xor2);
        for run in chunks.chunk_by(|a, b| is_float(a) == is_float(b)) {
            if run.first().is_some_and(is_float) {
                if stream(run, self.width, &mut self.parts, into)? {
                    continue;
                }
                self.floats.clear();
                run.iter().try_for_each(|timed| self.floats.extend(&timed.chunk))?;
                self.float_batches(into)?;
            } else {
                self.histograms.clear();
                run.iter().try_for_each(|timed| histogram::extend(&timed.chunk, &mut self.histograms))?;
                self.histogram_batches(into)?;
            }
        }
        Ok(())
    }

    fn float_batches(&mut self, into: &mut Vec<TimedChunk>) -> Result<(), Error> {
        let Self { width, floats: Floats { times, values, nans }, numbers, parts, .. } = self;
        let (mut times, mut values) = (&times[..], &values[..]);
        let Some(size) = batch_size(times, *width) else { return Ok(()) };
        while !times.is_empty() {
            let len = batch_len(times, size, *width);
            let (batch_times, rest_times) = times.split_at_checked(len).unwrap_or((times, &[]));
            let (batch_values, rest_values) = values.split_at_checked(len).unwrap_or((values, &[]));
            (times, values) = (rest_times, rest_values);
            if *nans {
                numbers.clear();
                for (&t, &value) in batch_times.iter().zip(batch_values).filter(|(_, value)| !value.is_nan())
                {
                    numbers.push(t, value);
                }
                float_batch(&numbers.times, &numbers.values, *width, parts)?;
            } else {
                float_batch(batch_times, batch_values, *width, parts)?;
            }
            into.extend(parts.finish());
        }
        Ok(())
    }

    fn histogram_batches(&mut self, into: &mut Vec<TimedChunk>) -> Result<(), Error> {
        let times: Vec<Timestamp> = self.histograms.iter().map(|(t, _)| *t).collect();
        let mut times = &times[..];
        let Some(size) = batch_size(times, self.width) else { return Ok(()) };
        let mut samples = self.histograms.drain(..);
        while !times.is_empty() {
            let len = batch_len(times, size, self.width);
            let batch: Vec<Timed> = samples.by_ref().take(len).filter(|(_, h)| !h.sum.is_nan()).collect();
            times = times.get(len..).unwrap_or_default();
            let mut batch = &batch[..];
            while !batch.is_empty() {
                let (same, rest) = batch.split_at_checked(histogram::together(batch)).unwrap_or((batch, &[]));
                histogram_batch(same, self.width, into)?;
                batch = rest;
            }
        }
        Ok(())
    }
}

/// How many samples a batch has before it is filled up to the end of a window; `None` if there are no samples.
fn batch_size(times: &[Timestamp], width: i64) -> Option<usize> {
    let range = TimeRange::new(*times.first()?, *times.last()?);
    Some(times.len() / chunk_count(range, RAW_STEP, width, times.len()) + 1)
}

/// How many samples the next batch has: at least one.
fn batch_len(times: &[Timestamp], size: usize, width: i64) -> usize {
    let len = size.min(times.len());
    let Some(&last) = times.get(len.wrapping_sub(1)) else { return times.len() };
    let end = window_end(last, width);
    len + times.get(len..).unwrap_or_default().iter().take_while(|&&t| t <= end).count()
}

/// Writes a batch of numbers: before its windows the counter has its first raw value, behind them its last one at the time of the last
/// window. [`CounterIter`](crate::CounterIter) sees by these whether there was a reset between two chunks.
fn float_batch(times: &[Timestamp], values: &[f64], width: i64, parts: &mut FloatParts) -> Result<(), Error> {
    let (Some(&first_time), Some(&first), Some(&last)) = (times.first(), values.first(), values.last())
    else {
        return Ok(());
    };
    parts.put(Aggregate::Counter, first_time, first)?;
    if let Some(stamp) = walk(times, values, width, |t, totals| parts.put_all(t, totals))? {
        parts.put(Aggregate::Counter, stamp, last)?;
    }
    Ok(())
}

/// Writes a batch of histograms, all gauges if the first one is.
fn histogram_batch(samples: &[Timed], width: i64, into: &mut Vec<TimedChunk>) -> Result<(), Error> {
    use sarsen_block::ResetHint::Gauge;

    let gauges = samples.first().is_some_and(|(_, first)| first.hint == Gauge);
    let mut parts = HistogramParts::new(into);
    histogram::walk(samples, width, |t, totals| {
        if gauges {
            totals.counter.hint = Gauge;
        }
        let (sum, counter) = (Some(&totals.sum), Some(&totals.counter));
        parts.put(t, Window { count: Some(totals.count as f64), sum, counter })
    })?;
    parts.finish();
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sarsen_block::{Chunk, XorAppender};

    use super::*;

    /// One chunk.
    fn chunk(samples: &[(i64, f64)]) -> TimedChunk {
        let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
        samples.iter().for_each(|&(t, value)| assert!(appender.append(&mut bytes, t, value)));
        let range = TimeRange::new(samples[0].0, samples[samples.len() - 1].0);
        TimedChunk { range, chunk: Chunk::xor(appender.finish(&bytes)) }
    }

    fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
        let step = prop_oneof![6 => Just(15_000i64), 2 => 0..700_000i64, 1 => Just(7_300_000i64)];
        let value = prop_oneof![
            300 => (0..1_000_000i32).prop_map(|value| f64::from(value) / 8.0),
            10 => prop_oneof![Just(-0.0), Just(f64::MAX), Just(f64::MIN), Just(1e-310)],
            1 => prop_oneof![Just(f64::NAN), Just(f64::INFINITY), Just(f64::from_bits(sarsen_block::STALE_NAN_BITS))],
        ];
        (0..1_000_000i64, proptest::collection::vec((step, value), 1..600)).prop_map(|(start, steps)| {
            let mut t = start;
            let at = |(step, value)| {
                t += step;
                (t, value)
            };
            steps.into_iter().map(at).collect()
        })
    }

    proptest! {
        #[test]
        fn gathered_while_decoded_or_afterwards_is_the_same(samples in samples(), most in 1..200usize) {
            let chunks: Vec<_> = samples.chunks(most).map(chunk).collect();
            for width in [300_000, 3_600_000] {
                let (mut raw, mut slow, mut fast) = (Raw::new(width), Vec::new(), Vec::new());
                chunks.iter().try_for_each(|timed| raw.floats.extend(&timed.chunk)).unwrap();
                raw.float_batches(&mut slow).unwrap();
                let usual = samples.iter().all(|(_, value)| value.is_finite());
                prop_assert_eq!(stream(&chunks, width, &mut raw.parts, &mut fast).unwrap(), usual);
                prop_assert_eq!(&fast, if usual { &slow } else { &[][..] });
                // What was begun and given up leaves no trace.
                let mut whole = Vec::new();
                raw.series(&chunks, &mut whole).unwrap();
                prop_assert_eq!(&whole, &slow);
            }
        }
    }
}
