//! Many writers, few syncs: one leader writes and syncs for all who wait, over one log and over many.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod history;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};

use bytes::Bytes;
use history::{DIR, disk, read};
use sarsen_block::Labels;
use sarsen_wal::{
    Batch, Disk, Entry, Fault, File, Lead, Lock, Operation, Options, Position, SeriesId, SimDisk, Space,
    Survival, SyncPolicy, Wal, wait_all,
};

/// A disk whose syncs are counted, and wait at a gate while it is shut.
#[derive(Debug)]
struct Gated {
    inner: SimDisk,
    gate: Arc<Gate>,
}

#[derive(Debug, Default)]
struct Gate {
    shut: Mutex<bool>,
    turn: Condvar,
    syncs: AtomicU64,
    waiting: AtomicU64,
}

#[derive(Debug)]
struct GatedFile {
    inner: Box<dyn File>,
    gate: Arc<Gate>,
}

impl Gate {
    fn pass(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let mut shut = self.shut.lock().unwrap();
        while *shut {
            shut = self.turn.wait(shut).unwrap();
        }
        drop(shut);
        self.waiting.fetch_sub(1, Ordering::SeqCst);
        self.syncs.fetch_add(1, Ordering::SeqCst);
    }

    fn set(&self, shut: bool) {
        *self.shut.lock().unwrap() = shut;
        self.turn.notify_all();
    }

    fn until_waiting(&self, count: u64) {
        while self.waiting.load(Ordering::SeqCst) < count {
            std::thread::yield_now();
        }
    }
}

impl Gated {
    fn file(&self, inner: Box<dyn File>) -> Box<dyn File> {
        Box::new(GatedFile { inner, gate: Arc::clone(&self.gate) })
    }
}

impl Disk for Gated {
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(self.file(self.inner.create(path)?))
    }
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(self.file(self.inner.open(path)?))
    }
    fn open_append(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(self.file(self.inner.open_append(path)?))
    }
    fn map(&self, path: &Path) -> io::Result<Bytes> {
        self.inner.map(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }
    fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.hard_link(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_file(path)
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.remove_dir_all(path)
    }
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.inner.create_dir_all(path)
    }
    fn read_dir(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.inner.read_dir(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.inner.sync_dir(path)
    }
    fn stat(&self, path: &Path) -> io::Result<Option<Entry>> {
        self.inner.stat(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        self.inner.lock(path)
    }
    fn space(&self, path: &Path) -> io::Result<Space> {
        self.inner.space(path)
    }
}

impl File for GatedFile {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.inner.append(bytes)
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.gate.pass();
        self.inner.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.inner.size()
    }
    fn cut(&self, size: u64) -> io::Result<()> {
        self.inner.cut(size)
    }
}

fn gated() -> (SimDisk, Arc<Gate>, Arc<dyn Disk>) {
    let (inner, gate) = (disk(1), Arc::new(Gate::default()));
    let disk = Arc::new(Gated { inner: inner.clone(), gate: Arc::clone(&gate) });
    (inner, gate, disk)
}

fn birth(wal: &Wal, id: u64) -> sarsen_wal::Pending {
    let mut batch = Batch::new();
    let labels = Labels::from_pairs([("id", id.to_string())]).unwrap();
    batch.birth(SeriesId(id), labels.as_ref());
    wal.append(&mut batch).unwrap()
}

#[test]
fn all_who_come_during_a_sync_share_the_next_one() {
    let (inner, gate, disk) = gated();
    let wal = Wal::open(disk, Path::new(DIR), &Options::default(), Position::START).unwrap();
    gate.set(true);
    std::thread::scope(|scope| {
        let first = birth(&wal, 1);
        let leader = scope.spawn(move || first.wait().unwrap());
        gate.until_waiting(1);
        let others: Vec<_> = (2..=40)
            .map(|id| {
                let pending = birth(&wal, id);
                scope.spawn(move || pending.wait().unwrap())
            })
            .collect();
        gate.set(false);
        leader.join().unwrap();
        for other in others {
            other.join().unwrap();
        }
    });
    assert_eq!(gate.syncs.load(Ordering::SeqCst), 2);
    assert_eq!(read(&inner.survivor(Survival::Nothing)).unwrap().births.len(), 40);
}

