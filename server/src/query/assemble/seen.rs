//! What was seen of one selection while it was answered, for those who want a query explained: whom the stores asked, what they read,
//! how coarse it was, and whose samples counted where replicas became one.
//!
//! Nothing here is touched unless somebody asks for it.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use sarsen_block::Labels;
use sarsen_downsample::{AggrChunk, Aggregate};

use crate::store::{ChunkParts, Hints, StoreChunk, StoreSeries};

/// Half an hour: windows that lie closer together are of five minutes, others of an hour.
const BETWEEN: i64 = 1_800_000;

/// What is noted of a selection. Shared by those who read it and those who decode it.
#[derive(Debug, Default)]
pub(crate) struct Seen(Mutex<Found>);

/// The notes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Found {
    /// What stores told.
    pub(crate) hints: Vec<Hints>,
    /// Frames with series, chunks in them, and about how many bytes these have.
    pub(crate) sent: (u64, u64, u64),
    /// Chunks of raw samples, of windows of five minutes, of an hour, and of windows of which it cannot be said.
    pub(crate) resolutions: [u64; 4],
    /// Whose samples counted, if there are replica labels.
    pub(crate) replicas: Option<Replicated>,
    /// From the question to the last frame.
    pub(crate) took: Duration,
}

/// Whose samples counted.
#[derive(Debug, Clone)]
pub(crate) enum Replicated {
    /// Why it is not told.
    Untold(&'static str),
    /// By the replica labels of a series.
    By(Tally),
}

/// What replicas gave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally {
    pub(crate) sets: BTreeMap<Labels, Share>,
    /// Series of which there was more than one replica.
    pub(crate) series: u64,
    /// How often one replica took over from another.
    pub(crate) switches: u64,
}

/// What one replica gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Share {
    /// Series that it has.
    pub(crate) series: u64,
    /// Those among them of which it gave the most samples, of those that have several replicas.
    pub(crate) won: u64,
    /// Samples that it gave.
    pub(crate) samples: u64,
}

impl Seen {
    /// Notes what a store tells.
    pub(super) fn told(&self, hints: Hints) {
        self.0.lock().hints.push(hints);
    }

    /// Notes a frame.
    pub(super) fn came(&self, series: &StoreSeries) {
        let mut found = self.0.lock();
        found.sent.0 += 1;
        for chunk in &series.chunks {
            found.sent.1 += 1;
            found.sent.2 += chunk.bytes() as u64;
            let [raw, five_minutes, hour, unknown] = &mut found.resolutions;
            *(match spacing(chunk) {
                Spacing::Raw => raw,
                Spacing::FiveMinutes => five_minutes,
                Spacing::Hour => hour,
                Spacing::Unknown => unknown,
            }) += 1;
        }
    }

    /// Everything anew: the question is asked in another way, `why` it is not told whose samples count.
    pub(super) fn again(&self, why: &'static str) {
        *self.0.lock() = Found { replicas: Some(Replicated::Untold(why)), ..Found::default() };
    }

    /// Notes that the last frame has come.
    pub(super) fn ended(&self, took: Duration) {
        self.0.lock().took = took;
    }

    /// Notes why it is not told whose samples count.
    pub(super) fn untold(&self, why: &'static str) {
        self.0.lock().replicas = Some(Replicated::Untold(why));
    }

    /// Notes what the replicas of one series gave, and how often they took turns.
    pub(super) fn counted(&self, samples: &BTreeMap<&Labels, u64>, switches: u64) {
        let mut found = self.0.lock();
        let replicas = found.replicas.get_or_insert_with(|| Replicated::By(Tally::default()));
        let Replicated::By(tally) = replicas else { return };
        let is_several = samples.len() > 1;
        tally.series += u64::from(is_several);
        tally.switches += switches;
        // The first of equals.
        let best = samples.iter().rev().max_by_key(|(_, count)| **count).map(|(labels, _)| *labels);
        for (labels, count) in samples {
            let share = match tally.sets.get_mut(*labels) {
                Some(share) => share,
                None => tally.sets.entry((*labels).clone()).or_default(),
            };
            share.series += 1;
            share.samples += count;
            share.won += u64::from(is_several && best == Some(*labels) && *count > 0);
        }
    }

    /// Frames with series, chunks in them, and about how many bytes these have.
    pub(super) fn sent(&self) -> (u64, u64, u64) {
        self.0.lock().sent
    }

    /// The notes as of now.
    pub(crate) fn found(&self) -> Found {
        self.0.lock().clone()
    }
}

/// How far apart the samples of a chunk are.
enum Spacing {
    Raw,
    FiveMinutes,
    Hour,
    /// There are too few of them to tell.
    Unknown,
}

fn spacing(chunk: &StoreChunk) -> Spacing {
    let ChunkParts::Aggregates(parts) = &chunk.parts else { return Spacing::Raw };
    let length = chunk.range.max.saturating_sub(chunk.range.min);
    match windows(parts).and_then(|count| length.checked_div(count.checked_sub(1)?)) {
        None => Spacing::Unknown,
        Some(apart) if apart < BETWEEN => Spacing::FiveMinutes,
        Some(_) => Spacing::Hour,
    }
}

/// How many windows a chunk of aggregates has: its parts begin with the number of their samples. That of counters repeats the last one.
fn windows(parts: &AggrChunk) -> Option<i64> {
    Aggregate::ALL.iter().find_map(|&aggregate| {
        let &[high, low, ..] = parts.get(aggregate)?.data.as_ref() else { return None };
        let count = i64::from(u16::from_be_bytes([high, low]));
        Some(if aggregate == Aggregate::Counter { count - 1 } else { count })
    })
}
