//! Downsampled blocks that overlap, put together window by window; and windows taken out.
//!
//! Replicas hold nearly the same windows. The run that has most of them stays as it is, chunk by chunk; where it lacks a window,
//! the next one that has it fills in. So no window is lost, none counts twice, and most chunks are copied. A window is known by where
//! it begins, not by its time, for the last one of a chunk has the time of its last sample.

use std::collections::BTreeMap;

use sarsen_block::{Aggregates, Error, TimeRange, TimedChunk};

use crate::rows::{Row, Rows, write};
use crate::window::Resolution;

/// Takes the chunks of downsampled blocks of one resolution apart and puts them together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AggregateChunks {
    width: i64,
}

impl AggregateChunks {
    /// Of blocks of `resolution`. Raw blocks have no such chunks; those that stray into one are taken for windows of five minutes.
    pub const fn of(resolution: Resolution) -> Self {
        let width = match resolution {
            Resolution::OneHour => Resolution::OneHour.ms(),
            Resolution::Raw | Resolution::FiveMinutes => Resolution::FiveMinutes.ms(),
        };
        Self { width }
    }
}

impl Aggregates for AggregateChunks {
    fn merge(&self, runs: Vec<Vec<TimedChunk>>) -> Result<Vec<TimedChunk>, Error> {
        let mut taken = Vec::with_capacity(runs.len());
        for run in runs {
            taken.push(run.into_iter().map(Rows::of).collect::<Result<Vec<_>, _>>()?);
        }
        // Stable: among runs with equally many windows the one that counts first.
        taken.sort_by_key(|run| std::cmp::Reverse(run.iter().map(|rows| rows.times.len()).sum::<usize>()));
        let mut chunks = Vec::new();
        let mut windows: BTreeMap<i64, (usize, Vec<Row>)> = BTreeMap::new();
        for (run, rows) in taken.into_iter().enumerate() {
            for rows in rows {
                for (window, t) in rows.times.iter().enumerate() {
                    let (owner, held) =
                        windows.entry(t.div_euclid(self.width)).or_insert_with(|| (run, Vec::new()));
                    // Two chunks of a run may both end or begin within a window.
                    if *owner == run {
                        held.push(Row { chunk: chunks.len(), window });
                    }
                }
                chunks.push(rows);
            }
        }
        let picked: Vec<Row> = windows.into_values().flat_map(|(_, rows)| rows).collect();
        write(&chunks, &picked)
    }

    fn without(&self, chunk: &TimedChunk, deleted: &[TimeRange]) -> Result<Vec<TimedChunk>, Error> {
        let rows = Rows::of(chunk.clone())?;
        let touched = |t: i64| {
            let window = TimeRange::new(t.saturating_sub(t.rem_euclid(self.width)), t);
            deleted.iter().any(|deleted| deleted.overlaps(window))
        };
        let kept = rows.times.iter().enumerate().filter(|&(_, &t)| !touched(t));
        let picked: Vec<Row> = kept.map(|(window, _)| Row { chunk: 0, window }).collect();
        write(&[rows], &picked)
    }
}
