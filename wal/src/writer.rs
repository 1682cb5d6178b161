//! Append a batch; the first caller in line syncs for all who wait.
//!
//! Appending places frames in a buffer and touches no disk. Whoever then waits first becomes the leader: it takes all
//! that is in the buffer, writes it, syncs once, and wakes the rest; a waiter whose bytes are already there returns
//! at once. While a leader is at the disk, others fill the next buffer, and one of them leads next. So the number of
//! syncs does not grow with the number of writers.
//!
//! Who must not block leaves a note instead of waiting: see `waiting`.
//!
//! Locks: `stage` (the buffer, held for a copy) and `line` (who leads, held for a look); neither is held while the
//! other is taken, and none during a call of the disk. The leader owns the [`Output`] while it leads.
//!
//! Order: frames lie in the log in the order of `append` calls. A caller that applies what it logs appends and applies
//! under one lock of its own.
//!
//! A failed write or sync closes the latch: every waiter whose bytes are not yet synced fails, and so does everything
//! later. What is in the buffer then is lost with the log, and nobody was told that it was kept.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use crate::batch::Batch;
use crate::disk::{Disk, Latch};
use crate::error::Error;
use crate::frame::Codec;
use crate::observer::{Unobserved, WalObserver};
use crate::output::Output;
use crate::repair;
use crate::segment::{self, CHECKPOINT, LOG, Position, SegmentNo};
use crate::stage::{self, Stage, Taken};
use crate::waiting::Notes;

/// When what was appended goes to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SyncPolicy {
    /// [`Pending::wait`] returns when the bytes are synced. Acknowledged means on disk.
    #[default]
    EveryCommit,
    /// [`Pending::wait`] returns when the bytes are written; the owner calls [`Wal::sync`] at its own interval. A power
    /// cut loses what came after the last sync, the end of the process loses nothing.
    Interval,
    /// As `Interval`, and nobody syncs but the system, when a segment ends, and [`Wal::close`].
    Os,
}

/// Settings of an open log.
#[derive(Debug, Clone)]
pub struct Options {
    /// When what was appended goes to the disk.
    pub sync: SyncPolicy,
    /// A segment is ended when the next frame would pass this many bytes. 64 KiB to 1 GiB.
    pub segment_bytes: u64,
    /// With this many bytes in the buffer, an append leads or waits before it adds its own.
    pub buffer_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { sync: SyncPolicy::EveryCommit, segment_bytes: 128 << 20, buffer_bytes: 64 << 20 }
    }
}

impl Options {
    /// Refuses settings that make no sense.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the reason.
    pub fn check(&self) -> Result<(), Error> {
        if !(64 << 10..=1 << 30).contains(&self.segment_bytes) {
            let why = format!("a segment of {} bytes, 64 KiB to 1 GiB are possible", self.segment_bytes);
            return Err(Error::Invalid { what: "segment size", why });
        }
        Ok(())
    }
}

/// How far a log is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalStats {
    /// Where the next frame will lie.
    pub end: Position,
    /// Everything before this place is synced. Where to open the log again after it was latched.
    pub synced: Position,
    /// Bytes appended since the log was opened.
    pub appended_bytes: u64,
    /// Of these, bytes not yet synced.
    pub unsynced_bytes: u64,
}

/// An open log. Handles may be cloned; they are the same log.
#[derive(Debug, Clone)]
pub struct Wal(Arc<Shared>);

#[derive(Debug)]
pub(crate) struct Shared {
    policy: SyncPolicy,
    buffer_bytes: u64,
    observer: Arc<dyn WalObserver>,
    pub(crate) latch: Latch,
    stage: Mutex<Stage>,
    pub(crate) line: Mutex<Line>,
    pub(crate) turn: Condvar,
    /// Bytes since open that are written and synced, counted as [`Stage`] counts them.
    written: AtomicU64,
    synced: AtomicU64,
}

