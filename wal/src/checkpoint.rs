//! Keep what is still needed of old segments, then drop them.
//!
//! A checkpoint is one file, `checkpoint/<number>`, that stands for all segments up to its number: the births and samples
//! that are still needed, in the order they were logged, and a mark that seals the end. It is written
//! under a temporary name, synced and renamed; only when its name is durable are the segments and older checkpoints
//! removed. So at every moment the newest checkpoint with the segments behind its number is the whole log, and an
//! interrupted call leaves at most files that no longer count: the next one, or [`Wal::open`](crate::Wal::open),
//! removes them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sarsen_block::Timestamp;

use crate::batch::Batch;
use crate::disk::{Disk, File};
use crate::error::Error;
use crate::frame::{self, Codec};
use crate::record::{LoggedValue, Record, Rows, SeriesId};
use crate::replay::{Damage, Part, Step, replay};
use crate::segment::{self, CHECKPOINT, LOG, Position, SegmentNo};

/// A batch of the checkpoint is framed when it holds this many rows.
const ROWS: u64 = 8192;

/// What of the old segments is still needed.
pub struct Keep<'a> {
    /// Whether a series is still needed: it is in memory, or samples of it may lie in segments that stay. Its samples
    /// go with it.
    pub series: &'a mut dyn FnMut(SeriesId) -> bool,
    /// Samples before this moment are dropped, if they are not late ones.
    pub since: Timestamp,
    /// Late samples up to this segment are dropped, whatever their time; those behind it are kept.
    pub late_after: SegmentNo,
}

impl std::fmt::Debug for Keep<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keep").field("since", &self.since).finish_non_exhaustive()
    }
}

/// What a checkpoint came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checkpointed {
    /// Births kept and dropped.
    pub births: (u64, u64),
    /// Samples kept and dropped.
    pub samples: (u64, u64),
    /// Length of the new checkpoint in bytes.
    pub bytes: u64,
    /// Segments that were removed, and their bytes.
    pub removed: (u64, u64),
}

/// How a checkpoint ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointOutcome {
    /// The segments up to the number are replaced.
    Done(Checkpointed),
    /// Nothing has changed: the log is damaged before its end.
    Damaged(Damage),
}

/// Replaces the newest checkpoint and all segments up to `upto` of the database in `dir` by a new checkpoint. The
/// segments must be finished: `upto` is at most what [`Wal::roll`](crate::Wal::roll) gave. Appending may go on meanwhile.
///
/// # Errors
/// [`Error::Io`] if the disk fails; what was there before is still there, or has been replaced as a whole.
pub fn checkpoint(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    upto: SegmentNo,
    keep: Keep<'_>,
) -> Result<CheckpointOutcome, Error> {
    let directory = dir.join(CHECKPOINT);
    // Synced even if it exists: whoever made it may not have come so far.
    disk.create_dir_all(&directory).map_err(Error::on("making", &directory))?;
    disk.sync_dir(dir).map_err(Error::on("syncing", dir))?;
    // One of the same number was left by a call that failed, perhaps while making its name durable: it is not believed.
    if crate::replay::newest_checkpoint(disk.as_ref(), dir)?.is_none_or(|newest| newest <= upto) {
        let mut report = Checkpointed::default();
        let mut file = SealedFile::create(disk.as_ref(), &directory, upto)?;
        if let Some(damage) = copy(disk, dir, upto, &mut file, &mut Copying { keep, report: &mut report })? {
            file.abandon()?;
            return Ok(CheckpointOutcome::Damaged(damage));
        }
        report.bytes = file.finish()?;
        report.removed = drop_old(disk.as_ref(), dir, upto)?;
        return Ok(CheckpointOutcome::Done(report));
    }
    let removed = drop_old(disk.as_ref(), dir, upto)?;
    Ok(CheckpointOutcome::Done(Checkpointed { removed, ..Checkpointed::default() }))
}

struct Copying<'a, 'b> {
    keep: Keep<'a>,
    report: &'b mut Checkpointed,
}

