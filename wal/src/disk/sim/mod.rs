//! A disk in memory that forgets unsynced bytes and names at a power cut, tears writes and fails the n-th call.
//!
//! It is as unkind as the promise of [`Disk`] allows: what is not synced survives in any part, a failed sync throws
//! away what it should have written while reads go on showing it and the next sync succeeds (as Linux does). The same
//! seed and calls give the same disk. Values of [`SimDisk`] are handles on one disk; [`SimDisk::survivor`] makes a new
//! disk from what a power cut at this moment would leave, and can be asked again and again.
//!
//! ```
//! use std::path::Path;
//! use sarsen_wal::{Disk, SimDisk, Survival};
//!
//! let disk = SimDisk::new(7);
//! let file = disk.create(Path::new("/log"))?;
//! file.append(b"never synced")?;
//! let after = disk.survivor(Survival::Nothing);
//! assert!(after.open(Path::new("/log")).is_err());
//! # Ok::<(), std::io::Error>(())
//! ```

mod tree;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};

use super::{Disk, Entry, File, Lock, Space};
use tree::Tree;

/// What is left of bytes and names that were not synced when the power went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// None of them.
    Nothing,
    /// All of them, as after `kill -9`.
    Everything,
    /// Some of them, torn anywhere, chosen by this seed.
    Some(u64),
}

/// The kinds of calls that can be made to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// `create`.
    Create,
    /// `open`, `open_append`, `map`.
    Open,
    /// `append`.
    Append,
    /// `read_at`.
    Read,
    /// `sync`.
    Sync,
    /// `sync_dir`.
    SyncDir,
    /// `rename`, `hard_link`.
    Rename,
    /// `remove_file`, `remove_dir_all`.
    Remove,
    /// `cut`.
    Cut,
    /// `create_dir_all`.
    CreateDir,
    /// `read_dir`, `stat`, `size`.
    List,
}

/// What happens to a call that was chosen to fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this kind and does nothing; a failed sync loses what it should have written.
    Error(io::ErrorKind),
    /// It fails with this kind; an append has written a part of its bytes first.
    Torn(io::ErrorKind),
    /// The power goes during the call: it and every later one fails. Use [`SimDisk::survivor`] to go on.
    PowerCut,
}

#[derive(Debug)]
enum When {
    Call(u64),
    /// This many calls of the kind go well first.
    After(Operation, u64),
}

#[derive(Debug)]
struct State {
    tree: Tree,
    chance: Chance,
    calls: u64,
    dark: bool,
    capacity: Option<u64>,
    faults: Vec<(When, Fault)>,
    locked: Vec<u64>,
}

/// A small generator of random numbers (splitmix64), so that a seed names a history.
#[derive(Debug, Clone)]
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number from 0 to `most`.
    fn up_to(&mut self, most: usize) -> usize {
        (self.next() % (most as u64 + 1)) as usize
    }

    fn coin(&mut self) -> bool {
        self.next() & 1 == 1
    }
}

/// A disk in memory. See the head of its file.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        f.debug_struct("SimDisk").field("calls", &state.calls).field("dark", &state.dark).finish()
    }
}

impl SimDisk {
    /// An empty disk. The seed decides how writes tear.
    pub fn new(seed: u64) -> Self {
        Self::with_tree(Tree::new(), seed)
    }

