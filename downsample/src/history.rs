//! One query over blocks of all resolutions.
//!
//! Raw data is dropped first, then that of five minutes, then that of an hour, so the older a time, the coarser what is left of it. A
//! [`History`] answers each part of time from the finest blocks that cover it. Where a finer block begins or ends within a window of a
//! coarser one, that window is answered by the coarser: no sample counts twice, and none is missed. A block whose sources are all in
//! another one of its resolution is left out, for it was compacted and is not removed yet.

use std::cmp::Reverse;

use sarsen_block::{
    Block, ChunkSeries, ChunkSet, Error, Matcher, Merge, SampleSeries, SampleSet, TimeRange, Timestamp,
};

use crate::read::{Stretch, Wanted, read};
use crate::visible::Visible;
use crate::window::Resolution;

/// Blocks of any resolutions of the same series, as one.
#[derive(Debug, Clone, Default)]
pub struct History {
    blocks: Vec<(Resolution, Block)>,
}

impl History {
    /// Of `blocks`, in any order. Those of a resolution that is not one of ours, and those that others contain, are left out.
    pub fn new(blocks: impl IntoIterator<Item = Block>) -> Self {
        let mut known: Vec<(Resolution, Block)> = blocks
            .into_iter()
            .filter_map(|block| {
                let ms = block.meta().thanos.as_ref().map_or(0, |thanos| thanos.resolution);
                Some((Resolution::of_ms(ms)?, block))
            })
            .collect();
        known.sort_by_key(|(_, block)| (Reverse(block.meta().compaction.sources.len()), block.meta().id));
        let mut kept: Vec<(Resolution, Block)> = Vec::with_capacity(known.len());
        for (resolution, block) in known {
            let sources = &block.meta().compaction.sources;
            let contains = |other: &(Resolution, Block)| {
                let others = &other.1.meta().compaction.sources;
                other.0 == resolution && sources.iter().all(|source| others.contains(source))
            };
            if sources.is_empty() || !kept.iter().any(contains) {
                kept.push((resolution, block));
            }
        }
        Self { blocks: kept }
    }

    /// Which resolution answers for which time, in order of time; nothing coarser than `coarsest`. Times that no block covers are left out.
    pub fn stretches(&self, coarsest: Resolution) -> Vec<(TimeRange, Resolution)> {
        let mut all: Vec<(TimeRange, Resolution)> = Vec::new();
        for resolution in Resolution::ALL.into_iter().rev().filter(|&resolution| resolution <= coarsest) {
            for covered in self.covered(resolution) {
                lay_over(&mut all, covered, resolution);
            }
        }
        all
    }

    /// The stretches of time that blocks of a resolution cover; those that touch are one.
    fn covered(&self, resolution: Resolution) -> Vec<TimeRange> {
        let own = self.blocks.iter().filter(|(own, _)| *own == resolution);
        let mut ranges: Vec<TimeRange> = own.map(|(_, block)| block.meta().range()).collect();
        ranges.retain(|range| !range.is_empty());
        ranges.sort_by_key(|range| range.min);
        let mut joined: Vec<TimeRange> = Vec::new();
        for range in ranges {
            match joined.last_mut() {
                Some(last) if range.min <= last.max.saturating_add(1) => last.max = last.max.max(range.max),
                _ => joined.push(range),
            }
        }
        joined
    }

    /// The series that all `matchers` accept, with what is `wanted` of them in `range`, nothing coarser than `coarsest`. A window is in
    /// the range if its last millisecond is. Of raw samples every one is given, but that averages leave out none and counters and
    /// counts the marks where a series ended.
    ///
    /// # Errors
    /// `Corrupt` if a postings list is damaged, `Io` if reading fails. Later damage is an error of the set.
    pub fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        wanted: Wanted,
        coarsest: Resolution,
    ) -> Result<HistorySet, Error> {
        let mut stretches = self.stretches(coarsest);
        for (stretch, _) in &mut stretches {
            *stretch = stretch.intersect(range);
        }
        stretches.retain(|(stretch, _)| !stretch.is_empty());
        let mut inputs = Vec::new();
        for resolution in Resolution::ALL {
            let mut of_it = stretches.iter().filter(|(_, own)| *own == resolution).map(|(range, _)| *range);
            let Some(first) = of_it.next() else { continue };
            let hull = TimeRange::new(first.min, of_it.next_back().unwrap_or(first).max);
            let mut sets = Vec::new();
            for (_, block) in self.blocks.iter().filter(|(own, _)| *own == resolution) {
                sets.push(Visible::of(block, resolution, matchers, hull)?);
            }
            inputs.push(Input { resolution, set: Merge::new(sets), next: None });
        }
        Ok(HistorySet { inputs, stretches, wanted, begun: false, failed: false })
    }
}

