//! What is done with one series on its own: its samples become a column, and the column others.
//!
//! A kernel runs on any thread; what it notes and counts goes into its worker's [`Work`] and is taken in, in the order of series, by one thread.

use std::sync::Arc;

use sarsen_block::{Histogram, METRIC_NAME, Timestamp, is_stale};

use super::column::{Column, ColumnBuilder, Grid};
use super::extended::smoothed;
use super::meter::StepCounts;
use super::names::without_name;
use super::source::Input;
use super::window::Window;
use crate::ast::{Extension, Place};
use crate::func::notes::{Notes, Places, Spot};
use crate::func::{RangeFunction, Span, Sweep, SweepFunction};
use crate::histogram::{keep_totals, resolve_resets, weight};
use crate::input::Samples;
use crate::plan::Selector;
use crate::{Annotations, Error, FunctionId, Note};

/// What of the newest sample a selector gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Take {
    /// Its value.
    Value,
    /// Its time, in seconds.
    Time,
    /// Its start timestamp, in seconds.
    Start,
    /// Its time in milliseconds; histograms are an error (`info`).
    InfoTime,
}

/// Where selectors look: the reference time of a step.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reference {
    pub(super) offset_ms: i64,
    pub(super) at: Option<Timestamp>,
}

impl Reference {
    pub(super) const fn of(selector: &Selector) -> Self {
        Self { offset_ms: selector.offset_ms, at: selector.at }
    }

    pub(super) fn time(&self, step: Timestamp) -> Timestamp {
        self.at.unwrap_or(step).saturating_sub(self.offset_ms)
    }
}

/// How the samples of one series become a column.
#[derive(Debug)]
pub(super) enum Kernel<'a> {
    /// The newest sample at each step.
    Newest { reference: Reference, lookback_ms: i64, take: Take, totals: bool },
    /// A value between samples at each step.
    Smoothed { reference: Reference, lookback_ms: i64, place: Place, totals: bool },
    /// A function of the window at each step.
    Range(RangeKernel<'a>),
}

/// A function over windows.
#[derive(Debug)]
pub(super) struct RangeKernel<'a> {
    pub(super) id: FunctionId,
    pub(super) function: RangeFunction,
    /// The same for all steps of a series of numbers.
    pub(super) sweep: Option<SweepFunction>,
    pub(super) reference: Reference,
    pub(super) range_ms: i64,
    pub(super) lookback_ms: i64,
    pub(super) extension: Option<Extension>,
    /// Scalar arguments: a number for each step.
    pub(super) scalars: Vec<Vec<f64>>,
    pub(super) places: &'a Places,
    /// Whether what is read is counted: not for the results of a subquery.
    pub(super) reads: bool,
    pub(super) starts: bool,
    pub(super) keeps_name: bool,
    pub(super) delayed: bool,
    pub(super) type_labels: bool,
    /// Of histograms nothing but their totals is asked for.
    pub(super) totals: bool,
}

/// What a worker keeps between series.
#[derive(Debug)]
pub(super) struct Work {
    samples: Samples,
    arguments: Vec<f64>,
    spans: Vec<Span>,
    pub(super) counts: StepCounts,
}

impl Work {
    pub(super) fn new(steps: usize) -> Self {
        let (samples, counts) = (Samples::default(), StepCounts::new(steps));
        Self { samples, arguments: Vec::new(), spans: Vec::new(), counts }
    }
}

/// A series after its kernel.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Nothing if no step holds anything.
    pub(super) column: Option<Column>,
    /// Most samples that its window held.
    pub(super) window_peak: u64,
    /// What was noted.
    pub(super) notes: Annotations,
}

