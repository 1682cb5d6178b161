//! Read from a position until the end or the first damage; change nothing.
//!
//! The end of a log is usually not clean: a power cut leaves any part of what was not synced. That is a *torn end*,
//! and no fault. It is *damage* if bytes are bad that must have been synced, which is known from what follows: a later
//! segment (begun only when this one was synced, and its header says to which length), or a later frame whose stamp
//! says that the bad place was synced before it was written. Of the last write of a log that was not closed nothing of
//! the kind can be known.

use std::collections::VecDeque;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::compress;
use crate::disk::Disk;
use crate::error::Error;
use crate::frame::{Codec, MAX_STORED};
use crate::frames::{Found, Frames, Next};
use crate::record::Record;
use crate::segment::{self, CHECKPOINT, LOG, Position, SegmentNo};

/// Which part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The checkpoint that stands for all segments up to its number.
    Checkpoint,
    /// The segments.
    Log,
}

/// A record as it lies in the log, checked and not yet unpacked, so that unpacking can be done by another thread.
#[derive(Debug, Clone)]
pub struct Logged {
    /// Where it lies.
    pub part: Part,
    /// Where its frame begins.
    pub position: Position,
    stored: Bytes,
    codec: Codec,
}

/// Where a replay ended, with nothing lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct End {
    /// Where to open the log for appending.
    pub position: Position,
    /// Bytes behind it that a power cut left of writes that were never acknowledged.
    pub torn_bytes: u64,
}

/// Bytes that are bad and must once have been good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// In the checkpoint or in the segments.
    pub part: Part,
    /// The segment, or the number of the checkpoint.
    pub segment: SegmentNo,
    /// Offset in its file. Everything before it has been replayed.
    pub offset: u64,
    /// What is wrong there.
    pub why: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = if self.part == Part::Checkpoint { "checkpoint" } else { "log segment" };
        write!(f, "{part} {} is damaged at offset {}: {}", self.segment, self.offset, self.why)
    }
}

/// One step of a replay.
#[derive(Debug, Clone)]
pub enum Step {
    /// The next record.
    Record(Logged),
    /// The log is read to its end. Every later step says so again.
    End(End),
    /// The log is damaged. Every later step says so again.
    Damage(Damage),
}

impl Logged {
    /// Reads the record, unpacking it into `scratch` if it is packed.
    ///
    /// # Errors
    /// [`Error::Record`] or [`Error::Unsupported`]: the bytes are as they were written, so this is a fault of a
    /// program, not of a disk.
    pub fn record<'a>(&'a self, scratch: &'a mut Vec<u8>) -> Result<Record<'a>, Error> {
        if self.codec == Codec::Zstd {
            compress::unpack(&self.stored, scratch, MAX_STORED)?;
            return Record::decode(scratch);
        }
        Record::decode(&self.stored)
    }

    /// Length of the stored record in bytes.
    pub fn stored_bytes(&self) -> usize {
        self.stored.len()
    }

    pub(crate) fn new(part: Part, found: Found) -> Self {
        Self { part, position: found.position, stored: found.payload, codec: found.codec }
    }
}

/// A walk over the records of a log, from the oldest.
#[derive(Debug)]
pub struct Replay {
    disk: Arc<dyn Disk>,
    log: PathBuf,
    /// The file being read.
    current: Option<(Part, SegmentNo, Frames)>,
    /// In the checkpoint: whether the last frame was the mark that ends it.
    sealed: bool,
    /// Segments not yet begun.
    segments: VecDeque<SegmentNo>,
    /// The number that the next segment must have.
    expected: SegmentNo,
    /// Where to begin in the first segment.
    from: Option<Position>,
    /// Where the last segment read came to its end.
    end: Position,
    torn_bytes: u64,
    last: Option<Step>,
}

/// Begins a replay of the log of the database in `dir`: its newest checkpoint and all later segments; or, with `from`,
/// the segments from that position on, which must be the start of a frame or the end of the log.
///
/// # Errors
/// [`Error::Io`]; [`Error::Unsupported`] if a later version wrote the log.
pub fn replay(disk: Arc<dyn Disk>, dir: &Path, from: Option<Position>) -> Result<Replay, Error> {
    let log = dir.join(LOG);
    let checkpoint = match from {
        Some(_) => None,
        None => newest_checkpoint(disk.as_ref(), dir)?,
    };
    let expected = from.map(|from| from.segment).or(checkpoint.map(SegmentNo::next));
    let expected = expected.unwrap_or(SegmentNo::FIRST);
    let segments = segment::list(disk.as_ref(), &log)?
        .into_iter()
        .map(|(number, _)| number)
        .filter(|number| *number >= expected)
        .collect();
    let current = match checkpoint {
        None => None,
        Some(number) => {
            let path = number.path(&dir.join(CHECKPOINT));
            Some((Part::Checkpoint, number, Frames::open(disk.as_ref(), &path, number)?))
        }
    };
    let end = from.unwrap_or(Position { segment: expected, offset: 0 });
    let mut replay = Replay {
        disk,
        log,
        current,
        sealed: false,
        segments,
        expected,
        from,
        end,
        torn_bytes: 0,
        last: None,
    };
    replay.drop_torn_segments()?;
    if let Some((part, number, frames)) = &mut replay.current
        && frames.header()?.is_none()
    {
        let damage = Damage {
            part: *part,
            segment: *number,
            offset: 0,
            why: "the header of the file does not fit its check".to_owned(),
        };
        replay.last = Some(Step::Damage(damage));
    }
    Ok(replay)
}

