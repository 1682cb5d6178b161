//! Blocks written directly, past head and log.
//!
//! For data of the past that is there as a whole. Samples are encoded as they come, so what waits in memory is their encoded
//! form; at the end each block range that has any becomes a block, written and verified as every other is. A directory that
//! holds a database gets blocks that are marked as made of samples out of order: the database then does not take
//! their end for the end of its last cut. Open databases see them after [`Db::refresh`](crate::Db::refresh).

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::{
    BlockMeta, BlockWriter, BlockWriterOptions, EncodeOptions, Labels, LabelsRef, Sample, TimeRange,
    TimedChunk, Timestamp, encode_chunks,
};
use sarsen_wal::{Disk, real_disk};

use crate::block_files::Target;
use crate::blocks::BlockInfo;
use crate::builder::make_directory;
use crate::chance::Chance;
use crate::error::Error;
use crate::head_compaction::mark_out_of_order;
use crate::options::Options;

/// Samples that are encoded together.
const BATCH: usize = 120;

/// The series of one block that is to be.
type Waiting = BTreeMap<Labels, Vec<TimedChunk>>;

/// Blocks in the making.
#[derive(Debug)]
pub struct Backfill {
    directory: PathBuf,
    disk: Arc<dyn Disk>,
    options: Options,
    id_seed: u64,
    /// By the number of the block range.
    ranges: BTreeMap<i64, Waiting>,
}

impl Backfill {
    /// Blocks for a directory, which is made if it does not exist. It may hold a database.
    pub fn new(directory: impl AsRef<Path>) -> Self {
        Self {
            directory: directory.as_ref().to_owned(),
            disk: real_disk(),
            options: Options::default(),
            id_seed: 0,
            ranges: BTreeMap::new(),
        }
    }

    /// Settings, of which the length of blocks, the size of their files and whether start timestamps are kept
    /// ([`Options::xor2`]) count here.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Where the files lie; the operating system's disk otherwise.
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    /// Chance for the ids of the blocks. To be drawn at random wherever blocks of several databases meet.
    #[must_use]
    pub const fn id_seed(mut self, seed: u64) -> Self {
        self.id_seed = seed;
        self
    }

    /// Adds samples of a series; their times rise strictly. Series may come in any order, and again, as long as the times
    /// of each go on rising.
    ///
    /// # Errors
    /// [`Error::Invalid`] if a time does not rise, [`Error::Block`] for a histogram whose parts do not fit together. What was
    /// taken before stays.
    pub fn add(
        &mut self,
        labels: LabelsRef<'_>,
        samples: impl IntoIterator<Item = Sample>,
    ) -> Result<(), Error> {
        self.options.check()?;
        let mut batch: Vec<Sample> = Vec::with_capacity(BATCH);
        let mut last: Option<Timestamp> = None;
        for sample in samples {
            if last.is_some_and(|last| sample.t <= last) {
                return Err(Error::invalid("samples", format!("{} comes behind {last:?}", sample.t)));
            }
            last = Some(sample.t);
            let is_other = |first: &Sample| self.range_of(first.t) != self.range_of(sample.t);
            if batch.len() >= BATCH || batch.first().is_some_and(is_other) {
                self.encode(labels, &mut batch)?;
            }
            batch.push(sample);
        }
        self.encode(labels, &mut batch)
    }

    fn range_of(&self, t: Timestamp) -> i64 {
        t.div_euclid(self.options.block_range)
    }

    /// Encodes samples of one block range.
    fn encode(&mut self, labels: LabelsRef<'_>, batch: &mut Vec<Sample>) -> Result<(), Error> {
        let Some(first) = batch.first() else { return Ok(()) };
        let number = self.range_of(first.t);
        let waiting = self.ranges.entry(number).or_default().entry(labels.to_owned()).or_default();
        if let Some(end) = waiting.last().map(|chunk| chunk.range.max).filter(|&end| first.t <= end) {
            return Err(Error::invalid("samples", format!("{} comes behind {end}", first.t)));
        }
        let xor2 = self.options.xor2;
        if !xor2 {
            batch.iter_mut().for_each(|sample| sample.start = 0);
        }
        waiting.extend(encode_chunks(batch, EncodeOptions { xor2, ..EncodeOptions::default() })?);
        batch.clear();
        Ok(())
    }

    /// Writes the blocks, the oldest first. `now` goes into their ids.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Block`] if one cannot be written; those before it are there.
    pub fn finish(self, now: Timestamp) -> Result<Vec<BlockInfo>, Error> {
        self.options.check()?;
        let disk = self.disk.as_ref();
        make_directory(disk, &self.directory)?;
        let mut chance = Chance::new(self.id_seed);
        let options = BlockWriterOptions { segment_size: self.options.chunk_segment_size };
        let target = Target { disk, directory: &self.directory, options };
        let log = self.directory.join("log");
        let stat = disk.stat(&log).map_err(|e| Error::io(format!("looking for {}", log.display()), e))?;
        let mut made = Vec::new();
        for (_, series) in self.ranges {
            let id = chance.block_id(disk, &self.directory, now)?;
            let block = target.make(id, |sink| {
                let mut writer = BlockWriter::new(sink, options, symbols(series.keys()))?;
                for (labels, chunks) in &series {
                    writer.add(labels.as_ref(), chunks)?;
                }
                let written = writer.finish()?;
                let range = written.range.unwrap_or(TimeRange::new(0, 0));
                let mut meta = BlockMeta::fresh(id, range, written.stats);
                if stat.is_some() {
                    mark_out_of_order(&mut meta);
                }
                Ok(Some(meta))
            })?;
            made.extend(block.map(|local| local.info));
        }
        Ok(made)
    }
}

/// All names and values, rising, each once.
fn symbols<'a>(sets: impl Iterator<Item = &'a Labels>) -> BTreeSet<Bytes> {
    let pairs = sets.flat_map(Labels::iter).flat_map(|(name, value)| [name, value]);
    let mut known: BTreeSet<Bytes> = BTreeSet::new();
    for text in pairs {
        if !known.contains(text) {
            known.insert(Bytes::copy_from_slice(text));
        }
    }
    known
}
