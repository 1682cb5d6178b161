//! An object copied to a local file that goes when nobody reads it any more.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use sarsen_block::Source;
use tokio::io::AsyncWriteExt as _;

use super::Reading;
use crate::bucket::{Bucket, Object};
use crate::error::Error;
use crate::place::{open_at_hand, read_at, read_at_hand};

/// Stretches of one object that are on their way at the same time.
const STRETCHES_IN_FLIGHT: usize = 2;

/// Tells apart the files of one process.
static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A local file, read by position.
#[derive(Debug)]
pub(crate) struct LocalFile {
    file: File,
    length: u64,
    /// Whether a read may wait for the disk; otherwise one that would have to fails.
    waits: AtomicBool,
}

impl LocalFile {
    fn new(file: File, length: u64) -> Self {
        Self { file, length, waits: AtomicBool::new(true) }
    }

    /// The file at `path`, with the length it has now.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(Self::new(file, length))
    }

    /// The same if it can be had without waiting for the disk. Reads do not wait either until [`wait`](Self::wait) is called.
    pub(crate) fn at_hand(path: &Path) -> Option<Self> {
        let file = open_at_hand(path)?;
        let length = file.metadata().ok()?.len();
        Some(Self { file, length, waits: AtomicBool::new(false) })
    }

    /// Reads wait for the disk from now on.
    pub(crate) fn wait(&self) {
        self.waits.store(true, Ordering::Relaxed);
    }
}

/// A local copy of an object.
#[derive(Debug)]
pub(crate) struct ScratchFile {
    copy: LocalFile,
    /// Removes the file, so it stands behind the open one.
    _place: Place,
}

/// The name of a file, which is removed with this value.
#[derive(Debug)]
struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        // What stays is a file in a scratch directory, which its owner empties.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl ScratchFile {
    /// Copies `object`, which begins with `first`, into the scratch directory.
    pub(super) async fn fetch(
        bucket: &Bucket,
        object: &Object,
        first: Bytes,
        reading: &Reading,
    ) -> Result<Self, Error> {
        let (scratch, name) = (reading.scratch.clone(), object.name.replace('/', "."));
        // In one step that goes on to its end when nobody waits for it any more, so that no file is made after its removal.
        let made = reading.runtime.spawn_blocking(move || Self::create(&scratch, &name)).await;
        let (file, place) =
            made.unwrap_or_else(|stopped| Err(Error::local(&reading.scratch, io::Error::other(stopped))))?;
        let mut file = tokio::fs::File::from_std(file);
        let begun = file.write_all(&first).await;
        begun.map_err(|e| Error::local(&place.0, e))?;
        let at = first.len() as u64;
        drop(first);
        save(bucket, object, at, &mut file, reading.stretch).await.map_err(|fault| fault.at(&place.0))?;
        let file = file.into_std().await;
        Ok(Self { copy: LocalFile::new(file, object.size), _place: place })
    }

    /// A new file in the scratch directory.
    fn create(scratch: &Path, name: &str) -> Result<(File, Place), Error> {
        std::fs::create_dir_all(scratch).map_err(|e| Error::local(scratch, e))?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let place = Place(scratch.join(format!("{name}.{number}")));
        let mut options = File::options();
        let file = options.read(true).write(true).create(true).truncate(true).open(&place.0);
        Ok((file.map_err(|e| Error::local(&place.0, e))?, place))
    }
}

impl Source for ScratchFile {
    fn len(&self) -> u64 {
        self.copy.len()
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.copy.read(range)
    }
}

impl Source for LocalFile {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.start > range.end || range.end > self.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !self.waits.load(Ordering::Relaxed) {
            let read = read_at_hand(&self.file, range.start, range.end - range.start);
            return read.ok_or_else(|| io::ErrorKind::WouldBlock.into());
        }
        let length = usize::try_from(range.end - range.start).map_err(|_| io::ErrorKind::InvalidInput)?;
        let bytes = read_at(&self.file, range.start, range.end - range.start)?;
        if bytes.len() < length { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(bytes) }
    }
}

/// What kept an object from being copied into a file.
#[derive(Debug)]
pub(crate) enum SaveFault {
    Store(Error),
    Local(io::Error),
}

impl SaveFault {
    /// The fault, with the name of the local file.
    pub(crate) fn at(self, path: &Path) -> Error {
        match self {
            Self::Store(error) => error,
            Self::Local(error) => Error::local(path, error),
        }
    }
}

/// Appends an object from byte `from` on to `file`, in pieces of `stretch` bytes. It is not synced.
pub(crate) async fn save(
    bucket: &Bucket,
    object: &Object,
    from: u64,
    file: &mut tokio::fs::File,
    stretch: u64,
) -> Result<(), SaveFault> {
    let step = usize::try_from(stretch.max(1)).unwrap_or(usize::MAX);
    let ranges = (from..object.size).step_by(step).map(|at| at..at.saturating_add(stretch).min(object.size));
    let pieces = ranges.map(|range| bucket.get_range(&object.name, range));
    let mut pieces = futures_util::stream::iter(pieces).buffered(STRETCHES_IN_FLIGHT);
    while let Some(piece) = pieces.try_next().await.map_err(SaveFault::Store)? {
        file.write_all(&piece).await.map_err(SaveFault::Local)?;
    }
    file.flush().await.map_err(SaveFault::Local)
}
