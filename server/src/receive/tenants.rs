//! The databases of all tenants: opened at start and on the first write, closed when they fail, and opened again.
//!
//! A tenant is a directory below the root. One that cannot be opened (damage, a full disk, another process) keeps no other
//! from working: writes to it are answered "come back later" with the reason, and opening is tried again with growing pauses.
//! A database whose log has failed is closed here and comes back the same way; what was acknowledged is on disk, and opening
//! reads it back.
//!
//! Locks, in this order: `map` (which tenants there are), a tenant's `turn` (who opens it), a tenant's `slot` (what it is
//! now). `map` and `slot` are held for a look, `turn` for the time of an opening.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use sarsen_block::codec::xxh64;
use sarsen_tsdb::{
    Advice, Db, ImportReport, OnDamage, Options, Origin, Position, SyncPolicy, TsdbObserver, import,
};
use sarsen_wal::{Disk, WalObserver};

use super::observer::ReceiveObserver;
use super::options::{StorageOptions, SyncChoice};
use super::tenant;
use crate::clock;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Databases that are opened at the same time when the role starts.
const OPENERS: usize = 4;
/// Shortest time between two log lines about refused samples of one tenant.
const COMPLAINT_MS: i64 = 60_000;
/// Time between two maintenances of one database.
const CARE_MS: i64 = 5_000;

/// Gives the observers of a tenant's database and of its log.
pub(crate) type ObserversOf =
    Arc<dyn Fn(&str) -> (Arc<dyn TsdbObserver>, Arc<dyn WalObserver>) + Send + Sync>;

/// A tenant takes nothing now.
#[derive(Debug, Clone)]
pub(crate) struct Unavailable {
    tenant: String,
    why: String,
    /// When it is worth coming back.
    pub(super) retry_after: Duration,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the database of tenant {} takes no writes now: {}", self.tenant, self.why)
    }
}

/// All tenants of this node.
pub(crate) struct Tenants {
    root: PathBuf,
    options: StorageOptions,
    disk: Arc<dyn Disk>,
    observer: Arc<dyn ReceiveObserver>,
    databases: ObserversOf,
    map: RwLock<BTreeMap<String, Arc<Tenant>>>,
    closing: AtomicBool,
}

/// One tenant.
pub(crate) struct Tenant {
    name: String,
    directory: PathBuf,
    turn: Mutex<()>,
    slot: RwLock<Slot>,
    /// When somebody last came to write; opening at start counts.
    written: AtomicI64,
    /// When the log last spoke of refused samples.
    complained: AtomicI64,
    /// When it is to be maintained next.
    care: AtomicI64,
}

enum Slot {
    Open(Arc<Db>),
    /// Could not be opened, or has failed.
    /// A log that failed while it was open counts up to `resume`.
    Shut {
        why: String,
        tries: u32,
        next: Instant,
        resume: Option<Position>,
    },
    /// Not made yet, or pruned: the first write opens it.
    Absent,
}

/// A tenant with its open database.
#[derive(Clone)]
pub(crate) struct Open {
    tenant: Arc<Tenant>,
    db: Arc<Db>,
}

impl Open {
    /// The database.
    pub(crate) fn db(&self) -> &Db {
        &self.db
    }

    /// The tenant's name.
    pub(crate) fn name(&self) -> &str {
        &self.tenant.name
    }

    /// The tenant's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.tenant.directory
    }

    /// What a writer is told who has to come back.
    pub(crate) fn unavailable(&self, why: impl Into<String>) -> Unavailable {
        Unavailable { tenant: self.tenant.name.clone(), why: why.into(), retry_after: FIRST_PAUSE }
    }
}

/// A tenant that exists, as the status page and the metrics show it.
#[derive(Debug, Clone)]
pub(crate) struct TenantState {
    pub(crate) name: String,
    /// Why it is closed, if it is.
    pub(crate) shut: Option<String>,
}

