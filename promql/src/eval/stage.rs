//! What is done with columns one by one: signs, functions of one number, operators with a scalar.

use std::sync::Arc;

use sarsen_block::{Histogram, Labels, LabelsRef, METRIC_NAME};

use super::column::{Cell, Column, ColumnBuilder, Grid, Presence};
use super::names::{filtered, without_name};
use super::operator::{Operator, arithmetic, compare};
use crate::ast::BinaryOp;
use crate::func::{MapFunction, keeps_nothing};
use crate::{Annotations, FunctionId};

/// A change of each column on its own.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) change: Change,
    pub(super) grid: Grid,
    /// Names go at the end of the query only.
    pub(super) delayed: bool,
    /// Of operators with a scalar, what was noted last at each step: of several samples the last one that fails is told.
    pub(super) last: Vec<Annotations>,
}

/// What a stage does.
#[derive(Debug)]
pub(super) enum Change {
    /// The minus sign.
    Negate,
    /// A function of one number and of scalars.
    Map { id: FunctionId, function: MapFunction, scalars: Vec<Vec<f64>> },
    /// A number of each histogram; numbers are left out.
    OfHistogram(fn(&Histogram) -> f64),
    /// The time of the step, in seconds.
    StepTime,
    /// Only the name is lost: the values are already those of the function.
    Rename,
    /// An operator with a scalar; `swapped`: the scalar is on the left.
    Scalar { operator: Operator, scalar: Vec<f64>, swapped: bool, return_bool: bool },
}

impl Stage {
    /// Whether Prometheus goes through it step by step and counts what it gathers.
    pub(super) const fn is_counted(&self) -> bool {
        !matches!(self.change, Change::Negate)
    }

    /// Whether series lose their names at once.
    pub(super) const fn loses_names(&self) -> bool {
        !self.delayed && self.drops()
    }

    /// Whether series that become the same are merged even at a single step, where that is an error as they overlap.
    pub(super) const fn merges(&self) -> bool {
        matches!(self.change, Change::Negate)
    }

    const fn drops(&self) -> bool {
        match &self.change {
            Change::Scalar { operator, return_bool, .. } => operator.changes_schema() || *return_bool,
            _ => true,
        }
    }

    /// Changes the columns; those that hold nothing any more go.
    pub(super) fn apply(&mut self, columns: Vec<Column>) -> Vec<Column> {
        let changed = columns.into_iter().filter_map(|column| {
            let mut column = self.change(column);
            if column.is_empty() {
                return None;
            }
            if self.drops() {
                column.drop_name = true;
                if !self.delayed {
                    column.labels = Arc::new(self.unnamed(column.labels.as_ref().as_ref()));
                }
            }
            Some(column)
        });
        changed.collect()
    }

    /// The labels of a result. Of those that tell what a metric is, numbers of histograms lose the name only.
    fn unnamed(&self, labels: LabelsRef<'_>) -> Labels {
        match self.change {
            Change::OfHistogram(_) => filtered(labels, |name| name != METRIC_NAME),
            _ => without_name(labels),
        }
    }

    fn change(&mut self, mut column: Column) -> Column {
        match &self.change {
            Change::Rename => {}
            Change::Negate => {
                column.floats.iter_mut().for_each(|value| *value = -*value);
                for (_, histogram) in &mut column.histograms {
                    *histogram = Arc::new(crate::histogram::negate(histogram));
                }
            }
            Change::OfHistogram(function) => {
                let mut numbers = ColumnBuilder::new(self.grid.steps());
                for (step, histogram) in &column.histograms {
                    numbers.float(*step as usize, function(histogram));
                }
                return numbers.finish(column.labels, column.drop_name);
            }
            Change::StepTime => {
                let mut times = ColumnBuilder::new(self.grid.steps());
                for step in 0..self.grid.steps() {
                    if column.cell(step).is_some() {
                        times.float(step, self.grid.at(step) as f64 / 1000.0);
                    }
                }
                return times.finish(column.labels, column.drop_name);
            }
            Change::Map { id, function, scalars } => return map(column, (*id, *function), scalars),
            Change::Scalar { operator, scalar, swapped, return_bool } => {
                return with_scalar(column, *operator, scalar, (*swapped, *return_bool), &mut self.last);
            }
        }
        column
    }
}

fn map(mut column: Column, (id, function): (FunctionId, MapFunction), scalars: &[Vec<f64>]) -> Column {
    column.histograms.clear();
    if scalars.is_empty() {
        column.floats.iter_mut().for_each(|value| *value = function(*value, &[]));
        return column;
    }
    let mut arguments = Vec::with_capacity(scalars.len());
    let mut kept = ColumnBuilder::new(column.floats.len());
    for (step, value) in column.iter_floats() {
        arguments.clear();
        arguments.extend(scalars.iter().filter_map(|values| values.get(step)));
        if !keeps_nothing(id, &arguments) {
            kept.float(step, function(value, &arguments));
        }
    }
    kept.finish(column.labels, column.drop_name)
}

fn with_scalar(
    mut column: Column,
    operator: Operator,
    scalar: &[f64],
    (swapped, return_bool): (bool, bool),
    last: &mut Vec<Annotations>,
) -> Column {
    if column.histograms.is_empty() {
        match operator.op {
            BinaryOp::Arithmetic(op) => {
                let function = arithmetic(op);
                for (value, other) in column.floats.iter_mut().zip(scalar) {
                    *value = if swapped { function(*other, *value) } else { function(*value, *other) };
                }
                return column;
            }
            BinaryOp::Compare(op) => {
                let function = compare(op);
                let holds = |value: f64, other: f64| {
                    if swapped { function(other, value) } else { function(value, other) }
                };
                if return_bool {
                    for (value, other) in column.floats.iter_mut().zip(scalar) {
                        *value = f64::from(u8::from(holds(*value, *other)));
                    }
                } else {
                    keep(&mut column, |step, value| {
                        scalar.get(step).is_some_and(|other| holds(value, *other))
                    });
                }
                return column;
            }
            _ => {}
        }
    }
    let mut kept = ColumnBuilder::new(scalar.len());
    for (step, &number) in scalar.iter().enumerate() {
        let Some(cell) = column.cell(step) else { continue };
        let (left, right) = if swapped { (Cell::Float(number), cell) } else { (cell, Cell::Float(number)) };
        let mut notes = Annotations::default();
        let outcome = operator.apply(left, right, &mut notes);
        if !notes.is_empty() {
            last.resize_with(scalar.len(), Annotations::default);
            if let Some(last) = last.get_mut(step) {
                *last = notes;
            }
        }
        let Some(outcome) = outcome else { continue };
        if return_bool {
            kept.float(step, f64::from(u8::from(outcome.holds)));
        } else if outcome.holds {
            // A comparison gives the sample of the vector, on whichever side it stands.
            let compares = matches!(operator.op, BinaryOp::Compare(_));
            kept.cell(step, if compares { cell } else { outcome.value.cell() });
        }
    }
    kept.finish(column.labels, column.drop_name)
}

/// Takes the numbers out for which `holds` does not.
pub(super) fn keep(column: &mut Column, holds: impl Fn(usize, f64) -> bool) {
    let steps = column.floats.len();
    let mut words = vec![0u64; steps.div_ceil(64)];
    let mut count = 0;
    for (step, value) in column.iter_floats() {
        if holds(step, value)
            && let Some(word) = words.get_mut(step / 64)
        {
            *word |= 1 << (step % 64);
            count += 1;
        }
    }
    if count == 0 {
        column.floats = Vec::new();
    }
    column.present = if count == steps { Presence::All } else { Presence::Some(words.into()) };
}
