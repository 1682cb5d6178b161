//! A closed range of the head becomes a block directory, or nothing.
//!
//! Series are streamed in label order: their numbers are sorted by ranks of labels, their chunks copied in slices under
//! the lock and written without it. The directory has a temporary name until everything in it is written, synced and
//! verified; the rename makes the block. If anything fails on the way, the head still has the data and the
//! temporary directory is removed, now or at the next open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;
use sarsen_block::{
    BlockId, BlockMeta, BlockSink, BlockWriter, BlockWriterOptions, Parent, SeriesNo, TimeRange, Tombstones,
    verify,
};
use sarsen_wal::{Disk, File};

use crate::blocks::{self, Access, FOR_CREATION, LocalBlock};
use crate::error::Error;
use crate::head::{Head, SortedHead, clip, join_overlapping, names, series_in};

/// Series whose chunks are copied under one hold of the lock.
const CHUNK_SLICE: usize = 512;
/// Labels whose text is copied under one hold of the lock.
const LABEL_SLICE: u32 = 8192;

/// What Prometheus notes in blocks of late samples.
const FROM_OUT_OF_ORDER: &str = "from-out-of-order";

/// Bytes after which a growing file of a block is synced.
const SYNC_EVERY: usize = 1 << 20;

/// Where blocks go, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Target<'a> {
    pub(crate) disk: &'a dyn Disk,
    /// The directory of the database.
    pub(crate) directory: &'a Path,
    pub(crate) options: BlockWriterOptions,
}

/// What a block takes from the head.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Content<'a> {
    /// What came in order.
    Ordered,
    /// What came late and was sealed, of these series (rising).
    Late(&'a [SeriesNo]),
}

/// Writes the samples of `range` as block `id`, and opens it. `None` if there are none.
pub(crate) fn write_block(
    head: &RwLock<Head>,
    target: Target<'_>,
    (id, range): (BlockId, TimeRange),
    content: Content<'_>,
) -> Result<Option<LocalBlock>, Error> {
    let series = match content {
        Content::Ordered => series_in(head, range),
        Content::Late(series) => series.to_vec(),
    };
    if series.is_empty() {
        return Ok(None);
    }
    let temporary = target.directory.join(format!("{id}{FOR_CREATION}"));
    let failed = |e| Error::io(format!("writing {}", temporary.display()), e);
    if target.disk.stat(&temporary).map_err(failed)?.is_some() {
        target.disk.remove_dir_all(&temporary).map_err(failed)?;
    }
    let directory = target.directory.join(id.to_string());
    let written = fill(head, (target, &temporary), (&series, content), (id, range)).and_then(|local| {
        if local.is_some() {
            target.disk.rename(&temporary, &directory).map_err(failed)?;
            // A name that may not last is taken back: the head keeps the data, and there must not be two of them.
            target.disk.sync_dir(target.directory).map_err(failed)?;
        }
        Ok(local)
    });
    if let Ok(Some(mut local)) = written {
        local.info.directory = directory;
        return Ok(Some(local));
    }
    for left in [&temporary, &directory] {
        // The first failure is the one to tell of; the next open removes what is temporary.
        let _ = target.disk.remove_dir_all(left);
    }
    written
}