/// Copies what is needed. Rows keep their order, but for the births of a batch, which come before its samples.
fn copy(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    upto: SegmentNo,
    file: &mut SealedFile<'_>,
    copying: &mut Copying<'_, '_>,
) -> Result<Option<Damage>, Error> {
    let mut walk = replay(Arc::clone(disk), dir, None)?;
    let mut batch = Batch::new();
    let mut scratch = Vec::new();
    loop {
        match walk.next()? {
            Step::Record(logged) if logged.part == Part::Log && logged.position.segment > upto => break,
            Step::Record(logged) => {
                let record = logged.record(&mut scratch)?;
                let deletes = matches!(record, Record::Deletions(_));
                // A checkpoint has the number of the newest segment that it stands for.
                let keeps_late = logged.position.segment > copying.keep.late_after;
                copying.select(record, keeps_late, &mut batch)?;
                // In a batch deletions come last: samples that follow this one must not come before it.
                if deletes {
                    file.put_batch(&mut batch)?;
                }
            }
            // A finished segment was synced to its end: what looks torn in it is damaged.
            Step::End(end) if end.torn_bytes > 0 && end.position.segment <= upto => {
                let Position { segment, offset } = end.position;
                let why = "a finished segment ends in bad bytes".to_owned();
                return Ok(Some(Damage { part: Part::Log, segment, offset, why }));
            }
            Step::End(_) => break,
            Step::Damage(damage) if damage.part == Part::Log && damage.segment > upto => break,
            Step::Damage(damage) => return Ok(Some(damage)),
        }
        if batch.len() >= ROWS {
            file.put_batch(&mut batch)?;
        }
    }
    file.put_batch(&mut batch)?;
    Ok(None)
}

impl Copying<'_, '_> {
    fn select(&mut self, record: Record<'_>, keeps_late: bool, batch: &mut Batch) -> Result<(), Error> {
        match record {
            Record::Births(mut rows) => {
                while let Some((id, labels)) = rows.next()? {
                    if (self.keep.series)(id) {
                        batch.birth(id, labels);
                        self.report.births.0 += 1;
                    } else {
                        self.report.births.1 += 1;
                    }
                }
            }
            Record::Samples(mut rows) => {
                while let Some(sample) = rows.next()? {
                    if self.wants(sample.id, sample.t) {
                        batch.sample(sample.id, sample.t, sample.bits);
                    }
                }
            }
            Record::Rows(rows) => self.select_rows(rows, batch)?,
            Record::Late(rows) => self.select_late(rows, keeps_late, batch)?,
            Record::Deletions(mut rows) => {
                while let Some(deletion) = rows.next()? {
                    let wanted = keeps_late || deletion.range.max >= self.keep.since;
                    if wanted && (self.keep.series)(deletion.id) {
                        batch.deletion(deletion.id, deletion.range);
                    }
                }
            }
            Record::Exemplars(mut rows) => {
                while let Some(row) = rows.next()? {
                    if row.t >= self.keep.since && (self.keep.series)(row.id) {
                        batch.exemplar(row.id, row.t, row.bits, row.labels);
                    }
                }
            }
            Record::Metadata(mut rows) => {
                while let Some(row) = rows.next()? {
                    if (self.keep.series)(row.id) {
                        batch.metadata(row.id, row.kind, row.unit, row.help);
                    }
                }
            }
        }
        Ok(())
    }

    fn select_late(&mut self, mut rows: Rows<'_>, keeps: bool, batch: &mut Batch) -> Result<(), Error> {
        while let Some(row) = rows.next()? {
            let wanted = keeps && (self.keep.series)(row.id);
            self.count(wanted);
            if wanted {
                batch.late(row.id, row.t, row.start, &row.value.decode()?);
            }
        }
        Ok(())
    }

    fn select_rows(&mut self, mut rows: Rows<'_>, batch: &mut Batch) -> Result<(), Error> {
        while let Some(row) = rows.next()? {
            if !self.wants(row.id, row.t) {
                continue;
            }
            match row.value {
                LoggedValue::Float(bits) => batch.sample_with_start(row.id, row.t, row.start, bits),
                LoggedValue::Histogram(value) => batch.histogram(row.id, row.t, row.start, &value.decode()?),
            }
        }
        Ok(())
    }

