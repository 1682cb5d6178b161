//! Runs an aggregation over the series of its expression.

use super::aggregate::{Fold, Folding};
use super::choose::Choice;
use super::column::{Column, Grid};
use super::count_values::count_values;
use super::evaluator::Evaluator;
use super::group::Groups;
use super::meter::{PerStep, columns_size, meter_steps};
use crate::ast::{AggregateOp, Place};
use crate::plan::{AggregateNode, Node, NodeKind};
use crate::{Annotations, Error, Note};

impl<'q> Evaluator<'q> {
    /// The series of an aggregation.
    pub(super) fn aggregate(
        &mut self,
        node: &'q Node,
        aggregate: &'q AggregateNode,
        grid: Grid,
    ) -> Result<Vec<Column>, Error> {
        let before = self.meter.current();
        if aggregate.op == AggregateOp::CountValues {
            return self.count_values(aggregate, grid);
        }
        let parameter = match &aggregate.parameter {
            Some(parameter) => self.scalar(parameter, grid)?,
            None => Vec::new(),
        };
        let columns = match aggregate.op {
            AggregateOp::Topk | AggregateOp::Bottomk | AggregateOp::Limitk | AggregateOp::LimitRatio => {
                let choice = Choice {
                    op: aggregate.op,
                    grid,
                    parameter: &parameter,
                    place: node.place,
                    parameter_place: parameter_place(aggregate),
                };
                self.choose(aggregate, choice)?
            }
            op => {
                let columns = self.fold(aggregate, &parameter, grid)?;
                if op == AggregateOp::Quantile {
                    self.note_quantiles(&parameter, parameter_place(aggregate));
                }
                columns
            }
        };
        self.hold(&columns)?;
        self.meter.set(before + columns_size(&columns));
        Ok(columns)
    }

    fn note_quantiles(&mut self, parameter: &[f64], place: Place) {
        let most = parameter.iter().copied().fold(f64::MIN, f64::max);
        let least = parameter.iter().copied().fold(f64::MAX, f64::min);
        if parameter.iter().any(|value| value.is_nan()) {
            // Prometheus' greatest and least are NaN then, and neither is out of bounds.
            return self.notes.add(Note::invalid_quantile(f64::NAN), place);
        }
        if most > 1.0 {
            self.notes.add(Note::invalid_quantile(most), place);
        }
        if least < 0.0 {
            self.notes.add(Note::invalid_quantile(least), place);
        }
    }

    /// One series for each group, folded from series as they come.
    fn fold(
        &mut self,
        aggregate: &'q AggregateNode,
        parameter: &[f64],
        grid: Grid,
    ) -> Result<Vec<Column>, Error> {
        let folding =
            Folding { op: aggregate.op, steps: grid.steps(), parameter, place: aggregate.node.place };
        let mut groups = Groups::new(&aggregate.grouping);
        let mut folds: Vec<Fold> = Vec::new();
        // Of equal notes the later one stays: those of the aggregation come behind those of what it aggregates.
        let mut notes = Annotations::default();
        let mut pipeline = self.pipeline(&aggregate.node, grid)?;
        if pipeline.may_merge() {
            let columns = pipeline.collect(self)?;
            pipeline = super::evaluator::ready(columns, grid);
        }
        pipeline.each(self, |_, batch| {
            for column in batch {
                let number = groups.number(column.labels.as_ref().as_ref());
                if number == folds.len() {
                    folds.push(folding.group());
                }
                if let Some(fold) = folds.get_mut(number) {
                    folding.add(fold, column, &mut notes);
                }
            }
            Ok(())
        })?;
        let finished = groups
            .into_labels()
            .into_iter()
            .zip(folds)
            .filter_map(|(labels, fold)| folding.finish(fold, labels, &mut notes));
        let columns = finished.collect();
        self.notes.merge(notes);
        Ok(columns)
    }

    /// Some series of each group.
    fn choose(&mut self, aggregate: &'q AggregateNode, choice: Choice<'_>) -> Result<Vec<Column>, Error> {
        let columns = self.columns(&aggregate.node, choice.grid)?;
        self.let_go(&columns);
        if !choice.check(&mut self.notes)? {
            return Ok(Vec::new());
        }
        let mut groups = Groups::new(&aggregate.grouping);
        let numbers: Vec<_> =
            columns.iter().map(|column| groups.number(column.labels.as_ref().as_ref())).collect();
        Ok(choice.run(&columns, (&numbers, groups.len()), &mut self.notes))
    }

    fn count_values(&mut self, aggregate: &'q AggregateNode, grid: Grid) -> Result<Vec<Column>, Error> {
        let before = self.meter.current();
        let label = match aggregate.parameter.as_ref().map(|node| &node.kind) {
            Some(NodeKind::Text(label)) => label.as_slice(),
            _ => &[],
        };
        if label.is_empty() || std::str::from_utf8(label).is_err() {
            let mut quoted = String::new();
            // Writing to a string does not fail.
            let _ = sarsen_block::quote(&mut quoted, label);
            return Err(Error::Execution(format!("invalid label name {quoted}")));
        }
        let columns = self.columns(&aggregate.node, grid)?;
        let steps = grid.steps();
        let gathered = PerStep::of(&columns, steps, false);
        self.let_go(&columns);
        let counted = count_values(&columns, &aggregate.grouping, label, steps);
        self.hold(&counted)?;
        let made = PerStep::of(&counted, steps, true);
        meter_steps(&mut self.meter, before, steps, (&[&gathered], &made))?;
        Ok(counted)
    }
}

fn parameter_place(aggregate: &AggregateNode) -> Place {
    aggregate.parameter.as_ref().map(|node| node.place).unwrap_or_default()
}
