//! The receive role as one thing: what its parts share, and when it starts, tends itself and stops.
//!
//! Starting opens all databases, then takes requests. While it runs, one task tends the databases (cuts, reopening, syncs on
//! a timer), one ships blocks and one reads the limits file again. Stopping: no more requests are taken, tasks end, the head is
//! flushed and shipped if so ordered, databases are synced and closed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sarsen_block::Labels;
#[cfg(feature = "standalone")]
use sarsen_block::{LabelsRef, Timestamp};
use sarsen_bucket::Bucket;
use sarsen_tsdb::{Advice, Db, Stats};
use sarsen_wal::Disk;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::handler;
use super::ingest::Ground;
use super::intake::Intake;
use super::limits::{CurrentLimits, Limits};
use super::observer::ReceiveObserver;
use super::options::{LimitsSource, ReceiveOptions, SyncChoice};
use super::room::{Room, RoomLeft};
use super::ship::{self, Backlog};
use super::syncs::Syncs;
use super::tenants::{ObserversOf, Open, Tenants};
use crate::clock;
use crate::config::content::expand_environment;

/// How often the databases are looked after.
const TEND: Duration = Duration::from_secs(1);

/// What the role is given, beside its settings.
pub(crate) struct Parts {
    /// The disk that all databases lie on.
    pub(crate) disk: Arc<dyn Disk>,
    /// Where blocks go.
    pub(crate) bucket: Option<Bucket>,
    /// Who listens to the role.
    pub(crate) observer: Arc<dyn ReceiveObserver>,
    /// Who listens to the database of a tenant, and to its log.
    pub(crate) databases: ObserversOf,
}

/// What every request and every task of the role sees.
pub(crate) struct Shared {
    pub(super) options: ReceiveOptions,
    pub(super) observer: Arc<dyn ReceiveObserver>,
    pub(super) disk: Arc<dyn Disk>,
    pub(super) tenants: Tenants,
    pub(super) intake: Intake,
    pub(super) limits: CurrentLimits,
    pub(super) syncs: Syncs,
    bucket: Option<Bucket>,
    ready: AtomicBool,
    /// A block was made: there is something to ship.
    cut: Notify,
    shipping: Mutex<Shipping>,
}

#[derive(Default)]
struct Shipping {
    backlog: Backlog,
    room: Room,
}

/// The role.
#[derive(Clone)]
pub(crate) struct Receiver(pub(super) Arc<Shared>);

/// A tenant as readers see it.
pub(crate) struct Readable {
    pub(crate) name: String,
    /// External labels of its series.
    pub(crate) labels: Labels,
    /// Its database, or why that is closed.
    pub(crate) db: Result<Arc<Db>, String>,
}

/// What flushing a stopped database did.
#[cfg(feature = "tools")]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flushed {
    /// Blocks that were cut from the head.
    pub(crate) cut: u64,
    /// Blocks that were uploaded.
    pub(crate) uploaded: u64,
    /// Blocks that could not be uploaded.
    pub(crate) left: u64,
}

/// Sizes at one moment.
#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    /// Every tenant: its name, why it is closed if it is, its sizes if it is open.
    pub(crate) tenants: Vec<(String, Option<String>, Option<Stats>)>,
    /// What waits to be uploaded, as of the last look.
    pub(crate) backlog: Backlog,
    /// The volume, as of the last look.
    pub(crate) room: Option<RoomLeft>,
}

impl Shared {
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::SeqCst)
    }

    pub(super) fn ground(&self) -> Ground<'_> {
        let window = i64::try_from(self.options.storage.future_window.as_millis()).unwrap_or(i64::MAX);
        Ground {
            tenants: &self.tenants,
            intake: &self.intake,
            bounds: &self.options.intake,
            split_label: self.options.tenancy.split_label.as_deref(),
            max_time: if window == 0 { i64::MAX } else { clock::now().saturating_add(window) },
            keeps_exemplars: self.options.storage.max_exemplars > 0,
        }
    }

    /// Labels of a tenant's blocks.
    pub(super) fn external_labels(&self, tenant: &str) -> BTreeMap<String, String> {
        let own = (self.options.tenancy.label.clone(), tenant.to_owned());
        self.options.external_labels.iter().cloned().chain([own]).collect()
    }
}

