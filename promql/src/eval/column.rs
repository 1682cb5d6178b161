//! One series over all steps of a grid: what every node of a query evaluates to.
//!
//! Numbers lie dense, one place for each step, and a bitmap says which are there, because NaN is a number like others. Histograms are rare
//! and lie aside, by step. A step holds a number or a histogram or nothing; both only where series with the same labels were merged. A scalar is a column without labels and without gaps.

use std::sync::Arc;

use sarsen_block::{Histogram, Labels, Timestamp};

use crate::Point;
use crate::histogram::weight;

/// The times at which a node is evaluated: `start`, `start + step`, ... up to `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grid {
    /// The first time.
    pub(crate) start: Timestamp,
    /// No time is later.
    pub(crate) end: Timestamp,
    /// Between two of them; at least 1.
    pub(crate) step: i64,
}

impl Grid {
    /// How many times there are.
    pub(crate) const fn steps(&self) -> usize {
        if self.end < self.start {
            return 0;
        }
        // The difference may not fit when the ends lie far apart.
        (self.end.wrapping_sub(self.start) as u64 / self.step as u64) as usize + 1
    }

    /// The time of a step, counted from 0.
    pub(crate) const fn at(&self, step: usize) -> Timestamp {
        self.start.wrapping_add((step as i64).wrapping_mul(self.step))
    }

    /// Whether it might be an instant query: order of vectors is kept, and shortcuts are taken.
    pub(crate) const fn is_instant(&self) -> bool {
        self.start == self.end
    }
}

/// Which steps hold a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Presence {
    /// All of them.
    All,
    /// Those whose bit is set, the lowest bit of the first word first.
    Some(Box<[u64]>),
}

impl Presence {
    /// Whether the step's number is there.
    pub(crate) fn has(&self, step: usize) -> bool {
        match self {
            Self::All => true,
            Self::Some(words) => words.get(step / 64).is_some_and(|word| word >> (step % 64) & 1 == 1),
        }
    }
}

/// What a series holds at a step.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cell<'a> {
    /// A number.
    Float(f64),
    /// A histogram.
    Histogram(&'a Arc<Histogram>),
}

/// One series over all steps.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// Its labels.
    pub(crate) labels: Arc<Labels>,
    /// Whether its name is to go at the end of the query (delayed name removal).
    pub(crate) drop_name: bool,
    /// A number for each step, 0 where there is none; empty if no step has one.
    pub(crate) floats: Vec<f64>,
    /// Which of `floats` are there; of no meaning if `floats` is empty.
    pub(crate) present: Presence,
    /// Steps with histograms, rising.
    pub(crate) histograms: Vec<(u32, Arc<Histogram>)>,
}

impl Column {
    /// A number at each step.
    pub(crate) const fn dense(labels: Arc<Labels>, floats: Vec<f64>) -> Self {
        Self { labels, drop_name: false, floats, present: Presence::All, histograms: Vec::new() }
    }

    /// Whether the step holds a number.
    pub(crate) fn has_float(&self, step: usize) -> bool {
        step < self.floats.len() && self.present.has(step)
    }

    /// The number of the step, if it holds one.
    pub(crate) fn float(&self, step: usize) -> Option<f64> {
        self.floats.get(step).copied().filter(|_| self.present.has(step))
    }

    /// The histogram of the step, if it holds one.
    pub(crate) fn histogram(&self, step: usize) -> Option<&Arc<Histogram>> {
        if self.histograms.is_empty() {
            return None;
        }
        let at = self.histograms.binary_search_by_key(&(step as u32), |(step, _)| *step).ok()?;
        self.histograms.get(at).map(|(_, histogram)| histogram)
    }

