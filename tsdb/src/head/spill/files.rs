//! The spill files on the disk: what waits to be written, what is written, what is synced.
//!
//! Whoever fills the spill holds the lock of the head and hands over whole blocks of records ([`SpillFiles::hand_over`]);
//! they are written by whoever calls [`write`](SpillFiles::write), without that lock. Until then they are read from
//! memory, so a reader sees no difference. A record lies in one block. Nothing is synced but by [`sync`](SpillFiles::sync), because
//! everything here can be made again from the log until a checkpoint names it.
//!
//! After a failed write or sync the latch closes: the database is then opened again and makes the spill anew.
//! Locks: `writer`, then `living`, then the state of a file; none of them is held during a read, and only `writer` during a write.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use sarsen_block::{Error as BlockError, Timestamp};
use sarsen_wal::{Disk, File, Latch, Latched};

use super::record::{self, Piece};
use super::{Span, SpillRef};
use crate::error::Error;

/// The directory, inside a database's, that holds the spill.
const SPILL: &str = "spill";
/// What most records are not longer than, read at once.
const MOST: usize = 320;
/// With so many bytes waiting, a commit writes before it begins.
const MAX_WAITING: u64 = 32 << 20;

/// All spill files of a database.
#[derive(Debug)]
pub(crate) struct SpillFiles {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    living: RwLock<BTreeMap<u32, Arc<SpillFile>>>,
    /// Files that nobody refers to any more and that are still on the disk.
    dead: Mutex<Vec<Arc<SpillFile>>>,
    next: AtomicU32,
    /// Bytes handed over and not written.
    waiting: AtomicU64,
    /// Whether the directory exists.
    writer: Mutex<bool>,
    latch: Latch,
}

/// One file.
#[derive(Debug)]
pub(crate) struct SpillFile {
    number: u32,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    file: Option<Arc<dyn File>>,
    written: u64,
    /// Blocks that follow what is written.
    waiting: VecDeque<Bytes>,
    span: Span,
}