/// Writes, syncs and verifies all files of a block, and opens it. `None` if it has no series.
fn fill(
    head: &RwLock<Head>,
    (target, temporary): (Target<'_>, &Path),
    (series, content): (&[SeriesNo], Content<'_>),
    (id, range): (BlockId, TimeRange),
) -> Result<Option<LocalBlock>, Error> {
    let disk = target.disk;
    let failed = |e| Error::io(format!("writing {}", temporary.display()), e);
    let sorted = SortedHead::collect(head, series)?;
    let chunks = temporary.join("chunks");
    disk.create_dir_all(&chunks).map_err(failed)?;
    let sink = DiskSink { disk, directory: temporary.to_owned() };
    let mut writer = BlockWriter::new(sink, target.options, symbols(head)?)?;
    match content {
        Content::Ordered => stream(head, &sorted, range, &mut writer)?,
        Content::Late(_) => stream_late(head, &sorted, range, &mut writer)?,
    }
    let written = writer.finish()?;
    drop(sorted);
    if written.stats.num_series == 0 {
        return Ok(None);
    }
    let mut meta = BlockMeta::fresh(id, range, written.stats);
    if matches!(content, Content::Late(_)) {
        // As Prometheus marks such blocks: a parent that is none, and a hint.
        meta.compaction.parents.push(Parent::default());
        meta.compaction.hints.push(FROM_OUT_OF_ORDER.to_owned());
    }
    for (name, bytes) in [("meta.json", meta.to_bytes()), ("tombstones", Tombstones::default().to_bytes())] {
        let file = disk.create(&temporary.join(name)).map_err(failed)?;
        file.append(&bytes).and_then(|()| file.sync()).map_err(failed)?;
    }
    disk.sync_dir(&chunks).map_err(failed)?;
    disk.sync_dir(temporary).map_err(failed)?;
    match verify(&blocks::open(disk, temporary, id, Access::Once)?.block).faults.first() {
        None => Ok(Some(blocks::open(disk, temporary, id, Access::Random)?)),
        Some(fault) => Err(Error::invalid("new block", fault.to_string())),
    }
}

/// All names and values of the head, each once, rising, with the empty one that Prometheus' blocks have.
fn symbols(head: &RwLock<Head>) -> Result<Vec<Bytes>, Error> {
    let mut texts = Vec::new();
    let mut spans = Vec::new();
    let mut start = 0;
    let end = head.read().label_end();
    while start < end {
        let head = head.read();
        for (_, value) in head.pairs(start..end.min(start.saturating_add(LABEL_SLICE))) {
            spans.push((texts.len(), value.len()));
            texts.extend_from_slice(value);
        }
        start = start.saturating_add(LABEL_SLICE);
    }
    let texts = Bytes::from(texts);
    let values = spans.iter().map(|&(at, length)| texts.slice(at..at + length));
    let mut symbols: Vec<Bytes> = values.chain(names(head)).chain([Bytes::new()]).collect();
    symbols.sort_unstable();
    symbols.dedup();
    Ok(symbols)
}

/// Copies chunks in slices and writes them.
fn stream<S: BlockSink>(
    head: &RwLock<Head>,
    sorted: &SortedHead,
    range: TimeRange,
    writer: &mut BlockWriter<S>,
) -> Result<(), Error> {
    let (mut labels, mut buffer) = (Vec::new(), Vec::new());
    for start in (0..sorted.len()).step_by(CHUNK_SLICE) {
        let slice = start..sorted.len().min(start + CHUNK_SLICE);
        let (files, slice) = {
            let head = head.read();
            let pieces = |at| {
                let no = sorted.series(at)?;
                Some((at, head.pieces_of(no, range).transpose()?, head.deleted(no, range)))
            };
            (Arc::clone(head.spill_files()), slice.filter_map(pieces).collect::<Vec<_>>())
        };
        for (at, pieces, deleted) in slice {
            let chunks = pieces?.read(&files, &mut buffer)?;
            writer.add(sorted.labels(at, &mut labels), &clip(chunks, range, &deleted)?)?;
        }
    }
    Ok(())
}

/// The same for what came late: chunks that overlap are brought together.
fn stream_late<S: BlockSink>(
    head: &RwLock<Head>,
    sorted: &SortedHead,
    range: TimeRange,
    writer: &mut BlockWriter<S>,
) -> Result<(), Error> {
    let mut labels = Vec::new();
    for start in (0..sorted.len()).step_by(CHUNK_SLICE) {
        let slice = start..sorted.len().min(start + CHUNK_SLICE);
        let copied: Vec<_> = {
            let head = head.read();
            slice.filter_map(|at| Some((at, head.late.sealed_chunks(sorted.series(at)?, range)))).collect()
        };
        for (at, chunks) in copied {
            let chunks = clip(join_overlapping(chunks)?, range, &[])?;
            writer.add(sorted.labels(at, &mut labels), &chunks)?;
        }
    }
    Ok(())
}

/// Files of a block on a disk.
#[derive(Debug)]
struct DiskSink<'a> {
    disk: &'a dyn Disk,
    directory: PathBuf,
}

/// A file of the block that becomes durable as it grows, so that no sync of the log waits behind all of it.
#[derive(Debug)]
struct BlockFile {
    file: Box<dyn File>,
    unsynced: usize,
}

impl io::Write for BlockFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)?;
        self.unsynced += bytes.len();
        if self.unsynced >= SYNC_EVERY {
            self.file.sync()?;
            self.unsynced = 0;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlockSink for DiskSink<'_> {
    type File = BlockFile;

    fn create(&mut self, rel_path: &str) -> io::Result<BlockFile> {
        let file = self.disk.create(&self.directory.join(rel_path))?;
        Ok(BlockFile { file, unsynced: 0 })
    }

    fn finish(&mut self, file: BlockFile) -> io::Result<()> {
        file.file.sync()
    }
}
