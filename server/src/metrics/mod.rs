//! What the outside sees of our doings: the observers' counters, sizes read at scrape time, and the page at `/metrics`.
//!
//! Names, labels and bucket bounds are those of Thanos and Prometheus wherever they have one for the thing; a test holds
//! them against the stored list. Crates below know none of this: they tell observers what happened.

#[cfg(feature = "store")]
mod answers;
#[cfg(feature = "receive")]
pub(crate) mod backlog;
#[cfg(feature = "objstore")]
mod bucket;
#[cfg(feature = "store")]
mod cache;
#[cfg(feature = "compact")]
mod compact;
mod family;
#[cfg(feature = "store")]
mod headers;
mod http;
#[cfg(feature = "receive")]
mod log;
mod process;
#[cfg(feature = "query")]
mod query;
#[cfg(feature = "receive")]
mod receive;
#[cfg(any(feature = "query", feature = "receive"))]
mod select;
#[cfg(feature = "receive")]
mod sizes;
#[cfg(feature = "store")]
mod store;
#[cfg(feature = "receive")]
mod summary;
#[cfg(any(feature = "compact", feature = "store"))]
mod sync;
#[cfg(test)]
#[cfg(feature = "receive")]
mod tests;
mod text;
#[cfg(feature = "compact")]
pub(crate) mod todo;
#[cfg(feature = "receive")]
mod tsdb;

use std::sync::Arc;
use std::time::Instant;

use parking_lot::RwLock;

#[cfg(feature = "store")]
pub(crate) use answers::Answered;
#[cfg(feature = "objstore")]
pub(crate) use bucket::BucketMetrics;
#[cfg(feature = "store")]
pub(crate) use cache::CacheMetrics;
#[cfg(feature = "compact")]
pub(crate) use compact::{CompactMetrics, Worked};
pub(crate) use family::{Counter, Family, Gauge, Histogram, Shown};
#[cfg(feature = "store")]
pub(crate) use headers::HeaderMetrics;
pub(crate) use http::HttpMetrics;
#[cfg(feature = "query")]
pub(crate) use http::Request;
#[cfg(feature = "receive")]
pub(crate) use log::LogMetrics;
#[cfg(any(feature = "compact", feature = "store", feature = "query"))]
pub(crate) use process::REVISION;
#[cfg(feature = "query")]
pub(crate) use query::{GateMetrics, QueryMetrics};
#[cfg(feature = "receive")]
pub(crate) use receive::ReceiveMetrics;
#[cfg(any(feature = "query", feature = "receive"))]
pub(crate) use select::SelectMetrics;
#[cfg(feature = "store")]
pub(crate) use store::StoreMetrics;
#[cfg(feature = "receive")]
pub(crate) use summary::Summary;
#[cfg(any(feature = "compact", feature = "store"))]
pub(crate) use sync::SyncMetrics;
pub(crate) use text::{Page, Type};
#[cfg(feature = "receive")]
pub(crate) use tsdb::TsdbMetrics;

/// Everything that can be put on the page, in order of registration.
#[derive(Default, Clone)]
pub(crate) struct Registry(Arc<RwLock<Vec<Arc<dyn Shown>>>>);

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Registry({} families)", self.0.read().len())
    }
}

impl Registry {
    /// A registry with what every process has: build, process, status.
    pub(crate) fn new() -> Self {
        let registry = Self::default();
        registry.add(Arc::new(process::Process::start()));
        registry
    }

    /// Puts something on the page from now on.
    pub(crate) fn add(&self, shown: Arc<dyn Shown>) {
        self.0.write().push(shown);
    }

    /// Makes a family and puts it on the page.
    pub(crate) fn family<M>(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
    ) -> Arc<Family<M>>
    where
        Family<M>: Shown + 'static,
        M: family::Member,
    {
        let family = Arc::new(Family::new(name, help, labels));
        self.add(Arc::clone(&family) as Arc<dyn Shown>);
        family
    }

    /// Makes a family of histograms and puts it on the page.
    pub(crate) fn histograms(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &'static [&'static str],
        bounds: &'static [f64],
    ) -> Arc<Family<Histogram>> {
        let family = Arc::new(Family::histogram(name, help, labels, bounds));
        self.add(Arc::clone(&family) as Arc<dyn Shown>);
        family
    }

    /// Puts sizes on the page that are read when somebody asks.
    pub(crate) fn snapshot(&self, write: impl Fn(&mut Page) + Send + Sync + 'static) {
        self.add(Arc::new(Snapshot(write)));
    }

    /// The page: content type and text.
    pub(crate) fn page(&self, open_metrics: bool) -> (&'static str, String) {
        let shown = self.0.read().clone();
        let mut page = Page::new(open_metrics);
        let now = Instant::now();
        for one in shown {
            one.show(&mut page, now);
        }
        page.finish()
    }
}

struct Snapshot<F>(F);

impl<F: Fn(&mut Page) + Send + Sync> Shown for Snapshot<F> {
    fn show(&self, page: &mut Page, _: Instant) {
        (self.0)(page);
    }
}
