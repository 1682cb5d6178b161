//! The operating system behind the promise of [`Disk`].
//!
//! `sync` is `fdatasync`, which on Linux includes the length; `sync_dir` is `fsync` of the directory; the lock is
//! `flock`, as Prometheus takes it on its own `lock` file, so each of the two refuses a directory that the other has.
//!
//! A long file that is written in one go (a checkpoint, a spill file, a block) and synced only at its end would bring the
//! disk everything at once, and the sync of a few bytes of log beside it would wait for all of that. So the system is told to
//! begin writing a stretch as soon as it is full; nobody waits for it.

use std::fs;
use std::io;
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::{Disk, Entry, File, Lock, Space, map};

/// The file system of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

#[derive(Debug)]
struct RealFile {
    file: fs::File,
    /// Where the next append goes.
    end: AtomicU64,
    /// Bytes before this are on their way to the disk, or were there when the file was opened.
    begun: AtomicU64,
}

/// So many bytes are sent on their way at once; a multiple of every page size.
const STRETCH: u64 = 1 << 20;

impl RealFile {
    /// Has the system begin to write what is complete up to `end`. Saying that pages will not be needed does that on Linux:
    /// they are dirty, so they are written and stay.
    fn begin_writing(&self, end: u64) {
        let begun = self.begun.load(Ordering::Relaxed);
        let full = end - end % STRETCH;
        if let Some(length) = NonZeroU64::new(full.saturating_sub(begun)) {
            self.begun.store(full, Ordering::Relaxed);
            // It is a hint: a file system without it writes when it syncs.
            let _ = rustix::fs::fadvise(&self.file, begun, Some(length), rustix::fs::Advice::DontNeed);
        }
    }
}

#[derive(Debug)]
struct RealLock {
    file: fs::File,
}

impl Lock for RealLock {}

/// Closing our descriptor is not enough: a child that another thread is about to start holds a copy of it until it
/// has become its own program, and the lock lives as long as any copy. Unlocking ends it for all of them.
impl Drop for RealLock {
    fn drop(&mut self) {
        // A failure leaves what closing does: the lock ends with the last copy.
        let _released = self.file.unlock();
    }
}

fn opened(file: fs::File) -> io::Result<Box<dyn File>> {
    let end = file.metadata()?.len();
    let begun = AtomicU64::new(end - end % STRETCH);
    Ok(Box::new(RealFile { file, end: AtomicU64::new(end), begun }))
}

fn entry(name: String, metadata: &fs::Metadata) -> Entry {
    let is_dir = metadata.is_dir();
    Entry { name, is_dir, len: if is_dir { 0 } else { metadata.len() } }
}

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        opened(fs::OpenOptions::new().read(true).write(true).create_new(true).open(path)?)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        opened(fs::File::open(path)?)
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn File>> {
        opened(fs::OpenOptions::new().read(true).write(true).open(path)?)
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        map::map(&fs::File::open(path)?)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for found in fs::read_dir(path)? {
            let found = found?;
            let Ok(name) = found.file_name().into_string() else { continue };
            match found.metadata() {
                Ok(metadata) => entries.push(entry(name, &metadata)),
                // Removed by another thread since the directory was read: as good as not listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Entry>> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(entry(name, &metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let file = fs::OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(RealLock { file }))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let volume = rustix::fs::statvfs(path)?;
        Ok(Space {
            total: volume.f_blocks.saturating_mul(volume.f_frsize),
            available: volume.f_bavail.saturating_mul(volume.f_frsize),
        })
    }
}

impl File for RealFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let end = self.end.load(Ordering::Acquire);
        self.file.write_all_at(bytes, end)?;
        let end = end.saturating_add(bytes.len() as u64);
        self.end.store(end, Ordering::Release);
        self.begin_writing(end);
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while let Some(rest) = buffer.get_mut(read..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, offset.saturating_add(read as u64)) {
                Ok(0) => break,
                Ok(n) => read += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.file.set_len(size)?;
        self.end.store(size, Ordering::Release);
        self.begun.store(size - size % STRETCH, Ordering::Relaxed);
        Ok(())
    }
}