impl Kernel<'_> {
    /// Reads a series and makes a column of it.
    pub(super) fn run(&self, input: &Input, grid: Grid, work: &mut Work) -> Result<Made, Error> {
        input.read(&mut work.samples)?;
        match self {
            Self::Newest { reference, lookback_ms, take, totals } => {
                if *totals {
                    keep_totals(&mut work.samples.histograms);
                }
                let made = newest(input, grid, (*reference, *lookback_ms, *take), work)?;
                Ok(Made { column: made, ..Made::default() })
            }
            Self::Smoothed { reference, lookback_ms, place, totals } => {
                drop_stale(&mut work.samples);
                if *totals {
                    keep_totals(&mut work.samples.histograms);
                }
                Ok(smoothed(input, &work.samples, grid, (*reference, *lookback_ms, *place)))
            }
            Self::Range(kernel) => kernel.run(input, grid, work),
        }
    }
}

/// Goes through the samples once and keeps, for each step, the newest that is not older than the look-back.
fn newest(
    input: &Input,
    grid: Grid,
    (reference, lookback_ms, take): (Reference, i64, Take),
    work: &mut Work,
) -> Result<Option<Column>, Error> {
    let Work { samples, counts, .. } = work;
    let steps = grid.steps();
    let mut column = ColumnBuilder::new(steps);
    let (mut floats, mut histograms) = (0, 0);
    // Taken out of the samples once, and shared by all steps that see it.
    let mut seen: Option<(usize, Arc<Histogram>)> = None;
    for step in 0..steps {
        let to = reference.time(grid.at(step));
        while samples.times.get(floats).is_some_and(|t| *t <= to) {
            floats += 1;
        }
        while samples.histogram_times.get(histograms).is_some_and(|t| *t <= to) {
            histograms += 1;
        }
        let float = floats.checked_sub(1).and_then(|at| Some((at, *samples.times.get(at)?)));
        let histogram =
            histograms.checked_sub(1).and_then(|at| Some((at, *samples.histogram_times.get(at)?)));
        let young = |t: Timestamp| t > to.saturating_sub(lookback_ms);
        match (float, histogram) {
            (Some((at, t)), other) if young(t) && other.is_none_or(|(_, other)| other <= t) => {
                let Some(&value) = samples.floats.get(at) else { continue };
                if is_stale(value) {
                    continue;
                }
                let start = samples.starts.get(at).copied().unwrap_or_default();
                counts.add(step, 1, 1);
                column.float(step, taken(take, value, t, start));
            }
            (_, Some((at, t))) if young(t) => {
                if seen.as_ref().is_none_or(|(seen, _)| *seen != at) {
                    let Some(value) = samples.histograms.get_mut(at) else { continue };
                    seen = Some((at, Arc::new(std::mem::replace(value, Histogram::stale(true)))));
                }
                let Some((_, value)) = &seen else { continue };
                if value.is_stale() {
                    continue;
                }
                if take == Take::InfoTime {
                    return Err(Error::Execution(format!(
                        "this should be an info metric, with float samples: {}",
                        input.labels.as_ref().as_ref()
                    )));
                }
                if take == Take::Value {
                    let size = weight(value);
                    counts.add(step, size, size);
                    column.histogram(step, Arc::clone(value));
                } else {
                    let start = samples.histogram_starts.get(at).copied().unwrap_or_default();
                    counts.add(step, 1, 1);
                    column.float(step, taken(take, 0.0, t, start));
                }
            }
            _ => {}
        }
    }
    Ok((!column.is_empty()).then(|| column.finish(Arc::clone(&input.labels), input.drop_name)))
}

fn taken(take: Take, value: f64, t: Timestamp, start: Timestamp) -> f64 {
    match take {
        Take::Value => value,
        Take::Time => t as f64 / 1000.0,
        Take::Start => start as f64 / 1000.0,
        Take::InfoTime => t as f64,
    }
}

/// The part of rising times with `from < t <= to`; both ends only rise from call to call.
#[derive(Debug, Default, Clone, Copy)]
struct Slide {
    from: usize,
    to: usize,
}

impl Slide {
    fn advance(&mut self, times: &[Timestamp], from: Timestamp, to: Timestamp) {
        while times.get(self.to).is_some_and(|t| *t <= to) {
            self.to += 1;
        }
        while self.from < self.to && times.get(self.from).is_some_and(|t| *t <= from) {
            self.from += 1;
        }
    }

