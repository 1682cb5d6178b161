//! Calls of functions: which kind a function is of, and its arguments.

use sarsen_block::Matcher;

use super::call::VectorCall;
use super::column::{Column, Grid};
use super::evaluator::{Evaluator, has_one_name, no_labels, ready};
use super::merge::{Clash, has_same_labels, same_labels};
use super::meter::{PerStep, StepCounts, columns_size, meter_steps, read_by_subquery};
use super::pipeline::{Loss, Origin, Pipeline, same_labelset};
use super::series::{Kernel, RangeKernel, Reference, Take};
use super::source::Reader;
use super::stage::Change;
use crate::ast::{Extension, Place, ValueType};
use crate::func::scalars::{time, whole_seconds};
use crate::func::{
    histogram_function, map_function, range_function, scalar_function, sweep_function, vector_function,
};
use crate::plan::{CallNode, Node, NodeKind, SubqueryNode, first_aligned};
use crate::{Annotations, Error, FunctionId};

/// What `anchored` may stand with, as the error lists it.
const ANCHORED: [FunctionId; 5] =
    [FunctionId::Changes, FunctionId::Delta, FunctionId::Increase, FunctionId::Rate, FunctionId::Resets];
const SMOOTHED: [FunctionId; 3] = [FunctionId::Delta, FunctionId::Increase, FunctionId::Rate];