    /// Whether a sample is needed; counts it.
    fn wants(&mut self, id: SeriesId, t: Timestamp) -> bool {
        let wanted = t >= self.keep.since && (self.keep.series)(id);
        self.count(wanted);
        wanted
    }

    const fn count(&mut self, wanted: bool) {
        let counted = if wanted { &mut self.report.samples.0 } else { &mut self.report.samples.1 };
        *counted += 1;
    }
}

/// Removes checkpoints before `upto` and segments up to it, the oldest first.
fn drop_old(disk: &dyn Disk, dir: &Path, upto: SegmentNo) -> Result<(u64, u64), Error> {
    let (directory, log) = (dir.join(CHECKPOINT), dir.join(LOG));
    let mut removed = (0, 0);
    for (number, length) in segment::list(disk, &log)? {
        if number <= upto {
            let path = number.path(&log);
            disk.remove_file(&path).map_err(Error::on("removing", &path))?;
            removed = (removed.0 + 1, removed.1 + length);
        }
    }
    for (number, _) in segment::list(disk, &directory)? {
        if number < upto {
            let path = number.path(&directory);
            disk.remove_file(&path).map_err(Error::on("removing", &path))?;
        }
    }
    // Not synced: if a name comes back after a power cut, it does not count, and goes with the next checkpoint.
    Ok(removed)
}

/// A checkpoint being written under its temporary name.
pub(crate) struct SealedFile<'a> {
    disk: &'a dyn Disk,
    directory: PathBuf,
    number: SegmentNo,
    temporary: PathBuf,
    file: Box<dyn File>,
    end: u64,
    buffer: Vec<u8>,
}

impl<'a> SealedFile<'a> {
    pub(crate) fn create(disk: &'a dyn Disk, directory: &Path, number: SegmentNo) -> Result<Self, Error> {
        let temporary = directory.join(format!("{number}.tmp"));
        match disk.remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("removing", &temporary, error));
            }
            _ => {}
        }
        let file = disk.create(&temporary).map_err(Error::on("creating", &temporary))?;
        let header = segment::Header { segment: number, previous_end: 0 }.encode();
        let buffer = header.to_vec();
        let end = segment::HEADER_LEN;
        Ok(Self { disk, directory: directory.to_owned(), number, temporary, file, end, buffer })
    }

    /// Frames the batch and empties it.
    fn put_batch(&mut self, batch: &mut Batch) -> Result<(), Error> {
        batch.close();
        batch.check()?;
        for record in batch.records() {
            self.put(record.bytes, record.codec, record.checksum)?;
        }
        batch.clear();
        Ok(())
    }

    pub(crate) fn put(&mut self, stored: &[u8], codec: Codec, checksum: u32) -> Result<(), Error> {
        let header = frame::Header { length: stored.len() as u32, checksum, synced: 0, codec: codec as u8 };
        let position = Position { segment: self.number, offset: self.end };
        self.buffer.extend_from_slice(&header.encode(position));
        self.buffer.extend_from_slice(stored);
        self.end += (frame::HEADER_LEN + stored.len()) as u64;
        if self.buffer.len() >= 1 << 20 { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), Error> {
        self.file.append(&self.buffer).map_err(Error::on("writing", &self.temporary))?;
        self.buffer.clear();
        Ok(())
    }

    /// Seals the file and gives it its name; its length.
    pub(crate) fn finish(mut self) -> Result<u64, Error> {
        self.put(&[], Codec::Mark, 0)?;
        self.write()?;
        self.file.sync().map_err(Error::on("syncing", &self.temporary))?;
        let path = self.number.path(&self.directory);
        self.disk.rename(&self.temporary, &path).map_err(Error::on("naming", &path))?;
        self.disk.sync_dir(&self.directory).map_err(Error::on("syncing", &self.directory))?;
        Ok(self.end)
    }

    /// Gives up.
    pub(crate) fn abandon(self) -> Result<(), Error> {
        drop(self.file);
        self.disk.remove_file(&self.temporary).map_err(Error::on("removing", &self.temporary))
    }
}
