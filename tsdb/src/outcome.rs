//! What became of the samples of one commit: values, not errors.

use crate::exemplars::ExemplarRefusal;

/// Why a sample was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// Older than the newest sample of its series, and there is no window for late samples.
    OutOfOrder,
    /// Older than the head takes without a window for late samples: half a block range behind its newest sample, or inside a
    /// range that was cut.
    OutOfBounds,
    /// Late, and older than the window for late samples reaches back.
    TooOld,
    /// Same time as the newest sample of its series, other bits.
    DuplicateValue,
    /// Beyond the limit that the caller set for this batch.
    TooFarInFuture,
    /// A histogram that contradicts itself: `Histogram::check` says how.
    BrokenHistogram,
    /// References of the head have run out (some four billion series or cells).
    HeadFull,
}

/// A sample that was not stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Which sample of the batch, counted from 0 in the order of staging.
    pub sample: u32,
    /// Why.
    pub reason: Reason,
}

/// What became of a batch. Every staged sample is in exactly one of `accepted`, `duplicates`, `refused` and `overtaken`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Committed {
    /// Samples stored.
    pub accepted: u64,
    /// Those of `accepted` that came late and are kept apart until they are cut.
    pub late: u64,
    /// Samples equal, bit for bit, to the newest of their series: nothing to do, and nothing wrong. Also late samples at a
    /// time that a late sample near them has: the first counts, whatever its value.
    pub duplicates: u64,
    /// Samples refused, in the order of staging.
    pub refused: Vec<Refusal>,
    /// Samples that would have been stored if another sample of the same series in the same batch had not come first
    /// with a time as late or later. Prometheus drops these without a word; so they are counted and not among `refused`.
    pub overtaken: u64,
    /// Series that the batch brought to life.
    pub births: u64,
    /// What became of the exemplars.
    pub exemplars: ExemplarsCommitted,
    /// Series of which the batch told something new.
    pub metadata: u64,
}

/// What became of the exemplars of a batch. Every staged one is in exactly one of the counts or refused.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ExemplarsCommitted {
    /// Stored.
    pub accepted: u64,
    /// There already: nothing to do, and nothing wrong.
    pub duplicates: u64,
    /// Without a series in the head, or behind a sample that was refused, or the database keeps no exemplars.
    pub unattached: u64,
    /// They would have been stored if another exemplar of the same series in the same batch had not come first.
    pub overtaken: u64,
    /// Refused, in the order of staging.
    pub refused: Vec<ExemplarRefusal>,
}

impl Committed {
    /// How many samples were refused for `reason`.
    pub fn refused_for(&self, reason: Reason) -> u64 {
        self.refused.iter().filter(|refusal| refusal.reason == reason).count() as u64
    }
}