    fn of<T>(self, all: &[T]) -> &[T] {
        all.get(self.from..self.to).unwrap_or_default()
    }
}

impl RangeKernel<'_> {
    fn run(&self, input: &Input, grid: Grid, work: &mut Work) -> Result<Made, Error> {
        drop_stale(&mut work.samples);
        if work.samples.times.is_empty() && work.samples.histogram_times.is_empty() {
            return Ok(Made::default());
        }
        let name = input.labels.get(METRIC_NAME).unwrap_or_default();
        let mut notes = Notes::new(self.places);
        notes.series(name);
        let (column, window_peak) = match self.sweep.filter(|_| self.is_plain(&work.samples)) {
            Some(function) => self.sweep(function, grid, work),
            None => self.step_by_step(grid, work, &mut notes),
        };
        let drop_name = !self.keeps_name || input.drop_name;
        let labels = if drop_name && !self.delayed {
            Arc::new(without_name(input.labels.as_ref().as_ref()))
        } else {
            Arc::clone(&input.labels)
        };
        let column = (!column.is_empty()).then(|| column.finish(labels, drop_name));
        if let Some(column) = &column
            && !column.floats.is_empty()
        {
            self.note_non_counter(input, name, &mut notes);
        }
        Ok(Made { column, window_peak, notes: notes.finish()? })
    }

    /// Whether windows hold numbers only, and functions ask for nothing but these and their times.
    fn is_plain(&self, samples: &Samples) -> bool {
        let starts = self.starts && !samples.starts.is_empty();
        self.extension.is_none() && samples.histograms.is_empty() && !starts
    }

    /// All steps at once; the column, and the most samples that a window held.
    fn sweep(&self, function: SweepFunction, grid: Grid, work: &mut Work) -> (ColumnBuilder, u64) {
        let Work { samples, spans, counts, .. } = work;
        spans.clear();
        let (mut slide, mut before, mut most) = (Slide::default(), 0, 0);
        for step in 0..grid.steps() {
            let until = self.reference.time(grid.at(step));
            slide.advance(&samples.times, until.saturating_sub(self.range_ms), until);
            let Slide { from, to } = slide;
            let new = match step {
                0 => to - from,
                _ if self.reference.at.is_some() => 0,
                _ => to - from.max(before),
            };
            counts.add(step, (to - from) as u64, if self.reads { new as u64 } else { 0 });
            before = to;
            most = most.max(to - from);
            spans.push(Span { from, to, until });
        }
        let (times, floats) = (&*samples.times, &*samples.floats);
        let mut column = ColumnBuilder::new(grid.steps());
        function(&Sweep { times, floats, spans, range_ms: self.range_ms }, &mut column);
        (column, most as u64)
    }

    /// Asks the function at each step; the column, and the most samples that a window held.
    fn step_by_step(&self, grid: Grid, work: &mut Work, notes: &mut Notes<'_>) -> (ColumnBuilder, u64) {
        let Work { samples, arguments, counts, .. } = work;
        if self.totals {
            keep_totals(&mut samples.histograms);
        } else if self.extension.is_none() && self.looks_for_resets() {
            resolve_resets(&mut samples.histograms);
        }
        let sizes: Vec<u64> = samples.histograms.iter().map(weight).collect();
        let mut column = ColumnBuilder::new(grid.steps());
        let (mut floats, mut histograms) = (Slide::default(), Slide::default());
        let mut window_peak = 0;
        for step in 0..grid.steps() {
            let window = self.window(samples, (&mut floats, &mut histograms), grid.at(step));
            if window.times.is_empty() && window.histogram_times.is_empty() {
                continue;
            }
            let count = window.times.len() as u64 + histograms.of(&sizes).iter().sum::<u64>();
            window_peak = window_peak.max(count);
            counts.add(step, count, self.newly_read(&window, histograms.of(&sizes), step, grid));
            arguments.clear();
            arguments.extend(self.scalars.iter().filter_map(|values| values.get(step)));
            if let Some(point) = (self.function)(&window, arguments, notes) {
                column.point(step, point);
            }
        }
        (column, window_peak)
    }

    fn window<'s>(
        &self,
        samples: &'s Samples,
        (floats, histograms): (&mut Slide, &mut Slide),
        at: Timestamp,
    ) -> Window<'s> {
        let to = self.reference.time(at);
        let from = to.saturating_sub(self.range_ms);
        let behind = if self.extension.is_some() { self.lookback_ms } else { 0 };
        let ahead = if self.extension == Some(Extension::Smoothed) { self.lookback_ms } else { 0 };
        let (first, last) = (from.saturating_sub(behind), to.saturating_add(ahead));
        floats.advance(&samples.times, first, last);
        histograms.advance(&samples.histogram_times, first, last);
        let (starts, histogram_starts) =
            if self.starts { (&*samples.starts, &*samples.histogram_starts) } else { (&[][..], &[][..]) };
        Window {
            times: floats.of(&samples.times),
            floats: floats.of(&samples.floats),
            starts: floats.of(starts),
            histogram_times: histograms.of(&samples.histogram_times),
            histograms: histograms.of(&samples.histograms),
            histogram_starts: histograms.of(histogram_starts),
            from,
            to,
            at,
            extension: self.extension,
        }
    }

    /// Whether it compares each histogram with the one before, and asks nothing else of hints.
    const fn looks_for_resets(&self) -> bool {
        matches!(self.id, FunctionId::Rate | FunctionId::Increase | FunctionId::Irate | FunctionId::Resets)
    }

    /// How much of a window the step before did not see.
    fn newly_read(&self, window: &Window<'_>, sizes: &[u64], step: usize, grid: Grid) -> u64 {
        if !self.reads || (step > 0 && self.reference.at.is_some()) {
            return 0;
        }
        let ahead = if self.extension == Some(Extension::Smoothed) { self.lookback_ms } else { 0 };
        let seen = if step == 0 {
            Timestamp::MIN
        } else {
            window.to.saturating_add(ahead).saturating_sub(grid.step)
        };
        let floats = window.times.iter().rev().take_while(|t| **t > seen).count() as u64;
        let histograms = window.histogram_times.iter().zip(sizes).rev();
        floats + histograms.take_while(|(t, _)| **t > seen).map(|(_, size)| size).sum::<u64>()
    }

    /// Tells that a rate was taken of what is no counter by its name.
    fn note_non_counter(&self, input: &Input, name: &[u8], notes: &mut Notes<'_>) {
        if !matches!(self.id, FunctionId::Rate | FunctionId::Increase) || name.is_empty() {
            return;
        }
        if self.type_labels {
            let kind = input.labels.get(b"__type__").unwrap_or_default();
            if kind != b"counter" && kind != b"histogram" {
                notes.add(Note::possible_non_counter_label(name, kind), Spot::Argument(0));
            }
        } else if ![b"_total".as_slice(), b"_sum", b"_count", b"_bucket"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
        {
            notes.add(Note::possible_non_counter(name), Spot::Argument(0));
        }
    }
}

/// Takes stale markers out: windows do not see them.
pub(super) fn drop_stale(samples: &mut Samples) {
    if samples.floats.iter().any(|value| is_stale(*value)) {
        let keep: Vec<bool> = samples.floats.iter().map(|value| !is_stale(*value)).collect();
        retain(&mut samples.times, &keep);
        retain(&mut samples.starts, &keep);
        retain(&mut samples.floats, &keep);
    }
    if samples.histograms.iter().any(sarsen_block::Histogram::is_stale) {
        let keep: Vec<bool> = samples.histograms.iter().map(|value| !value.is_stale()).collect();
        retain(&mut samples.histogram_times, &keep);
        retain(&mut samples.histogram_starts, &keep);
        retain(&mut samples.histograms, &keep);
    }
}

fn retain<T>(values: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    values.retain(|_| *keep.next().unwrap_or(&true));
}