    fn with_tree(tree: Tree, seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            tree,
            chance: Chance(seed),
            calls: 0,
            dark: false,
            capacity: None,
            faults: Vec::new(),
            locked: Vec::new(),
        })))
    }

    /// How many calls have been made that change something (syncs included; reads are not counted).
    pub fn calls(&self) -> u64 {
        self.0.lock().calls
    }

    /// Makes the changing call with number `call` (the first ever is 0) meet `fault`.
    pub fn fail_call(&self, call: u64, fault: Fault) {
        self.0.lock().faults.push((When::Call(call), fault));
    }

    /// Makes one call of a kind meet `fault`, after `after` more of that kind have gone well.
    pub fn fail_after(&self, operation: Operation, after: u64, fault: Fault) {
        self.0.lock().faults.push((When::After(operation, after), fault));
    }

    /// Forgets all planned faults.
    pub fn heal(&self) {
        self.0.lock().faults.clear();
    }

    /// How many bytes all files together may hold; `None` for no bound. Appends beyond it write what fits and fail
    /// with `StorageFull`.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.0.lock().capacity = bytes;
    }

    /// Bytes that all files hold now.
    pub fn used(&self) -> u64 {
        self.0.lock().tree.used()
    }

    /// Turns the power off now.
    pub fn cut_power(&self) {
        self.0.lock().dark = true;
    }

    /// Whether the power is off.
    pub fn is_dark(&self) -> bool {
        self.0.lock().dark
    }

    /// A new disk, powered, without planned faults or locks, with what a power cut at this moment would leave.
    pub fn survivor(&self, survival: Survival) -> Self {
        let seed = if let Survival::Some(seed) = survival { seed } else { 0 };
        let mut chance = Chance(seed);
        let tree = self.0.lock().tree.survivor(survival, &mut chance);
        Self::with_tree(tree, chance.next())
    }

    /// Changes bytes of a file behind everybody's back, on the disk as well as in memory: damage for tests.
    ///
    /// # Errors
    /// `NotFound` if there is no such file.
    pub fn damage(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        self.0.lock().tree.damage(path, change)
    }

    /// Counts the call and meets its fault, if one is planned. `Ok(Some(fault))` for faults that do part of the work.
    fn begin(&self, operation: Operation) -> io::Result<(MutexGuard<'_, State>, Option<Fault>)> {
        let mut state = self.0.lock();
        if state.dark {
            return Err(dark());
        }
        let changes = !matches!(operation, Operation::Open | Operation::Read | Operation::List);
        let call = state.calls;
        state.calls += u64::from(changes);
        let mut met = None;
        for (position, (when, fault)) in state.faults.iter_mut().enumerate() {
            let now = match when {
                When::Call(n) => changes && *n == call,
                When::After(kind, left) if *kind == operation => {
                    let now = *left == 0;
                    *left = left.saturating_sub(1);
                    now
                }
                When::After(..) => false,
            };
            if now && met.is_none() {
                met = Some((position, *fault));
            }
        }
        let Some((index, fault)) = met else { return Ok((state, None)) };
        state.faults.remove(index);
        state.dark |= fault == Fault::PowerCut;
        Ok((state, Some(fault)))
    }

    /// For calls that either happen or do not. At a power cut the call happens, unsynced, and nobody hears of it.
    fn whole<T>(
        &self,
        operation: Operation,
        work: impl FnOnce(&mut Tree) -> io::Result<T>,
    ) -> io::Result<(T, MutexGuard<'_, State>)> {
        let (mut state, fault) = self.begin(operation)?;
        match fault {
            Some(Fault::Error(kind) | Fault::Torn(kind)) => Err(kind.into()),
            Some(Fault::PowerCut) => {
                drop(work(&mut state.tree));
                Err(dark())
            }
            None => Ok((work(&mut state.tree)?, state)),
        }
    }

    fn file(&self, ino: u64, path: &Path) -> Box<dyn File> {
        Box::new(SimFile { disk: self.clone(), ino, path: path.to_owned() })
    }
}

fn dark() -> io::Error {
    io::Error::other("the power is off")
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    ino: u64,
    /// Only to be seen in debug output.
    #[expect(dead_code, reason = "read by Debug")]
    path: PathBuf,
}

#[derive(Debug)]
struct SimLock {
    disk: SimDisk,
    ino: u64,
}

