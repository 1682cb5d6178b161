//! The real disk, made to refuse or to be slow on demand.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use sarsen_wal::{Disk, Entry, File, Lock, Space, real_disk};

/// The real disk below `switches`.
#[derive(Debug)]
pub(super) struct WeakDisk {
    real: Arc<dyn Disk>,
    pub(super) switches: Arc<Switches>,
}

/// What is wrong with the disk now.
#[derive(Debug, Default)]
pub(super) struct Switches {
    /// Writes and new files fail: no space is left.
    pub(super) full: AtomicBool,
    /// Syncs fail.
    pub(super) unsyncable: AtomicBool,
    /// Every sync takes this many milliseconds longer.
    pub(super) delay_ms: AtomicU64,
    /// Syncs of files so far.
    pub(super) syncs: AtomicU64,
    /// If not 0, a sync ends only when so many are under way at the same time, and fails if that never comes.
    pub(super) together: AtomicUsize,
    under_way: Mutex<usize>,
    arrived: Condvar,
}

impl Switches {
    fn room(&self) -> io::Result<()> {
        if self.full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        self.syncs.fetch_add(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(self.delay_ms.load(Ordering::SeqCst)));
        self.gather()?;
        if self.unsyncable.load(Ordering::SeqCst) { Err(io::Error::other("sync fails")) } else { Ok(()) }
    }
}

impl Switches {
    fn gather(&self) -> io::Result<()> {
        let wanted = self.together.load(Ordering::SeqCst);
        if wanted == 0 {
            return Ok(());
        }
        let mut under_way = self.under_way.lock();
        *under_way += 1;
        self.arrived.notify_all();
        let patience = Duration::from_secs(20);
        let waited = self.arrived.wait_while_for(&mut under_way, |arrived| *arrived < wanted, patience);
        if waited.timed_out() { Err(io::Error::other("the others never came")) } else { Ok(()) }
    }
}

impl WeakDisk {
    pub(super) fn new() -> Self {
        Self { real: real_disk(), switches: Arc::default() }
    }

    fn weak(&self, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(WeakFile { file, switches: Arc::clone(&self.switches) })
    }
}

#[derive(Debug)]
struct WeakFile {
    file: Box<dyn File>,
    switches: Arc<Switches>,
}

impl File for WeakFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.switches.room()?;
        self.file.append(bytes)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.switches.sync()?;
        self.file.sync()
    }

    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn cut(&self, size: u64) -> io::Result<()> {
        self.file.cut(size)
    }
}

impl Disk for WeakDisk {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.switches.room()?;
        Ok(self.weak(self.real.create(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(self.weak(self.real.open(path)?))
    }

    fn open_append(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(self.weak(self.real.open_append(path)?))
    }

    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.real.map(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.real.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.real.hard_link(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.real.remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.real.remove_dir_all(path)
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.switches.room()?;
        self.real.create_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.real.read_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.real.sync_dir(path)
    }

    fn stat(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.real.stat(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.real.lock(path)
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        self.real.space(path)
    }
}