impl Receiver {
    /// The role, not yet started: every write is answered 503.
    pub(crate) fn new(options: ReceiveOptions, parts: Parts) -> Result<Self, String> {
        let limits = CurrentLimits::default();
        match &options.limits {
            LimitsSource::None => {}
            LimitsSource::Inline(text) => limits.replace(Limits::parse(text)?),
            LimitsSource::File { path, .. } => {
                let text = std::fs::read_to_string(path)
                    .map_err(|why| format!("limits configuration {}: {why}", path.display()))?;
                limits.replace(Limits::parse(&expand_environment(&text)?)?);
            }
        }
        let tenants = Tenants::new(
            options.tsdb_path.clone(),
            options.storage.clone(),
            Arc::clone(&parts.disk),
            Arc::clone(&parts.observer),
            parts.databases,
        );
        Ok(Self(Arc::new(Shared {
            intake: Intake::new(&options.intake),
            tenants,
            limits,
            syncs: Syncs::default(),
            observer: parts.observer,
            disk: parts.disk,
            bucket: parts.bucket,
            ready: AtomicBool::new(false),
            cut: Notify::new(),
            shipping: Mutex::default(),
            options,
        })))
    }

    /// The routes that take samples.
    pub(crate) fn write_router(&self) -> axum::Router {
        handler::router(Arc::clone(&self.0))
    }

    /// Opens all databases; from then on writes are taken. If Prometheus left its data in `moved_in`, the default tenant
    /// takes them over first.
    pub(crate) async fn start(&self, moved_in: Option<std::path::PathBuf>) -> Result<(), String> {
        let shared = Arc::clone(&self.0);
        let opened = tokio::task::spawn_blocking(move || {
            let tenant = &shared.options.tenancy.default_tenant;
            if let Some(from) = moved_in {
                shared.tenants.take_over(&from, tenant)?;
            }
            shared.tenants.open_all(tenant)
        });
        opened.await.map_err(|why| why.to_string())??;
        self.0.ready.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Tends, ships and reloads until told to stop.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        let mut tasks = JoinSet::new();
        tasks.spawn(work_on_time(Arc::clone(&self.0), TEND, stop.clone(), tend));
        tasks.spawn(work_on_time(Arc::clone(&self.0), TEND, stop.clone(), reopen));
        tasks.spawn(ship_on_time(Arc::clone(&self.0), stop.clone()));
        if let SyncChoice::Interval(pause) = self.0.options.storage.sync {
            let pause = pause.max(Duration::from_millis(1));
            tasks.spawn(work_on_time(Arc::clone(&self.0), pause, stop.clone(), sync));
        }
        if let LimitsSource::File { path, reload } = &self.0.options.limits {
            let (path, pause) = (path.clone(), (*reload).max(Duration::from_millis(100)));
            tasks.spawn(reload_on_time(Arc::clone(&self.0), path, pause, stop.clone()));
        }
        while tasks.join_next().await.is_some() {}
    }

    /// From now on writes are answered 503.
    pub(crate) fn refuse_writes(&self) {
        self.0.ready.store(false, Ordering::SeqCst);
    }

    /// Flushes if so ordered, and closes every database. Call it when requests and [`run`](Self::run) have ended.
    pub(crate) async fn stop(&self) -> Result<(), String> {
        self.refuse_writes();
        let mut outcome = Ok(());
        if self.0.options.flush_on_stop {
            outcome = self.flush_and_ship().await;
        }
        let shared = Arc::clone(&self.0);
        let closed = tokio::task::spawn_blocking(move || shared.tenants.close_all()).await;
        outcome.and(closed.map_err(|why| why.to_string()))
    }

