//! Aggregations that make one series of a group: series are folded in as they come, in the order of their labels, and let go.
//!
//! What is kept of a group is some numbers for each step. Only `quantile` keeps the numbers themselves. A group at a step at which
//! numbers and histograms meet has no result.

use std::sync::Arc;

use hashbrown::HashMap;
use sarsen_block::{Labels, METRIC_NAME};

use super::column::{Column, ColumnBuilder};
use crate::annotations::Operation;
use crate::ast::{AggregateOp, Place};
use crate::func::kahan::Kahan;
use crate::func::quantile::quantile;
use crate::histogram::{Mean, Sum, Told};
use crate::{Annotations, Note, Point};

/// Something was there at the step.
const SEEN: u8 = 1;
/// Numbers were.
const FLOAT: u8 = 2;
/// Histograms were.
const HISTOGRAM: u8 = 4;
/// Histograms did not go together: there is no result, and the rest is not looked at.
const BROKEN: u8 = 8;
/// The mean is kept instead of the sum, which would have become infinite.
const MEAN: u8 = 16;

/// How a group is folded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Folding<'a> {
    pub(super) op: AggregateOp,
    pub(super) steps: usize,
    /// The parameter at each step, of those that take one.
    pub(super) parameter: &'a [f64],
    /// Where the expression stands that is aggregated.
    pub(super) place: Place,
}

/// What is kept of a group.
#[derive(Debug, Default)]
pub(super) struct Fold {
    flags: Vec<u8>,
    value: Vec<f64>,
    /// What rounding took from the sum.
    rest: Vec<f64>,
    mean: Vec<f64>,
    count: Vec<f64>,
    histograms: HashMap<u32, HistogramFold, foldhash::fast::RandomState>,
    columns: Vec<Column>,
    drop_name: bool,
}

#[derive(Debug)]
enum HistogramFold {
    Sum(Box<Sum>),
    Mean(Box<Mean>),
}

impl HistogramFold {
    fn told(&self) -> Told {
        match self {
            Self::Sum(sum) => sum.told(),
            Self::Mean(mean) => mean.told(),
        }
    }
}