impl SpillFiles {
    /// An empty spill. What lies in the directory is removed: nothing refers to it.
    pub(crate) fn begin(disk: &Arc<dyn Disk>, database: &Path) -> Result<Arc<Self>, Error> {
        let directory = database.join(SPILL);
        let found = match disk.read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(Error::io(format!("listing {}", directory.display()), error)),
        };
        for entry in found.iter().filter(|entry| !entry.is_dir) {
            let path = directory.join(&entry.name);
            disk.remove_file(&path).map_err(|e| Error::io(format!("removing {}", path.display()), e))?;
        }
        Ok(Arc::new(Self {
            disk: Arc::clone(disk),
            directory,
            living: RwLock::default(),
            dead: Mutex::default(),
            next: AtomicU32::new(1),
            waiting: AtomicU64::new(0),
            writer: Mutex::new(false),
            latch: Latch::new(),
        }))
    }

    /// A new file, which is made on the disk when its first block is written. `None` if numbers have run out.
    pub(super) fn new_file(&self) -> Option<Arc<SpillFile>> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        SpillRef::new(number, 0)?;
        let file = Arc::new(SpillFile { number, state: RwLock::default() });
        self.living.write().insert(number, Arc::clone(&file));
        Some(file)
    }

    /// Whether numbers of files have nearly run out.
    pub(super) fn is_full(&self) -> bool {
        SpillRef::new(self.next.load(Ordering::Relaxed).saturating_add(1024), 0).is_none()
    }

    /// A block of whole records, which follows the one before it in its file; `span` is what the file holds with it.
    pub(super) fn hand_over(&self, file: &SpillFile, block: Vec<u8>, span: Span) {
        self.waiting.fetch_add(block.len() as u64, Ordering::Relaxed);
        let mut state = file.state.write();
        state.waiting.push_back(block.into());
        state.span = span;
    }

    /// Writes what waits, unless another thread is at it and not too much waits.
    ///
    /// # Errors
    /// [`Latched`]: the database is to be opened again.
    pub(crate) fn write_some(&self) -> Result<(), Latched> {
        let waiting = self.waiting.load(Ordering::Relaxed);
        if waiting == 0 {
            return self.latch.check();
        }
        if waiting > MAX_WAITING {
            return self.write();
        }
        match self.writer.try_lock() {
            Some(mut writer) => self.write_as(&mut writer),
            None => self.latch.check(),
        }
    }

    /// Writes everything that was handed over.
    ///
    /// # Errors
    /// [`Latched`].
    pub(crate) fn write(&self) -> Result<(), Latched> {
        self.write_as(&mut self.writer.lock())
    }

    fn write_as(&self, has_directory: &mut bool) -> Result<(), Latched> {
        let files: Vec<Arc<SpillFile>> = self.living.read().values().cloned().collect();
        for file in files {
            while let Some(block) = file.next_block() {
                self.latch.check()?;
                let path = self.path(file.number);
                let failed = |e| self.latch.close(format!("writing {}", path.display()), e);
                let to = match file.state.read().file.clone() {
                    Some(to) => to,
                    None => {
                        if !*has_directory {
                            self.disk.create_dir_all(&self.directory).map_err(failed)?;
                            *has_directory = true;
                        }
                        Arc::from(self.disk.create(&path).map_err(failed)?)
                    }
                };
                to.append(&block).map_err(failed)?;
                let mut state = file.state.write();
                state.file = Some(to);
                state.written += block.len() as u64;
                // Nothing waits any more if the file was let go of meanwhile.
                if state.waiting.pop_front().is_some() {
                    self.waiting.fetch_sub(block.len() as u64, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    fn path(&self, number: u32) -> PathBuf {
        self.directory.join(format!("{number:08}"))
    }

    /// Lets go of files whose samples all lie before `from`; how many chunks went with them. They stay on the disk until
    /// [`remove_dead`](Self::remove_dead).
    pub(super) fn drop_before(&self, from: Timestamp) -> u64 {
        let mut living = self.living.write();
        let mut chunks = 0;
        let old: Vec<u32> = living
            .iter()
            .filter(|(_, file)| file.state.read().span.range.max < from)
            .map(|(&number, _)| number)
            .collect();
        for number in old {
            if let Some(file) = living.remove(&number) {
                let mut state = file.state.write();
                chunks += state.span.chunks;
                let waiting: usize = state.waiting.drain(..).map(|block| block.len()).sum();
                self.waiting.fetch_sub(waiting as u64, Ordering::Relaxed);
                drop(state);
                self.dead.lock().push(file);
            }
        }
        chunks
    }

    /// Removes the files that were let go of from the disk.
    ///
    /// # Errors
    /// [`Error::Io`]; a later call tries again.
    pub(crate) fn remove_dead(&self) -> Result<(), Error> {
        let _writer = self.writer.lock();
        let mut dead = self.dead.lock();
        while let Some(file) = dead.last() {
            if file.state.read().file.is_some() {
                let path = self.path(file.number);
                match self.disk.remove_file(&path) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Error::io(format!("removing {}", path.display()), error));
                    }
                    _ => {}
                }
            }
            dead.pop();
        }
        Ok(())
    }

    /// Oldest time in any file, as far as blocks were handed over; `Timestamp::MAX` if there is none.
    pub(super) fn oldest(&self) -> Timestamp {
        let living = self.living.read();
        living.values().map(|file| file.state.read().span.range.min).min().unwrap_or(Timestamp::MAX)
    }

    /// Whether the spill is in order.
    ///
    /// # Errors
    /// [`Latched`] after a failed write or sync.
    pub(crate) fn check(&self) -> Result<(), Latched> {
        self.latch.check()
    }

    /// Number and bytes of the files, what waits included; bytes that wait.
    pub(crate) fn sizes(&self) -> (u64, u64, u64) {
        let living = self.living.read();
        let written: u64 = living.values().map(|file| file.state.read().written).sum();
        let waiting = self.waiting.load(Ordering::Relaxed);
        (living.len() as u64, written + waiting, waiting)
    }

    /// Reads the piece at `place`, which was handed over; `None` if its file was let go of, which ends a chain.
    pub(super) fn read(&self, place: SpillRef, buffer: &mut Vec<u8>) -> Result<Option<Piece>, BlockError> {
        let Some(file) = self.living.read().get(&place.file()).cloned() else { return Ok(None) };
        file.read(place, MOST, buffer)?;
        let length = record::length(buffer, place)?;
        if length > buffer.len() {
            file.read(place, length, buffer)?;
        }
        record::get(buffer, place).map(Some)
    }
}

impl SpillFile {
    pub(super) const fn number(&self) -> u32 {
        self.number
    }

    /// The block to be written next.
    fn next_block(&self) -> Option<Bytes> {
        self.state.read().waiting.front().cloned()
    }

    /// Up to `length` bytes from a place on, from one block or from the disk.
    fn read(&self, place: SpillRef, length: usize, buffer: &mut Vec<u8>) -> Result<(), BlockError> {
        buffer.clear();
        let state = self.state.read();
        let mut start = state.written;
        let file = match &state.file {
            Some(file) if place.offset() < start => Arc::clone(file),
            _ => {
                for block in &state.waiting {
                    let at = place.offset().checked_sub(start).and_then(|at| usize::try_from(at).ok());
                    if let Some(rest) = at.and_then(|at| block.get(at..)).filter(|rest| !rest.is_empty()) {
                        buffer.extend(rest.iter().take(length));
                        break;
                    }
                    start += block.len() as u64;
                }
                return Ok(());
            }
        };
        drop(state);
        buffer.resize(length, 0);
        let read = file
            .read_at(buffer, place.offset())
            .map_err(|e| BlockError::io(format!("reading spill file {}", self.number), e))?;
        buffer.truncate(read);
        Ok(())
    }
}