/// Who leads, and how far the leaders have come.
#[derive(Debug)]
pub(crate) struct Line {
    /// The files, while nobody leads.
    pub(crate) output: Option<Output>,
    synced_at: Position,
    pub(crate) notes: Notes,
}

/// What a waiter needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Written,
    Synced,
}

/// A commit on its way to the disk.
#[derive(Debug)]
#[must_use = "a commit is not on disk before its wait has returned"]
pub struct Pending {
    pub(crate) shared: Arc<Shared>,
    pub(crate) count: u64,
    end: Position,
}

impl Wal {
    /// Opens the log of the database in `dir` for appending behind `start`, which is the end that a
    /// [`Replay`](crate::Replay) came to, or the [`synced`](WalStats::synced) position of a log that was latched.
    /// What lies behind `start` is cut off. The name of `dir` itself must be durable already.
    ///
    /// # Errors
    /// [`Error::Invalid`] for bad options; [`Error::Io`] if listing or cutting fails.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, options: &Options, start: Position) -> Result<Self, Error> {
        Self::open_observed(disk, dir, options, start, Arc::new(Unobserved))
    }

    /// As [`open`](Self::open), telling `observer` what happens.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_observed(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: &Options,
        start: Position,
        observer: Arc<dyn WalObserver>,
    ) -> Result<Self, Error> {
        options.check()?;
        let log: PathBuf = dir.join(LOG);
        disk.create_dir_all(&log).map_err(Error::on("making", &log))?;
        repair::clean(disk.as_ref(), dir)?;
        repair::cut(disk.as_ref(), &log, start)?;
        // Bytes that a process left behind when it was killed can be read and need not be on the disk.
        let proven = start.offset == 0;
        let stage = Stage::new(start, options.segment_bytes);
        let written = stage.count();
        let output = Output::new(disk, log, (!proven).then_some(start.segment));
        Ok(Self(Arc::new(Shared {
            policy: options.sync,
            buffer_bytes: options.buffer_bytes,
            observer,
            latch: Latch::new(),
            line: Mutex::new(Line { output: Some(output), synced_at: start, notes: Notes::default() }),
            turn: Condvar::new(),
            written: AtomicU64::new(written),
            synced: AtomicU64::new(if proven { written } else { 0 }),
            stage: Mutex::new(stage),
        })))
    }

    /// Places the batch in the log's buffer and empties it. Nothing is on disk before the result has been waited for;
    /// a result that is dropped goes to disk with a later one.
    ///
    /// # Errors
    /// [`Error::Latched`] after a failed write or sync; [`Error::Invalid`] if the batch holds something too large for
    /// a frame. The batch is then unchanged but closed: clear it.
    pub fn append(&self, batch: &mut Batch) -> Result<Pending, Error> {
        let shared = &self.0;
        batch.close();
        batch.check()?;
        shared.latch.check()?;
        shared.make_room(batch.summary().stored_bytes)?;
        let mut stage = shared.stage.lock();
        for record in batch.records() {
            stage.put(record.bytes, record.codec, record.checksum);
        }
        let (count, end) = (stage.count(), stage.end());
        drop(stage);
        if !batch.is_empty() {
            shared.observer.appended(batch.summary());
        }
        batch.clear();
        Ok(Pending { shared: Arc::clone(shared), count, end })
    }

    /// Everything that has been appended up to now, as something to wait for: what a commit needs that added nothing
    /// itself but must not be acknowledged before what it saw is on disk.
    pub fn pending(&self) -> Pending {
        let stage = self.0.stage.lock();
        let (count, end) = (stage.count(), stage.end());
        drop(stage);
        Pending { shared: Arc::clone(&self.0), count, end }
    }

    /// Writes and syncs everything appended up to now, whatever the policy.
    ///
    /// # Errors
    /// [`Error::Latched`].
    pub fn sync(&self) -> Result<(), Error> {
        let count = self.0.stage.lock().count();
        self.0.wait_for(count, Need::Synced)
    }

    /// Ends the current segment, syncs it, and gives the last number in use. Everything appended up to now lies in
    /// segments up to that number, everything later behind it.
    ///
    /// # Errors
    /// [`Error::Latched`].
    pub fn roll(&self) -> Result<SegmentNo, Error> {
        let mut stage = self.0.stage.lock();
        let ended = stage.roll();
        let count = stage.count();
        drop(stage);
        self.0.wait_for(count, Need::Synced)?;
        Ok(ended)
    }

    /// How far the log is.
    pub fn stats(&self) -> WalStats {
        let synced = self.0.line.lock().synced_at;
        let synced_count = self.0.synced.load(Ordering::Acquire);
        let stage = self.0.stage.lock();
        WalStats {
            end: stage.end(),
            synced,
            appended_bytes: stage.count().saturating_sub(Stage::FIRST_COUNT),
            unsynced_bytes: stage.count().saturating_sub(synced_count.max(Stage::FIRST_COUNT)),
        }
    }

    /// Whether the log still takes anything.
    ///
    /// # Errors
    /// [`Error::Latched`] with the reason if it does not.
    pub fn check(&self) -> Result<(), Error> {
        Ok(self.0.latch.check()?)
    }

    /// Writes and syncs what is left, and seals the end with a mark, so that later damage to the last bytes is told
    /// apart from a power cut. The log should not be used afterwards.
    ///
    /// # Errors
    /// [`Error::Latched`].
    pub fn close(self) -> Result<(), Error> {
        self.sync()?;
        let mut stage = self.0.stage.lock();
        if stage.count() == Stage::FIRST_COUNT {
            return Ok(());
        }
        stage.put(&[], Codec::Mark, 0);
        drop(stage);
        self.sync()
    }
}

