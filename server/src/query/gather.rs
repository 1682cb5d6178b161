//! How the stores are asked for one query, and how their answers become series.

use bytes::Bytes;
use sarsen_block::Matcher;

use crate::store::Shard;

/// How replicas become one series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Replicas {
    /// Stay with one replica until it has a gap.
    #[default]
    Penalty,
    /// Samples of all of them by time.
    Chain,
}

/// What holds for all selections of one query.
#[derive(Debug, Clone, Default)]
pub(crate) struct Gather {
    /// Labels that tell replicas apart, sorted; none: nothing is made one.
    pub(crate) replica_labels: Vec<Bytes>,
    /// In which way.
    pub(crate) replicas: Replicas,
    /// The coarsest resolution that will do, in milliseconds; 0: raw samples only.
    pub(crate) max_resolution_ms: i64,
    /// Whether an answer may lack what a store could not give; then there is a warning, else an error.
    pub(crate) partial: bool,
    /// Only stores that fit one of these sets of matchers are asked; none: all.
    pub(crate) stores: Vec<Vec<Matcher>>,
    /// Added to every selector, so that a tenant sees nothing of others.
    pub(crate) enforced: Option<Matcher>,
    /// Whose query it is.
    pub(crate) tenant: Option<String>,
    /// Which part of the series.
    pub(crate) shard: Option<Shard>,
    /// Whether it is wanted who was asked, what was read and which replica counted: see `explain`.
    pub(crate) explain: bool,
    /// Whether resets are taken out of counters of raw data too, as Thanos does and Prometheus does not.
    pub(crate) adjust_counters: bool,
}
