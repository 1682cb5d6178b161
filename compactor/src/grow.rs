//! The merges of one group: those that can be done now, side by side, and those that come after; pure.
//!
//! A merge is imagined to be done as soon as it is chosen: one block stands in the place of its inputs, and the choice is
//! made again. So the merges come in the order in which they would be chosen one after the other, and those which have no
//! imagined block among their inputs can be done at the same time.

use std::sync::Arc;

use sarsen_block::BlockMeta;

use crate::choose::{Choice, Limits, choose};
use crate::group::Group;
use crate::options::Options;
use crate::plan::{Job, Later, Situation, Stage, Work, bytes_of, is_barred};
use crate::retain::{is_due, retention};
use crate::select::{Candidate, Cause, Rules, Selected};
use crate::sift::resolution;

/// A block of the group, or one that is imagined.
struct Node {
    candidate: Candidate,
    bytes: u64,
    /// The block, if it is there.
    meta: Option<Arc<BlockMeta>>,
    /// Whether it is due by age: then it does not pay to make it a part of something larger.
    old: bool,
}

/// What can be merged now, and what then.
pub(crate) fn merges(group: &Group, situation: &Situation<'_>, options: &Options) -> (Vec<Job>, Vec<Later>) {
    let rules = Rules { ranges: &options.ranges, small_deletions: options.unlabelled };
    let limits = Limits { max_index_bytes: options.max_index_bytes, merge_coarse: options.merge_coarse };
    let mut nodes: Vec<Node> = group.blocks.iter().map(|meta| node(meta, situation, options)).collect();
    let (mut jobs, mut later) = (Vec::new(), Vec::new());
    loop {
        let mut candidates: Vec<Candidate> = nodes.iter().map(|node| node.candidate).collect();
        let Choice { selected, marks } = choose(&mut candidates, rules, limits);
        for (node, candidate) in nodes.iter_mut().zip(&candidates) {
            if candidate.barred && !node.candidate.barred {
                node.candidate.barred = true;
                let reason =
                    marks.iter().find(|(id, _)| *id == candidate.id).map(|(_, reason)| reason.clone());
                if let (Some(meta), Some(reason)) = (&node.meta, reason) {
                    let why = format!("not to be compacted: {}", reason.as_str());
                    jobs.push(Job::new(vec![Arc::clone(meta)], Work::Bar { reason }, why));
                }
            }
        }
        let Some(Selected { places, cause }) = selected else { break };
        let mut inputs = Vec::new();
        for place in places.into_iter().rev() {
            inputs.insert(0, nodes.remove(place));
        }
        if cause != Cause::Overlap && inputs.iter().all(|node| node.old) {
            continue;
        }
        let metas: Vec<Arc<BlockMeta>> = inputs.iter().filter_map(|node| node.meta.clone()).collect();
        let why = why(cause, inputs.len());
        let imagined = joined(&inputs);
        if metas.len() == inputs.len() {
            let work = match cause {
                Cause::Deletions => Work::Rewrite,
                Cause::Overlap => Work::Merge { overlapping: true },
                Cause::Range(_) => Work::Merge { overlapping: false },
            };
            jobs.push(Job::new(metas, work, why));
        } else {
            let Candidate { min_time, max_time, .. } = imagined.candidate;
            later.push(Later {
                group: group.key,
                labels: group.labels.clone(),
                blocks: inputs.len(),
                span: (min_time, max_time),
                bytes: imagined.bytes,
                why,
            });
        }
        let at = nodes.partition_point(|node| node.candidate.min_time <= imagined.candidate.min_time);
        nodes.insert(at, imagined);
    }
    (jobs, later)
}

fn node(meta: &Arc<BlockMeta>, situation: &Situation<'_>, options: &Options) -> Node {
    let retention = retention(meta, options);
    Node {
        candidate: Candidate::new(meta, is_barred(situation, Stage::Merge, meta.id)),
        bytes: bytes_of(meta),
        meta: Some(Arc::clone(meta)),
        old: resolution(meta).is_some_and(|own| is_due(meta, own, situation.now_ms, &retention)),
    }
}

/// What one block made of these will look like.
fn joined(inputs: &[Node]) -> Node {
    let all = || inputs.iter().map(|node| &node.candidate);
    Node {
        candidate: Candidate {
            id: sarsen_block::BlockId::NONE,
            min_time: all().map(|one| one.min_time).min().unwrap_or_default(),
            max_time: all().map(|one| one.max_time).max().unwrap_or_default(),
            resolution: all().map(|one| one.resolution).max().unwrap_or_default(),
            num_series: all().map(|one| one.num_series).max().unwrap_or_default(),
            num_tombstones: 0,
            index_bytes: all().map(|one| one.index_bytes).fold(0, u64::saturating_add),
            failed: false,
            barred: false,
        },
        bytes: inputs.iter().map(|node| node.bytes).fold(0, u64::saturating_add),
        meta: None,
        old: false,
    }
}

fn why(cause: Cause, inputs: usize) -> String {
    match cause {
        Cause::Overlap => format!("{inputs} blocks overlap"),
        Cause::Range(ms) => format!("{inputs} blocks in a range of {}", length(ms)),
        Cause::Deletions => "more than 5 % of its series have deletions".to_owned(),
    }
}

/// A length of time in the largest unit that gives a whole number.
pub(crate) fn length(ms: i64) -> String {
    let units = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1000, "s")];
    match units.into_iter().find(|(unit, _)| ms % unit == 0) {
        Some((unit, name)) => format!("{}{name}", ms / unit),
        None => format!("{ms}ms"),
    }
}