impl Shared {
    /// The bound of the buffer: leads or waits until `bytes` more fit.
    fn make_room(&self, bytes: u64) -> Result<(), Error> {
        let stage = self.stage.lock();
        let buffered = stage.count().saturating_sub(self.written.load(Ordering::Acquire));
        let count = stage.count();
        drop(stage);
        if buffered > 0 && buffered.saturating_add(bytes) > self.buffer_bytes {
            self.wait_for(count, self.need())?;
        }
        Ok(())
    }

    pub(crate) const fn need(&self) -> Need {
        match self.policy {
            SyncPolicy::EveryCommit => Need::Synced,
            SyncPolicy::Interval | SyncPolicy::Os => Need::Written,
        }
    }

    pub(crate) fn reached(&self, count: u64, need: Need) -> bool {
        let progress = match need {
            Need::Written => &self.written,
            Need::Synced => &self.synced,
        };
        progress.load(Ordering::Acquire) >= count
    }

    fn wait_for(&self, count: u64, need: Need) -> Result<(), Error> {
        if self.reached(count, need) {
            return Ok(());
        }
        let mut line = self.line.lock();
        loop {
            if self.reached(count, need) {
                return Ok(());
            }
            self.latch.check()?;
            let Some(output) = line.output.take() else {
                self.turn.wait(&mut line);
                continue;
            };
            drop(line);
            let mut leader = Leader::new(self, output);
            let outcome = leader.lead(need);
            drop(leader);
            line = self.line.lock();
            outcome?;
        }
    }
}

/// Whoever is at the disk. Dropping it lets the next one lead, also when a disk panics: then nobody knows what was
/// written, and the latch closes.
pub(crate) struct Leader<'a> {
    shared: &'a Shared,
    output: Option<Output>,
    synced_at: Option<Position>,
}

impl<'a> Leader<'a> {
    pub(crate) const fn new(shared: &'a Shared, output: Output) -> Self {
        Self { shared, output: Some(output), synced_at: None }
    }