impl<'q> Evaluator<'q> {
    /// The series of a call that answers a vector.
    pub(super) fn call(
        &mut self,
        node: &'q Node,
        call: &'q CallNode,
        grid: Grid,
    ) -> Result<Pipeline<'q>, Error> {
        let before = self.meter.current();
        let first = call.arguments.first();
        match (call.function.id, first.map(|node| &node.kind)) {
            (id @ (FunctionId::Timestamp | FunctionId::StartTimestamp), kind) => {
                self.timestamp(id, (first, kind), grid)
            }
            (FunctionId::AbsentOverTime, _) => {
                let columns = self.absent_over_time(node, call, grid)?;
                Ok(ready(columns, grid))
            }
            (FunctionId::Info, _) => {
                let columns = self.info(call, grid)?;
                Ok(ready(columns, grid))
            }
            (id, _) if range_function(id).is_some() => self.over_windows(call, grid),
            (id, _) if map_function(id).is_some() => self.map(call, grid, before),
            (id, _) if histogram_function(id).is_some() => self.of_histograms(call, grid, before),
            _ => {
                let columns = self.over_vector(node.place, call, grid)?;
                Ok(ready(columns, grid))
            }
        }
    }

    /// The numbers of a call that answers a scalar.
    pub(super) fn scalar_call(
        &mut self,
        node: &'q Node,
        call: &'q CallNode,
        grid: Grid,
    ) -> Result<Vec<f64>, Error> {
        if let Some(function) = scalar_function(call.function.id) {
            let mut arguments = Vec::with_capacity(2);
            for argument in &call.arguments {
                arguments.push(self.scalar(argument, grid)?);
            }
            let [a, b] = arguments.as_slice() else { return Ok(Vec::new()) };
            return Ok(a.iter().zip(b).map(|(a, b)| function(*a, *b)).collect());
        }
        match call.function.id {
            FunctionId::Time => Ok(time(grid)),
            FunctionId::Pi => Ok(vec![std::f64::consts::PI; grid.steps()]),
            _ => {
                let columns = self.over_vector(node.place, call, grid)?;
                self.let_go(&columns);
                Ok(columns.into_iter().next().map(|column| column.floats).unwrap_or_default())
            }
        }
    }

    /// `timestamp` and `start_timestamp`: those of the samples themselves if the argument is a selector.
    fn timestamp(
        &mut self,
        id: FunctionId,
        (argument, kind): (Option<&'q Node>, Option<&'q NodeKind>),
        grid: Grid,
    ) -> Result<Pipeline<'q>, Error> {
        let before = self.meter.current();
        let starts = id == FunctionId::StartTimestamp;
        let wanted = !starts || self.query.question.options.start_timestamps;
        if let Some(NodeKind::Select(selector)) = kind {
            let take = if starts && wanted { Take::Start } else { Take::Time };
            let mut pipeline = self.selected(selector, grid, take)?;
            if !wanted {
                // The series are looked at all the same.
                let columns = pipeline.collect(self)?;
                self.let_go(&columns);
                self.meter.set(before);
                return Ok(ready(Vec::new(), grid));
            }
            pipeline.push(self.stage(Change::Rename, grid), (before, 0, 0));
            return Ok(pipeline);
        }
        let Some(argument) = argument else { return Ok(ready(Vec::new(), grid)) };
        if starts {
            let columns = self.columns(argument, grid)?;
            self.let_go(&columns);
            self.meter.set(before);
            return Ok(ready(Vec::new(), grid));
        }
        let mut pipeline = self.pipeline(argument, grid)?;
        pipeline.push(self.stage(Change::StepTime, grid), (before, 0, 0));
        Ok(pipeline)
    }

    /// A function that makes a number of a number.
    fn map(&mut self, call: &'q CallNode, grid: Grid, before: u64) -> Result<Pipeline<'q>, Error> {
        let id = call.function.id;
        let Some(function) = map_function(id) else { return Ok(ready(Vec::new(), grid)) };
        let (vectors, others): (Vec<_>, Vec<_>) =
            call.arguments.iter().partition(|argument| argument.value == ValueType::Vector);
        let mut scalars = Vec::with_capacity(others.len());
        for argument in others {
            scalars.push(self.scalar(argument, grid)?);
        }
        let late = self.meter.current() - before;
        self.meter.set(before);
        let mut pipeline = match vectors.first() {
            Some(vector) => self.pipeline(vector, grid)?,
            // Functions of dates take the time of the step.
            None => {
                let columns = vec![Column::dense(no_labels(), whole_seconds(grid))];
                self.hold(&columns)?;
                ready(columns, grid)
            }
        };
        let count = scalars.len() as u64;
        pipeline.push(self.stage(Change::Map { id, function, scalars }, grid), (before, late, count));
        Ok(pipeline)
    }

    /// A function that makes a number of a histogram.
    fn of_histograms(&mut self, call: &'q CallNode, grid: Grid, before: u64) -> Result<Pipeline<'q>, Error> {
        let function = histogram_function(call.function.id).zip(call.arguments.first());
        let Some((function, argument)) = function else { return Ok(ready(Vec::new(), grid)) };
        let mut pipeline = self.pipeline(argument, grid)?;
        pipeline.push(self.stage(Change::OfHistogram(function), grid), (before, 0, 0));
        Ok(pipeline)
    }

    /// A function of the windows of each series.
    fn over_windows(&mut self, call: &'q CallNode, grid: Grid) -> Result<Pipeline<'q>, Error> {
        let Some(function) = range_function(call.function.id) else { return Ok(ready(Vec::new(), grid)) };
        let id = call.function.id;
        let question = self.query.question;
        let mut scalars = Vec::new();
        let mut windows = None;
        let mut totals = false;
        // A subquery is evaluated before the other arguments.
        for argument in &call.arguments {
            if let NodeKind::Subquery(subquery) = &argument.kind {
                let before = self.meter.current();
                let (columns, inner) = self.subquery(subquery, grid, subquery.range_ms)?;
                self.let_go(&columns);
                let held = self.meter.current() - before;
                let reference = Reference { offset_ms: subquery.offset_ms, at: subquery.at };
                windows = Some((Reader::of(columns, inner), reference, subquery.range_ms, None, held, false));
            }
        }
        for argument in &call.arguments {
            match &argument.kind {
                NodeKind::Subquery(_) => {}
                NodeKind::Window(selector) => {
                    check_extension(id, selector.extension)?;
                    totals = selector.totals;
                    let reader = self.sources.open(selector.selection)?;
                    let reference = Reference::of(selector);
                    windows = Some((
                        reader,
                        reference,
                        selector.range_ms,
                        selector.extension,
                        0,
                        has_one_name(selector),
                    ));
                }
                _ => scalars.push(self.scalar(argument, grid)?),
            }
        }
        let Some((reader, reference, range_ms, extension, held, one_name)) = windows else {
            return Ok(ready(Vec::new(), grid));
        };
        // Which series there are is all that `absent_over_time` asks for.
        let absent = id == FunctionId::AbsentOverTime;
        let keeps_name = absent || matches!(id, FunctionId::LastOverTime | FunctionId::FirstOverTime);
        let kernel = RangeKernel {
            id,
            function,
            sweep: sweep_function(id),
            reference,
            range_ms,
            lookback_ms: question.lookback_ms,
            extension,
            scalars,
            places: &call.places,
            reads: held == 0 && !call.arguments.iter().any(|node| matches!(node.kind, NodeKind::Subquery(_))),
            starts: question.options.start_timestamps,
            keeps_name,
            delayed: self.delayed(),
            type_labels: question.options.type_and_unit_labels,
            totals,
        };
        let loses = !(self.delayed() || keeps_name);
        let loss = if loses { Loss::Refused } else { Loss::None };
        let mut pipeline = Pipeline::new(grid, Origin::Series(reader, Box::new(Kernel::Range(kernel))), loss);
        pipeline.release = held;
        pipeline.one_name = one_name;
        Ok(pipeline)
    }

    /// 1 at the steps at which no series has anything in its window.
    fn absent_over_time(
        &mut self,
        node: &'q Node,
        call: &'q CallNode,
        grid: Grid,
    ) -> Result<Vec<Column>, Error> {
        let before = self.meter.current();
        let vector = self.over_windows(call, grid)?.collect(self)?;
        self.let_go(&vector);
        let matchers = match call.arguments.first().map(|node| &node.kind) {
            Some(NodeKind::Window(selector)) => Some(selector.matchers.as_slice()),
            _ => None,
        };
        let arguments = Arguments { vector, matchers, ..Arguments::default() };
        let columns = self.ask(node.place, call, arguments, grid)?;
        self.hold(&columns)?;
        self.meter.set(before + columns_size(&columns));
        Ok(columns)
    }

    /// A function that looks at all series at once.
    fn over_vector(&mut self, place: Place, call: &'q CallNode, grid: Grid) -> Result<Vec<Column>, Error> {
        let before = self.meter.current();
        let steps = grid.steps();
        let mut arguments = Arguments::default();
        for argument in &call.arguments {
            match (argument.value, &argument.kind) {
                (ValueType::String, NodeKind::Text(text)) => arguments.texts.push(text.clone()),
                (ValueType::Scalar, _) => arguments.scalars.push(self.scalar(argument, grid)?),
                (_, kind) => {
                    if let NodeKind::Select(selector) = kind {
                        arguments.matchers = Some(selector.matchers.as_slice());
                    }
                    arguments.vector = self.columns(argument, grid)?;
                }
            }
        }
        let mut gathered = PerStep::of(&arguments.vector, steps, false);
        gathered.add_everywhere(arguments.scalars.len() as u64);
        self.let_go(&arguments.vector);
        let columns = self.ask(place, call, arguments, grid)?;
        let by_series = matches!(call.function.id, FunctionId::LabelReplace | FunctionId::LabelJoin);
        let columns = self.distinct(columns, grid, by_series)?;
        self.hold(&columns)?;
        if !by_series {
            let made = PerStep::of(&columns, steps, true);
            meter_steps(&mut self.meter, before, steps, (&[&gathered], &made))?;
        }
        Ok(columns)
    }

    /// Calls a function over a vector.
    fn ask(
        &mut self,
        place: Place,
        call: &'q CallNode,
        arguments: Arguments<'q>,
        grid: Grid,
    ) -> Result<Vec<Column>, Error> {
        let Some(function) = vector_function(call.function.id) else {
            return Err(Error::Execution(format!("{} is no function of vectors", call.function.name)));
        };
        let Arguments { vector, scalars, texts, matchers } = arguments;
        let mut notes = Annotations::default();
        let mut view = VectorCall {
            function: call.function.id,
            grid,
            vector,
            scalars,
            texts,
            place,
            arguments: &call.argument_places,
            matchers,
            delayed: self.delayed(),
            notes: &mut notes,
        };
        let columns = function(&mut view)?;
        self.note(notes);
        Ok(columns)
    }

    /// Series with the same labels become one, or an error.
    pub(super) fn distinct(
        &self,
        columns: Vec<Column>,
        grid: Grid,
        always: bool,
    ) -> Result<Vec<Column>, Error> {
        if always || !grid.is_instant() {
            let clash = if always { Clash::SameKind } else { Clash::Any };
            return same_labels(columns, grid.steps(), clash);
        }
        if !self.delayed() && has_same_labels(&columns) {
            return Err(same_labelset());
        }
        Ok(columns)
    }

    /// The results of a subquery on its own grid. `window_ms`: how much of it a step sees, 0 if the results are the answer.
    pub(super) fn subquery(
        &mut self,
        subquery: &'q SubqueryNode,
        grid: Grid,
        window_ms: i64,
    ) -> Result<(Vec<Column>, Grid), Error> {
        let last = grid.at(grid.steps().saturating_sub(1));
        let (first, last) = subquery.at.map_or((grid.start, last), |at| (at, at));
        let before = first.saturating_sub(subquery.offset_ms).saturating_sub(subquery.range_ms);
        let inner = Grid {
            start: first_aligned(before, subquery.step_ms),
            end: last.saturating_sub(subquery.offset_ms),
            step: subquery.step_ms,
        };
        let outer = self.meter.enter(inner.steps());
        let columns = self.columns(&subquery.node, inner);
        let counts = self.meter.leave(outer);
        let offset = if window_ms == 0 { 0 } else { subquery.offset_ms };
        let mut told: StepCounts = read_by_subquery(&counts, (inner, grid), offset, window_ms);
        if window_ms == 0 {
            told.add(grid.steps().saturating_sub(1), counts.total.iter().sum(), 0);
        }
        self.meter.count(&told);
        Ok((columns?, inner))
    }
}

/// The arguments of a function over a vector, evaluated.
#[derive(Default)]
struct Arguments<'a> {
    vector: Vec<Column>,
    scalars: Vec<Vec<f64>>,
    texts: Vec<Vec<u8>>,
    matchers: Option<&'a [Matcher]>,
}

fn check_extension(id: FunctionId, extension: Option<Extension>) -> Result<(), Error> {
    let (word, allowed) = match extension {
        None => return Ok(()),
        Some(Extension::Anchored) => ("anchored", ANCHORED.as_slice()),
        Some(Extension::Smoothed) => ("smoothed", SMOOTHED.as_slice()),
    };
    if allowed.contains(&id) {
        return Ok(());
    }
    let name = |id: FunctionId| {
        crate::Function::all().iter().find(|function| function.id == id).map_or("", |function| function.name)
    };
    let names: Vec<_> = allowed.iter().map(|id| name(*id)).collect();
    let list = names.join(", ");
    Err(Error::Execution(format!("{word} modifier can only be used with: {list} - not with {}", name(id))))
}