    /// What the step holds.
    pub(crate) fn cell(&self, step: usize) -> Option<Cell<'_>> {
        self.float(step).map(Cell::Float).or_else(|| self.histogram(step).map(Cell::Histogram))
    }

    /// How many steps hold a number.
    pub(crate) fn float_count(&self) -> usize {
        match &self.present {
            _ if self.floats.is_empty() => 0,
            Presence::All => self.floats.len(),
            Presence::Some(words) => words.iter().map(|word| word.count_ones() as usize).sum(),
        }
    }

    /// Whether no step holds anything.
    pub(crate) fn is_empty(&self) -> bool {
        self.floats.is_empty() && self.histograms.is_empty()
    }

    /// Steps and numbers, by step.
    pub(crate) fn iter_floats(&self) -> impl Iterator<Item = (usize, f64)> + '_ {
        self.floats.iter().copied().enumerate().filter(|(step, _)| self.present.has(*step))
    }

    /// A bit for each of `steps` steps: whether it holds something there.
    pub(crate) fn words(&self, steps: usize) -> Vec<u64> {
        let mut words = vec![0_u64; steps.div_ceil(64)];
        let histograms = self.histograms.iter().map(|(step, _)| *step as usize);
        for step in self.iter_floats().map(|(step, _)| step).chain(histograms) {
            if let Some(word) = words.get_mut(step / 64) {
                *word |= 1 << (step % 64);
            }
        }
        words
    }

    /// What it takes in memory, roughly.
    pub(crate) fn bytes(&self) -> u64 {
        let words = match &self.present {
            Presence::All => 0,
            Presence::Some(words) => words.len(),
        };
        let labels = self.labels.as_ref().as_ref().as_bytes().len();
        // A histogram that several columns share counts for each.
        let histograms: u64 = self.histograms.iter().map(|(_, one)| 16 + 16 * weight(one)).sum();
        (size_of::<Self>() + labels + 8 * (self.floats.len() + words)) as u64 + histograms
    }

    /// Its histograms are left out.
    pub(crate) fn without_histograms(mut self) -> Self {
        self.histograms = Vec::new();
        self
    }
}

/// Builds a column step by step.
#[derive(Debug)]
pub(crate) struct ColumnBuilder {
    steps: usize,
    floats: Vec<f64>,
    words: Vec<u64>,
    count: usize,
    histograms: Vec<(u32, Arc<Histogram>)>,
}

impl ColumnBuilder {
    /// For a grid of so many steps.
    pub(crate) const fn new(steps: usize) -> Self {
        Self { steps, floats: Vec::new(), words: Vec::new(), count: 0, histograms: Vec::new() }
    }

    /// The step holds this number; each step at most once, in any order.
    #[inline]
    pub(crate) fn float(&mut self, step: usize, value: f64) {
        if self.floats.is_empty() {
            self.floats = vec![0.0; self.steps];
            self.words = vec![0; self.steps.div_ceil(64)];
        }
        if let (Some(place), Some(word)) = (self.floats.get_mut(step), self.words.get_mut(step / 64)) {
            *place = value;
            *word |= 1 << (step % 64);
            self.count += 1;
        }
    }

    /// The step holds this histogram; steps rise.
    pub(crate) fn histogram(&mut self, step: usize, histogram: Arc<Histogram>) {
        self.histograms.push((step as u32, histogram));
    }

    /// The step holds this.
    pub(crate) fn point(&mut self, step: usize, point: Point) {
        match point {
            Point::Float(value) => self.float(step, value),
            Point::Histogram(histogram) => self.histogram(step, Arc::from(histogram)),
        }
    }

    /// The step holds this.
    pub(crate) fn cell(&mut self, step: usize, cell: Cell<'_>) {
        match cell {
            Cell::Float(value) => self.float(step, value),
            Cell::Histogram(histogram) => self.histogram(step, Arc::clone(histogram)),
        }
    }

    /// Whether no step holds anything.
    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0 && self.histograms.is_empty()
    }

    /// The column.
    pub(crate) fn finish(self, labels: Arc<Labels>, drop_name: bool) -> Column {
        let present =
            if self.count == self.floats.len() { Presence::All } else { Presence::Some(self.words.into()) };
        Column { labels, drop_name, floats: self.floats, present, histograms: self.histograms }
    }
}
