//! The receiver as a store: head and local blocks of all tenants as one.
//!
//! Every tenant is read as Thanos reads its database, under the node's external labels and its own; which tenants have a say
//! follows from the matchers on those labels and from the time of their oldest sample. A request is worked on in steps on
//! threads of a pool of its own, which writes have no share in: a step selects, or fills about a megabyte of frames. Between two
//! steps frames are sent and nothing is held: no thread, no place in the pool, no lock. A caller who goes away ends it there.
//!
//! A tenant whose database is closed or fails is told in a warning, or is an error if the caller wants all or nothing; the
//! others are answered. What is deleted from the whole bucket is not shown here either: `hidden` keeps the list up to date.

mod exemplars;
mod hidden;
mod labels;
mod parts;
mod series;
mod statistics;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sarsen_block::{Labels, Matcher, TimeRange};
use sarsen_bucket::{Bucket, Budget, Ceiling, Exceeded, Limits};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    ExemplarsAnswer, ExemplarsQuery, Frame, FrameSender, LabelsAnswer, LabelsQuery, SelectObserver,
    SeriesQuery, Statistics, StatisticsQuery, Store, StoreError, StoreInfo,
};
use crate::receive::Receiver;
use hidden::Hidden;
use parts::Choice;
use series::Answer;

/// Room for what one request holds beside its selection: chunks read ahead, frames on their way.
const WORKING: u64 = 12 << 20;

/// Bounds of requests for series; 0: none.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LocalLimits {
    /// Series that one request sends.
    pub(crate) series: u64,
    /// Samples that one request sends; a chunk counts as 120.
    pub(crate) samples: u64,
    /// Bytes that all requests together hold; who does not fit waits.
    pub(crate) memory: u64,
}

/// The databases of a receiver.
#[derive(Clone)]
pub(crate) struct LocalStore {
    receiver: Receiver,
    limits: LocalLimits,
    /// Steps that run at the same time.
    pool: Arc<Semaphore>,
    ceiling: Ceiling,
    hidden: Hidden,
    observer: Arc<dyn SelectObserver>,
}

impl LocalStore {
    /// Over the databases of `receiver`.
    pub(crate) fn new(receiver: Receiver, limits: LocalLimits, observer: Arc<dyn SelectObserver>) -> Self {
        let threads = std::thread::available_parallelism().map_or(2, |n| n.get() * 2);
        let pool = Arc::new(Semaphore::new(threads));
        let ceiling = Ceiling::patient(limits.memory, Arc::new(crate::clock::Clock::start()), super::STUCK);
        Self { receiver, limits, pool, ceiling, hidden: Hidden::default(), observer }
    }

    /// Keeps the list of what is deleted from the whole bucket up to date, until told to stop.
    pub(crate) async fn follow_deletions(&self, bucket: Bucket, stop: CancellationToken) {
        self.hidden.follow(bucket, stop).await;
    }

    /// Does some work on a thread that may wait for the disk, when it is its turn.
    async fn step<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        let lost = || StoreError::Internal("the thread of a query ended without an answer".to_owned());
        let turn = Arc::clone(&self.pool).acquire_owned().await.map_err(|_| lost())?;
        let worked = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            work()
        });
        worked.await.map_err(|_| lost())
    }

    /// The tenants that have a say in a request.
    fn choose(&self, matchers: &[Matcher], range: TimeRange) -> Result<Choice, StoreError> {
        let tenants = self.receiver.readable();
        let tenants =
            tenants.ok_or_else(|| StoreError::Unavailable("the receiver is not ready".to_owned()))?;
        Ok(Choice::of(tenants, matchers, range))
    }

    /// The tenants whose external labels all these matchers accept.
    fn choose_external(&self, matchers: &[Matcher]) -> Result<Choice, StoreError> {
        let mut choice = self.choose(&[], TimeRange::ALL)?;
        let accepts = |labels: &Labels| {
            matchers.iter().all(|one| one.matches(labels.get(one.name()).unwrap_or_default()))
        };
        choice.parts.retain(|part| accepts(&part.labels));
        Ok(choice)
    }

    async fn send_series(
        &self,
        query: Arc<SeriesQuery>,
        frames: &FrameSender,
        seen: &mut Seen<'_>,
    ) -> Result<(), StoreError> {
        if query.matchers.is_empty() {
            return Err(StoreError::Invalid("no matchers specified (excluding selector labels)".to_owned()));
        }
        let budget = Budget::new(Limits::default(), &self.ceiling);
        let full = |error: Exceeded| StoreError::Exhausted(error.to_string());
        let _working = budget.hold(WORKING).await.map_err(full)?;
        let (own, limits, listening) = (self.clone(), self.limits, frames.clone());
        let mut answer = self
            .step(move || {
                let choice = own.choose(&query.matchers, query.range)?;
                let is_gone = || listening.is_closed();
                Answer::select(query, choice, &own.hidden.get(), limits, &is_gone)
            })
            .await??;
        // A selection is made before it is known how large it is; the pool bounds how many are made at once.
        let _selected = budget.hold(answer.held()).await.map_err(full)?;
        while !answer.is_done() {
            let (back, filled) = self
                .step(move || {
                    let filled = answer.fill();
                    (answer, filled)
                })
                .await?;
            answer = back;
            (seen.series, seen.chunks) = answer.sent();
            if let Err(StoreError::Exhausted(_)) = &filled {
                seen.observer.dropped(answer.exceeded());
            }
            for frame in filled? {
                frames.send(frame).await?;
            }
        }
        Ok(())
    }
}

