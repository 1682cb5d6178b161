//! The spill files on the disk: what waits to be written, what is written, what is synced.
//!
//! Whoever fills the spill holds the lock of the head and hands over whole blocks of records ([`SpillFiles::hand_over`]);
//! they are written by whoever calls [`write`](SpillFiles::write), without that lock. Until then they are read from
//! memory, so a reader sees no difference. A record lies in one block. Nothing is synced but by [`sync`](SpillFiles::sync), because
//! everything here can be made again from the log until a checkpoint names it. A file that a checkpoint may name is removed
//! from the disk only behind the next checkpoint.
//!
//! After a failed write or sync the latch closes: the database is then opened again and makes the spill anew.
//! Locks: `writer`, then `living`, then the state of a file; none of them is held during a read, and only `writer` during a write.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use sarsen_block::codec::{Reader, put_uvarint, put_varint};
use sarsen_block::{Error as BlockError, TimeRange, Timestamp};
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
    synced: u64,
    /// Blocks that follow what is written.
    waiting: VecDeque<Bytes>,
    span: Span,
}

/// A file as a checkpoint names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpillState {
    number: u32,
    length: u64,
    /// Of what it holds.
    pub(crate) range: TimeRange,
    /// Chunks that end in it.
    pub(crate) chunks: u64,
}

impl SpillState {
    pub(crate) fn put_all(files: &[Self], out: &mut Vec<u8>) {
        for file in files {
            put_uvarint(out, u64::from(file.number));
            put_uvarint(out, file.length);
            put_varint(out, file.range.min);
            put_uvarint(out, file.range.max.wrapping_sub(file.range.min) as u64);
            put_uvarint(out, file.chunks);
        }
    }

    pub(crate) fn read_all(reader: &mut Reader<'_>) -> Result<Vec<Self>, BlockError> {
        let mut files = Vec::new();
        while reader.remaining() > 0 {
            let number = reader.uvarint("spill file")?;
            let number =
                u32::try_from(number).map_err(|_| reader.corrupt("a number of more than 32 bits"))?;
            let length = reader.uvarint("length")?;
            let min = reader.varint("first time")?;
            let max = min.wrapping_add(reader.uvarint("duration")? as i64);
            let chunks = reader.uvarint("chunks")?;
            files.push(Self { number, length, range: TimeRange::new(min, max), chunks });
        }
        Ok(files)
    }
}

/// The names of the files in the directory; none if it does not exist.
fn list(disk: &dyn Disk, directory: &Path) -> Result<Vec<String>, Error> {
    match disk.read_dir(directory) {
        Ok(entries) => {
            Ok(entries.into_iter().filter(|entry| !entry.is_dir).map(|entry| entry.name).collect())
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Error::io(format!("listing {}", directory.display()), error)),
    }
}

impl SpillFiles {
    /// An empty spill, whose files get numbers that no file in the directory has.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be listed.
    pub(crate) fn begin(disk: &Arc<dyn Disk>, database: &Path) -> Result<Arc<Self>, Error> {
        let directory = database.join(SPILL);
        let found = list(disk.as_ref(), &directory)?;
        let newest = found.iter().filter_map(|name| name.parse().ok()).max();
        Ok(Arc::new(Self {
            disk: Arc::clone(disk),
            directory,
            living: RwLock::default(),
            dead: Mutex::default(),
            next: AtomicU32::new(newest.unwrap_or(0u32).saturating_add(1)),
            waiting: AtomicU64::new(0),
            writer: Mutex::new(false),
            latch: Latch::new(),
        }))
    }

    /// Takes up the files that a checkpoint names. They take no more records. Gives the numbers of those that are missing or too
    /// short, which are not taken up.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn adopt(&self, named: &[SpillState]) -> Result<Vec<u32>, Error> {
        let mut missing = Vec::new();
        for state in named {
            let path = self.path(state.number);
            let failed = |e| Error::io(format!("opening {}", path.display()), e);
            let file: Arc<dyn File> = match self.disk.open(&path) {
                Ok(file) => Arc::from(file),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    missing.push(state.number);
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            if file.size().map_err(failed)? < state.length {
                missing.push(state.number);
                continue;
            }
            let &SpillState { number, length, range, chunks } = state;
            let state = State {
                file: Some(file),
                written: length,
                synced: length,
                waiting: VecDeque::new(),
                span: Span { range, chunks },
            };
            self.living.write().insert(number, Arc::new(SpillFile { number, state: RwLock::new(state) }));
        }
        Ok(missing)
    }

    /// Removes from the directory what no series can refer to: files that neither the checkpoint named nor this spill made.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(crate) fn remove_unnamed(&self) -> Result<(), Error> {
        for name in list(self.disk.as_ref(), &self.directory)? {
            let is_living = name.parse().is_ok_and(|number| self.has(number));
            if !is_living {
                let path = self.directory.join(name);
                self.disk
                    .remove_file(&path)
                    .map_err(|e| Error::io(format!("removing {}", path.display()), e))?;
            }
        }
        Ok(())
    }

    /// The number that the next file gets: numbers are never used twice, because series may remember places in files that
    /// are gone.
    pub(crate) fn next_number(&self) -> u32 {
        self.next.load(Ordering::Relaxed)
    }

    /// Gives no number below `next` any more.
    pub(crate) fn skip_numbers(&self, next: u32) {
        self.next.fetch_max(next, Ordering::Relaxed);
    }

    /// Whether there is a file of that number.
    pub(super) fn has(&self, number: u32) -> bool {
        self.living.read().contains_key(&number)
    }

    /// Writes and syncs everything that was handed over, names included; what a checkpoint then may name.
    ///
    /// # Errors
    /// [`Latched`].
    pub(crate) fn sync(&self) -> Result<Vec<SpillState>, Latched> {
        let mut writer = self.writer.lock();
        self.write_as(&mut writer)?;
        let files: Vec<Arc<SpillFile>> = self.living.read().values().cloned().collect();
        let (mut states, mut is_new) = (Vec::new(), false);
        for file in files {
            let (to, written, synced, span) = {
                let state = file.state.read();
                (state.file.clone(), state.written, state.synced, state.span)
            };
            let Some(to) = to else { continue };
            if synced < written {
                let failed = |e| self.latch.close(format!("syncing spill file {}", file.number), e);
                to.sync().map_err(failed)?;
                is_new |= synced == 0;
                file.state.write().synced = written;
            }
            let Span { range, chunks } = span;
            states.push(SpillState { number: file.number, length: written, range, chunks });
        }
        if is_new {
            let above = self.directory.parent().unwrap_or(&self.directory);
            for directory in [&self.directory, above] {
                let failed = |e| self.latch.close(format!("syncing {}", directory.display()), e);
                self.disk.sync_dir(directory).map_err(failed)?;
            }
        }
        Ok(states)
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
