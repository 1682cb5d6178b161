//! Pure functions from view to view: by time, by age, by mark, without duplicates.
//!
//! A filter takes blocks out of a view and says which ones and why, so that they can be counted. Half blocks and marks are left
//! as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sarsen_block::{BlockId, BlockMeta, TimeRange};

use crate::marker::MarkKind;
use crate::view::View;

/// Why a block was taken out, in the words of Thanos' metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Excluded {
    /// Outside of the range of time.
    Time,
    /// Uploaded too short a time ago.
    TooFresh,
    /// Marked for deletion long enough ago.
    MarkedForDeletion,
    /// Everything in it is in another block.
    Duplicate,
    /// Its external labels make it another process' block.
    Labels,
    /// Its samples are as far apart as in no block that anybody makes.
    Resolution,
}

impl Excluded {
    /// The value of the metrics' label `state`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Time => "time-excluded",
            Self::TooFresh => "too-fresh",
            Self::MarkedForDeletion => "marked-for-deletion",
            Self::Duplicate => "duplicate",
            Self::Labels => "label-excluded",
            Self::Resolution => "resolution-excluded",
        }
    }
}

/// A condition that blocks must hold to stay in a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filter {
    /// Blocks with a sample's room in this closed range.
    Time(TimeRange),
    /// Blocks uploaded at least `delay_ms` before `now_ms`; those that a compactor or a repair made are exempt, since what
    /// they replace is known to be complete. All in milliseconds.
    Age {
        /// Now, since the Unix epoch.
        now_ms: i64,
        /// How long an upload has to rest.
        delay_ms: i64,
    },
    /// Blocks without a deletion mark, or with one made at most `delay_s` before `now_s`. All in seconds.
    NotDeleted {
        /// Now, since the Unix epoch.
        now_s: i64,
        /// How long a marked block still counts.
        delay_s: i64,
    },
    /// Blocks whose sources are not all in another block of the same labels and resolution. Of equal ones the oldest stays, unless
    /// another of them was made of it.
    NoDuplicates,
}

impl Filter {
    /// Takes out of the view what does not hold; the blocks taken out, with the reason.
    pub fn apply(self, view: &mut View) -> Vec<(BlockId, Excluded)> {
        let why = match self {
            Self::Time(_) => Excluded::Time,
            Self::Age { .. } => Excluded::TooFresh,
            Self::NotDeleted { .. } => Excluded::MarkedForDeletion,
            Self::NoDuplicates => Excluded::Duplicate,
        };
        let gone: Vec<BlockId> = match self {
            Self::NoDuplicates => duplicates(&view.blocks),
            _ => view.blocks.values().filter(|meta| !self.holds(meta, view)).map(|meta| meta.id).collect(),
        };
        for id in &gone {
            view.blocks.remove(id);
        }
        gone.into_iter().map(|id| (id, why)).collect()
    }

    fn holds(self, meta: &BlockMeta, view: &View) -> bool {
        match self {
            Self::Time(range) => meta.max_time >= range.min && meta.min_time <= range.max,
            Self::Age { now_ms, delay_ms } => {
                let thanos = meta.thanos.as_ref();
                let source = thanos.map_or("", |thanos| thanos.source.as_str());
                let exempt = matches!(source, "compactor" | "compactor.repair" | "bucket.repair");
                let made_ms = i64::try_from(meta.id.ms()).unwrap_or(i64::MAX);
                let uploaded_ms = thanos.and_then(|thanos| thanos.upload_time.unix_ms()).unwrap_or(made_ms);
                exempt || now_ms.saturating_sub(uploaded_ms) >= delay_ms
            }
            Self::NotDeleted { now_s, delay_s } => view
                .mark(meta.id, MarkKind::Deletion)
                .is_none_or(|mark| now_s.saturating_sub(mark.time) <= delay_s),
            Self::NoDuplicates => true,
        }
    }
}

/// Takes labels off the external labels of all blocks of a view, as a compactor does that brings replicas together. Where none is
/// left the first of `labels` stays, with the value `deduped`: blocks without labels belong to nobody.
pub fn remove_labels(view: &mut View, labels: &[String]) {
    let Some(first) = labels.first() else { return };
    for meta in view.blocks.values_mut() {
        let thanos = meta.thanos.as_ref();
        let concerned = thanos.is_none_or(|own| {
            own.labels.is_empty() || labels.iter().any(|label| own.labels.contains_key(label))
        });
        if concerned {
            let thanos = Arc::make_mut(meta).thanos.get_or_insert_default();
            thanos.labels.retain(|name, _| !labels.contains(name));
            if thanos.labels.is_empty() {
                thanos.labels.insert(first.clone(), DEDUPED.to_owned());
            }
        }
    }
}

/// The value of a replica label where no other label is left.
const DEDUPED: &str = "deduped";

/// Blocks of the same external labels and resolution.
type Group<'a> = (Option<(&'a BTreeMap<String, String>, i64)>, Vec<&'a Arc<BlockMeta>>);

fn duplicates(blocks: &BTreeMap<BlockId, Arc<BlockMeta>>) -> Vec<BlockId> {
    let mut groups: BTreeMap<_, Vec<&Arc<BlockMeta>>> = BTreeMap::new();
    for meta in blocks.values() {
        let key = meta.thanos.as_ref().map(|thanos| (&thanos.labels, thanos.resolution));
        groups.entry(key).or_default().push(meta);
    }
    let mut gone: Vec<BlockId> = groups.into_iter().flat_map(duplicates_of).collect();
    gone.sort_unstable();
    gone
}

fn duplicates_of((_, mut metas): Group<'_>) -> Vec<BlockId> {
    // A block that was written anew has the sources of the old one, which it stands for.
    let parents: BTreeSet<BlockId> =
        metas.iter().flat_map(|meta| meta.compaction.parents.iter().map(|parent| parent.id)).collect();
    let order = |meta: &&Arc<BlockMeta>| {
        (std::cmp::Reverse(meta.compaction.sources.len()), parents.contains(&meta.id), meta.id)
    };
    metas.sort_by_key(order);
    // For each source the kept blocks that have it: a block is covered if one of them has all of its sources.
    let mut kept_with: BTreeMap<BlockId, Vec<usize>> = BTreeMap::new();
    let mut kept = 0;
    let mut gone = Vec::new();
    for meta in metas {
        let sources = &meta.compaction.sources;
        let mut hits: BTreeMap<usize, usize> = BTreeMap::new();
        let mut unique = sources.clone();
        unique.sort_unstable();
        unique.dedup();
        for source in &unique {
            for number in kept_with.get(source).into_iter().flatten() {
                *hits.entry(*number).or_default() += 1;
            }
        }
        let covered =
            if unique.is_empty() { kept > 0 } else { hits.values().any(|count| *count == unique.len()) };
        if covered {
            gone.push(meta.id);
            continue;
        }
        for source in unique {
            kept_with.entry(source).or_default().push(kept);
        }
        kept += 1;
    }
    gone
}
