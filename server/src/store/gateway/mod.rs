//! The StoreAPI over the blocks of a bucket.
//!
//! A [`Gateway`] looks at the bucket again and again (`sync`), keeps what it found as a shelf of blocks (`shelf`) and answers from there:
//! `choose` says which blocks a request needs, `source` asks one block, `merge` makes one stream of many. What a request goes
//! through is in `request`; `series` and `labels` are the calls themselves.
//!
//! The lock round the shelf is held only to take or to replace it. Requests never wait for a look at the bucket, except those
//! that met a block which is not there any more.

mod choose;
mod labels;
mod merge;
mod options;
mod request;
mod series;
mod shelf;
mod sieve;
mod source;
mod sync;
mod turns;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use sarsen_bucket::{
    Advice, Bucket, Budget, Ceiling, Error, Gate, HeaderCache, HedgeOptions, Limits, RemoteBlocks,
    RemoteOptions,
};
use tokio::sync::{Notify, watch};

use super::{FrameSender, LabelsAnswer, LabelsQuery, SeriesQuery, Store, StoreError, StoreInfo};
use crate::blocks::{self, Board, Site};
use crate::clock;
use crate::metrics::{CacheMetrics, HeaderMetrics, HttpMetrics, Registry, StoreMetrics, SyncMetrics};

pub(crate) use options::{GatewayLimits, GatewayOptions, TenantLimits};
use request::Trouble;
use shelf::Shelf;
pub(crate) use sieve::Sieve;
use source::Readers;
use turns::Turns;

/// How long a request waits for a store that does not answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// A read that takes longer than this makes the gateway look whether the store is still there.
const SLOW: Duration = Duration::from_secs(5);

/// Serves the blocks of a bucket. Clones are the same gateway.
#[derive(Clone)]
pub(crate) struct Gateway(Arc<Inner>);

struct Inner {
    bucket: Bucket,
    options: GatewayOptions,
    shelf: RwLock<Arc<Shelf>>,
    /// How many looks at the bucket have ended, well or not.
    looks: watch::Sender<u64>,
    /// Somebody wants the bucket to be looked at.
    look: Notify,
    /// Somebody wants to know whether the store is there.
    probe: Notify,
    /// Why the store does not answer, while it does not.
    away: watch::Sender<Option<String>>,
    readers: Arc<Readers>,
    /// What all requests together may hold.
    ceiling: Ceiling,
    turns: Turns,
    metrics: StoreMetrics,
    /// Where looks are counted; not where another role of the process counts its own.
    looked: Option<SyncMetrics>,
    board: Board,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Gateway({:?}, {} blocks)", self.0.bucket, self.shelf().sources.len())
    }
}

impl Gateway {
    /// The gateway, which has not looked at the bucket yet. `alone`: no other role of the process looks at it.
    pub(crate) fn new(bucket: Bucket, options: GatewayOptions, registry: &Registry, alone: bool) -> Self {
        let gate = Gate::new(options.limits.concurrency as u64);
        let turns = Turns::new(gate.clone());
        let ceiling = Ceiling::patient(options.limits.memory, Arc::new(clock::Clock::start()), super::STUCK);
        let metrics = StoreMetrics::new(registry, gate, ceiling.clone());
        let headers = options.local_headers.then(|| options.data_dir.clone());
        let headers = Arc::new(HeaderCache::new(headers, Arc::new(HeaderMetrics::new(registry))));
        let cache = CacheMetrics::cache(registry, &options.caches);
        let (own, kept) = (bucket.clone(), Some(cache.clone()));
        // A read that is late is asked again.
        let reading = RemoteOptions { hedge: Some(HedgeOptions::default()), ..RemoteOptions::default() };
        let remote = RemoteBlocks::new(own, Arc::clone(&headers), reading, kept);
        let readers = Arc::new(Readers { remote, headers, cache });
        Self(Arc::new(Inner {
            bucket,
            options,
            shelf: RwLock::default(),
            looks: watch::Sender::new(0),
            look: Notify::new(),
            probe: Notify::new(),
            away: watch::Sender::new(None),
            readers,
            ceiling,
            turns,
            metrics,
            looked: alone.then(|| SyncMetrics::loaded(registry)),
            board: Board::default(),
        }))
    }

