//! The dozen things we ask of a file system, and what each promises.
//!
//! Everything that reaches a disk, here and in the crates above, goes through [`Disk`] and [`File`], so that one
//! simulated disk can lose power under the whole database and a wrapper can slow, count or refuse any call.
//!
//! What a caller may rely on, and nothing more:
//! * bytes are on the disk after [`File::sync`] of that file has returned `Ok`, and not before;
//! * a name (created, renamed, removed, linked) is on the disk after [`Disk::sync_dir`] of its directory has returned
//!   `Ok`, and not before; a directory's own name stands in its parent;
//! * between two syncs a power cut keeps any part of what was done, in pieces as small as a byte;
//! * after a failed write or sync nothing is known about the bytes since the last sync that succeeded, and a later
//!   sync that succeeds says nothing about them.
//!
//! Paths are handed through as they are. No call is retried in here.

mod latch;
mod map;
mod real;
#[cfg(any(test, feature = "sim"))]
mod sim;

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::Source;

pub use latch::{Latch, Latched};
pub use real::RealDisk;
#[cfg(any(test, feature = "sim"))]
pub use sim::{Fault, Operation, SimDisk, Survival};

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name in its directory. Names that are not UTF-8 are not listed.
    pub name: String,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Length in bytes; 0 for a directory.
    pub len: u64,
}

/// How large the volume is that holds a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Size of the volume in bytes.
    pub total: u64,
    /// Bytes that this process may still write.
    pub available: u64,
}

/// A directory tree that can be asked for files.
pub trait Disk: Send + Sync + fmt::Debug {
    /// A new, empty file, open for appending and reading. `AlreadyExists` if the name is taken.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// An existing file, for reading only. `NotFound` if there is none.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// An existing file, for appending behind its last byte, cutting and reading. `NotFound` if there is none.
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// A whole file, read-only, without reading it now. The bytes stay valid when the file is renamed or removed;
    /// the caller promises that nobody shortens or rewrites it (see `map.rs`). For random access to indexes only:
    /// mapped pages count as resident, and an I/O error under a map kills the process.
    fn map(&self, path: &Path) -> io::Result<Bytes>;

    /// Gives a file or directory another name, replacing a file of that name. At every moment, power cuts included,
    /// one of the two states is seen. Durable after [`sync_dir`](Self::sync_dir) of both directories.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// A second name for a file. `AlreadyExists` if the name is taken.
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes one file. `NotFound` if there is none.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and all below it, in no promised order: after a power cut any part may be left.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Makes a directory and those above it; fine if it exists.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// What a directory holds, sorted by name.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;

    /// What stands at `path`; `None` if nothing does.
    fn stat(&self, path: &Path) -> io::Result<Option<Entry>>;

    /// Takes the exclusive lock on the file at `path`, making the file if need be. `None` if another holder, in this
    /// process or another, has it. Never waits. Dropping the value gives the lock back; so does the end of the process.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>>;

    /// The volume that holds `path`.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// An open file. Calls from several threads are allowed; appends of one file are expected from one thread at a time.
pub trait File: Send + Sync + fmt::Debug {
    /// Writes all of `bytes` behind the last byte. After an error any part of them may have been written.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Reads from `offset` into `buffer` until it is full or the file ends; how many bytes were read.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Makes all bytes and the length of the file durable. Does nothing for its name.
    fn sync(&self) -> io::Result<()>;

    /// Length in bytes.
    fn size(&self) -> io::Result<u64>;

    /// Cuts the file at `size` bytes. Never used to make a file longer. Durable after [`sync`](Self::sync).
    fn cut(&self, size: u64) -> io::Result<()>;
}

/// A lock that is held as long as the value lives.
pub trait Lock: Send + Sync + fmt::Debug {}

impl dyn File {
    /// The bytes of `range`, all of them: `UnexpectedEof` if the file is shorter.
    ///
    /// # Errors
    /// What the disk says, or `UnexpectedEof`.
    pub fn read_range(&self, range: Range<u64>) -> io::Result<Bytes> {
        let wanted = range.end.saturating_sub(range.start);
        let length = usize::try_from(wanted).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        // A range from damaged data may ask for anything: nothing is set aside for bytes that are not there. Small
        // reads save the question.
        if wanted > 64 << 10 && range.end > self.size()? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut buffer = vec![0; length];
        if self.read_at(&mut buffer, range.start)? < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(buffer.into())
    }
}

/// Appending as `io::Write`. Nothing is buffered; `flush` does nothing and syncs nothing.
impl io::Write for dyn File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.append(buf)?;
        Ok(buf.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file of fixed length as a [`Source`], for positional reads.
#[derive(Debug)]
pub struct FileSource {
    file: Box<dyn File>,
    len: u64,
}

impl FileSource {
    /// The file at `path`, with the length it has now.
    ///
    /// # Errors
    /// What the disk says.
    pub fn open(disk: &dyn Disk, path: &Path) -> io::Result<Self> {
        let file = disk.open(path)?;
        let len = file.size()?;
        Ok(Self { file, len })
    }
}

impl Source for FileSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.start > range.end || range.end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.file.read_range(range)
    }
}

/// The whole of a file. For small files.
///
/// # Errors
/// What the disk says.
pub fn read_file(disk: &dyn Disk, path: &Path) -> io::Result<Bytes> {
    let file = disk.open(path)?;
    let size = file.size()?;
    file.read_range(0..size)
}

/// Puts `bytes` under `path` in one step that a power cut cannot halve: temporary name (`path` with `.tmp`), write,
/// sync, rename, sync of the directory.
///
/// # Errors
/// What the disk says; the old file, if there was one, is then still there or already replaced as a whole.
pub fn replace_file(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = Path::new(&name);
    match disk.remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = disk.create(temporary)?;
    file.append(bytes)?;
    file.sync()?;
    drop(file);
    disk.rename(temporary, path)?;
    disk.sync_dir(directory)
}

/// The real disk, ready to be shared.
pub fn real_disk() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}
