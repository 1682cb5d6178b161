//! Goes down the tree and evaluates each node for all steps.

use std::sync::Arc;

use rayon::ThreadPool;
use sarsen_block::Labels;

use super::binary::join;
use super::column::{Column, Grid};
use super::meter::{Meter, PerStep, column_size, meter_steps};
use super::operator::{Operator, scalars};
use super::pipeline::{Loss, Origin, Pipeline};
use super::series::{Kernel, Reference, Take, Work};
use super::source::Sources;
use super::stage::{Change, Stage};
use crate::ast::{Extension, ValueType};
use crate::input::SeriesSet;
use crate::plan::{BinaryNode, CallNode, Node, NodeKind, Selector};
use crate::{Annotations, Budget, Error, Prepared};

/// An evaluation.
#[derive(Debug)]
pub(super) struct Evaluator<'q> {
    pub(super) query: &'q Prepared,
    pub(super) budget: &'q Budget,
    pub(super) sources: Sources,
    pub(super) meter: Meter,
    pub(super) notes: Annotations,
    /// What workers keep between batches.
    pub(super) work: Vec<Work>,
    pool: Option<Arc<ThreadPool>>,
    /// Bytes of columns that are held.
    held: u64,
}

impl<'q> Evaluator<'q> {
    pub(super) fn new(
        query: &'q Prepared,
        sets: Vec<Box<dyn SeriesSet>>,
        budget: &'q Budget,
        grid: Grid,
    ) -> Self {
        Self {
            query,
            budget,
            sources: Sources::new(query, sets),
            meter: Meter::new(budget.max_samples, grid.steps()),
            notes: Annotations::default(),
            work: Vec::new(),
            pool: None,
            held: 0,
        }
    }

    pub(super) const fn delayed(&self) -> bool {
        self.query.question.options.delayed_name_removal
    }