impl Folding<'_> {
    /// An empty group.
    pub(super) fn group(&self) -> Fold {
        use AggregateOp as Op;
        let room = |wanted: bool| if wanted { vec![0.0; self.steps] } else { Vec::new() };
        Fold {
            flags: vec![0; self.steps],
            value: room(!matches!(self.op, Op::Count | Op::Group | Op::Quantile)),
            rest: room(matches!(self.op, Op::Sum | Op::Avg)),
            mean: room(matches!(self.op, Op::Avg | Op::Stddev | Op::Stdvar)),
            count: room(matches!(self.op, Op::Avg | Op::Count | Op::Stddev | Op::Stdvar)),
            ..Fold::default()
        }
    }

    /// Takes a series in.
    pub(super) fn add(&self, group: &mut Fold, column: Column, notes: &mut Annotations) {
        group.drop_name |= column.drop_name;
        match self.op {
            AggregateOp::Sum => each(group, &column, sum),
            AggregateOp::Avg => each(group, &column, avg),
            AggregateOp::Min => each(group, &column, |at, x| best(at, x, |old, new| old > new)),
            AggregateOp::Max => each(group, &column, |at, x| best(at, x, |old, new| old < new)),
            AggregateOp::Stddev | AggregateOp::Stdvar => each(group, &column, deviation),
            AggregateOp::Count => each(group, &column, |at, _| {
                *at.count += 1.0;
                *at.flags |= SEEN;
            }),
            _ => each(group, &column, |at, _| *at.flags |= SEEN),
        }
        for (step, histogram) in &column.histograms {
            let name = column.labels.get(METRIC_NAME).unwrap_or_default();
            self.add_histogram(group, *step, (histogram, name), notes);
        }
        if self.op == AggregateOp::Quantile && !column.floats.is_empty() {
            group.columns.push(column.without_histograms());
        }
    }

    fn add_histogram(
        &self,
        group: &mut Fold,
        step: u32,
        (histogram, name): (&sarsen_block::Histogram, &[u8]),
        notes: &mut Annotations,
    ) {
        let at = step as usize;
        let Some(flags) = group.flags.get_mut(at) else { return };
        match self.op {
            AggregateOp::Count | AggregateOp::Group => {
                *flags |= SEEN;
                if let Some(count) = group.count.get_mut(at) {
                    *count += 1.0;
                }
            }
            AggregateOp::Sum | AggregateOp::Avg if *flags & BROKEN == 0 => {
                let first = *flags & SEEN == 0;
                *flags |= SEEN | HISTOGRAM;
                if let Some(count) = group.count.get_mut(at) {
                    *count += 1.0;
                }
                let added = if first {
                    self.begin(histogram).map(|fold| drop(group.histograms.insert(step, fold)))
                } else {
                    match group.histograms.get_mut(&step) {
                        Some(HistogramFold::Sum(sum)) => sum.add(histogram),
                        Some(HistogramFold::Mean(mean)) => mean.add(histogram),
                        None => Ok(()),
                    }
                };
                if added.is_err() {
                    *flags |= BROKEN;
                    notes.add(Note::mixed_exponential_custom(name), self.place);
                }
                if group.histograms.get(&step).is_some_and(|fold| fold.told().bounds_reconciled) {
                    notes.add(Note::mismatched_custom_buckets(Operation::Aggregation), self.place);
                }
            }
            AggregateOp::Sum | AggregateOp::Avg => {}
            op => notes.add(Note::ignored_in_aggregation(op.name()), self.place),
        }
    }

    fn begin(
        &self,
        first: &sarsen_block::Histogram,
    ) -> Result<HistogramFold, crate::histogram::Incompatible> {
        if self.op == AggregateOp::Sum {
            Ok(HistogramFold::Sum(Box::new(Sum::new(first)?)))
        } else {
            Ok(HistogramFold::Mean(Box::new(Mean::new(first)?)))
        }
    }

    /// The result of a group; nothing if no step has one.
    pub(super) fn finish(
        &self,
        mut group: Fold,
        labels: Arc<Labels>,
        notes: &mut Annotations,
    ) -> Option<Column> {
        let mut column = ColumnBuilder::new(self.steps);
        let mut numbers = Vec::new();
        for step in 0..self.steps {
            let Some(&flags) = group.flags.get(step) else { continue };
            if flags & SEEN == 0 {
                continue;
            }
            if flags & (FLOAT | HISTOGRAM) == FLOAT | HISTOGRAM {
                notes.add(Note::mixed_floats_histograms_aggregation(), self.place);
            } else if flags & HISTOGRAM != 0 {
                if let Some(histogram) = self.histogram(&mut group, (step as u32, flags), notes) {
                    column.point(step, histogram);
                }
            } else {
                column.float(step, self.float(&group, (step, flags), &mut numbers));
            }
        }
        (!column.is_empty()).then(|| column.finish(labels, group.drop_name))
    }

    fn histogram(
        &self,
        group: &mut Fold,
        (step, flags): (u32, u8),
        notes: &mut Annotations,
    ) -> Option<Point> {
        let fold = group.histograms.remove(&step)?;
        if flags & BROKEN != 0 {
            return None;
        }
        if fold.told().reset_collision() {
            notes.add(Note::reset_collision(Operation::Aggregation), self.place);
        }
        let mut histogram = match fold {
            HistogramFold::Sum(sum) => sum.finish(),
            HistogramFold::Mean(mean) => mean.finish(),
        };
        let _floats = histogram.compact();
        Some(Point::Histogram(Box::new(histogram)))
    }

    fn float(&self, group: &Fold, (step, flags): (usize, u8), numbers: &mut Vec<f64>) -> f64 {
        let of = |numbers: &[f64]| numbers.get(step).copied().unwrap_or_default();
        let (value, rest, count) = (of(&group.value), of(&group.rest), of(&group.count));
        match self.op {
            AggregateOp::Sum => value + rest,
            AggregateOp::Avg if flags & MEAN != 0 => of(&group.mean) + rest,
            AggregateOp::Avg => value / count + rest / count,
            AggregateOp::Stdvar => value / count,
            AggregateOp::Stddev => (value / count).sqrt(),
            AggregateOp::Count => count,
            AggregateOp::Group => 1.0,
            AggregateOp::Quantile => {
                numbers.clear();
                numbers.extend(group.columns.iter().filter_map(|column| column.float(step)));
                quantile(of(self.parameter), numbers)
            }
            _ => value,
        }
    }
}

