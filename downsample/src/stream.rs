//! The usual float series: gathered while it is decoded, in one pass and without a copy of its samples.
//!
//! How many samples a batch has depends on how many there are in all and on the first and last time. Headers and index tell that
//! beforehand, unless samples are left out: stale markers, what is no number, what goes back in time. A run with one of these, or
//! with an infinite value, or that is not what its headers say, is left to `raw`, which reads first and gathers then; both give the same
//! bytes, which a test holds. Decoding waits for bits and gathering for sums, so doing both at once costs little more than one.

use sarsen_block::{ChunkIter, Error, TimeRange, TimedChunk, Timestamp, XorIter};

use crate::aggr::Aggregate;
use crate::floats::{FloatParts, Totals};
use crate::window::{RAW_STEP, chunk_count, window_end};

/// Appends the aggregate chunks of a run of float chunks to `into`. `false`, and nothing is appended, if the run is not the usual one.
///
/// # Errors
/// `Corrupt` if a chunk is damaged.
pub(crate) fn stream(
    run: &[TimedChunk],
    width: i64,
    parts: &mut FloatParts,
    into: &mut Vec<TimedChunk>,
) -> Result<bool, Error> {
    let before = into.len();
    let done = gather(run, width, parts, into);
    if !matches!(done, Ok(true)) {
        into.truncate(before);
        parts.finish();
    }
    done
}

fn gather(
    run: &[TimedChunk],
    width: i64,
    parts: &mut FloatParts,
    into: &mut Vec<TimedChunk>,
) -> Result<bool, Error> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(true) };
    let promised = TimeRange::new(first.range.min, last.range.max);
    let mut count = 0;
    for timed in run {
        count += usize::from(timed.chunk.num_samples()?);
    }
    let size = count / chunk_count(promised, RAW_STEP, width, count) + 1;
    let mut batch = Batch { width, size, len: 0, end: -1, last: 0, totals: Totals::NONE };
    let mut found = None;
    for timed in run {
        let ChunkIter::Xor(samples) = timed.chunk.samples()? else { return Ok(false) };
        match batch.chunk(samples, parts, into)? {
            Some(first) => found = found.or(first),
            None => return Ok(false),
        }
    }
    if found.is_some() {
        batch.close(parts, into)?;
    }
    Ok(found == Some(promised.min) && batch.last == promised.max)
}

/// A batch that samples are added to.
struct Batch {
    width: i64,
    /// It ends with the window in which it gets so many samples.
    size: usize,
    /// How many it has, in all windows.
    len: usize,
    /// End of the present window; -1 before the first of all.
    end: Timestamp,
    /// Time of the last sample.
    last: Timestamp,
    totals: Totals,
}

impl Batch {
    /// Adds the samples of a chunk and tells the time of the first. `None` if one of them is not usual.
    fn chunk(
        &mut self,
        mut samples: XorIter<'_>,
        parts: &mut FloatParts,
        into: &mut Vec<TimedChunk>,
    ) -> Result<Option<Option<Timestamp>>, Error> {
        let mut first = None;
        // In registers, not behind a reference.
        let (mut totals, mut end, mut last, mut len) = (self.totals, self.end, self.last, self.len);
        while let Some((t, value)) = samples.next()? {
            if t < last || !value.is_finite() {
                return Ok(None);
            }
            if t <= end {
                totals.add(value);
            } else {
                (self.totals, self.last, self.len) = (totals, last, len);
                self.turn(t, value, parts, into)?;
                (totals, end, len) = (self.totals, self.end, self.len);
                first = first.or(Some(t));
            }
            last = t;
            len += 1;
        }
        (self.totals, self.last, self.len) = (totals, last, len);
        Ok(Some(first))
    }

    /// Ends the present window, and the batch if that has enough, and opens a window with a sample behind it.
    fn turn(
        &mut self,
        t: Timestamp,
        value: f64,
        parts: &mut FloatParts,
        into: &mut Vec<TimedChunk>,
    ) -> Result<(), Error> {
        if self.len >= self.size {
            self.close(parts, into)?;
        } else if self.len > 0 {
            parts.put_all(self.end, &self.totals)?;
        }
        if self.len == 0 {
            parts.put(Aggregate::Counter, t, value)?;
        }
        self.totals.open(value);
        self.end = window_end(t, self.width);
        Ok(())
    }

    /// Ends the batch: its last window has the time of its last sample.
    fn close(&mut self, parts: &mut FloatParts, into: &mut Vec<TimedChunk>) -> Result<(), Error> {
        parts.put_all(self.last, &self.totals)?;
        parts.put(Aggregate::Counter, self.last, self.totals.last())?;
        into.extend(parts.finish());
        (self.len, self.totals) = (0, Totals::NONE);
        Ok(())
    }
}
