//! The blocks that are served at this moment, and what is said about them to those who ask.
//!
//! A shelf never changes: each look at the bucket brings a new one, and requests keep the one with which they began. Pure but for the
//! sources of the blocks, which are only handed on.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::{BlockId, Matcher, TimeRange};
use sarsen_bucket::{Deletions, Outgoing, Selection, View};

use super::choose::{Ask, Group, stretches};
use super::source::Source;
use crate::store::{StoreInfo, strip_external};

/// What a look at the bucket left.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// Which look it was; a later one has a higher number. 0: none yet.
    pub(super) number: u64,
    /// Blocks that are served.
    pub(super) view: Arc<View>,
    pub(super) groups: Vec<Group>,
    pub(super) sources: BTreeMap<BlockId, Arc<Source>>,
    /// What was deleted from the bucket.
    pub(super) deletions: Arc<Deletions>,
    /// The time that is served; requests are cut to it.
    pub(super) range: Option<TimeRange>,
}

/// A block that is asked, and what of the matchers is left for its series.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) source: Arc<Source>,
    pub(super) matchers: Arc<[Matcher]>,
}

impl Shelf {
    /// What is told to queriers.
    pub(super) fn info(&self, ready: bool) -> StoreInfo {
        let mut info = StoreInfo { ready, ..StoreInfo::empty("store") };
        for group in &self.groups {
            info.label_sets.push(group.labels.clone());
            for (min, max) in stretches(group) {
                info.tsdb_infos.push((group.labels.clone(), TimeRange::new(min, max)));
                info.range.min = info.range.min.min(min);
                info.range.max = info.range.max.max(max);
            }
        }
        if let Some(served) = self.range {
            info.range = TimeRange::new(info.range.min.max(served.min), info.range.max.min(served.max));
        }
        info
    }

    /// What a block is asked for.
    pub(super) fn selection(&self, asked: &Asked, range: TimeRange, without: &[Bytes]) -> Selection {
        let outgoing = Outgoing::new(&asked.source.external, without.iter().cloned());
        let deletions = Arc::clone(&self.deletions);
        Selection { outgoing, deletions, ..Selection::new(asked.matchers.to_vec(), range) }
    }

    /// The part of `range` that is served.
    pub(super) fn cut(&self, range: TimeRange) -> TimeRange {
        self.range.map_or(range, |served| range.intersect(served))
    }

    /// The blocks that answer for series. Where no condition is left for the series themselves nothing is asked, as with Thanos.
    pub(super) fn choose(&self, matchers: &[Matcher], ask: &Ask<'_>) -> Vec<Asked> {
        let mut chosen = Vec::new();
        for group in &self.groups {
            let Some(left) = strip_external(matchers, group.labels.as_ref()).filter(|left| !left.is_empty())
            else {
                continue;
            };
            let left: Arc<[Matcher]> = left.into();
            let blocks = group.choose(ask);
            let sources = blocks.iter().filter_map(|meta| self.sources.get(&meta.id));
            chosen.extend(
                sources.map(|source| Asked { source: Arc::clone(source), matchers: Arc::clone(&left) }),
            );
        }
        chosen
    }

    /// The blocks that answer for names and values: those of every resolution.
    pub(super) fn touched(&self, matchers: &[Matcher], ask: &Ask<'_>) -> Vec<Asked> {
        let mut chosen = Vec::new();
        for group in &self.groups {
            let Some(left) = strip_external(matchers, group.labels.as_ref()) else { continue };
            let left: Arc<[Matcher]> = left.into();
            let sources = group.touched(ask).filter_map(|meta| self.sources.get(&meta.id));
            chosen.extend(
                sources.map(|source| Asked { source: Arc::clone(source), matchers: Arc::clone(&left) }),
            );
        }
        chosen
    }
}