impl Tenant {
    fn open_now(self: &Arc<Self>) -> Result<Open, Unavailable> {
        match &*self.slot.read() {
            Slot::Open(db) => Ok(Open { tenant: Arc::clone(self), db: Arc::clone(db) }),
            Slot::Shut { why, next, .. } => Err(Unavailable {
                tenant: self.name.clone(),
                why: why.clone(),
                retry_after: next.saturating_duration_since(clock::moment()),
            }),
            Slot::Absent => Err(Unavailable {
                tenant: self.name.clone(),
                why: "it does not exist yet".into(),
                retry_after: FIRST_PAUSE,
            }),
        }
    }

    /// Whether an opening is due after a failure; how many were tried before.
    fn due(&self) -> Option<u32> {
        match &*self.slot.read() {
            Slot::Shut { tries, next, .. } if *next <= clock::moment() => Some(*tries),
            _ => None,
        }
    }

    /// As `due`, for a write, which also opens what does not exist yet.
    fn due_for_write(&self) -> Option<u32> {
        if matches!(&*self.slot.read(), Slot::Absent) { Some(0) } else { self.due() }
    }

    /// Notes that opening failed once more.
    fn stay_shut(&self, why: String, resume: Option<Position>) {
        let tries = self.due_for_write().unwrap_or(0);
        let pause = FIRST_PAUSE.saturating_mul(1 << tries.min(6)).min(LONGEST_PAUSE);
        let next = clock::moment() + pause;
        *self.slot.write() = Slot::Shut { why, tries: tries + 1, next, resume };
    }

    fn resume(&self) -> Option<Position> {
        match &*self.slot.read() {
            Slot::Shut { resume, .. } => *resume,
            _ => None,
        }
    }
}

impl Tenants {
    pub(crate) fn new(
        root: PathBuf,
        options: StorageOptions,
        disk: Arc<dyn Disk>,
        observer: Arc<dyn ReceiveObserver>,
        databases: ObserversOf,
    ) -> Self {
        let (map, closing) = (RwLock::default(), AtomicBool::new(false));
        Self { root, options, disk, observer, databases, map, closing }
    }

    /// Moves what Prometheus left in `from`, if anything, into the directory of a tenant that is not open yet.
    pub(crate) fn take_over(&self, from: &Path, tenant: &str) -> Result<(), String> {
        let exists = self.disk.stat(from).map_err(|why| format!("read {}: {why}", from.display()))?;
        if exists.is_some() {
            let imported = import(&self.disk, from, &self.root.join(tenant), Origin::Move);
            if let Some(report) = imported.map_err(|why| format!("take over {}: {why}", from.display()))? {
                report_takeover(tenant, &report);
            }
        }
        Ok(())
    }

    /// Opens every tenant that has a directory, some at a time, and `default_tenant` in any case.
    pub(crate) fn open_all(&self, default_tenant: &str) -> Result<(), String> {
        let root = self.root.display();
        self.disk.create_dir_all(&self.root).map_err(|why| format!("make {root}: {why}"))?;
        let mut names = vec![default_tenant.to_owned()];
        for entry in self.disk.read_dir(&self.root).map_err(|why| format!("read {root}: {why}"))? {
            if entry.is_dir && tenant::is_valid(&entry.name) && entry.name != default_tenant {
                names.push(entry.name);
            }
        }
        let queue = Mutex::new(names);
        std::thread::scope(|scope| {
            for _ in 0..OPENERS {
                scope.spawn(|| {
                    loop {
                        let Some(name) = queue.lock().pop() else { break };
                        // A tenant that cannot be opened has been reported; the others go on.
                        let _ = self.open_for_write(&name);
                    }
                });
            }
        });
        Ok(())
    }