/// Tells the observer of a request, also when its caller has gone.
struct Seen<'a> {
    observer: &'a dyn SelectObserver,
    series: u64,
    chunks: u64,
}

impl Drop for Seen<'_> {
    fn drop(&mut self) {
        self.observer.pending(-1);
        self.observer.sent(self.series, self.chunks);
    }
}

/// What is told of a part that cannot be read.
fn lacking(text: String, abort: bool) -> Result<Frame, StoreError> {
    if abort { Err(StoreError::Aborted(text)) } else { Ok(Frame::Warning(text)) }
}

#[async_trait]
impl Store for LocalStore {
    fn info(&self) -> StoreInfo {
        let tenants = self.receiver.readable();
        let ready = tenants.is_some();
        let mut info = StoreInfo { ready, ..StoreInfo::empty("receive") };
        // Of all times, as Thanos' receiver says it.
        info.exemplars = Some(TimeRange::new(0, 0));
        info.statistics = true;
        for tenant in tenants.unwrap_or_default() {
            let oldest = tenant.db.as_ref().ok().and_then(|db| db.oldest_time());
            // New samples may come at any time, and be of any time from the oldest on.
            let range = TimeRange::new(oldest.unwrap_or(i64::MAX), i64::MAX);
            info.range = TimeRange::new(info.range.min.min(range.min), range.max);
            info.tsdb_infos.push((tenant.labels.clone(), range));
            info.label_sets.push(tenant.labels);
        }
        info
    }

    async fn series(&self, query: Arc<SeriesQuery>, frames: FrameSender) -> Result<(), StoreError> {
        self.observer.pending(1);
        let mut seen = Seen { observer: &*self.observer, series: 0, chunks: 0 };
        self.send_series(query, &frames, &mut seen).await
    }

    async fn label_names(&self, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        let own = self.clone();
        self.step(move || labels::names(own.choose(&query.matchers, query.range)?, &query)).await?
    }

    async fn label_values(&self, name: Bytes, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        if name.is_empty() {
            return Err(StoreError::Invalid("label name parameter cannot be empty".to_owned()));
        }
        let own = self.clone();
        self.step(move || labels::values(own.choose(&query.matchers, query.range)?, &name, &query)).await?
    }

    async fn exemplars(&self, query: ExemplarsQuery) -> Result<ExemplarsAnswer, StoreError> {
        let own = self.clone();
        self.step(move || {
            let choice = own.choose(&[], TimeRange::ALL)?;
            let series = exemplars::of(choice, &own.hidden.get(), &query.selectors, query.range);
            Ok(ExemplarsAnswer { series, warnings: Vec::new() })
        })
        .await?
    }

    async fn statistics(&self, query: StatisticsQuery) -> Result<BTreeMap<String, Statistics>, StoreError> {
        let own = self.clone();
        self.step(move || statistics::of(own.choose_external(&query.matchers)?, &query)).await?
    }
}

#[cfg(test)]
mod tests;
