//! Counts samples in memory and samples read, as Prometheus counts them.
//!
//! What is counted is what Prometheus would hold, not what is held here: a node's whole input until its result is there, although the
//! engine folds series into aggregations as they come. So a limit refuses the same queries, and statistics are the same numbers.
//! A number counts 1, a histogram its size in memory over 16 bytes.

use super::column::{Column, Grid, Presence};
use crate::Error;
use crate::histogram::weight;

/// What a query used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// Samples loaded; the window of a function counts anew at each step.
    pub total_queryable_samples: u64,
    /// The same at each step.
    pub total_queryable_samples_per_step: Vec<u64>,
    /// Samples read; of a window only what the step before did not see counts.
    pub samples_read: u64,
    /// The same at each step.
    pub samples_read_per_step: Vec<u64>,
    /// Most samples in memory at once.
    pub peak_samples: u64,
}

/// Samples at each step of a grid.
#[derive(Debug, Clone)]
pub(crate) struct StepCounts {
    /// Loaded.
    pub(crate) total: Vec<u64>,
    /// Read.
    pub(crate) read: Vec<u64>,
}

impl StepCounts {
    pub(crate) fn new(steps: usize) -> Self {
        Self { total: vec![0; steps], read: vec![0; steps] }
    }

    /// Forgets everything, for a grid of so many steps.
    pub(crate) fn reset(&mut self, steps: usize) {
        self.total.clear();
        self.total.resize(steps, 0);
        self.read.clear();
        self.read.resize(steps, 0);
    }

    /// Counts samples of a step, and how many of them are new.
    pub(crate) fn add(&mut self, step: usize, total: u64, read: u64) {
        if let (Some(at), Some(new)) = (self.total.get_mut(step), self.read.get_mut(step)) {
            *at += total;
            *new += read;
        }
    }

    fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.total.iter_mut().zip(&other.total) {
            *mine += theirs;
        }
        for (mine, theirs) in self.read.iter_mut().zip(&other.read) {
            *mine += theirs;
        }
    }
}

/// The counters of an evaluation.
#[derive(Debug)]
pub(crate) struct Meter {
    max: u64,
    current: u64,
    peak: u64,
    steps: StepCounts,
}

impl Meter {
    /// With a limit; 0 is none.
    pub(crate) fn new(max: u64, steps: usize) -> Self {
        let max = if max == 0 { u64::MAX } else { max };
        Self { max, current: 0, peak: 0, steps: StepCounts::new(steps) }
    }

    /// Samples in memory now.
    pub(crate) const fn current(&self) -> u64 {
        self.current
    }

    /// So many are in memory now; that may be a new peak.
    pub(crate) fn set(&mut self, current: u64) {
        self.current = current;
        self.peak = self.peak.max(current);
    }

    /// So many are, or for a moment were, in memory.
    ///
    /// # Errors
    /// [`Error::TooManySamples`] if that is too many.
    pub(crate) fn touch(&mut self, samples: u64) -> Result<(), Error> {
        if samples > self.max {
            return Err(Error::TooManySamples);
        }
        self.peak = self.peak.max(samples);
        Ok(())
    }

    /// More samples are in memory.
    ///
    /// # Errors
    /// [`Error::TooManySamples`] if these are too many.
    pub(crate) fn add(&mut self, samples: u64) -> Result<(), Error> {
        self.current += samples;
        self.touch(self.current)
    }

    /// Takes in what was counted per step.
    pub(crate) fn count(&mut self, counts: &StepCounts) {
        self.steps.merge(counts);
    }

    /// Counts steps anew for an inner grid; gives those of the outer one back to put them in again.
    pub(crate) fn enter(&mut self, steps: usize) -> StepCounts {
        std::mem::replace(&mut self.steps, StepCounts::new(steps))
    }

    /// Back to the outer grid; gives what the inner one counted.
    pub(crate) fn leave(&mut self, outer: StepCounts) -> StepCounts {
        std::mem::replace(&mut self.steps, outer)
    }

    /// Counts at one step of the grid.
    pub(crate) fn count_at(&mut self, step: usize, total: u64, read: u64) {
        self.steps.add(step, total, read);
    }