    /// The tenant's database, opened (and made) if need be.
    pub(crate) fn open_for_write(&self, name: &str) -> Result<Open, Unavailable> {
        let known = self.map.read().get(name).cloned();
        let tenant = known.unwrap_or_else(|| self.enter(name));
        tenant.written.store(clock::now(), Ordering::Relaxed);
        match tenant.open_now() {
            Err(_) if tenant.due_for_write().is_some() => self.try_open(&tenant),
            found => found,
        }
    }

    fn enter(&self, name: &str) -> Arc<Tenant> {
        let mut map = self.map.write();
        let tenant = map.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Tenant {
                name: name.to_owned(),
                directory: self.root.join(name),
                turn: Mutex::new(()),
                slot: RwLock::new(Slot::Absent),
                written: AtomicI64::new(clock::now()),
                complained: AtomicI64::new(i64::MIN),
                care: AtomicI64::new(first_care(name)),
            })
        });
        Arc::clone(tenant)
    }

    fn try_open(&self, tenant: &Arc<Tenant>) -> Result<Open, Unavailable> {
        let _turn = tenant.turn.lock();
        if self.closing.load(Ordering::SeqCst) {
            return Err(Unavailable {
                tenant: tenant.name.clone(),
                why: "the receiver is stopping".into(),
                retry_after: FIRST_PAUSE,
            });
        }
        // Somebody else may have tried while this thread waited for its turn.
        if tenant.due_for_write().is_some() {
            let resume = tenant.resume();
            match self.open_database(tenant, resume) {
                Ok(db) => {
                    *tenant.slot.write() = Slot::Open(Arc::new(db));
                    self.observer.database_opened(&tenant.name, None);
                }
                Err(why) => {
                    tracing::error!(tenant = %tenant.name, err = %why, "cannot open the database of a tenant");
                    self.observer.database_opened(&tenant.name, Some(&why));
                    tenant.stay_shut(why, resume);
                }
            }
        }
        tenant.open_now()
    }

    fn open_database(&self, tenant: &Tenant, resume: Option<Position>) -> Result<Db, String> {
        let mut options = Options::default();
        options.block_range = self.options.block_ms;
        options.cut_delay = cut_delay(&tenant.name, self.options.block_ms);
        options.on_damage = if self.options.cut_off_damage { OnDamage::CutOff } else { OnDamage::Stop };
        options.log_compression = self.options.log_compression;
        options.retention_time = i64::try_from(self.options.retention.as_millis()).unwrap_or(i64::MAX);
        options.retention_bytes = self.options.retention_bytes;
        options.xor2 = self.options.xor2;
        options.max_exemplars = self.options.max_exemplars;
        let window = self.options.out_of_order_window.as_millis();
        options.out_of_order_window = i64::try_from(window).unwrap_or(i64::MAX);
        if self.options.out_of_order_cap_max > 0 {
            options.out_of_order_cap_max = self.options.out_of_order_cap_max as usize;
        }
        options.sync = match self.options.sync {
            SyncChoice::EveryCommit => SyncPolicy::EveryCommit,
            SyncChoice::Interval(_) => SyncPolicy::Interval,
            SyncChoice::System => SyncPolicy::Os,
        };
        let (observer, log_observer) = (self.databases)(&tenant.name);
        let mut builder = Db::builder(&tenant.directory)
            .options(options)
            .disk(Arc::clone(&self.disk))
            .hash_seed(clock::seed())
            .id_seed(clock::seed()[0])
            .observer(observer)
            .log_observer(log_observer);
        if let Some(position) = resume {
            builder = builder.resume_at(position);
        }
        let db = builder.open().map_err(|error| error.to_string())?;
        report_opening(&tenant.name, &db);
        Ok(db)
    }

    /// A call on an open database has failed. If it is of no use any more it is closed, to be opened again later.
    pub(crate) fn failed(&self, open: &Open, error: &sarsen_tsdb::Error) -> Unavailable {
        let tenant = &open.tenant;
        if error.advice() == Advice::Reopen {
            let mut slot = tenant.slot.write();
            if matches!(&*slot, Slot::Open(db) if Arc::ptr_eq(db, &open.db)) {
                tracing::error!(tenant = %tenant.name, err = %error, "the log has failed, the database is closed and opened again");
                let next = clock::moment() + FIRST_PAUSE;
                let resume = Some(open.db.synced_position());
                *slot = Slot::Shut { why: error.to_string(), tries: 1, next, resume };
            }
        }
        open.unavailable(error.to_string())
    }

    /// Every open database.
    pub(crate) fn all_open(&self) -> Vec<Open> {
        self.every().iter().filter_map(|tenant| tenant.open_now().ok()).collect()
    }

    fn every(&self) -> Vec<Arc<Tenant>> {
        self.map.read().values().cloned().collect()
    }

    /// Every tenant and whether it is open.
    pub(crate) fn states(&self) -> Vec<TenantState> {
        let state = |tenant: &Arc<Tenant>| {
            let shut = match &*tenant.slot.read() {
                Slot::Open(_) => None,
                Slot::Shut { why, .. } => Some(why.clone()),
                Slot::Absent => return None,
            };
            Some(TenantState { name: tenant.name.clone(), shut })
        };
        self.every().iter().filter_map(state).collect()
    }

    /// Every tenant by name, with its database or why that is closed.
    pub(crate) fn readable(&self) -> Vec<(String, Result<Arc<Db>, String>)> {
        let state = |tenant: &Arc<Tenant>| {
            let db = match &*tenant.slot.read() {
                Slot::Open(db) => Ok(Arc::clone(db)),
                Slot::Shut { why, .. } => Err(why.clone()),
                Slot::Absent => return None,
            };
            Some((tenant.name.clone(), db))
        };
        self.every().iter().filter_map(state).collect()
    }

    /// Opens what is closed and due.
    pub(crate) fn reopen_due(&self) {
        for tenant in self.every() {
            if tenant.due().is_some() && self.try_open(&tenant).is_ok() {
                tracing::info!(tenant = %tenant.name, "the database of a tenant is open again");
            }
        }
    }

    /// The open databases whose maintenance is due; each is due once, then again after a while.
    pub(crate) fn due_for_care(&self) -> Vec<Open> {
        let now = clock::now();
        let is_due = |open: &Open| {
            let care = &open.tenant.care;
            let due = care.load(Ordering::Relaxed) <= now;
            if due {
                care.store(now + CARE_MS, Ordering::Relaxed);
            }
            due
        };
        self.all_open().into_iter().filter(is_due).collect()
    }

    /// Series in the head of a tenant; 0 if it is not open.
    pub(crate) fn head_series(&self, name: &str) -> u64 {
        let tenant = self.map.read().get(name).cloned();
        tenant.and_then(|tenant| tenant.open_now().ok()).map_or(0, |open| open.db.num_series())
    }

    /// Whether a log line about refused samples of this tenant is due; if so, the next is due in a minute.
    pub(crate) fn may_complain(&self, name: &str) -> bool {
        let Some(tenant) = self.map.read().get(name).cloned() else { return false };
        let (now, last) = (clock::now(), tenant.complained.load(Ordering::Relaxed));
        now.saturating_sub(last) >= COMPLAINT_MS
            && tenant.complained.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// Whether nobody has written to a tenant for as long as the options say.
    pub(crate) fn is_idle(&self, open: &Open) -> bool {
        let patience = i64::try_from(self.options.prune_after.as_millis()).unwrap_or(i64::MAX);
        patience > 0 && clock::now().saturating_sub(open.tenant.written.load(Ordering::Relaxed)) > patience
    }

    /// Removes a tenant whose blocks are all in the bucket and whose head is empty, if `is_idle` still says so when no write
    /// can come between.
    pub(crate) fn prune(&self, open: Open, is_idle: impl Fn(&Db) -> bool) -> bool {
        let tenant = Arc::clone(&open.tenant);
        drop(open);
        let _turn = tenant.turn.lock();
        let mut slot = tenant.slot.write();
        let Slot::Open(db) = &*slot else { return false };
        if Arc::strong_count(db) > 1 || !is_idle(db) {
            return false;
        }
        let Slot::Open(db) = std::mem::replace(&mut *slot, Slot::Absent) else { return false };
        close(&tenant.name, db);
        let removed = self.disk.remove_dir_all(&tenant.directory);
        drop(slot);
        match removed {
            Ok(()) => {
                tracing::info!(tenant = %tenant.name, "pruned an idle tenant");
                true
            }
            Err(why) => {
                tracing::warn!(tenant = %tenant.name, err = %why, "cannot remove the directory of an idle tenant");
                false
            }
        }
    }

    /// Syncs and closes every database. Later writes find none.
    pub(crate) fn close_all(&self) {
        self.closing.store(true, Ordering::SeqCst);
        for tenant in self.every() {
            let _turn = tenant.turn.lock();
            let shut = Slot::Shut {
                why: "the receiver is stopping".into(),
                tries: 0,
                next: clock::moment() + LONGEST_PAUSE,
                resume: None,
            };
            if let Slot::Open(db) = std::mem::replace(&mut *tenant.slot.write(), shut) {
                close(&tenant.name, db);
            }
        }
    }
}