#[test]
fn one_writer_syncs_once_a_commit_and_a_second_wait_is_free() {
    let (_, gate, disk) = gated();
    let wal = Wal::open(disk, Path::new(DIR), &Options::default(), Position::START).unwrap();
    for id in 0..10 {
        birth(&wal, id).wait().unwrap();
        let done = wal.pending();
        assert!(done.is_done());
        done.wait().unwrap();
    }
    assert_eq!(gate.syncs.load(Ordering::SeqCst), 10);
}

/// A request over fifty logs syncs them at the same time: all their syncs stand at the gate together.
#[test]
fn a_commit_to_many_logs_is_one_wait() {
    let (inner, gate, disk) = gated();
    let dirs: Vec<PathBuf> = (0..50).map(|i| PathBuf::from(format!("/tenant-{i}"))).collect();
    let wals: Vec<Wal> = dirs
        .iter()
        .map(|dir| {
            inner.create_dir_all(dir).unwrap();
            Wal::open(Arc::clone(&disk), dir, &Options::default(), Position::START).unwrap()
        })
        .collect();
    gate.set(true);
    std::thread::scope(|scope| {
        let pendings = wals.iter().map(|wal| birth(wal, 1)).collect();
        let waiter = scope.spawn(move || wait_all(pendings));
        gate.until_waiting(50);
        gate.set(false);
        assert!(waiter.join().unwrap().iter().all(Result::is_ok));
    });
    assert_eq!(gate.syncs.load(Ordering::SeqCst), 50);
    assert!(wals.iter().all(|wal| wal.stats().unsynced_bytes == 0));
    assert!(wait_all(wals.iter().map(Wal::pending).collect()).iter().all(Result::is_ok));
    assert_eq!(gate.syncs.load(Ordering::SeqCst), 50, "nothing was dirty");
}

#[test]
fn more_logs_than_threads_are_waited_for_too() {
    let disk = disk(1);
    let wals: Vec<Wal> = (0..200)
        .map(|i| {
            let dir = PathBuf::from(format!("/tenant-{i}"));
            disk.create_dir_all(&dir).unwrap();
            Wal::open(Arc::new(disk.clone()), &dir, &Options::default(), Position::START).unwrap()
        })
        .collect();
    let results = wait_all(wals.iter().map(|wal| birth(wal, 1)).collect());
    assert_eq!(results.len(), 200);
    assert!(wals.iter().all(|wal| wal.stats().unsynced_bytes == 0));
}

#[test]
fn many_threads_lose_nothing_and_keep_their_own_order() {
    let disk = disk(1);
    let options = Options { segment_bytes: 64 << 10, buffer_bytes: 4 << 10, ..Options::default() };
    let wal = Wal::open(Arc::new(disk.clone()), Path::new(DIR), &options, Position::START).unwrap();
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            let (wal, barrier) = (&wal, &barrier);
            scope.spawn(move || {
                barrier.wait();
                for i in 0..200 {
                    let pending = birth(wal, thread * 1000 + i);
                    if i % 3 == 0 {
                        pending.wait().unwrap();
                    }
                }
                wal.sync().unwrap();
            });
        }
    });
    let found = read(&disk.survivor(Survival::Nothing)).unwrap();
    assert_eq!(found.births.len(), 1600);
    for thread in 0..8 {
        let own: Vec<u64> = found.births.iter().map(|(id, _)| *id).filter(|id| id / 1000 == thread).collect();
        assert_eq!(own, (thread * 1000..thread * 1000 + 200).collect::<Vec<_>>());
    }
}

#[test]
fn the_buffer_is_bounded_without_anyone_waiting() {
    let disk = disk(1);
    for sync in [SyncPolicy::EveryCommit, SyncPolicy::Interval] {
        let options = Options { buffer_bytes: 1000, sync, ..Options::default() };
        let start = read(&disk).unwrap().end.unwrap().position;
        let wal = Wal::open(Arc::new(disk.clone()), Path::new(DIR), &options, start).unwrap();
        let before = disk.used();
        for id in 0..100 {
            drop(birth(&wal, id));
        }
        let appended = wal.stats().appended_bytes;
        assert!(disk.used() - before > appended - 1100, "{} of {appended} written", disk.used() - before);
    }
}