    /// The threads beside the caller's, made when they are first needed.
    pub(super) fn pool(&mut self) -> Result<Arc<ThreadPool>, Error> {
        if let Some(pool) = &self.pool {
            return Ok(Arc::clone(pool));
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(self.budget.workers.saturating_sub(1).max(1))
            .build()
            .map_err(|error| Error::Data(format!("no threads for the evaluation: {error}")))?;
        Ok(Arc::clone(self.pool.insert(Arc::new(pool))))
    }

    /// Columns will be held until the node that asked for them is done.
    ///
    /// # Errors
    /// [`Error::TooManyBytes`].
    pub(super) fn hold(&mut self, columns: &[Column]) -> Result<(), Error> {
        self.held += columns.iter().map(Column::bytes).sum::<u64>();
        let limit = self.budget.max_bytes;
        if limit != 0 && self.held > limit {
            return Err(Error::TooManyBytes { limit });
        }
        Ok(())
    }

    /// Columns that were held go.
    pub(super) fn let_go(&mut self, columns: &[Column]) {
        let bytes = columns.iter().map(Column::bytes).sum();
        self.held = self.held.saturating_sub(bytes);
    }

    /// All series of a vector.
    pub(super) fn columns(&mut self, node: &'q Node, grid: Grid) -> Result<Vec<Column>, Error> {
        if grid.steps() == 0 {
            return Ok(Vec::new());
        }
        self.pipeline(node, grid)?.collect(self)
    }

    /// The series of a vector, to be taken in batches.
    pub(super) fn pipeline(&mut self, node: &'q Node, grid: Grid) -> Result<Pipeline<'q>, Error> {
        self.budget.check()?;
        match &node.kind {
            NodeKind::Select(selector) => self.selected(selector, grid, Take::Value),
            NodeKind::Unary { negative: false, node } => self.pipeline(node, grid),
            NodeKind::Unary { negative: true, node } => {
                let mut pipeline = self.pipeline(node, grid)?;
                pipeline.push(self.stage(Change::Negate, grid), (0, 0, 0));
                Ok(pipeline)
            }
            NodeKind::Call(call) => self.call(node, call, grid),
            NodeKind::Aggregate(aggregate) => {
                let columns = self.aggregate(node, aggregate, grid)?;
                Ok(ready(columns, grid))
            }
            NodeKind::Binary(binary) => self.binary(node, binary, grid),
            NodeKind::Invariant(inner) => {
                let columns = self.invariant(inner, grid)?;
                Ok(ready(columns, grid))
            }
            NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::Window(_) | NodeKind::Subquery(_) => {
                Err(Error::Execution(format!("unexpected {} in an expression", node.value.described())))
            }
        }
    }

    pub(super) const fn stage(&self, change: Change, grid: Grid) -> Stage {
        Stage { change, grid, delayed: self.delayed(), last: Vec::new() }
    }

    /// The newest samples of a selector.
    pub(super) fn selected(
        &mut self,
        selector: &'q Selector,
        grid: Grid,
        take: Take,
    ) -> Result<Pipeline<'q>, Error> {
        let reader = self.sources.open(selector.selection)?;
        let lookback_ms = self.query.question.lookback_ms;
        let reference = Reference::of(selector);
        let kernel = if selector.extension == Some(Extension::Smoothed) && take == Take::Value {
            Kernel::Smoothed { reference, lookback_ms, place: selector.place, totals: selector.totals }
        } else {
            Kernel::Newest { reference, lookback_ms, take, totals: selector.totals }
        };
        let mut pipeline = Pipeline::new(grid, Origin::Series(reader, Box::new(kernel)), Loss::None);
        pipeline.one_name = has_one_name(selector);
        Ok(pipeline)
    }

    /// The numbers of a scalar, one for each step.
    pub(super) fn scalar(&mut self, node: &'q Node, grid: Grid) -> Result<Vec<f64>, Error> {
        self.budget.check()?;
        let steps = grid.steps();
        let before = self.meter.current();
        let values = match &node.kind {
            NodeKind::Number(value) => vec![*value; steps],
            NodeKind::Unary { negative, node } => {
                let mut values = self.scalar(node, grid)?;
                if *negative {
                    values.iter_mut().for_each(|value| *value = -*value);
                }
                return Ok(values);
            }
            NodeKind::Invariant(inner) => {
                let first = self.once(grid, |evaluator, once| evaluator.scalar(inner, once))?;
                self.meter.add((steps as u64).saturating_sub(1))?;
                return Ok(vec![first.first().copied().unwrap_or(f64::NAN); steps]);
            }
            NodeKind::Binary(binary) => {
                let left = self.scalar(&binary.left, grid)?;
                let right = self.scalar(&binary.right, grid)?;
                left.iter().zip(&right).map(|(a, b)| scalars(binary.op, *a, *b)).collect()
            }
            NodeKind::Call(call) => return self.scalar_of_call(node, call, (grid, before)),
            _ => {
                return Err(Error::Execution(format!("unexpected {} for a scalar", node.value.described())));
            }
        };
        self.made_scalar(steps, before)?;
        Ok(values)
    }

    fn scalar_of_call(
        &mut self,
        node: &'q Node,
        call: &'q CallNode,
        (grid, before): (Grid, u64),
    ) -> Result<Vec<f64>, Error> {
        let values = self.scalar_call(node, call, grid)?;
        self.made_scalar(grid.steps(), before)?;
        Ok(values)
    }

    /// Counts a scalar whose operands go.
    fn made_scalar(&mut self, steps: usize, before: u64) -> Result<(), Error> {
        self.meter.touch(self.meter.current() + steps as u64)?;
        self.meter.set(before + steps as u64);
        Ok(())
    }

    /// Evaluates at the first step only; what it counts holds for all of them.
    fn once<T>(
        &mut self,
        grid: Grid,
        evaluate: impl FnOnce(&mut Self, Grid) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let outer = self.meter.enter(1);
        let result = evaluate(self, Grid { end: grid.start, ..grid });
        let inner = self.meter.leave(outer);
        let (total, read) = (inner.total.iter().sum(), inner.read.iter().sum());
        for step in 0..grid.steps() {
            self.meter.count_at(step, total, if step == 0 { read } else { 0 });
        }
        result
    }

    /// What is the same at all steps.
    fn invariant(&mut self, node: &'q Node, grid: Grid) -> Result<Vec<Column>, Error> {
        let columns = self.once(grid, |evaluator, once| evaluator.columns(node, once))?;
        let steps = grid.steps();
        if steps == 1 {
            return Ok(columns);
        }
        self.let_go(&columns);
        let mut repeated = Vec::with_capacity(columns.len());
        for mut column in columns {
            self.meter.add(column_size(&column) * (steps as u64 - 1))?;
            if let [value] = column.floats.as_slice() {
                column.floats = vec![*value; steps];
            }
            if let [(_, histogram)] = column.histograms.as_slice() {
                column.histograms = (0..steps as u32).map(|step| (step, Arc::clone(histogram))).collect();
            }
            self.hold(std::slice::from_ref(&column))?;
            repeated.push(column);
        }
        Ok(repeated)
    }

    fn binary(&mut self, node: &'q Node, binary: &'q BinaryNode, grid: Grid) -> Result<Pipeline<'q>, Error> {
        let operator = Operator { op: binary.op, place: node.place };
        let before = self.meter.current();
        let steps = grid.steps() as u64;
        let (vector, scalar, swapped) = match (binary.left.value, binary.right.value) {
            (ValueType::Scalar, _) => (&binary.right, &binary.left, true),
            (_, ValueType::Scalar) => (&binary.left, &binary.right, false),
            _ => return self.join(node, binary, grid),
        };
        let numbers = self.scalar(scalar, grid)?;
        let late = if swapped { 0 } else { steps };
        self.meter.set(self.meter.current() - late);
        let mut pipeline = self.pipeline(vector, grid)?;
        let return_bool = binary.return_bool;
        let change = Change::Scalar { operator, scalar: numbers, swapped, return_bool };
        pipeline.push(self.stage(change, grid), (before, late, 1));
        Ok(pipeline)
    }

    fn join(&mut self, node: &'q Node, binary: &'q BinaryNode, grid: Grid) -> Result<Pipeline<'q>, Error> {
        let before = self.meter.current();
        let left = self.columns(&binary.left, grid)?;
        let right = self.columns(&binary.right, grid)?;
        let steps = grid.steps();
        let gathered = (PerStep::of(&left, steps, false), PerStep::of(&right, steps, false));
        let bytes = left.iter().chain(&right).map(Column::bytes).sum::<u64>();
        let columns = join(node, binary, (left, right), grid, self)?;
        self.held = self.held.saturating_sub(bytes);
        self.hold(&columns)?;
        let made = PerStep::of(&columns, steps, true);
        meter_steps(&mut self.meter, before, steps, (&[&gathered.0, &gathered.1], &made))?;
        Ok(ready(columns, grid))
    }
}

/// Columns as a pipeline.
pub(super) fn ready<'q>(columns: Vec<Column>, grid: Grid) -> Pipeline<'q> {
    Pipeline::new(grid, Origin::Ready(columns.into_iter()), Loss::None)
}

/// Whether a selector finds series of one name only.
pub(super) fn has_one_name(selector: &Selector) -> bool {
    selector.matchers.iter().any(|matcher| {
        matcher.name() == sarsen_block::METRIC_NAME && matcher.op() == sarsen_block::MatchOp::Equal
    })
}

/// No labels.
pub(super) fn no_labels() -> Arc<Labels> {
    Arc::new(Labels::default())
}
