//! The StoreAPI in our own nouns: who asks what of the series that somebody stores, and what goes back.
//!
//! A [`Store`] is anything that has series: the head and the blocks of a receiver, the blocks of a bucket. It is asked with
//! [`SeriesQuery`] and [`LabelsQuery`] and answers with labels and encoded chunks, which nobody decodes on the way. Messages,
//! compression and status codes are not known here: `service` translates, `wire/storeapi` writes the bytes.
//!
//! What every store keeps to: series come in rising order of the labels that go out (external labels added, replica labels
//! removed; [`OutgoingLabels`]), so a store sorts references before it reads chunks; whole chunks are sent, though they may reach
//! beyond the range that was asked for; a series without chunks is sent only if chunks are not wanted; a store stops when its
//! [`FrameSender`] says that nobody listens.

mod error;
mod frames;
#[cfg(feature = "store")]
mod gateway;
mod hints;
mod info;
#[cfg(any(feature = "query", all(feature = "receive", feature = "store")))]
mod joined;
#[cfg(feature = "query")]
mod limited;
#[cfg(feature = "receive")]
mod local;
#[cfg(all(feature = "receive", feature = "store"))]
mod merged;
mod messages;
#[cfg(any(feature = "query", feature = "receive"))]
mod observer;
mod outgoing;
mod query;
mod selectors;
mod series;
mod service;
mod statistics;

use std::collections::BTreeMap;
use std::sync::Arc;
#[cfg(any(feature = "receive", feature = "store"))]
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

pub(crate) use error::StoreError;
pub(crate) use frames::{FrameReceiver, FrameSender, Gone, frames};
#[cfg(feature = "store")]
pub(crate) use gateway::{Gateway, GatewayLimits, GatewayOptions, Sieve, TenantLimits};
#[cfg(feature = "store")]
pub(crate) use hints::Effort;
#[cfg(feature = "query")]
pub(crate) use hints::EndpointHints;
pub(crate) use hints::{BlockHint, Hints};
pub(crate) use info::StoreInfo;
#[cfg(feature = "query")]
pub(crate) use joined::by_order;
#[cfg(any(feature = "query", all(feature = "receive", feature = "store")))]
pub(crate) use joined::{Warnings, in_order, join_streams};
#[cfg(feature = "query")]
pub(crate) use limited::{LimitedStore, SelectLimits};
#[cfg(feature = "receive")]
pub(crate) use local::{LocalLimits, LocalStore};
#[cfg(all(feature = "receive", feature = "store"))]
pub(crate) use merged::MergedStore;
#[cfg(any(feature = "query", feature = "receive"))]
pub(crate) use observer::SelectObserver;
pub(crate) use outgoing::{OutgoingLabels, merge_equal, sort_outgoing, strip_external};
pub(crate) use query::{ExemplarsQuery, LabelsQuery, QueryHints, SeriesQuery, Shard};
pub(crate) use selectors::selectors_of;
pub(crate) use series::{
    ChunkParts, ExemplarOut, ExemplarSeries, ExemplarsAnswer, Frame, LabelsAnswer, StoreChunk, StoreSeries,
};
pub(crate) use service::services;
#[cfg(feature = "query")]
pub(crate) use service::{Beside, TENANT, services_beside};
pub(crate) use statistics::{Counts, Row, Statistics, StatisticsQuery};

/// When requests wait for each other's memory and nothing has moved for so long, one of them is refused.
#[cfg(any(feature = "receive", feature = "store"))]
const STUCK: Duration = Duration::from_secs(1);

/// Something that has series and answers for them.
#[async_trait]
pub(crate) trait Store: Send + Sync + 'static {
    /// What it has, as of now. Asked every few seconds by every querier; must be quick and never wait.
    fn info(&self) -> StoreInfo;

    /// The series that match, in the order of their labels, into `frames`; what goes wrong with a part becomes a warning frame
    /// or an error, as `query.abort` says.
    async fn series(&self, query: Arc<SeriesQuery>, frames: FrameSender) -> Result<(), StoreError>;

    /// Names of labels of the series that match, sorted and unique, those of external labels included.
    async fn label_names(&self, query: LabelsQuery) -> Result<LabelsAnswer, StoreError>;

    /// Values that the series that match have for the label `name`, sorted and unique. An empty name is
    /// refused by a receiver; a gateway finds its one value, the empty one.
    async fn label_values(&self, name: Bytes, query: LabelsQuery) -> Result<LabelsAnswer, StoreError>;

    /// Exemplars of the series that match. A store without exemplars has none.
    async fn exemplars(&self, query: ExemplarsQuery) -> Result<ExemplarsAnswer, StoreError> {
        let _ = query;
        Ok(ExemplarsAnswer::default())
    }

    /// What is in memory of the databases that are asked for, by tenant. A store that is no database has none.
    async fn statistics(&self, query: StatisticsQuery) -> Result<BTreeMap<String, Statistics>, StoreError> {
        let _ = query;
        Ok(BTreeMap::new())
    }
}