    /// Its page and API.
    pub(crate) fn routes(&self, http: &HttpMetrics) -> axum::Router {
        let (board, bucket, options) = (self.0.board.clone(), self.0.bucket.clone(), &self.0.options);
        let site = Site { board, bucket, flags: options.flags.clone(), works: false };
        blocks::routes(site, options.web.as_ref(), http, true)
    }

    fn shelf(&self) -> Arc<Shelf> {
        Arc::clone(&self.0.shelf.read())
    }

    /// What a new request of a tenant may take.
    fn budget(&self, tenant: Option<&str>) -> Budget {
        let TenantLimits { series, samples, bytes, .. } = self.0.options.limits.of(tenant);
        Budget::new(Limits { series, samples, bytes }, &self.0.ceiling)
    }

    fn metrics(&self) -> &StoreMetrics {
        &self.0.metrics
    }

    /// A newer shelf than `old`, if the bucket can be looked at.
    async fn look_again(&self, old: &Shelf) -> Arc<Shelf> {
        let mut looks = self.0.looks.subscribe();
        let now = self.shelf();
        if now.number > old.number {
            return now;
        }
        // A look that is under way may have begun too early; the one after it has not.
        let seen = *looks.borrow_and_update();
        self.0.look.notify_one();
        let looked = async {
            let _ = looks.wait_for(|ended| *ended > seen).await;
            Ok::<_, Trouble>(())
        };
        let _ = self.unless_away(looked).await;
        self.shelf()
    }

    /// Something could not be read; if that may be the store's fault somebody should see whether it is there.
    fn saw_trouble(&self, error: &Error) {
        if error.advice() == Advice::Retry {
            self.0.probe.notify_one();
        }
    }

    /// What `asking` comes to, unless the store stays away for too long.
    async fn unless_away<T>(&self, asking: impl Future<Output = Result<T, Trouble>>) -> Result<T, Trouble> {
        tokio::select! {
            answer = asking => answer,
            why = self.gone() => Err(Trouble::Away(why)),
        }
    }

    /// Ends when the store has been away for as long as a request waits; why.
    async fn gone(&self) -> String {
        let mut away = self.0.away.subscribe();
        loop {
            while tokio::time::timeout(SLOW, away.wait_for(Option::is_some)).await.is_err() {
                self.0.probe.notify_one();
            }
            // The sender lives as long as the gateway, so only time ends this with an error.
            if tokio::time::timeout(PATIENCE, away.wait_for(Option::is_none)).await.is_err() {
                let why = away.borrow().clone().unwrap_or_default();
                return format!("the object store does not answer: {why}");
            }
        }
    }
}

#[async_trait]
impl Store for Gateway {
    fn info(&self) -> StoreInfo {
        let shelf = self.shelf();
        shelf.info(shelf.number > 0)
    }

    async fn series(&self, query: Arc<SeriesQuery>, frames: FrameSender) -> Result<(), StoreError> {
        let began = clock::moment();
        let tenant = query.tenant.as_deref();
        let _turn = self.0.turns.take(tenant, self.0.options.limits.of(tenant).concurrency).await;
        self.0.metrics.waited(began.elapsed());
        let answered = series::answer(self, &query, &frames).await?;
        self.0.metrics.answered(tenant, &answered);
        Ok(())
    }

    async fn label_names(&self, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        labels::names(self, &query).await
    }

    async fn label_values(&self, name: Bytes, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        labels::values(self, name, &query).await
    }
}

#[cfg(test)]
mod tests;
