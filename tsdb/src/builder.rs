//! How a database is opened: directory, leftovers, a takeover, blocks, log, in this order.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use sarsen_block::{SeriesHasher, Timestamp};
use sarsen_wal::{Disk, Position, Unobserved, Wal, WalObserver, real_disk};

use crate::blocks;
use crate::db::{Db, Parts};
use crate::error::Error;
use crate::exemplars::ExemplarRing;
use crate::head::{Head, SpillFiles};
use crate::import;
use crate::lock::DirectoryLock;
use crate::observer::TsdbObserver;
use crate::options::Options;
use crate::query::View;
use crate::replay::{Recovery, recover};
use crate::report::OpenReport;
use crate::upkeep::Upkeep;

/// Prometheus' log would lie here. Its tools do not open a directory without it.
pub(crate) const FOREIGN_LOG: &str = "wal";

/// Settings and components of a database that is about to be opened.
#[derive(Clone)]
pub struct Builder {
    directory: PathBuf,
    options: Options,
    disk: Option<Arc<dyn Disk>>,
    observer: Arc<dyn TsdbObserver>,
    log_observer: Arc<dyn WalObserver>,
    hash_seed: [u64; 4],
    id_seed: u64,
    resume_at: Option<Position>,
}

/// Hears nothing.
struct Deaf;

impl TsdbObserver for Deaf {}

impl std::fmt::Debug for Builder {
    /// The seeds stay secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder")
            .field("directory", &self.directory)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            options: Options::default(),
            disk: None,
            observer: Arc::new(Deaf),
            log_observer: Arc::new(Unobserved),
            hash_seed: [0; 4],
            id_seed: 0,
            resume_at: None,
        }
    }

    /// Settings; defaults otherwise.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Where the files lie; the operating system's disk otherwise.
    #[must_use]
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = Some(disk);
        self
    }

    /// Who hears what happens.
    #[must_use]
    pub fn observer(mut self, observer: Arc<dyn TsdbObserver>) -> Self {
        self.observer = observer;
        self
    }

    /// Who hears what happens in the log.
    #[must_use]
    pub fn log_observer(mut self, observer: Arc<dyn WalObserver>) -> Self {
        self.log_observer = observer;
        self
    }

    /// Secret of the hash under which series are found. Whoever takes labels from strangers draws it at random, for
    /// otherwise they can make series meet; it need not be the same at the next open.
    #[must_use]
    pub const fn hash_seed(mut self, seed: [u64; 4]) -> Self {
        self.hash_seed = seed;
        self
    }

    /// Chance for the ids of new blocks. To be drawn at random wherever blocks of several databases meet.
    #[must_use]
    pub const fn id_seed(mut self, seed: u64) -> Self {
        self.id_seed = seed;
        self
    }

    /// Where the log counts when the database was open before in this process and its log failed:
    /// [`Db::synced_position`]. What lies behind may look whole and not be on the disk, and is cut off.
    #[must_use]
    pub const fn resume_at(mut self, position: Position) -> Self {
        self.resume_at = Some(position);
        self
    }

    /// Opens the database: takes the directory, removes leftovers of interrupted work, opens the local blocks, replays the
    /// log. A directory of Prometheus, or of a tenant of Thanos Receive, is taken over first: see
    /// [`OpenReport::imported`].
    ///
    /// # Errors
    /// [`Error::InUse`]; [`Error::Damaged`] if the log is damaged and the setting says to stop; [`Error::Invalid`] for
    /// settings that make no sense; [`Error::Io`] and [`Error::Log`] if the disk fails.
    pub fn open(self) -> Result<Db, Error> {
        self.options.check()?;
        let disk = self.disk.unwrap_or_else(real_disk);
        let directory = self.directory;
        make_directory(disk.as_ref(), &directory)?;
        let lock = DirectoryLock::take(disk.as_ref(), &directory)?;
        let mut report =
            OpenReport { removed: blocks::clean(disk.as_ref(), &directory)?, ..OpenReport::default() };
        report.imported = import::take_over(&disk, &directory)?;
        let mut found = blocks::load(disk.as_ref(), &directory, &[])?;
        found.leave_out_downsampled();
        report.removed.extend(blocks::remove_superseded(disk.as_ref(), &directory, &mut found)?);
        (report.blocks, report.set_aside) = (found.blocks.len() as u64, found.set_aside);
        let floor = found.blocks.iter().filter_map(|local| head_end(local)).max().unwrap_or(Timestamp::MIN);
        let hasher = SeriesHasher::new(self.hash_seed);
        let recovery = Recovery { on_damage: self.options.on_damage, resume_at: self.resume_at, floor };
        let make = || {
            let files = SpillFiles::begin(&disk, &directory)?;
            let mut head = Head::new(&self.options, hasher.clone(), files);
            head.exemplars = ExemplarRing::new(self.options.max_exemplars, self.options.out_of_order_window);
            Ok(head)
        };
        let (head, position) = recover(&disk, &directory, recovery, make, &mut report)?;
        let log_options = sarsen_wal::Options {
            sync: self.options.sync,
            segment_bytes: self.options.log_segment_bytes,
            ..sarsen_wal::Options::default()
        };
        let log =
            Wal::open_observed(Arc::clone(&disk), &directory, &log_options, position, self.log_observer)?;
        for what in &report.set_aside {
            self.observer.block_set_aside(what);
        }
        self.observer.opened(&report);
        let view = View { blocks: found.blocks, head_from: head.times.floor, late_cuts: 0 };
        let log_has_old = report.skipped > 0;
        Ok(Db::from_parts(Parts {
            upkeep: Upkeep::new(self.id_seed, log_has_old, sarsen_wal::log_bytes(disk.as_ref(), &directory)?),
            directory,
            disk,
            options: self.options,
            observer: self.observer,
            hasher,
            log,
            head,
            view,
            report,
            lock,
        }))
    }
}

/// Where the head begins behind a block that came from a head; `None` for blocks that say nothing about that.
pub(crate) fn head_end(local: &blocks::LocalBlock) -> Option<Timestamp> {
    const APART: [&str; 3] = ["from-out-of-order", "from-stale-series", "from-selected-series"];
    let meta = &local.info.meta;
    let apart = meta.compaction.hints.iter().any(|hint| APART.contains(&hint.as_str()));
    (!apart).then_some(meta.max_time)
}

/// Makes the directory and sees to it that its name is durable, whoever made it: an open that failed half way may have
/// left a name that a power cut takes away.
pub(crate) fn make_directory(disk: &dyn Disk, directory: &Path) -> Result<(), Error> {
    let failed = |e| Error::io(format!("making {}", directory.display()), e);
    let exists = |path: &Path| disk.stat(path).map(|entry| entry.is_some()).map_err(failed);
    let mut unsynced = Vec::from([parent(directory)]);
    while let Some(Some(above)) = unsynced.last().copied()
        && !exists(above)?
    {
        unsynced.push(parent(above));
    }
    disk.create_dir_all(&directory.join(FOREIGN_LOG)).map_err(failed)?;
    for directory in [Some(directory)].into_iter().chain(unsynced).flatten() {
        disk.sync_dir(directory).map_err(failed)?;
    }
    Ok(())
}

/// The directory above, if there is one with a name.
fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}
