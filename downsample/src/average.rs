//! The average of each window of a chunk: its sum divided by its count.

use sarsen_block::{Chunk, ChunkIter, Error, Sample, SampleIter, Value};

/// The averages of an aggregate chunk, one a window.
#[derive(Debug)]
pub struct AverageIter<'a> {
    counts: ChunkIter<'a>,
    sums: ChunkIter<'a>,
    failed: bool,
}

impl<'a> AverageIter<'a> {
    /// Of the count and the sum part of one chunk. Counts are floats; sums are floats or float histograms.
    ///
    /// # Errors
    /// `Corrupt` if a header is cut off, `Invalid` for chunks without samples of their own.
    pub fn new(counts: &'a Chunk, sums: &'a Chunk) -> Result<Self, Error> {
        Ok(Self { counts: counts.samples()?, sums: sums.samples()?, failed: false })
    }

    fn step(&mut self) -> Result<Option<Sample>, Error> {
        let damaged = |what: &str| Err(Error::corrupt("aggregate chunk", 0, what));
        let (mut sum, count) = match (self.sums.next()?, self.counts.next()?) {
            (Some(sum), Some(count)) => (sum, count),
            (None, None) => return Ok(None),
            _ => return damaged("there are not as many counts as sums"),
        };
        if sum.t != count.t {
            return damaged("a count and a sum have different times");
        }
        let Value::Float(count) = count.value else { return damaged("a count is a histogram") };
        match &mut sum.value {
            Value::Float(sum) => *sum /= count,
            Value::Histogram(sum) => sum.divide(count)?,
        }
        Ok(Some(sum))
    }
}

impl SampleIter for AverageIter<'_> {
    fn next(&mut self) -> Result<Option<Sample>, Error> {
        if self.failed {
            return Ok(None);
        }
        let step = self.step();
        self.failed = step.is_err();
        step
    }
}
