//! What is left out, for now or for good, and why.
//!
//! A block whose damage will not pass is marked: not to be compacted, and not to be downsampled, for both read the same bytes. The mark
//! has Thanos' reason where Thanos has one, else a word of ours, and says in its details what was found where. Whoever mends the block
//! takes the marks off. What may pass (the store does not answer, the disk is full) is kept in memory: the blocks wait, twice as
//! long after each failure, and are tried again. So one block never stops another, and nothing is tried in a circle.

use std::collections::{BTreeMap, BTreeSet};

use sarsen_block::{Block, BlockId, BlockMeta, Error as BlockError, Fault};
use sarsen_bucket::{Bucket, Error as BucketError, Layout, MarkKind, Marker, Partial, Reason, View};

use crate::error::Error;
use crate::plan::Stage;

/// Wait after the first failure, and the longest one.
const FIRST_WAIT_MS: i64 = 60_000;
const LONGEST_WAIT_MS: i64 = 3_600_000;
/// So many failures in a row, and a block that is known to be the cause waits alone, while others go on without it.
const PATIENCE: u32 = 3;

/// Until when a block is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// It is marked; until somebody takes the marks off.
    Marked(Reason),
    /// It is tried again at this time, in milliseconds since the Unix epoch.
    Time(i64),
    /// Until its meta is another one.
    Changed,
}

/// A block that is left out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// The block.
    pub id: BlockId,
    /// What is wrong, for people.
    pub why: String,
    /// For how long.
    pub until: Until,
}

/// What is wrong with a block that will not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) reason: Reason,
    pub(crate) details: String,
}

/// Our own words for damage that Thanos has no word for.
const MISSING: &str = "object-missing";
const BAD_INDEX: &str = "index-damaged";
const BAD_CHUNKS: &str = "chunks-damaged";
const BAD_TOMBSTONES: &str = "tombstones-damaged";
const BAD_META: &str = "meta-wrong";
const OUTSIDE: &str = "chunks-outside-block";
const UNFIT: &str = "block-damaged";
const WORDS: [&str; 7] = [MISSING, BAD_INDEX, BAD_CHUNKS, BAD_TOMBSTONES, BAD_META, OUTSIDE, UNFIT];

impl Damage {
    fn new(word: &str, details: impl Into<String>) -> Self {
        Self { reason: Reason::from(word), details: details.into() }
    }

    /// Damage to a file of a block.
    fn to_file(rel_path: &str, details: impl Into<String>) -> Self {
        let word = match rel_path {
            Layout::INDEX => BAD_INDEX,
            Layout::META => BAD_META,
            "tombstones" => BAD_TOMBSTONES,
            path if path.starts_with(Layout::CHUNKS) => BAD_CHUNKS,
            _ => UNFIT,
        };
        Self::new(word, details)
    }

    /// What a search for faults has found first.
    pub(crate) fn of_fault(fault: &Fault) -> Self {
        Self::to_file(&fault.file, fault.to_string())
    }

    /// What an error met while the block `id` was opened or read says of the block; `None` if the cause may pass.
    pub(crate) fn of(id: BlockId, error: &BucketError) -> Option<Self> {
        let details = error.to_string();
        match error {
            BucketError::Store { .. } | BucketError::Local { .. } => None,
            BucketError::NotFound { .. } => Some(Self::new(MISSING, details)),
            BucketError::Corrupt { name, .. } => {
                let own = Layout::split(name).filter(|(of, _)| *of == id);
                Some(Self::to_file(own.map_or("", |(_, rel_path)| rel_path), details))
            }
            _ => Some(Self::new(UNFIT, details)),
        }
    }

    /// Whether a mark with this reason says that the block is damaged.
    fn is_reason(reason: &Reason) -> bool {
        match reason {
            Reason::OutOfOrderChunk => true,
            Reason::Other(word) => WORDS.contains(&word.as_str()),
            _ => false,
        }
    }

    /// Puts both marks and returns them. Those that are there already stay.
    pub(crate) async fn mark(&self, bucket: &Bucket, id: BlockId, now_ms: i64) -> Result<Vec<Marker>, Error> {
        let mut put = Vec::new();
        for kind in [MarkKind::NoCompact, MarkKind::NoDownsample] {
            let (details, reason) = (self.details.clone(), Some(self.reason.clone()));
            let mark = Marker { id, kind, details, time: now_ms.div_euclid(1000), reason };
            if put_mark(bucket, &mark).await? {
                put.push(mark);
            }
        }
        Ok(put)
    }
}

