//! The file of a checkpoint, from its temporary name to the moment when it stands for the segments before it.
//!
//! `checkpoint/<number>` stands for all segments up to its number: whatever its owner needs instead of them, in records, and
//! a mark that seals the end. It is written under a temporary name, synced and renamed; only when its name is durable are
//! the segments and older checkpoints removed. So at every moment the newest checkpoint with the segments behind its
//! number is the whole log, and an interrupted call leaves at most files that no longer count: the next one, or
//! [`Wal::open`](crate::Wal::open), removes them.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::batch::Batch;
use crate::compress;
use crate::disk::{Disk, File};
use crate::error::Error;
use crate::frame::{self, Codec};
use crate::record::STATE;
use crate::replay::newest_checkpoint;
use crate::segment::{self, CHECKPOINT, LOG, Position, SegmentNo};

/// Bytes after which the growing file is synced, so that no sync of the log waits behind all of it.
const SYNC_EVERY: usize = 4 << 20;

/// Writes a checkpoint of what its owner knows, which need not read the segments that it replaces.
pub struct CheckpointWriter<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    upto: SegmentNo,
    file: SealedFile<'a>,
    scratch: Vec<u8>,
    packed: Vec<u8>,
}

impl std::fmt::Debug for CheckpointWriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointWriter").field("upto", &self.upto).finish_non_exhaustive()
    }
}

/// What a finished checkpoint came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sealed {
    /// Length of the new checkpoint in bytes.
    pub bytes: u64,
    /// Segments that were removed, and their bytes.
    pub removed: (u64, u64),
}

impl<'a> CheckpointWriter<'a> {
    /// Begins a checkpoint that stands for the segments up to `upto` of the database in `dir`, which must be finished:
    /// `upto` is at most what [`Wal::roll`](crate::Wal::roll) gave. Everything that is logged behind it must be such
    /// that replaying it over the checkpoint does no harm. `None` if a later checkpoint is there already.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin(disk: &'a Arc<dyn Disk>, dir: &'a Path, upto: SegmentNo) -> Result<Option<Self>, Error> {
        let disk = disk.as_ref();
        let directory = make_directory(disk, dir)?;
        // One of the same number was left by a call that failed, perhaps while making its name durable: it is not believed.
        if newest_checkpoint(disk, dir)?.is_some_and(|newest| newest > upto) {
            return Ok(None);
        }
        let file = SealedFile::create(disk, &directory, upto)?;
        Ok(Some(Self { disk, dir, upto, file, scratch: Vec::new(), packed: Vec::new() }))
    }

    /// Adds one record of the owner's own form, which comes back as [`Record::State`](crate::Record::State). Packed if
    /// `pack` and that pays.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Invalid`] if it is too long for a frame.
    pub fn put_state(&mut self, pack: bool, state: &[u8]) -> Result<(), Error> {
        self.scratch.clear();
        self.scratch.push(STATE);
        self.scratch.extend_from_slice(state);
        if self.scratch.len() > frame::MAX_STORED {
            let why = format!("{} bytes of state in one record", self.scratch.len());
            return Err(Error::Invalid { what: "checkpoint", why });
        }
        let is_packed = pack && compress::pack(&self.scratch, &mut self.packed);
        let (stored, codec) =
            if is_packed { (&self.packed, Codec::Zstd) } else { (&self.scratch, Codec::Plain) };
        self.file.put(stored, codec, frame::checksum(stored))
    }

    /// Adds ordinary records, and empties the batch.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Invalid`] if the batch holds something too large for a frame.
    pub fn put(&mut self, batch: &mut Batch) -> Result<(), Error> {
        self.file.put_batch(batch)
    }

    /// Seals the checkpoint and gives it its name; then removes what it stands for.
    ///
    /// # Errors
    /// [`Error::Io`]; what was there before is still there, or has been replaced as a whole.
    pub fn finish(self) -> Result<Sealed, Error> {
        let bytes = self.file.finish()?;
        let removed = drop_old(self.disk, self.dir, self.upto)?;
        Ok(Sealed { bytes, removed })
    }
}

/// The directory of checkpoints, its name durable. Synced even if it exists: whoever made it may not have come so far.
pub(crate) fn make_directory(disk: &dyn Disk, dir: &Path) -> Result<PathBuf, Error> {
    let directory = dir.join(CHECKPOINT);
    disk.create_dir_all(&directory).map_err(Error::on("making", &directory))?;
    disk.sync_dir(dir).map_err(Error::on("syncing", dir))?;
    Ok(directory)
}

/// Removes checkpoints before `upto` and segments up to it, the oldest first.
pub(crate) fn drop_old(disk: &dyn Disk, dir: &Path, upto: SegmentNo) -> Result<(u64, u64), Error> {
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
    unsynced: usize,
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
        Ok(Self { disk, directory: directory.to_owned(), number, temporary, file, end, buffer, unsynced: 0 })
    }

    /// Frames the batch and empties it.
    pub(crate) fn put_batch(&mut self, batch: &mut Batch) -> Result<(), Error> {
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
        self.unsynced += self.buffer.len();
        self.buffer.clear();
        if self.unsynced >= SYNC_EVERY {
            self.file.sync().map_err(Error::on("syncing", &self.temporary))?;
            self.unsynced = 0;
        }
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
}