    /// The counts of a finished evaluation.
    pub(crate) fn finish(self) -> Stats {
        Stats {
            total_queryable_samples: self.steps.total.iter().sum(),
            samples_read: self.steps.read.iter().sum(),
            total_queryable_samples_per_step: self.steps.total,
            samples_read_per_step: self.steps.read,
            peak_samples: self.peak,
        }
    }
}

/// What a subquery read, told to the steps that make use of it: `window_ms` 0 for a subquery that is the answer itself.
pub(crate) fn read_by_subquery(
    inner: &StepCounts,
    (inner_grid, outer_grid): (Grid, Grid),
    offset_ms: i64,
    window_ms: i64,
) -> StepCounts {
    let steps = outer_grid.steps();
    let mut counts = StepCounts::new(steps);
    for (step, &read) in inner.read.iter().enumerate() {
        let t = inner_grid.at(step).saturating_add(offset_ms);
        let behind = t.saturating_sub(outer_grid.start);
        let used = if behind > 0 { (behind + outer_grid.step - 1) / outer_grid.step } else { 0 };
        let used = (used as usize).min(steps.saturating_sub(1));
        let in_gap = steps > 1 && window_ms > 0 && t <= outer_grid.at(used).saturating_sub(window_ms);
        if !in_gap {
            counts.add(used, 0, read);
        }
    }
    counts
}

/// As how many samples a series counts.
pub(crate) fn column_size(column: &Column) -> u64 {
    let histograms: u64 = column.histograms.iter().map(|(_, histogram)| weight(histogram)).sum();
    column.float_count() as u64 + histograms
}

/// As how many samples series count.
pub(crate) fn columns_size(columns: &[Column]) -> u64 {
    columns.iter().map(column_size).sum()
}

/// Samples that are gathered at each step, 1 for each series, or that a step's result counts.
#[derive(Debug, Clone)]
pub(crate) struct PerStep {
    everywhere: u64,
    counts: Vec<u64>,
}

impl PerStep {
    pub(crate) fn new(steps: usize) -> Self {
        Self { everywhere: 0, counts: vec![0; steps] }
    }

    /// Counts a series: its numbers 1, its histograms 1 or, if `sized`, their size.
    pub(crate) fn add(&mut self, column: &Column, sized: bool) {
        match &column.present {
            _ if column.floats.is_empty() => {}
            Presence::All => self.everywhere += 1,
            Presence::Some(words) => {
                for (counts, &word) in self.counts.chunks_mut(64).zip(words.iter()) {
                    for (bit, count) in counts.iter_mut().enumerate() {
                        *count += word >> bit & 1;
                    }
                }
            }
        }
        for (step, histogram) in &column.histograms {
            if let Some(count) = self.counts.get_mut(*step as usize) {
                *count += if sized { weight(histogram) } else { 1 };
            }
        }
    }

    /// Counts so many at each step.
    pub(crate) const fn add_everywhere(&mut self, samples: u64) {
        self.everywhere += samples;
    }

    /// The same for several.
    pub(crate) fn of(columns: &[Column], steps: usize, sized: bool) -> Self {
        let mut counts = Self::new(steps);
        for column in columns {
            counts.add(column, sized);
        }
        counts
    }

    pub(crate) fn at(&self, step: usize) -> u64 {
        self.everywhere + self.counts.get(step).copied().unwrap_or_default()
    }
}

/// Counts a node that is evaluated step by step: at each it gathers its inputs and adds its result, which stays.
/// `before` is what was in memory before its inputs were.
///
/// # Errors
/// [`Error::TooManySamples`].
pub(crate) fn meter_steps(
    meter: &mut Meter,
    before: u64,
    steps: usize,
    (gathered, made): (&[&PerStep], &PerStep),
) -> Result<(), Error> {
    let mut held = meter.current();
    let mut total = 0;
    for step in 0..steps {
        let gathered: u64 = gathered.iter().map(|counts| counts.at(step)).sum();
        let made = made.at(step);
        meter.touch(held + gathered + made)?;
        held += made;
        total += made;
    }
    meter.set(before + total);
    Ok(())
}