#[test]
fn by_interval_a_wait_writes_and_only_the_owner_syncs() {
    let (inner, gate, disk) = gated();
    let options = Options { sync: SyncPolicy::Interval, ..Options::default() };
    let wal = Wal::open(disk, Path::new(DIR), &options, Position::START).unwrap();
    birth(&wal, 1).wait().unwrap();
    assert_eq!(gate.syncs.load(Ordering::SeqCst), 0);
    assert_eq!(read(&inner.survivor(Survival::Everything)).unwrap().births.len(), 1);
    assert!(wal.stats().unsynced_bytes > 0);
    wal.sync().unwrap();
    assert_eq!(read(&inner.survivor(Survival::Nothing)).unwrap().births.len(), 1);
}

/// A note in the line of a log: what it was told, once it was.
fn leave_note(pending: sarsen_wal::Pending) -> (mpsc::Receiver<bool>, Option<Lead>) {
    let (told, listens) = mpsc::channel();
    let lead = pending.on_done(move |outcome| told.send(outcome.is_ok()).unwrap());
    (listens, lead)
}

#[test]
fn notes_are_settled_by_one_who_leads() {
    let (_, gate, disk) = gated();
    let wal = Wal::open(disk, Path::new(DIR), &Options::default(), Position::START).unwrap();
    let (first, lead) = leave_note(birth(&wal, 1));
    let lead = lead.unwrap();
    gate.set(true);
    std::thread::scope(|scope| {
        let leader = scope.spawn(move || lead.run());
        gate.until_waiting(1);
        // While the first is at the disk the others only leave word: nobody gets a second duty.
        let others: Vec<_> = (2..50).map(|id| leave_note(birth(&wal, id))).collect();
        assert!(others.iter().all(|(_, lead)| lead.is_none()));
        assert!(first.try_recv().is_err(), "told before it was on disk");
        gate.set(false);
        let again = leader.join().unwrap().expect("others wait");
        assert!(first.recv().unwrap());
        assert!(others.iter().all(|(told, _)| told.try_recv().is_err()));
        let before = gate.syncs.load(Ordering::SeqCst);
        assert!(again.run().is_none());
        assert_eq!(gate.syncs.load(Ordering::SeqCst) - before, 1);
        assert!(others.iter().all(|(told, _)| told.recv().unwrap()));
    });
    // What is on disk is told at once, and whoever waits with a thread leads for the others too.
    let (told, lead) = leave_note(wal.pending());
    assert!(lead.is_none() && told.recv().unwrap());
    let (told, lead) = leave_note(birth(&wal, 60));
    wal.sync().unwrap();
    assert!(told.recv().unwrap());
    assert!(lead.unwrap().run().is_none());
}

#[test]
fn a_duty_that_is_dropped_goes_to_the_next() {
    let (_, _, disk) = gated();
    let wal = Wal::open(disk, Path::new(DIR), &Options::default(), Position::START).unwrap();
    let (first, lead) = leave_note(birth(&wal, 1));
    drop(lead);
    let (second, lead) = leave_note(birth(&wal, 2));
    assert!(lead.unwrap().run().is_none());
    assert!(first.recv().unwrap() && second.recv().unwrap());
}

#[test]
fn notes_are_told_of_a_failure() {
    let disk = disk(1);
    let wal =
        Wal::open(Arc::new(disk.clone()), Path::new(DIR), &Options::default(), Position::START).unwrap();
    birth(&wal, 1).wait().unwrap();
    let on_disk = wal.pending();
    let (told, lead) = leave_note(birth(&wal, 2));
    disk.fail_after(Operation::Sync, 0, Fault::Error(io::ErrorKind::Other));
    assert!(lead.unwrap().run().is_none());
    assert!(!told.recv().unwrap());
    let (told, _) = leave_note(on_disk);
    assert!(told.recv().unwrap(), "what was on disk before the failure stays acknowledged");
}