/// Puts a mark on a block that has none of its kind; whether it did. One that cannot be read, or that names another block, is none:
/// it counts for nobody, and would be in the way for ever.
pub(crate) async fn put_mark(bucket: &Bucket, mark: &Marker) -> Result<bool, BucketError> {
    if mark.put(bucket).await? {
        return Ok(true);
    }
    let good = has_mark(bucket, mark.id, mark.kind).await?;
    if !good {
        bucket.put(&Layout::mark(mark.id, mark.kind), mark.to_bytes().into()).await?;
    }
    Ok(!good)
}

/// Whether a block has a mark of this kind that can be read.
pub(crate) async fn has_mark(bucket: &Bucket, id: BlockId, kind: MarkKind) -> Result<bool, BucketError> {
    match Marker::get(bucket, id, kind).await {
        Ok(mark) => Ok(mark.is_some_and(|mark| mark.id == id)),
        Err(BucketError::Corrupt { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The first chunk of the index that is not in order, or lies outside the block.
pub(crate) fn index_fault(block: &Block) -> Result<Option<Damage>, BlockError> {
    let (min, max) = (block.meta().min_time, block.meta().max_time);
    let found = block.search_chunks(|no, chunks| {
        let mut last = None;
        chunks.iter().map(|chunk| chunk.range).find_map(|range| {
            let behind = !range.is_empty() && last.is_none_or(|last| range.min > last);
            // As Thanos has it, the last time of a chunk may be the end of the block.
            let inside = range.min >= min && range.min < max && range.max <= max;
            last = Some(range.max);
            (!behind || !inside).then_some((no, range, behind))
        })
    })?;
    let Some((no, range, behind)) = found else { return Ok(None) };
    let labels = block.series(no)?.labels;
    let details = |what: &str| format!("series {labels:?}, chunk {} to {}: {what}", range.min, range.max);
    Ok(Some(if behind {
        Damage::new(OUTSIDE, details("outside the block"))
    } else {
        Damage { reason: Reason::OutOfOrderChunk, details: details("not behind the one before it") }
    }))
}

/// Why nothing can be planned with a block of this meta.
fn unfit(meta: &BlockMeta, unlabelled: bool) -> Option<String> {
    // Far enough from the ends of time that no sum of a planner passes them.
    const FAR: i64 = 1 << 60;
    if meta.min_time >= meta.max_time || meta.min_time < -FAR || meta.max_time > FAR {
        return Some(format!("a range of time from {} to {}", meta.min_time, meta.max_time));
    }
    let thanos = meta.thanos.as_ref();
    if !unlabelled && thanos.is_none_or(|thanos| thanos.labels.is_empty()) {
        return Some("a block without external labels".to_owned());
    }
    let resolution = thanos.map_or(0, |thanos| thanos.resolution);
    if ![0, 300_000, 3_600_000].contains(&resolution) {
        return Some(format!("a resolution of {resolution} ms"));
    }
    None
}

/// The blocks of a view that cannot be used: marked as damaged, or with a meta that says nothing of use; and folders with a meta that
/// cannot be read.
pub fn unusable(view: &View, unlabelled: bool) -> Vec<SetAside> {
    let marked = |id: BlockId| {
        let marks = view.marks.get(&id).into_iter().flatten();
        marks.filter(|mark| mark.kind == MarkKind::NoCompact).find_map(|mark| {
            let reason = mark.reason.clone().filter(Damage::is_reason)?;
            Some(SetAside { id, why: mark.details.clone(), until: Until::Marked(reason) })
        })
    };
    let going = |id: BlockId| view.mark(id, MarkKind::Deletion).is_some();
    let complete = view.blocks.values().filter(|meta| !going(meta.id)).filter_map(|meta| {
        let id = meta.id;
        let unfit = unfit(meta, unlabelled).map(|why| SetAside { id, why, until: Until::Changed });
        unfit.or_else(|| marked(id))
    });
    let unreadable = view.partial.iter().filter_map(|(&id, partial)| match partial {
        Partial::BadMeta { why, .. } => Some(SetAside { id, why: why.clone(), until: Until::Changed }),
        Partial::NoMeta { .. } => None,
    });
    let mut all: Vec<SetAside> = complete.chain(unreadable.filter(|aside| !going(aside.id))).collect();
    all.sort_by_key(|aside| aside.id);
    all
}

/// What waits to be tried again.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    blocks: BTreeMap<(Stage, BlockId), Wait>,
}

#[derive(Debug, Clone)]
struct Wait {
    failures: u32,
    until_ms: i64,
    why: String,
}

impl Waiting {
    /// Work of a stage on `blocks` failed at `now_ms`, because of `blamed` if one is known. Returns who waits.
    pub(crate) fn failed(
        &mut self,
        stage: Stage,
        blocks: &[BlockId],
        blamed: Option<BlockId>,
        now_ms: i64,
        why: &str,
    ) -> Vec<SetAside> {
        let failures = |id: BlockId| self.blocks.get(&(stage, id)).map_or(0, |wait| wait.failures);
        let alone = blamed.filter(|&id| blocks.contains(&id) && failures(id) >= PATIENCE);
        let who: Vec<(BlockId, u32)> = match alone {
            Some(id) => vec![(id, failures(id))],
            None => blocks.iter().map(|&id| (id, failures(id))).collect(),
        };
        if let Some(alone) = alone {
            self.worked(stage, blocks.iter().copied().filter(|&id| id != alone));
        }
        let waits = |(id, before): (BlockId, u32)| {
            let wait_ms = FIRST_WAIT_MS.saturating_mul(1 << before.min(20)).min(LONGEST_WAIT_MS);
            let until_ms = now_ms.saturating_add(wait_ms);
            self.blocks.insert((stage, id), Wait { failures: before + 1, until_ms, why: why.to_owned() });
            SetAside { id, why: why.to_owned(), until: Until::Time(until_ms) }
        };
        who.into_iter().map(waits).collect()
    }

    /// Work of a stage on these blocks came to its end.
    pub(crate) fn worked(&mut self, stage: Stage, blocks: impl IntoIterator<Item = BlockId>) {
        for id in blocks {
            self.blocks.remove(&(stage, id));
        }
    }

    /// The blocks that wait at `now_ms`.
    pub(crate) fn at(&self, now_ms: i64) -> BTreeSet<(Stage, BlockId)> {
        self.blocks.iter().filter(|(_, wait)| wait.until_ms > now_ms).map(|(&key, _)| key).collect()
    }

    /// Forgets blocks that are gone.
    pub(crate) fn keep(&mut self, view: &View) {
        self.blocks.retain(|(_, id), _| view.blocks.contains_key(id));
    }

    /// The same with the reasons.
    pub(crate) fn named(&self, now_ms: i64) -> Vec<SetAside> {
        let waits = self.blocks.iter().filter(|(_, wait)| wait.until_ms > now_ms);
        let named = waits.map(|((stage, id), wait)| SetAside {
            id: *id,
            why: format!("{stage}: {}", wait.why),
            until: Until::Time(wait.until_ms),
        });
        named.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> BlockId {
        BlockId::from_parts(1, number)
    }

    #[test]
    fn a_wait_doubles_and_ends_with_success() {
        let mut waiting = Waiting::default();
        let both = BTreeSet::from([(Stage::Merge, id(1)), (Stage::Merge, id(2))]);
        let mut now = 0;
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            waiting.failed(Stage::Merge, &[id(1), id(2)], None, now, "away");
            assert_eq!(waiting.at(now + wait * 60_000 - 1), both, "{wait}");
            now += wait * 60_000;
            assert!(waiting.at(now).is_empty(), "{wait}");
        }
        waiting.worked(Stage::Merge, [id(1)]);
        waiting.failed(Stage::Merge, &[id(1)], None, now, "away");
        assert!(waiting.at(now + 60_000).is_empty());
        waiting.failed(Stage::Coarsen, &[id(2)], None, now, "away");
        assert_eq!(
            waiting.at(now + 59_999),
            BTreeSet::from([(Stage::Merge, id(1)), (Stage::Coarsen, id(2))])
        );
    }

    #[test]
    fn the_one_to_blame_waits_alone_in_the_end() {
        let mut waiting = Waiting::default();
        let all = [id(1), id(2), id(3)];
        for _ in 0..PATIENCE {
            assert_eq!(waiting.failed(Stage::Merge, &all, Some(id(2)), 0, "no rights").len(), 3);
        }
        assert_eq!(waiting.failed(Stage::Merge, &all, Some(id(2)), 0, "no rights").len(), 1);
        assert_eq!(waiting.at(1), BTreeSet::from([(Stage::Merge, id(2))]));
    }
}
