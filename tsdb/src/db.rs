//! Open, append, query, maintain, close.
//!
//! Lock order: `upkeep`, then `view`, then `head`. The log's own locks come last. `upkeep` is held for as
//! long as a maintenance call takes; the others only for bounded pieces of work.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use sarsen_block::{BlockId, Matcher, SeriesHasher, TimeRange, Timestamp};
use sarsen_wal::{Disk, Pool, Wal};

use crate::appender::{Appender, Commit, Pending};
use crate::blocks::BlockInfo;
use crate::builder::Builder;
use crate::clean::{Rewrite, Rewritten};
use crate::delete::DeleteReport;
use crate::error::Error;
use crate::exemplars::{self, SeriesExemplars};
use crate::head::{Applied, Batch, Head, SpillFiles};
use crate::lock::DirectoryLock;
use crate::metadata::{self, SeriesMetadata};
use crate::observer::TsdbObserver;
use crate::options::Options;
use crate::query::{Querier, View};
use crate::report::{MaintainReport, OpenReport};
use crate::retention::RetainReport;
use crate::snapshot::SnapshotReport;
use crate::stats::Stats;
use crate::upkeep::Upkeep;

/// Buffers of commits. A database uses one for the time of a commit.
static SCRATCH: Pool<Applied> = Pool::new();

/// An open database. All methods take `&self`; share it behind an `Arc`.
#[derive(Debug)]
pub struct Db {
    shared: Shared,
    /// Given back when the database is dropped.
    _lock: DirectoryLock,
}

/// What the rooms of an open database work on.
pub(crate) struct Shared {
    pub(crate) directory: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) observer: Arc<dyn TsdbObserver>,
    pub(crate) hasher: SeriesHasher,
    pub(crate) log: Wal,
    pub(crate) head: Arc<RwLock<Head>>,
    pub(crate) spill: Arc<SpillFiles>,
    /// What blocks there are; replaced as a whole.
    pub(crate) view: RwLock<Arc<View>>,
    pub(crate) upkeep: Mutex<Upkeep>,
    pub(crate) report: OpenReport,
    closed: AtomicBool,
    /// A batch was applied and could not be logged: memory has what the log has not.
    unlogged: AtomicBool,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("directory", &self.directory).finish_non_exhaustive()
    }
}

/// What opening brings together.
pub(crate) struct Parts {
    pub(crate) directory: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) options: Options,
    pub(crate) observer: Arc<dyn TsdbObserver>,
    pub(crate) hasher: SeriesHasher,
    pub(crate) log: Wal,
    pub(crate) head: Head,
    pub(crate) view: View,
    pub(crate) upkeep: Upkeep,
    pub(crate) report: OpenReport,
    pub(crate) lock: DirectoryLock,
}

impl Db {
    /// Begins to open the database in a directory, which is made if it does not exist.
    pub fn builder(directory: impl AsRef<Path>) -> Builder {
        Builder::new(directory.as_ref())
    }

    pub(crate) fn from_parts(parts: Parts) -> Self {
        let shared = Shared {
            directory: parts.directory,
            disk: parts.disk,
            options: parts.options,
            observer: parts.observer,
            hasher: parts.hasher,
            log: parts.log,
            spill: Arc::clone(parts.head.spill_files()),
            head: Arc::new(RwLock::new(parts.head)),
            view: RwLock::new(Arc::new(parts.view)),
            upkeep: Mutex::new(parts.upkeep),
            report: parts.report,
            closed: AtomicBool::new(false),
            unlogged: AtomicBool::new(false),
        };
        Self { shared, _lock: parts.lock }
    }

    /// What opening found.
    pub const fn open_report(&self) -> &OpenReport {
        &self.shared.report
    }

    /// The directory of the database.
    pub fn directory(&self) -> &Path {
        &self.shared.directory
    }

    /// Hashes label sets as this database does, for [`Appender::append_hashed`].
    pub const fn hasher(&self) -> &SeriesHasher {
        &self.shared.hasher
    }

