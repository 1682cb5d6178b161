//! What the compactor has before it and beside it: read from its board when somebody asks.

use std::collections::BTreeMap;

use super::{Page, Type};
use crate::blocks::{Board, Known, Waiting};

/// Writes the sizes of the compactor.
pub(crate) fn write(page: &mut Page, board: &Board, now_ms: i64) {
    let known = board.known();
    thanos(page, &known);
    stages(page, &known);
    let mut one = |name: &str, help: &str, value: f64| {
        page.family(name, Type::Gauge, help);
        page.sample(name, "", &[], value);
    };
    one("sarsen_compact_running_jobs", "Jobs under way.", known.running.len() as f64);
    let bytes = known.running.values().map(|work| work.bytes).sum::<u64>();
    one("sarsen_compact_running_bytes", "Bytes of the blocks of jobs under way.", bytes as f64);
    let done = known.running.values().map(|work| work.done.min(work.bytes)).sum::<u64>();
    one("sarsen_compact_running_done_bytes", "Bytes of these that were read.", done as f64);
    let away = known.away.as_ref().map_or(0, |(since, _)| now_ms.saturating_sub(*since).max(0));
    one(
        "sarsen_compact_store_away_seconds",
        "Since when the store has not answered; 0: it answers.",
        away as f64 / 1e3,
    );
    if let Some(at) = known.last_round_ms {
        let name = "sarsen_compact_last_round_timestamp_seconds";
        one(name, "When the last round came to its end.", at as f64 / 1e3);
    }
    let halves = known.loaded.view.partial.len();
    one("sarsen_compact_half_blocks", "Folders of blocks without a usable meta.json.", halves as f64);
    aside(page, &known);
}

/// The gauges that Thanos has.
fn thanos(page: &mut Page, known: &Known) {
    let of = |stage: &str| known.backlog.iter().find(|waiting| waiting.stage == stage);
    let (merge, coarsen) = (of("merge"), of("downsample"));
    let deletions = of("retention").map_or(0, |stage| stage.blocks);
    for (name, help, value) in [
        (
            "thanos_compact_todo_compactions",
            "number of compactions to be done",
            merge.map_or(0, |stage| stage.jobs),
        ),
        (
            "thanos_compact_todo_compaction_blocks",
            "number of blocks planned to be compacted",
            merge.map_or(0, |stage| stage.blocks),
        ),
        (
            "thanos_compact_todo_downsample_blocks",
            "number of blocks to be downsampled",
            coarsen.map_or(0, |stage| stage.blocks),
        ),
        (
            "thanos_compact_todo_deletion_blocks",
            "number of blocks that have crossed their retention period",
            deletions,
        ),
    ] {
        page.family(name, Type::Gauge, help);
        page.sample(name, "", &[], value as f64);
    }
}

fn stages(page: &mut Page, known: &Known) {
    type Size = fn(&Waiting) -> u64;
    let sizes: [(&str, &str, Size); 3] = [
        ("sarsen_compact_backlog_jobs", "Jobs to be done, by stage.", |stage| stage.jobs),
        ("sarsen_compact_backlog_blocks", "Blocks in these jobs, by stage.", |stage| stage.blocks),
        ("sarsen_compact_backlog_bytes", "Bytes of these blocks, by stage.", |stage| stage.bytes),
    ];
    for (name, help, size) in sizes {
        page.family(name, Type::Gauge, help);
        for stage in &known.backlog {
            page.sample(name, "", &[("stage", stage.stage)], size(stage) as f64);
        }
    }
}

/// Blocks that are set aside, by reason: the word in their mark, or that they are tried again.
fn aside(page: &mut Page, known: &Known) {
    let name = "sarsen_compact_set_aside_blocks";
    page.family(name, Type::Gauge, "Blocks that are left alone because of damage or failures, by reason.");
    let mut by_reason: BTreeMap<&str, u64> = BTreeMap::from([("retried", 0)]);
    for aside in known.set_aside.values() {
        *by_reason.entry(aside.reason.as_str()).or_default() += 1;
    }
    for (reason, count) in by_reason {
        page.sample(name, "", &[("reason", reason)], count as f64);
    }
}