    async fn flush_and_ship(&self) -> Result<(), String> {
        let shared = Arc::clone(&self.0);
        let flushed = tokio::task::spawn_blocking(move || {
            let mut failed = Vec::new();
            for open in shared.tenants.all_open() {
                if let Err(error) = open.db().flush(clock::now()) {
                    tracing::error!(tenant = open.name(), err = %error, "cannot flush the head of a tenant");
                    failed.push(open.name().to_owned());
                }
            }
            failed
        });
        let failed = flushed.await.map_err(|why| why.to_string())?;
        let look = ship::look(&self.0, self.0.bucket.as_ref()).await;
        if !failed.is_empty() {
            return Err(format!("the heads of {} were not flushed", failed.join(", ")));
        }
        if look.backlog.blocks > 0 {
            return Err(format!("blocks that could not be uploaded and stay local: {}", look.backlog.blocks));
        }
        Ok(())
    }

    /// Appends samples of the process itself to the database of the default tenant, and waits until they are on disk.
    #[cfg(feature = "standalone")]
    pub(crate) fn append_own<'a>(
        &self,
        samples: impl Iterator<Item = (LabelsRef<'a>, Timestamp, f64)>,
    ) -> Result<(), String> {
        let tenant = &self.0.options.tenancy.default_tenant;
        let open = self.0.tenants.open_for_write(tenant).map_err(|why| why.to_string())?;
        let mut appender = open.db().appender();
        for (labels, t, v) in samples {
            appender.append(labels, t, v);
        }
        let failed = |error: sarsen_tsdb::Error| self.0.tenants.failed(&open, &error).to_string();
        let commit = appender.commit().map_err(failed)?;
        commit.pending.wait().map_err(failed)
    }

    /// Cuts and ships the whole head of one tenant that no running receiver has open, and closes it again.
    #[cfg(feature = "tools")]
    pub(crate) async fn flush_tenant(&self, tenant: &str) -> Result<Flushed, String> {
        let (shared, name) = (Arc::clone(&self.0), tenant.to_owned());
        let cut = tokio::task::spawn_blocking(move || {
            let open = shared.tenants.open_for_write(&name).map_err(|why| why.to_string())?;
            let report = open.db().flush(clock::now()).map_err(|error| error.to_string())?;
            Ok::<_, String>((open, report.cuts.iter().filter(|cut| cut.block.is_some()).count() as u64))
        });
        let (open, cut) = cut.await.map_err(|why| why.to_string())??;
        let (outcome, backlog) = ship::tenant(&self.0, self.0.bucket.as_ref(), &open).await;
        drop(open);
        let shared = Arc::clone(&self.0);
        let closed = tokio::task::spawn_blocking(move || shared.tenants.close_all()).await;
        closed.map_err(|why| why.to_string())?;
        Ok(Flushed { cut, uploaded: outcome.uploaded, left: backlog.blocks })
    }

    /// Every tenant, by name; `None` before the databases are open, and when the role is stopping.
    pub(crate) fn readable(&self) -> Option<Vec<Readable>> {
        if !self.0.is_ready() {
            return None;
        }
        let tenants = self.0.tenants.readable().into_iter().map(|(name, db)| {
            // A label without a value is no label; names were checked when flags were read.
            let labels = Labels::from_pairs(self.0.external_labels(&name)).unwrap_or_default();
            Readable { name, labels, db }
        });
        Some(tenants.collect())
    }

    /// Does once what is due of the things that `run` does on time: cuts, ships, lets go.
    #[cfg(test)]
    pub(crate) async fn round(&self) {
        let shared = Arc::clone(&self.0);
        let cut = tokio::task::spawn_blocking(move || {
            for open in shared.tenants.all_open() {
                open.db().maintain(clock::now()).map_err(|error| error.to_string())?;
            }
            Ok::<_, String>(())
        });
        assert_eq!(cut.await.map_err(|why| why.to_string()), Ok(Ok(())));
        ship_once(&self.0).await;
    }