    /// Begins a batch. Takes no lock.
    pub fn appender(&self) -> Appender<'_> {
        Appender::new(&self.shared)
    }

    /// Reads a range: the local blocks there are now, and the head as it goes on.
    pub fn querier(&self, range: TimeRange) -> Querier {
        let view = self.shared.view.read();
        Querier::new(&self.shared.head, &view, range)
    }

    /// A bound below the time of the oldest sample, in the head or in a local block; `None` if there is no sample. Cheap, unlike
    /// [`stats`](Self::stats).
    pub fn oldest_time(&self) -> Option<Timestamp> {
        let view = self.shared.view.read();
        let blocks = view.blocks.iter().map(|local| local.info.meta.min_time).min();
        let head = self.shared.head.read();
        let times = [blocks, head.range().map(|range| range.min), head.late.range().map(|range| range.min)];
        times.into_iter().flatten().min()
    }

    /// The exemplars in `range` of the series that at least one of `sets` accepts, labels rising. A set accepts a series if
    /// all its matchers do; no set accepts nothing, and a set without a matcher everything.
    pub fn exemplars<M: AsRef<[Matcher]>>(&self, sets: &[M], range: TimeRange) -> Vec<SeriesExemplars> {
        exemplars::select(&self.shared.head, sets, range)
    }

    /// What is known of the series of the head that all `matchers` accept, labels rising. Series of which nobody told
    /// anything are left out.
    ///
    /// # Errors
    /// [`Error::Full`] if there are too many series for one answer.
    pub fn metadata(&self, matchers: &[Matcher]) -> Result<Vec<SeriesMetadata>, Error> {
        metadata::select(&self.shared.head, matchers)
    }

    /// Does what is due at `now`: cuts closed ranges of the head into blocks, gives their memory back, shortens the log,
    /// forgets series without samples. Call it every minute or so; most calls find nothing to do.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Block`] if a block cannot be written: the head still has its data, and a later call tries
    /// again. [`Error::Log`] if the log fails. [`Error::Closed`].
    pub fn maintain(&self, now: Timestamp) -> Result<MaintainReport, Error> {
        self.shared.check()?;
        self.shared.maintain(now)
    }

    /// Cuts the whole head into blocks, for a database that is to be read by others: whole ranges first, then what is
    /// left. Samples that are not newer than the newest one so far are refused from here on.
    ///
    /// # Errors
    /// As [`maintain`](Self::maintain).
    pub fn flush(&self, now: Timestamp) -> Result<MaintainReport, Error> {
        self.shared.check()?;
        self.shared.flush(now)
    }

    /// The local blocks, oldest first.
    pub fn blocks(&self) -> Vec<BlockInfo> {
        self.shared.view.read().blocks.iter().map(|local| local.info.clone()).collect()
    }

    /// Removes a local block from the directory; whether there was one. Queries that have it open go on reading. The
    /// caller knows that the block is safe elsewhere, or not wanted.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk fails.
    pub fn retire(&self, id: BlockId) -> Result<bool, Error> {
        self.shared.check()?;
        self.shared.retire(id)
    }

    /// Writes a local block anew if it is not as wanted: for a shipper, who must not ship what is deleted. The new block has
    /// an id of its own, into which `now` goes, and takes the place of the old one at once; queries that have that open go
    /// on reading.
    ///
    /// # Errors
    /// [`Error::Block`] if the block cannot be read, [`Error::Io`] if the new one cannot be written; nothing has changed
    /// then, or only the old one's files are left, which the next open removes.
    pub fn rewrite(&self, id: BlockId, how: Rewrite, now: Timestamp) -> Result<Rewritten, Error> {
        self.shared.check()?;
        let mut upkeep = self.shared.upkeep.lock();
        self.shared.rewrite_one(&mut upkeep, id, how, now)
    }

    /// Writes all local blocks with tombstones anew, so that the bytes of what is deleted go too; which they were, and what
    /// became of each. Blocks that were shipped come out with new ids and would be shipped again: an owner who ships calls
    /// [`rewrite`](Self::rewrite) for those that were not.
    ///
    /// # Errors
    /// As [`rewrite`](Self::rewrite); some blocks may have been written anew then.
    pub fn clean_tombstones(&self, now: Timestamp) -> Result<Vec<(BlockId, Rewritten)>, Error> {
        self.shared.check()?;
        self.shared.clean_tombstones(now)
    }

    /// Removes the local blocks that are due by age, by size, or by their own word, if `may_go` says that they may: that
    /// they lie safely elsewhere. What is due is set by [`Options::retention_time`] and [`Options::retention_bytes`].
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Log`] if the disk fails; some blocks may be gone then.
    pub fn retain(&self, may_go: impl FnMut(&BlockInfo) -> bool) -> Result<RetainReport, Error> {
        self.shared.check()?;
        let mut upkeep = self.shared.upkeep.lock();
        self.shared.retain(&mut upkeep, may_go)
    }

    /// Makes a directory that holds what the database holds, for a copy or for other programs: the local blocks as hard links
    /// (copies, if it lies on another volume), and the head as one more block. It must not exist, or be empty. Exemplars and
    /// metadata are not in it. `now` goes into the id of the new block.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the target is not empty; [`Error::Io`] or [`Error::Block`] if it cannot be written.
    pub fn snapshot(&self, target: impl AsRef<Path>, now: Timestamp) -> Result<SnapshotReport, Error> {
        self.shared.snapshot(target.as_ref(), now)
    }

    /// Deletes the samples in `range` of the series that all `matchers` accept (of all series, if there is no matcher), in
    /// local blocks and in the head. Queries that begin afterwards do not see them; the bytes go when a block is rewritten
    /// and when the head is cut. Returns when the deletion is on disk, whatever the sync policy waits for. A database
    /// knows nothing of copies elsewhere.
    ///
    /// # Errors
    /// [`Error::Block`] if a local block cannot be read, [`Error::Io`] if one cannot be marked, [`Error::Log`],
    /// [`Error::Latched`], [`Error::Closed`]. A part may have been deleted then; the same call deletes the rest.
    pub fn delete(&self, matchers: &[Matcher], range: TimeRange) -> Result<DeleteReport, Error> {
        self.shared.delete(matchers, range)
    }

    /// Looks for blocks that came or went without this database's doing.
    ///
    /// # Errors
    /// [`Error::Io`] if the directory cannot be listed.
    pub fn refresh(&self) -> Result<(), Error> {
        self.shared.check()?;
        self.shared.refresh()
    }

    /// Brings everything committed so far to disk, whatever the sync policy: what the timer of
    /// [`SyncPolicy::Interval`](crate::SyncPolicy::Interval) calls.
    ///
    /// # Errors
    /// [`Error::Log`].
    pub fn sync(&self) -> Result<(), Error> {
        Ok(self.shared.log.sync()?)
    }

    /// Whether the database takes samples.
    ///
    /// # Errors
    /// The reason why it does not: [`Error::Closed`], or [`Error::Latched`] and [`Error::Log`] after a failure of the log.
    pub fn check(&self) -> Result<(), Error> {
        self.shared.check()?;
        self.shared.spill.check()?;
        Ok(self.shared.log.check()?)
    }

    /// Sizes. Walks over the pages of the head: for a scrape, not for a loop.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// How many series the head has. Cheap, unlike [`stats`](Self::stats).
    pub fn num_series(&self) -> u64 {
        self.shared.head.read().num_series() as u64
    }

    /// Where the log counts: after a failure, the place to give to [`Builder::resume_at`].
    pub fn synced_position(&self) -> sarsen_wal::Position {
        self.shared.log.stats().synced
    }

    /// Syncs and ends the log. Everything is refused from here on but reading. The directory is given back when the
    /// value is dropped. Without it, a database that is dropped recovers as after a crash.
    ///
    /// # Errors
    /// [`Error::Log`] if the log cannot be synced; the database counts as closed all the same.
    pub fn close(&self) -> Result<(), Error> {
        let _done = self.shared.upkeep.lock();
        let head = self.shared.head.write();
        if self.shared.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        drop(head);
        Ok(self.shared.log.clone().close()?)
    }
}

impl Shared {
    /// Whether the database is in order.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        if self.unlogged.load(Ordering::SeqCst) {
            return Err(Error::Latched { why: "a batch could not be logged".to_owned() });
        }
        Ok(())
    }

    /// The one step of a commit.
    pub(crate) fn commit(&self, batch: &Batch<'_>, max_time: Timestamp) -> Result<Commit, Error> {
        // What an earlier commit could not leave to another thread.
        self.spill.write_some()?;
        let mut head = self.head.write();
        self.check()?;
        self.log.check()?;
        let mut scratch = SCRATCH.lend().unwrap_or_default();
        scratch.log.set_compression(self.options.log_compression);
        let committed = head
            .apply(batch, max_time, &mut scratch)
            .inspect_err(|_| self.unlogged.store(true, Ordering::SeqCst))?;
        let pending = self.log_applied(&mut scratch.log)?;
        drop(head);
        if !scratch.is_large() {
            SCRATCH.give_back(scratch);
        }
        // A failure is the next commit's: this one is in the log, and its samples are read from memory.
        let _ = self.spill.write_some();
        Ok(Commit { committed, pending })
    }

    /// Logs what was done to the head, which the caller still holds. If the log refuses it, the database takes nothing more.
    pub(crate) fn log_applied(&self, batch: &mut sarsen_wal::Batch) -> Result<Pending, Error> {
        match self.log.append(batch) {
            Ok(pending) => Ok(Pending::new(pending)),
            Err(error) => {
                self.unlogged.store(true, Ordering::SeqCst);
                Err(error.into())
            }
        }
    }

    fn stats(&self) -> Stats {
        let view = Arc::clone(&self.view.read());
        let log = self.log.stats();
        let mut stats = Stats {
            log_segment: log.end.segment.0,
            // A failed look at the directory is no reason not to tell the rest.
            log_bytes: sarsen_wal::log_bytes(self.disk.as_ref(), &self.directory).unwrap_or_default(),
            checkpoint_bytes: sarsen_wal::checkpoint_bytes(self.disk.as_ref(), &self.directory)
                .unwrap_or_default(),
            blocks: view.blocks.len() as u64,
            block_bytes: view.blocks.iter().map(|local| local.info.bytes).sum(),
            blocks_min_time: view.blocks.iter().map(|local| local.info.meta.min_time).min(),
            ..Stats::default()
        };
        (stats.spill_files, stats.spill_bytes, _) = self.spill.sizes();
        self.head.read().fill_stats(&mut stats);
        stats
    }
}