    /// Takes what is buffered to the disk.
    pub(crate) fn lead(&mut self, need: Need) -> Result<(), Error> {
        let Self { shared, output: Some(output), synced_at } = self else { return Ok(()) };
        let Taken { mut chunks, count, end } = shared.stage.lock().take();
        let result = output.write(&mut chunks, shared.observer.as_ref()).and_then(|()| {
            shared.written.store(count, Ordering::Release);
            if need == Need::Synced {
                output.sync(shared.observer.as_ref())?;
                shared.synced.store(count, Ordering::Release);
                *synced_at = Some(end);
            }
            Ok(())
        });
        stage::give_back(chunks);
        result.map_err(|(operation, cause)| {
            shared.observer.failed();
            shared.latch.close(operation, cause).into()
        })
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.shared.latch.close("leader of a sync", io::Error::other("it panicked"));
        }
        let shared = self.shared;
        let progress = match shared.need() {
            Need::Written => &shared.written,
            Need::Synced => &shared.synced,
        };
        let mut line = shared.line.lock();
        line.output = self.output.take();
        line.synced_at = self.synced_at.unwrap_or(line.synced_at);
        let outcome = shared.latch.check();
        let settled = line.notes.settled(progress.load(Ordering::Acquire), outcome.is_err());
        drop(line);
        shared.turn.notify_all();
        for (done, made_it) in settled {
            done(if made_it { Ok(()) } else { outcome.clone().map_err(Error::from) });
        }
    }
}

impl Pending {
    /// Where the log ended when this was made.
    pub const fn end(&self) -> Position {
        self.end
    }

    /// Returns when everything up to [`end`](Self::end) is synced, or written, as the policy says.
    ///
    /// # Errors
    /// [`Error::Latched`]: nobody knows whether the commit is on disk, and it must not be acknowledged.
    pub fn wait(self) -> Result<(), Error> {
        self.shared.wait_for(self.count, self.shared.need())
    }

    /// Whether [`wait`](Self::wait) would return at once with success.
    pub fn is_done(&self) -> bool {
        self.shared.reached(self.count, self.shared.need())
    }
}

/// Most logs that one [`wait_all`] brings to disk at the same time.
const AT_ONCE: usize = 64;

/// Waits for commits to several logs: all that are not on disk yet go there together, so that the wait is about that
/// of one. Scoped threads, at most 64, that end with the call; with one log or none dirty, no thread.
///
/// The results are in the order of `pendings`.
pub fn wait_all(pendings: Vec<Pending>) -> Vec<Result<(), Error>> {
    let mut results: Vec<Option<Result<(), Error>>> =
        pendings.iter().map(|pending| pending.is_done().then_some(Ok(()))).collect();
    let mut dirty: Vec<(Pending, &mut Option<Result<(), Error>>)> =
        pendings.into_iter().zip(&mut results).filter(|(_, result)| result.is_none()).collect();
    let share = dirty.len().div_ceil(AT_ONCE).max(1);
    std::thread::scope(|scope| {
        let mut mine = Vec::new();
        while !dirty.is_empty() {
            let part = dirty.split_off(dirty.len().saturating_sub(share));
            if dirty.is_empty() {
                mine = part;
            } else {
                scope.spawn(move || wait_in_turn(part));
            }
        }
        wait_in_turn(mine);
    });
    results.into_iter().map(|result| result.unwrap_or(Ok(()))).collect()
}

fn wait_in_turn(part: Vec<(Pending, &mut Option<Result<(), Error>>)>) {
    for (pending, result) in part {
        *result = Some(pending.wait());
    }
}

/// Bytes that the segments of the log in `dir` take; checkpoints are not among them.
///
/// # Errors
/// [`Error::Io`] if a directory cannot be listed.
pub fn log_bytes(disk: &dyn Disk, dir: &Path) -> Result<u64, Error> {
    Ok(segment::list(disk, &dir.join(LOG))?.iter().map(|(_, length)| length).sum())
}

/// Bytes that the checkpoints of the database in `dir` take.
///
/// # Errors
/// [`Error::Io`] if a directory cannot be listed.
pub fn checkpoint_bytes(disk: &dyn Disk, dir: &Path) -> Result<u64, Error> {
    Ok(segment::list(disk, &dir.join(CHECKPOINT))?.iter().map(|(_, length)| length).sum())
}