impl Lock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.disk.0.lock().locked.retain(|ino| *ino != self.ino);
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let (ino, _) = self.whole(Operation::Create, |tree| tree.create(path))?;
        Ok(self.file(ino, path))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let (ino, _) = self.whole(Operation::Open, |tree| tree.find_file(path))?;
        Ok(self.file(ino, path))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path)
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        let (bytes, _) = self.whole(Operation::Open, |tree| {
            let ino = tree.find_file(path)?;
            Ok(Bytes::copy_from_slice(tree.data(ino)))
        })?;
        Ok(bytes)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.whole(Operation::Rename, |tree| tree.rename(from, to)).map(drop)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.whole(Operation::Rename, |tree| tree.hard_link(from, to)).map(drop)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.whole(Operation::Remove, |tree| tree.remove_file(path)).map(drop)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.whole(Operation::Remove, |tree| tree.remove_dir_all(path)).map(drop)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.whole(Operation::CreateDir, |tree| tree.create_dir_all(path)).map(drop)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        Ok(self.whole(Operation::List, |tree| tree.read_dir(path))?.0)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let (mut state, fault) = self.begin(Operation::SyncDir)?;
        match fault {
            None => state.tree.sync_dir(path),
            Some(Fault::PowerCut) => Err(dark()),
            Some(Fault::Error(kind) | Fault::Torn(kind)) => Err(kind.into()),
        }
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Entry>> {
        Ok(self.whole(Operation::List, |tree| Ok(tree.stat(path)))?.0)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let ino = match self.whole(Operation::Open, |tree| tree.find_file(path)) {
            Ok((ino, _)) => ino,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.whole(Operation::Create, |tree| tree.create(path))?.0
            }
            Err(error) => return Err(error),
        };
        let mut state = self.0.lock();
        if state.locked.contains(&ino) {
            return Ok(None);
        }
        state.locked.push(ino);
        drop(state);
        Ok(Some(Box::new(SimLock { disk: self.clone(), ino })))
    }

    fn space(&self, _path: &Path) -> io::Result<Space> {
        let state = self.0.lock();
        let total = state.capacity.unwrap_or(u64::MAX);
        Ok(Space { total, available: total.saturating_sub(state.tree.used()) })
    }
}

impl File for SimFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let (mut state, fault) = self.disk.begin(Operation::Append)?;
        let (mut room, mut outcome) = match fault {
            None => (bytes.len(), Ok(())),
            Some(Fault::Error(kind)) => (0, Err(kind.into())),
            Some(Fault::Torn(kind)) => (state.chance.up_to(bytes.len()), Err(kind.into())),
            Some(Fault::PowerCut) => (bytes.len(), Err(dark())),
        };
        if let Some(capacity) = state.capacity {
            let left = usize::try_from(capacity.saturating_sub(state.tree.used())).unwrap_or(usize::MAX);
            if left < room {
                room = left;
                outcome = Err(io::ErrorKind::StorageFull.into());
            }
        }
        state.tree.append(self.ino, bytes.get(..room).unwrap_or(bytes));
        outcome
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (read, _) = self.disk.whole(Operation::Read, |tree| {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let rest = tree.data(self.ino).get(start..).unwrap_or_default();
            let length = rest.len().min(buffer.len());
            for (to, from) in buffer.iter_mut().zip(rest) {
                *to = *from;
            }
            Ok(length)
        })?;
        Ok(read)
    }

    fn sync(&self) -> io::Result<()> {
        let (mut guard, fault) = self.disk.begin(Operation::Sync)?;
        let State { tree, chance, .. } = &mut *guard;
        match fault {
            None => tree.sync(self.ino),
            Some(Fault::PowerCut) => return Err(dark()),
            Some(Fault::Error(kind) | Fault::Torn(kind)) => {
                tree.lose_unsynced(self.ino, chance);
                return Err(kind.into());
            }
        }
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        let (size, _) = self.disk.whole(Operation::List, |tree| Ok(tree.data(self.ino).len() as u64))?;
        Ok(size)
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.disk
            .whole(Operation::Cut, |tree| {
                tree.cut(self.ino, usize::try_from(size).unwrap_or(usize::MAX));
                Ok(())
            })
            .map(drop)
    }
}

#[cfg(test)]
mod tests;