/// What is kept of a group at one step.
struct At<'a> {
    flags: &'a mut u8,
    value: &'a mut f64,
    rest: &'a mut f64,
    mean: &'a mut f64,
    count: &'a mut f64,
}

/// Folds the numbers of a column in.
fn each(group: &mut Fold, column: &Column, mut fold: impl FnMut(At<'_>, f64)) {
    let Fold { flags, value, rest, mean, count, .. } = group;
    for (step, number) in column.iter_floats() {
        let Some(flags) = flags.get_mut(step) else { return };
        // Lists that an aggregation does not need are empty.
        let (mut a, mut b, mut c, mut d) = (0.0, 0.0, 0.0, 0.0);
        let at = At {
            flags,
            value: value.get_mut(step).unwrap_or(&mut a),
            rest: rest.get_mut(step).unwrap_or(&mut b),
            mean: mean.get_mut(step).unwrap_or(&mut c),
            count: count.get_mut(step).unwrap_or(&mut d),
        };
        fold(at, number);
    }
}

fn sum(at: At<'_>, x: f64) {
    if *at.flags & SEEN == 0 {
        (*at.value, *at.rest) = (x, 0.0);
    } else if *at.flags & BROKEN != 0 {
        return;
    } else {
        (*at.value, *at.rest) = increased((*at.value, *at.rest), x);
    }
    *at.flags |= SEEN | FLOAT;
}

fn avg(at: At<'_>, x: f64) {
    if *at.flags & SEEN == 0 {
        (*at.value, *at.rest, *at.mean, *at.count) = (x, 0.0, x, 1.0);
        *at.flags |= SEEN | FLOAT;
        return;
    }
    if *at.flags & BROKEN != 0 {
        return;
    }
    *at.flags |= FLOAT;
    *at.count += 1.0;
    let count = *at.count;
    if *at.flags & MEAN == 0 {
        let (sum, rest) = increased((*at.value, *at.rest), x);
        if !sum.is_infinite() {
            (*at.value, *at.rest) = (sum, rest);
            return;
        }
        *at.flags |= MEAN;
        *at.mean = *at.value / (count - 1.0);
        *at.rest /= count - 1.0;
    }
    let part = (count - 1.0) / count;
    (*at.mean, *at.rest) = increased((part * *at.mean, part * *at.rest), x / count);
}

fn best(at: At<'_>, x: f64, is_worse: impl Fn(f64, f64) -> bool) {
    if *at.flags & SEEN == 0 || is_worse(*at.value, x) || at.value.is_nan() {
        *at.value = x;
    }
    *at.flags |= SEEN;
}

fn deviation(at: At<'_>, x: f64) {
    if *at.flags & SEEN == 0 {
        *at.flags |= SEEN;
        *at.value = if x.is_nan() || x.is_infinite() { f64::NAN } else { 0.0 };
        (*at.mean, *at.count) = (x, 1.0);
        return;
    }
    *at.count += 1.0;
    let delta = x - *at.mean;
    *at.mean += delta / *at.count;
    *at.value += delta * (x - *at.mean);
}

/// A sum and what rounding took from it, with one number more.
fn increased((sum, rest): (f64, f64), x: f64) -> (f64, f64) {
    let mut kahan = Kahan { sum, lost: rest };
    kahan.add(x);
    (kahan.sum, kahan.lost)
}
