//! An owner of a log that knows nothing but the log: its checkpoint copies the records that are still needed.
#![allow(dead_code, reason = "each test file uses a part")]

use std::path::Path;
use std::sync::Arc;

use sarsen_block::Timestamp;
use sarsen_wal::{
    Batch, CheckpointWriter, Damage, Disk, Error, LoggedValue, Part, Position, Record, Rows, SegmentNo,
    SeriesId, Step, replay,
};

/// A batch of the checkpoint is framed when it holds this many rows.
const ROWS: u64 = 8192;

/// What of the old segments is still needed.
pub(crate) struct Keep<'a> {
    /// Whether a series is still needed: it is in memory, or samples of it may lie in segments that stay. Its samples
    /// go with it.
    pub(crate) series: &'a mut dyn FnMut(SeriesId) -> bool,
    /// Samples before this moment are dropped, if they are not late ones.
    pub(crate) since: Timestamp,
    /// Late samples up to this segment are dropped, whatever their time; those behind it are kept.
    pub(crate) late_after: SegmentNo,
}

impl std::fmt::Debug for Keep<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keep").field("since", &self.since).finish_non_exhaustive()
    }
}

/// What a checkpoint came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Checkpointed {
    /// Births kept and dropped.
    pub(crate) births: (u64, u64),
    /// Samples kept and dropped.
    pub(crate) samples: (u64, u64),
    /// Length of the new checkpoint in bytes.
    pub(crate) bytes: u64,
    /// Segments that were removed, and their bytes.
    pub(crate) removed: (u64, u64),
}

/// How a checkpoint ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CheckpointOutcome {
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
pub(crate) fn checkpoint(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    upto: SegmentNo,
    keep: Keep<'_>,
) -> Result<CheckpointOutcome, Error> {
    let mut report = Checkpointed::default();
    let Some(mut file) = CheckpointWriter::begin(disk, dir, upto)? else {
        return Ok(CheckpointOutcome::Done(report));
    };
    if let Some(damage) = copy(disk, dir, upto, &mut file, &mut Copying { keep, report: &mut report })? {
        drop(file);
        let _ = disk.remove_file(&dir.join("checkpoint").join(format!("{upto}.tmp")));
        return Ok(CheckpointOutcome::Damaged(damage));
    }
    let sealed = file.finish()?;
    (report.bytes, report.removed) = (sealed.bytes, sealed.removed);
    Ok(CheckpointOutcome::Done(report))
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
    file: &mut CheckpointWriter<'_>,
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
                    file.put(&mut batch)?;
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
            file.put(&mut batch)?;
        }
    }
    file.put(&mut batch)?;
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
            other => panic!("nobody wrote {other:?}"),
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