/// How much later than the first a tenant is cut: up to a tenth of the block range, the same at every start, so that many tenants
/// that are written in step do not all cut, ship and truncate in the same minute.
fn cut_delay(name: &str, block_ms: i64) -> i64 {
    share_of(block_ms / 10, name)
}

/// Spreads tenants over the time between two maintenances.
fn first_care(name: &str) -> i64 {
    clock::now() + share_of(CARE_MS, name)
}

/// Some part of `span` that follows from the name, evenly spread over all names.
fn share_of(span: i64, name: &str) -> i64 {
    (xxh64(name.as_bytes()) % span.max(1).cast_unsigned()).cast_signed()
}

/// Syncs and ends the log; the directory is given back when the last who reads lets go.
fn close(name: &str, db: Arc<Db>) {
    if let Err(error) = db.close() {
        tracing::error!(tenant = name, err = %error, "closing the database of a tenant failed");
    }
}

fn report_opening(name: &str, db: &Db) {
    let report = db.open_report();
    tracing::info!(
        tenant = name,
        blocks = report.blocks,
        series = report.series,
        samples = report.samples,
        "opened the database of a tenant"
    );
    if let Some(imported) = &report.imported {
        report_takeover(name, imported);
    }
    for lost in &report.lost {
        tracing::error!(
            tenant = name,
            segment = lost.segment,
            offset = lost.offset,
            bytes = lost.bytes,
            err = %lost.why,
            "the log was damaged and is cut off there, what lay behind is lost"
        );
    }
    for aside in &report.set_aside {
        let (dir, err) = (aside.directory.display(), &aside.why);
        tracing::error!(tenant = name, dir = %dir, err = %err, "a local block is damaged and set aside");
    }
}

/// Says what was taken over from Prometheus or Thanos Receive.
fn report_takeover(name: &str, report: &ImportReport) {
    tracing::info!(
        tenant = name,
        blocks = report.blocks.len(),
        series = report.series,
        samples = report.samples,
        late = report.late,
        exemplars = report.exemplars,
        "took over a directory of Prometheus or Thanos Receive, log included"
    );
    for fault in &report.faults {
        let (file, err) = (fault.path.display(), &fault.why);
        tracing::error!(tenant = name, file = %file, offset = fault.offset, err = %err, "part of the old log could not be read");
    }
    if let Some(kept) = &report.kept {
        tracing::warn!(tenant = name, dir = %kept.display(), "the old log is kept, because part of it could not be read");
    }
}