/// Takes from coarser stretches what a finer one covers, up to whole windows of the coarser where these go on.
fn lay_over(all: &mut Vec<(TimeRange, Resolution)>, covered: TimeRange, resolution: Resolution) {
    let mut fine = covered;
    // The coarser stretch that goes on beyond an end of the finer one.
    let across = |t: Timestamp| {
        let both =
            |(range, _): &&(TimeRange, Resolution)| range.contains(t) && range.contains(t.saturating_sub(1));
        all.iter().find(both).map(|(_, own)| own.ms())
    };
    if let Some(width) = across(fine.min) {
        fine.min = fine.min.saturating_add((-fine.min).rem_euclid(width));
    }
    let end = fine.max.saturating_add(1);
    if let Some(width) = across(end) {
        fine.max = (end - end.rem_euclid(width)).saturating_sub(1);
    }
    if fine.is_empty() {
        return;
    }
    let mut left = Vec::with_capacity(all.len() + 2);
    for (range, own) in all.drain(..) {
        let before = TimeRange::new(range.min, range.max.min(fine.min.saturating_sub(1)));
        let behind = TimeRange::new(range.min.max(fine.max.saturating_add(1)), range.max);
        left.extend([before, behind].into_iter().filter(|part| !part.is_empty()).map(|part| (part, own)));
    }
    left.push((fine, resolution));
    left.sort_by_key(|(range, _)| range.min);
    *all = left;
}

/// The blocks of one resolution, and the series they are at.
#[derive(Debug)]
struct Input {
    resolution: Resolution,
    set: Merge<Visible>,
    next: Option<ChunkSeries>,
}

/// What [`History::select`] found.
#[derive(Debug)]
pub struct HistorySet {
    inputs: Vec<Input>,
    stretches: Vec<(TimeRange, Resolution)>,
    wanted: Wanted,
    begun: bool,
    failed: bool,
}

impl HistorySet {
    fn step(&mut self) -> Result<Option<SampleSeries>, Error> {
        if !std::mem::replace(&mut self.begun, true) {
            for input in &mut self.inputs {
                input.next = input.set.next()?;
            }
        }
        loop {
            let labels =
                self.inputs.iter().filter_map(|input| input.next.as_ref()).map(|series| &series.labels);
            let Some(labels) = labels.min().cloned() else { return Ok(None) };
            let mut found: Vec<(Resolution, ChunkSeries)> = Vec::new();
            for input in &mut self.inputs {
                if let Some(series) = input.next.take_if(|series| series.labels == labels) {
                    found.push((input.resolution, series));
                    input.next = input.set.next()?;
                }
            }
            let chunks_of = |range: TimeRange, resolution: Resolution| {
                let own = found.iter().filter(|(own, _)| *own == resolution);
                let all = own.flat_map(|(_, series)| &series.chunks);
                all.filter(|timed| timed.range.overlaps(range)).cloned().collect::<Vec<_>>()
            };
            let stretch = |&(range, resolution): &(TimeRange, Resolution)| Stretch {
                resolution,
                range,
                chunks: chunks_of(range, resolution),
            };
            let samples = read(self.stretches.iter().map(stretch).collect(), self.wanted)?;
            if !samples.is_empty() {
                return Ok(Some(SampleSeries { labels, samples }));
            }
        }
    }
}

impl SampleSet for HistorySet {
    fn next(&mut self) -> Result<Option<SampleSeries>, Error> {
        if self.failed {
            return Ok(None);
        }
        let step = self.step();
        self.failed = step.is_err();
        step
    }
}