    /// Sizes, for whoever asks.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let open = self.0.tenants.all_open();
        let open: BTreeMap<&str, &Open> = open.iter().map(|open| (open.name(), open)).collect();
        let sizes = |name: &str| open.get(name).map(|open| open.db().stats());
        let states = self.0.tenants.states();
        let tenants = states.into_iter().map(|state| {
            let stats = sizes(&state.name);
            (state.name, state.shut, stats)
        });
        let shipping = self.0.shipping.lock();
        Snapshot { tenants: tenants.collect(), backlog: shipping.backlog, room: shipping.room.left() }
    }
}

/// Calls `step` again and again with pauses, until told to stop. A step that has begun ends.
async fn on_time<F: Future<Output = ()>>(
    pause: Duration,
    stop: CancellationToken,
    mut step: impl FnMut() -> F,
) {
    let mut timer = tokio::time::interval(pause);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => step().await,
        }
    }
}

/// Calls `work` again and again on a thread that may wait for the disk.
async fn work_on_time(shared: Arc<Shared>, pause: Duration, stop: CancellationToken, work: fn(&Shared)) {
    on_time(pause, stop, || {
        let shared = Arc::clone(&shared);
        async move {
            let _ = tokio::task::spawn_blocking(move || work(&shared)).await;
        }
    })
    .await;
}

/// Opens databases again that failed. Apart from [`tend`], because a long cut of one tenant is no reason for another to
/// stay shut.
fn reopen(shared: &Shared) {
    shared.tenants.reopen_due();
}

/// Lets every database whose turn it is do what is due, one after the other.
fn tend(shared: &Shared) {
    for open in shared.tenants.due_for_care() {
        match open.db().maintain(clock::now()) {
            Ok(report) => {
                for cut in &report.cuts {
                    let Some(id) = &cut.block else { continue };
                    let (samples, series, bytes) = (cut.samples, cut.series, cut.bytes);
                    tracing::info!(tenant = open.name(), id = %id, samples, series, bytes, "write block");
                    shared.cut.notify_one();
                }
            }
            Err(error) if error.advice() == Advice::Reopen => {
                shared.tenants.failed(&open, &error);
            }
            Err(error) => {
                tracing::error!(tenant = open.name(), err = %error, "cannot cut the head of a tenant");
            }
        }
    }
}

fn sync(shared: &Shared) {
    for open in shared.tenants.all_open() {
        if let Err(error) = open.db().sync() {
            shared.tenants.failed(&open, &error);
        }
    }
}

async fn ship_on_time(shared: Arc<Shared>, stop: CancellationToken) {
    let mut timer = tokio::time::interval(shared.options.shipping.interval);
    timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timer.tick() => {}
            () = shared.cut.notified() => {}
        }
        ship_once(&shared).await;
    }
}

async fn ship_once(shared: &Arc<Shared>) {
    let look = ship::look(shared, shared.bucket.as_ref()).await;
    let space = shared.disk.space(&shared.options.tsdb_path).ok();
    let mut shipping = shared.shipping.lock();
    shipping.backlog = look.backlog;
    if let Some(space) = space {
        shipping.room.note(clock::now(), space);
    }
}

async fn reload_on_time(
    shared: Arc<Shared>,
    path: std::path::PathBuf,
    pause: Duration,
    stop: CancellationToken,
) {
    let last = Mutex::new(std::fs::read_to_string(&path).ok());
    on_time(pause, stop, || {
        let read = std::fs::read_to_string(&path);
        let mut last = last.lock();
        // The same text, good or bad, is told once.
        let parsed = match read {
            Ok(text) if last.as_ref() == Some(&text) => None,
            Ok(text) => {
                let parsed = expand_environment(&text).and_then(|text| Limits::parse(&text));
                *last = Some(text);
                Some(parsed)
            }
            Err(why) => last.take().map(|_| Err(why.to_string())),
        };
        match parsed {
            Some(Ok(limits)) => {
                shared.limits.replace(limits);
                shared.observer.limits_reloaded(true);
                tracing::info!(path = %path.display(), "limits configuration reloaded");
            }
            Some(Err(why)) => {
                shared.observer.limits_reloaded(false);
                tracing::error!(path = %path.display(), err = why, "limits configuration is broken, the old limits stay");
            }
            None => {}
        }
        std::future::ready(())
    })
    .await;
}
