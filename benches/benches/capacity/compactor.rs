//! What a compactor makes of two weeks: bytes of each resolution, CPU time, memory.

use std::path::Path;

use anyhow::{Context, Result};
use sarsen_benches::{BucketPlan, Compactor, Outcome, REPLICA, build_compactor};

use crate::Arguments;

const HOUR: i64 = 3_600_000;
const DAYS: i64 = 14;

/// What a compactor used and left, for one active series.
#[derive(Debug)]
pub(crate) struct Compacted {
    /// Bytes of a day in the blocks that receivers bring, all replicas.
    pub(crate) brought: f64,
    /// Bytes of a day in blocks of 14 d: raw, 5 m, 1 h.
    pub(crate) raw: f64,
    pub(crate) five_minutes: f64,
    pub(crate) one_hour: f64,
    /// Seconds of CPU for a day of it: every merge and both resolutions.
    pub(crate) cpu_seconds: f64,
    /// Resident however few series there are, and what each series of the largest block adds: from two buckets, one of which has
    /// three times the series of the other.
    pub(crate) resident_empty: f64,
    pub(crate) resident_a_series: f64,
    /// Series in a block of 14 d for one that is active, because pods are renamed.
    pub(crate) names: f64,
}

/// Fills two buckets, one of `--compacted` series and one of a third of them, and has both compacted.
pub(crate) fn compact(arguments: &Arguments, folder: &Path) -> Result<Compacted> {
    let path = arguments.compactor.clone().map_or_else(build_compactor, Ok)?;
    let program = Compactor { name: "Sarsen", path, role: None, further: Vec::new() };
    let life = arguments.churn.max(1);
    let plan = BucketPlan {
        series: arguments.compacted,
        interval: i64::try_from(arguments.interval)?.max(1) * 1000,
        life: if arguments.churn == 0 { 0 } else { 100 * HOUR / i64::try_from(life)? },
        replicas: arguments.replication.max(1),
        span: DAYS * 24 * HOUR,
        block: 2 * HOUR,
    };
    let label = format!("--deduplication.replica-label={REPLICA}");
    let words: Vec<&str> = if plan.replicas > 1 { vec![&label] } else { Vec::new() };
    let run = |plan: BucketPlan, name: &str| -> Result<(u64, Outcome)> {
        let bucket = folder.join(name);
        let made = plan.make(&bucket)?;
        let outcome = program.run(&bucket, &[], &words)?;
        std::fs::remove_dir_all(&bucket)?;
        Ok((made.bytes, outcome))
    };
    let (_, third) = run(BucketPlan { series: plan.series / 3, ..plan }, "third")?;
    let (brought, outcome) = run(plan, "fortnight")?;
    let days = DAYS as f64 * plan.series as f64;
    let bytes = outcome.by_resolution();
    let of = |resolution: i64| bytes.get(&resolution).map_or(0.0, |&bytes| bytes as f64 / days);
    let largest =
        |outcome: &Outcome| outcome.left.iter().map(|block| block.series).max().context("no block is left");
    let (few, many) = (largest(&third)?, largest(&outcome)?);
    let (peak, peak_of_few) = (outcome.spent.usage.peak, third.spent.usage.peak);
    let a_series = peak.saturating_sub(peak_of_few) as f64 / many.saturating_sub(few).max(1) as f64;
    Ok(Compacted {
        brought: brought as f64 / days,
        raw: of(0),
        five_minutes: of(300_000),
        one_hour: of(3_600_000),
        cpu_seconds: outcome.cpu_seconds() / days,
        resident_empty: (peak.max(peak_of_few) as f64 - many as f64 * a_series).max(0.0),
        resident_a_series: a_series,
        names: many as f64 / plan.series as f64,
    })
}