/// The number of the newest complete checkpoint.
pub(crate) fn newest_checkpoint(disk: &dyn Disk, dir: &Path) -> Result<Option<SegmentNo>, Error> {
    Ok(segment::list(disk, &dir.join(CHECKPOINT))?.last().map(|(number, _)| *number))
}

/// Whether a frame from the reader's place on says that bytes behind `offset` were synced before it was written.
fn proves_synced(frames: &mut Frames, offset: u64) -> Result<bool, Error> {
    while let Some(found) = frames.search()? {
        if found.synced > offset {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Replay {
    /// The next record, or how the walk ended.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk fails to read; [`Error::Unsupported`] if a later version wrote the log.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Step, Error> {
        loop {
            if let Some(step) = &self.last {
                return Ok(step.clone());
            }
            let step = match self.current.take() {
                None => self.begin_segment()?,
                Some((part, number, mut frames)) => {
                    let next = frames.next()?;
                    match next {
                        Next::Frame(found) => {
                            self.current = Some((part, number, frames));
                            self.sealed = found.codec == Codec::Mark;
                            (!self.sealed).then(|| Step::Record(Logged::new(part, found)))
                        }
                        Next::End => self.end_file(part, number, &frames),
                        Next::Bad(why) => Some(self.judge(part, number, frames, why)?),
                    }
                }
            };
            match step {
                Some(step @ Step::Record(_)) => return Ok(step),
                Some(last) => self.last = Some(last),
                None => {}
            }
        }
    }

    /// The last segment may have been created and not be whole. Without proof that it ever was, it never counted.
    fn drop_torn_segments(&mut self) -> Result<(), Error> {
        while let Some(number) = self.segments.back().copied() {
            let mut frames = Frames::open(self.disk.as_ref(), &number.path(&self.log), number)?;
            if frames.header()?.is_some() || proves_synced(&mut frames, 0)? {
                break;
            }
            self.torn_bytes += frames.end();
            self.segments.pop_back();
        }
        Ok(())
    }

    fn damage(segment: SegmentNo, offset: u64, why: impl Into<String>) -> Step {
        Step::Damage(Damage { part: Part::Log, segment, offset, why: why.into() })
    }

    /// Opens the next segment, or ends.
    fn begin_segment(&mut self) -> Result<Option<Step>, Error> {
        let Some(number) = self.segments.pop_front() else {
            if let Some(from) = self.from.filter(|from| from.offset > 0) {
                return Ok(Some(Self::damage(from.segment, 0, "the segment is missing")));
            }
            return Ok(Some(Step::End(End { position: self.end, torn_bytes: self.torn_bytes })));
        };
        if number != self.expected {
            let why = format!("the segment is missing, the next one is {number}");
            return Ok(Some(Self::damage(self.expected, 0, why)));
        }
        self.expected = number.next();
        let mut frames = Frames::open(self.disk.as_ref(), &number.path(&self.log), number)?;
        let Some(header) = frames.header()? else {
            return Ok(Some(Self::damage(number, 0, "the header of the file does not fit its check")));
        };
        // 0 claims nothing: the segment was begun behind a checkpoint, which a failed sync may have taken back.
        let claims_end = header.previous_end > 0;
        if claims_end
            && self.end.offset > 0
            && self.end.segment < number
            && header.previous_end != self.end.offset
        {
            let why = format!("the next segment says that this one ends at {}", header.previous_end);
            return Ok(Some(Self::damage(self.end.segment, self.end.offset, why)));
        }
        if let Some(from) = self.from.take().filter(|from| from.segment == number && from.offset > 0) {
            if from.offset > frames.end() {
                return Ok(Some(Self::damage(number, frames.end(), format!("it should reach {from}"))));
            }
            frames.seek(from.offset);
        }
        if let Some(next) = self.segments.front().copied().filter(|next| *next == number.next())
            && let Some(next) = Frames::open(self.disk.as_ref(), &next.path(&self.log), next)?.header()?
            && next.previous_end > 0
        {
            frames.limit(next.previous_end);
        }
        self.current = Some((Part::Log, number, frames));
        Ok(None)
    }

    fn end_file(&mut self, part: Part, number: SegmentNo, frames: &Frames) -> Option<Step> {
        if part == Part::Log {
            self.end = Position { segment: number, offset: frames.offset() };
            return None;
        }
        (!self.sealed).then(|| {
            Step::Damage(Damage {
                part,
                segment: number,
                offset: frames.offset(),
                why: "the mark at the end is missing".to_owned(),
            })
        })
    }

    /// Bad bytes: torn, or damaged?
    fn judge(&mut self, part: Part, number: SegmentNo, mut frames: Frames, why: &str) -> Result<Step, Error> {
        let offset = frames.offset();
        if part == Part::Checkpoint || !self.segments.is_empty() || proves_synced(&mut frames, offset)? {
            return Ok(Step::Damage(Damage { part, segment: number, offset, why: why.to_owned() }));
        }
        self.torn_bytes += frames.end() - offset;
        Ok(Step::End(End { position: Position { segment: number, offset }, torn_bytes: self.torn_bytes }))
    }
}
