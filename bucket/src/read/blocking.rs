//! The reader of a bucket for threads that may wait.
//!
//! Every call hands the work to a runtime that the caller owns and waits for it. The runtime's own threads must not be the callers.

use std::sync::Arc;

use sarsen_block::{BlockMeta, ChunkSeries, ChunkSet, Matcher, TimeRange};
use tokio::runtime::Handle;

use super::reader::{BucketReader, BucketSeries};
use crate::error::Error;

/// A [`BucketReader`] whose calls wait.
#[derive(Debug, Clone)]
pub struct BlockingReader {
    reader: Arc<BucketReader>,
    runtime: Handle,
}

impl BlockingReader {
    /// Of `reader`, whose requests `runtime` runs.
    pub const fn new(reader: Arc<BucketReader>, runtime: Handle) -> Self {
        Self { reader, runtime }
    }

    /// As [`BucketReader::refresh`].
    ///
    /// # Errors
    /// As the store says; then nothing changes.
    pub fn refresh(&self) -> Result<(), Error> {
        self.runtime.block_on(self.reader.refresh())
    }

    /// As [`BucketReader::blocks`].
    pub fn blocks(&self) -> Vec<Arc<BlockMeta>> {
        self.reader.blocks()
    }

    /// As [`BucketReader::select`]; what comes back can be decoded like the series of a block.
    ///
    /// # Errors
    /// As [`BucketReader::select`].
    pub fn select(&self, matchers: &[Matcher], range: TimeRange) -> Result<BlockingSeries, Error> {
        let series = self.runtime.block_on(self.reader.select(matchers, range))?;
        Ok(BlockingSeries { series, runtime: self.runtime.clone() })
    }

    /// As [`BucketReader::label_names`].
    ///
    /// # Errors
    /// As [`BucketReader::select`].
    pub fn label_names(&self, matchers: &[Matcher], range: TimeRange) -> Result<Vec<Vec<u8>>, Error> {
        self.runtime.block_on(self.reader.label_names(matchers, range))
    }

    /// As [`BucketReader::label_values`].
    ///
    /// # Errors
    /// As [`BucketReader::select`].
    pub fn label_values(
        &self,
        name: &[u8],
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<Vec<u8>>, Error> {
        self.runtime.block_on(self.reader.label_values(name, matchers, range))
    }
}

/// The series of a selection, each waited for.
#[derive(Debug)]
pub struct BlockingSeries {
    series: BucketSeries,
    runtime: Handle,
}

impl ChunkSet for BlockingSeries {
    fn next(&mut self) -> Result<Option<ChunkSeries>, sarsen_block::Error> {
        let next = self.runtime.block_on(self.series.next());
        next.map_err(|error| sarsen_block::Error::io("reading a bucket", error.into_io()))
    }
}
