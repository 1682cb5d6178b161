//! A store whose answers are bounded and counted: what a querier gives of its endpoints, to itself and to others.
//!
//! As in Thanos each frame counts as a series, since who sends does not know what is still to come, and a chunk as 120 samples. A request that
//! asks for more ends with an error where it went beyond.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::frames::Meter;
use super::{
    ExemplarsAnswer, ExemplarsQuery, FrameSender, LabelsAnswer, LabelsQuery, SelectObserver, SeriesQuery,
    Statistics, StatisticsQuery, Store, StoreError, StoreInfo,
};

/// Bounds of requests for series; 0: none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SelectLimits {
    /// Series that one request sends.
    pub(crate) series: u64,
    /// Samples that one request sends; a chunk counts as 120.
    pub(crate) samples: u64,
}

/// A store within bounds.
pub(crate) struct LimitedStore {
    inner: Arc<dyn Store>,
    limits: SelectLimits,
    observer: Arc<dyn SelectObserver>,
}

impl LimitedStore {
    /// Bounds `inner`.
    pub(crate) fn new(
        inner: Arc<dyn Store>,
        limits: SelectLimits,
        observer: Arc<dyn SelectObserver>,
    ) -> Self {
        Self { inner, limits, observer }
    }
}

/// Tells the observer of a request, also when its caller has gone.
struct Seen<'a>(&'a dyn SelectObserver, Arc<Meter>);

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        let (series, chunks) = self.1.sent();
        self.0.pending(-1);
        self.0.sent(series, chunks);
    }
}

#[async_trait]
impl Store for LimitedStore {
    fn info(&self) -> StoreInfo {
        self.inner.info()
    }

    async fn series(&self, query: Arc<SeriesQuery>, frames: FrameSender) -> Result<(), StoreError> {
        let meter = Arc::new(Meter::new(self.limits));
        self.observer.pending(1);
        let _seen = Seen(&*self.observer, Arc::clone(&meter));
        let outcome = self.inner.series(query, frames.metered(&meter)).await;
        match meter.exceeded() {
            None => outcome,
            Some((what, why)) => {
                self.observer.dropped(what);
                Err(StoreError::Exhausted(why))
            }
        }
    }

    async fn label_names(&self, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        self.inner.label_names(query).await
    }

    async fn label_values(&self, name: Bytes, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        self.inner.label_values(name, query).await
    }

    async fn exemplars(&self, query: ExemplarsQuery) -> Result<ExemplarsAnswer, StoreError> {
        self.inner.exemplars(query).await
    }

    async fn statistics(&self, query: StatisticsQuery) -> Result<BTreeMap<String, Statistics>, StoreError> {
        self.inner.statistics(query).await
    }
}
