//! Which blocks of a group are merged next, by their ranges of time alone; pure.
//!
//! The rules are those of Prometheus' leveled compaction with the additions of Thanos. Overlaps come first, whatever their
//! number. Then the newest block is left alone, and the smallest range that has two blocks or more and is complete, or
//! lies before everything new, is taken. Then a large block of which many series have deletions is written anew. A barred
//! block (a mark, a back-off) is never taken, and keeps its place: it splits its range instead of shifting the others.
//!
//! What nobody compacts here: blocks that are missing from the slice. Who selects sorts and filters.

use sarsen_block::{BlockId, BlockMeta};

/// What a selection needs to know of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// The block.
    pub id: BlockId,
    /// First millisecond of its range.
    pub min_time: i64,
    /// The millisecond after the last one.
    pub max_time: i64,
    /// Milliseconds between its samples; 0 for raw data.
    pub resolution: i64,
    /// Its series.
    pub num_series: u64,
    /// Deleted intervals in it.
    pub num_tombstones: u64,
    /// Bytes of its index; 0 if nobody knows.
    pub index_bytes: u64,
    /// Whether an earlier compaction of it failed, by its meta.
    pub failed: bool,
    /// Whether it must not be taken.
    pub barred: bool,
}

impl Candidate {
    /// What the meta of a block says.
    pub fn new(meta: &BlockMeta, barred: bool) -> Self {
        let thanos = meta.thanos.as_ref();
        let files = thanos.map(|thanos| thanos.files.as_slice()).unwrap_or_default();
        let index = files.iter().find(|file| file.rel_path == sarsen_bucket::Layout::INDEX);
        Self {
            id: meta.id,
            min_time: meta.min_time,
            max_time: meta.max_time,
            resolution: thanos.map_or(0, |thanos| thanos.resolution),
            num_series: meta.stats.num_series,
            num_tombstones: meta.stats.num_tombstones,
            index_bytes: index.map_or(0, |index| index.size_bytes),
            failed: meta.compaction.failed,
            barred,
        }
    }
}

/// Why these blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// They overlap.
    Overlap,
    /// They lie in one range of so many milliseconds that is complete, or before everything new.
    Range(i64),
    /// Much of it is deleted.
    Deletions,
}

/// Blocks to be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// Their places in the slice that was given, rising.
    pub places: Vec<usize>,
    /// Why these.
    pub cause: Cause,
}

/// What differs between the planners that this one stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules<'a> {
    /// Ranges of time, rising; the first is never a target.
    pub ranges: &'a [i64],
    /// Whether a block is also written anew if it is small but wholly deleted. So do local blocks; those in a bucket have no
    /// tombstones.
    pub small_deletions: bool,
}

/// What is to be merged next among blocks that are sorted by first time.
pub fn select(blocks: &[Candidate], rules: Rules<'_>) -> Option<Selected> {
    let free: Vec<usize> = (0..blocks.len()).filter(|place| !blocks[*place].barred).collect();
    if let Some(places) = overlapping(blocks, &free) {
        return Some(Selected { places, cause: Cause::Overlap });
    }
    let older = blocks.split_last()?.1;
    if let Some((places, range)) = in_one_range(older, rules.ranges) {
        return Some(Selected { places, cause: Cause::Range(range) });
    }
    let place = mostly_deleted(older, rules)?;
    Some(Selected { places: vec![place], cause: Cause::Deletions })
}

/// The first run of blocks that overlap, directly or through others.
pub(crate) fn overlapping(blocks: &[Candidate], places: &[usize]) -> Option<Vec<usize>> {
    let (first, others) = places.split_first()?;
    let mut reach = blocks[*first].max_time;
    let (mut run, mut before) = (Vec::new(), *first);
    for &place in others {
        let block = &blocks[place];
        if block.min_time < reach {
            if run.is_empty() {
                run.push(before);
            }
            run.push(place);
        } else if !run.is_empty() {
            break;
        }
        reach = reach.max(block.max_time);
        before = place;
    }
    (!run.is_empty()).then_some(run)
}

/// The blocks of the smallest range that is ready, and the range.
fn in_one_range(older: &[Candidate], ranges: &[i64]) -> Option<(Vec<usize>, i64)> {
    let newest_min = older.last()?.min_time;
    ranges.iter().skip(1).filter(|range| **range > 0).find_map(|&range| {
        let ready = parts(older, range).into_iter().find_map(|part| {
            let blocks = older.get(part.clone())?;
            let (first, last) = (blocks.first()?, blocks.last()?);
            let complete =
                last.max_time.saturating_sub(first.min_time) == range || last.max_time <= newest_min;
            let sound = blocks.iter().all(|block| !block.failed);
            if sound && complete { free_run(blocks).map(|run| shifted(run, part.start)) } else { None }
        });
        ready.map(|places| (places, range))
    })
}

fn shifted(run: std::ops::Range<usize>, by: usize) -> Vec<usize> {
    run.map(|place| place + by).collect()
}

/// The first two or more neighbours that are not barred.
fn free_run(blocks: &[Candidate]) -> Option<std::ops::Range<usize>> {
    let mut from = 0;
    for end in 0..=blocks.len() {
        if blocks.get(end).is_none_or(|block| block.barred) {
            if end - from > 1 {
                return Some(from..end);
            }
            from = end + 1;
        }
    }
    None
}

/// The blocks by aligned stretches of `range` milliseconds. A block that does not fit into the stretch in which it begins is in none.
fn parts(blocks: &[Candidate], range: i64) -> Vec<std::ops::Range<usize>> {
    let (mut parts, mut at) = (Vec::new(), 0);
    while let Some(block) = blocks.get(at) {
        let end = block.min_time.div_euclid(range).saturating_mul(range).saturating_add(range);
        let inside = blocks.iter().skip(at).take_while(|block| block.max_time <= end).count();
        if inside > 0 {
            parts.push(at..at + inside);
        }
        at += inside.max(1);
    }
    parts
}

/// The newest block of which so much is deleted that it pays to write it anew. Small blocks, and all before them, wait for
/// the merge that they are meant for.
fn mostly_deleted(older: &[Candidate], rules: Rules<'_>) -> Option<usize> {
    let large = *rules.ranges.get(rules.ranges.len() / 2)?;
    for (place, block) in older.iter().enumerate().rev().filter(|(_, block)| !block.barred) {
        if block.max_time.saturating_sub(block.min_time) < large {
            let wholly = block.num_tombstones > 0 && block.num_tombstones >= block.num_series;
            return (rules.small_deletions && wholly).then_some(place);
        }
        // More than one in twenty.
        if u128::from(block.num_tombstones) * 20 > u128::from(block.num_series) + 1 {
            return Some(place);
        }
    }
    None
}
