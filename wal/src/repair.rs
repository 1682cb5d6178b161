//! Cut the log at a stated damage; the only room that shortens a log.
//!
//! In the segments a repair keeps everything before the damage and drops everything behind it, readable or not: what
//! follows may depend on what is gone. In a checkpoint it drops the damaged stretch alone, because the segments behind
//! it are whole: samples of a series whose birth is gone stay in the log, and whoever replays it must pass them over
//! (and must not give their number to another series).

use std::io;
use std::path::Path;
use std::sync::Arc;

use crate::disk::Disk;
use crate::error::Error;
use crate::frame::{self, Codec};
use crate::frames::{Found, Frames, Next};
use crate::record::Record;
use crate::replay::{Damage, Logged, Part};
use crate::sealed::SealedFile;
use crate::segment::{self, CHECKPOINT, LOG, Position, SegmentNo};

/// What a repair took out of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lost {
    /// Bytes that are gone, good and bad.
    pub bytes: u64,
    /// Among them, records that could still be read.
    pub records: u64,
    /// Births in those records.
    pub births: u64,
    /// Samples of all kinds in those records.
    pub samples: u64,
}

/// Takes the damage that a replay found out of the log of the database in `dir`, and says what went with it. The log
/// must not be open. Replay again afterwards: there may be more damage, in a checkpoint that was repaired.
///
/// # Errors
/// [`Error::Io`]. An interrupted repair leaves the same damage or less; call it again after a new replay.
pub fn repair(disk: &Arc<dyn Disk>, dir: &Path, damage: &Damage) -> Result<Lost, Error> {
    match damage.part {
        Part::Log => {
            let log = dir.join(LOG);
            let place = Position { segment: damage.segment, offset: damage.offset };
            let mut lost = Lost::default();
            for (number, length) in segment::list(disk.as_ref(), &log)? {
                let from = if number == place.segment { place.offset } else { 0 };
                if number >= place.segment {
                    let mut frames = Frames::open(disk.as_ref(), &number.path(&log), number)?;
                    frames.seek(from.min(length));
                    lost.survey(&mut frames)?;
                }
            }
            lost.bytes = cut(disk.as_ref(), &log, place)?;
            Ok(lost)
        }
        Part::Checkpoint => salvage(disk.as_ref(), &dir.join(CHECKPOINT), damage.segment),
    }
}

impl Lost {
    /// Counts what can be read from the reader's place on.
    fn survey(&mut self, frames: &mut Frames) -> Result<(), Error> {
        let mut scratch = Vec::new();
        while let Some(found) = frames.search()? {
            if found.codec != Codec::Mark {
                self.count(found, &mut scratch);
            }
        }
        Ok(())
    }

    fn count(&mut self, found: Found, scratch: &mut Vec<u8>) {
        self.records += 1;
        match Logged::new(Part::Log, found).record(scratch) {
            Ok(Record::Births(births)) => self.births += births.len(),
            Ok(Record::Samples(samples)) => self.samples += samples.len() as u64,
            Ok(Record::Rows(samples) | Record::Late(samples)) => self.samples += samples.len() as u64,
            Ok(Record::Deletions(_) | Record::Exemplars(_) | Record::Metadata(_) | Record::State(_))
            | Err(_) => {}
        }
    }
}

/// Writes the checkpoint anew with every frame that can be read.
fn salvage(disk: &dyn Disk, directory: &Path, number: SegmentNo) -> Result<Lost, Error> {
    let mut frames = Frames::open(disk, &number.path(directory), number)?;
    let mut file = SealedFile::create(disk, directory, number)?;
    let mut lost = Lost::default();
    let mut end = if frames.header()?.is_some() { frames.offset() } else { 0 };
    loop {
        let found = match frames.next()? {
            Next::Frame(found) => Some(found),
            Next::End => None,
            Next::Bad(_) => frames.search()?,
        };
        let Some(found) = found else { break };
        lost.bytes += found.position.offset - end;
        end = frames.offset();
        if found.codec != Codec::Mark {
            file.put(&found.payload, found.codec, frame::checksum(&found.payload))?;
        }
    }
    lost.bytes += frames.end() - end;
    file.finish()?;
    Ok(lost)
}

/// Makes `end` the end of the segments in `log`. Later segments go first, from the last backwards, so that an
/// interrupted cut leaves a shorter log with the same fault, or none. Gives the number of bytes that are gone.
pub(crate) fn cut(disk: &dyn Disk, log: &Path, end: Position) -> Result<u64, Error> {
    let mut gone = 0;
    for (number, length) in segment::list(disk, log)?.into_iter().rev() {
        let path = number.path(log);
        if number > end.segment || (number == end.segment && end.offset == 0) {
            disk.remove_file(&path).map_err(Error::on("removing", &path))?;
            // One by one: the order of removals is kept only between syncs.
            disk.sync_dir(log).map_err(Error::on("syncing", log))?;
            gone += length;
        } else if number == end.segment && length > end.offset {
            let file = disk.open_append(&path).map_err(Error::on("opening", &path))?;
            file.cut(end.offset).map_err(Error::on("cutting", &path))?;
            file.sync().map_err(Error::on("syncing", &path))?;
            gone += length - end.offset;
        }
    }
    Ok(gone)
}

/// Removes what an interrupted checkpoint left behind.
pub(crate) fn clean(disk: &dyn Disk, dir: &Path) -> Result<(), Error> {
    let directory = dir.join(CHECKPOINT);
    let entries = match disk.read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("listing", &directory, error)),
    };
    for entry in entries.iter().filter(|entry| !entry.is_dir && entry.name.ends_with(".tmp")) {
        let path = directory.join(&entry.name);
        disk.remove_file(&path).map_err(Error::on("removing", &path))?;
    }
    Ok(())
}
