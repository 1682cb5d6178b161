//! What the stores told beside series, for all selections of one query.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::seen::Seen;
use crate::store::{StoreError, StoreSeries};

/// Warnings, the first error, how much was sent; and the way to stop all that is still being waited for.
#[derive(Debug, Default)]
pub(crate) struct Told {
    warnings: Mutex<BTreeSet<String>>,
    failure: Mutex<Option<StoreError>>,
    series: AtomicU64,
    chunks: AtomicU64,
    bytes: AtomicU64,
    /// Of each selection that is to be explained, in their order.
    seen: Mutex<Vec<Arc<Seen>>>,
    /// Places of selections that are asked ahead; none: any number.
    turns: Option<Arc<Semaphore>>,
    stop: CancellationToken,
}

impl Told {
    /// Of a query that asks so many selections ahead at the same time; 0: all.
    pub(crate) fn new(ahead: usize) -> Self {
        let turns = (ahead > 0).then(|| Arc::new(Semaphore::new(ahead.min(Semaphore::MAX_PERMITS))));
        Self { turns, ..Self::default() }
    }

    /// Waits for one of the places.
    pub(super) async fn turn(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(self.turns.as_ref()?).acquire_owned().await.ok()
    }

    /// Notes that something is missing, each text once.
    pub(crate) fn warn(&self, text: String) {
        self.warnings.lock().insert(text);
    }

    /// Every warning once, sorted.
    pub(crate) fn warnings(&self) -> Vec<String> {
        self.warnings.lock().iter().cloned().collect()
    }

    /// Notes why a selection ended early.
    pub(super) fn failed(&self, why: StoreError) {
        self.failure.lock().get_or_insert(why);
    }

    /// Why the first selection that ended early did so.
    pub(crate) fn failure(&self) -> Option<StoreError> {
        self.failure.lock().clone()
    }

    /// Notes what a frame brought.
    pub(super) fn came(&self, series: &StoreSeries) {
        let bytes: usize = series.chunks.iter().map(crate::store::StoreChunk::bytes).sum();
        self.series.fetch_add(1, Ordering::Relaxed);
        self.chunks.fetch_add(series.chunks.len() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// How many frames with series were sent, how many chunks in them, and about how many bytes these have.
    pub(crate) fn sent(&self) -> (u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut sent = (read(&self.series), read(&self.chunks), read(&self.bytes));
        for seen in self.seen.lock().iter() {
            let (series, chunks, bytes) = seen.sent();
            sent = (sent.0 + series, sent.1 + chunks, sent.2 + bytes);
        }
        sent
    }

    /// Begins the notes of the next selection.
    pub(super) fn next_seen(&self) -> Arc<Seen> {
        let seen = Arc::<Seen>::default();
        self.seen.lock().push(Arc::clone(&seen));
        seen
    }

    /// What was seen of each selection, in their order; nothing if nobody asked for it.
    pub(crate) fn seen(&self) -> Vec<Arc<Seen>> {
        self.seen.lock().clone()
    }

    /// Whoever waits for series is to stop waiting: the query's time is over, or its caller has gone.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Waits until somebody says [`stop`](Self::stop).
    pub(super) async fn stopped(&self) {
        self.stop.cancelled().await;
    }
}
