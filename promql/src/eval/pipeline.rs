//! Series, one batch after another: read, made to columns, changed one by one, on several threads, and handed on in order.
//!
//! A node whose series do not look at each other (selectors, functions over windows, arithmetic with scalars, signs) is a stage of a
//! pipeline. So under an aggregation only one batch of series is in memory at a time.

use std::sync::{Arc, Mutex};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use sarsen_block::{Labels, LabelsRef, METRIC_NAME};

use super::column::{Column, Grid};
use super::evaluator::Evaluator;
use super::merge::{Clash, same_labels};
use super::meter::{PerStep, column_size, meter_steps};
use super::names::NAME_LIKE;
use super::series::{Kernel, Made, Work};
use super::source::{Input, Reader};
use super::stage::Stage;
use crate::{Annotations, Error};

/// So many series are read before they are worked on.
const BATCH: usize = 512;

/// From fewer points than this on, threads do not pay.
const WORTH_THREADS: usize = 4096;

/// Where a pipeline begins.
#[derive(Debug)]
pub(super) enum Origin<'a> {
    /// Series of a storage or of a subquery.
    Series(Reader, Kernel<'a>),
    /// Columns that are ready.
    Ready(std::vec::IntoIter<Column>),
}

/// Whether series that are distinct become the same by the loss of their names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    /// None does.
    None,
    /// That is an error.
    Refused,
    /// That is an error only where both hold something at the same step.
    Merged,
}

/// A stage with what it counts.
#[derive(Debug)]
struct Step {
    stage: Stage,
    /// Samples in memory before the node began.
    before: u64,
    /// Samples of its scalar arguments that come into memory behind its series.
    late: u64,
    /// How many scalar arguments there are.
    scalars: u64,
    gathered: PerStep,
    made: PerStep,
}

/// The series of a node.
#[derive(Debug)]
pub(super) struct Pipeline<'a> {
    pub(super) grid: Grid,
    origin: Origin<'a>,
    steps: Vec<Step>,
    /// What becomes of series that lose their names.
    pub(super) loss: Loss,
    /// Behind so many stages they have lost them. Those behind may leave out samples that made them the same.
    lost_behind: usize,
    /// Samples of a subquery that go when its windows are done.
    pub(super) release: u64,
    /// Series that have lost their names, with the steps at which they hold something if these matter.
    seen: HashMap<Arc<Labels>, Vec<u64>, foldhash::fast::RandomState>,
    /// Whether all series have one name.
    pub(super) one_name: bool,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(grid: Grid, origin: Origin<'a>, loss: Loss) -> Self {
        let (steps, seen) = (Vec::new(), HashMap::default());
        Self { grid, origin, steps, loss, lost_behind: 0, release: 0, seen, one_name: false }
    }

    /// Adds a stage; `before` and `late` are samples for the counts.
    pub(super) fn push(&mut self, stage: Stage, (before, late, scalars): (u64, u64, u64)) {
        let steps = self.grid.steps();
        if self.loss == Loss::None && stage.loses_names() {
            self.loss = if self.grid.is_instant() && !stage.merges() { Loss::Refused } else { Loss::Merged };
            self.lost_behind = self.steps.len() + 1;
        }
        let (gathered, made) = (PerStep::new(steps), PerStep::new(steps));
        self.steps.push(Step { stage, before, late, scalars, gathered, made });
    }

    /// Whether a series that was handed on may be needed again, because another one must be merged with it.
    pub(super) fn may_merge(&self) -> bool {
        self.loss == Loss::Merged && !self.one_name
    }

    /// All series.
    pub(super) fn collect(mut self, evaluator: &mut Evaluator<'_>) -> Result<Vec<Column>, Error> {
        let merged = self.loss == Loss::Merged;
        let mut columns = Vec::new();
        while let Some(batch) = self.next(evaluator)? {
            evaluator.hold(&batch)?;
            columns.extend(batch);
        }
        if merged { same_labels(columns, self.grid.steps(), Clash::Any) } else { Ok(columns) }
    }

    /// The next series; `None` when all are through.
    pub(super) fn next(&mut self, evaluator: &mut Evaluator<'_>) -> Result<Option<Vec<Column>>, Error> {
        evaluator.budget.check()?;
        let mut columns = match &mut self.origin {
            Origin::Ready(ready) => {
                let batch: Vec<_> = ready.by_ref().take(BATCH).collect();
                evaluator.let_go(&batch);
                batch
            }
            Origin::Series(reader, kernel) => {
                let batch = reader.batch(BATCH)?;
                if self.one_name
                    && self.loss == Loss::Refused
                    && self.seen.is_empty()
                    && batch.first().is_some_and(|first| stay_apart(first.labels.as_ref().as_ref()))
                {
                    self.loss = Loss::None;
                }
                if batch.is_empty() {
                    Vec::new()
                } else {
                    let columns = evaluator.run(kernel, &batch, self.grid)?;
                    if columns.is_empty() {
                        return Ok(Some(columns));
                    }
                    columns
                }
            }
        };
        if columns.is_empty() {
            self.finish(evaluator)?;
            return Ok(None);
        }
        for at in 0..=self.steps.len() {
            if at == self.lost_behind {
                self.refuse_same(&columns)?;
            }
            let Some(step) = self.steps.get_mut(at) else { break };
            if step.stage.is_counted() {
                for column in &columns {
                    step.gathered.add(column, false);
                }
            }
            columns = step.stage.apply(columns);
            if step.stage.is_counted() {
                for column in &columns {
                    step.made.add(column, true);
                }
            }
        }
        Ok(Some(columns))
    }

    /// Refuses series that became the same by the loss of their names.
    fn refuse_same(&mut self, columns: &[Column]) -> Result<(), Error> {
        let overlap = match self.loss {
            Loss::None => return Ok(()),
            Loss::Refused => false,
            Loss::Merged if self.one_name => return Ok(()),
            Loss::Merged => true,
        };
        for column in columns {
            let held = if overlap { column.words(self.grid.steps()) } else { Vec::new() };
            match self.seen.entry(Arc::clone(&column.labels)) {
                Entry::Vacant(entry) => drop(entry.insert(held)),
                Entry::Occupied(mut entry) => {
                    let before = entry.get_mut();
                    if !overlap || before.iter().zip(&held).any(|(a, b)| a & b != 0) {
                        return Err(same_labelset());
                    }
                    before.iter_mut().zip(held).for_each(|(word, more)| *word |= more);
                }
            }
        }
        Ok(())
    }

    /// Counts what is known only when all series are through.
    fn finish(&mut self, evaluator: &mut Evaluator<'_>) -> Result<(), Error> {
        for step in &mut self.steps {
            step.stage.last.drain(..).for_each(|notes| evaluator.notes.merge(notes));
        }
        let meter = &mut evaluator.meter;
        meter.set(meter.current().saturating_sub(std::mem::take(&mut self.release)));
        let steps = self.grid.steps();
        for step in self.steps.drain(..) {
            meter.add(step.late)?;
            if step.stage.is_counted() {
                let mut scalars = PerStep::new(steps);
                scalars.add_everywhere(step.scalars);
                meter_steps(meter, step.before, steps, (&[&step.gathered, &scalars], &step.made))?;
            }
        }
        Ok(())
    }
}

/// Whether series of one name, of which this is the first, cannot become the same by the loss of name, type and unit: behind the name comes
/// a label that stands behind those two, and thus also in all series that follow.
fn stay_apart(first: LabelsRef<'_>) -> bool {
    let mut names = first.iter().map(|(name, _)| name);
    names.next() == Some(METRIC_NAME)
        && names.next().is_some_and(|second| NAME_LIKE.iter().all(|name| *name < second))
}

/// What a thread made of its share of a batch.
type Outcome = Result<(Vec<Made>, Work), Error>;

/// Two series of a result have the same labels.
pub(super) fn same_labelset() -> Error {
    Error::Execution("vector cannot contain metrics with the same labelset".into())
}

impl Evaluator<'_> {
    /// Runs a kernel over a batch of series; those that hold something come back, in their order.
    fn run(&mut self, kernel: &Kernel<'_>, batch: &[Arc<Input>], grid: Grid) -> Result<Vec<Column>, Error> {
        let workers = self.budget.workers.max(1);
        let steps = grid.steps();
        let mut made = Vec::with_capacity(batch.len());
        if workers == 1 || batch.len() * steps.max(16) < WORTH_THREADS {
            let mut work = self.work.pop().unwrap_or_else(|| Work::new(steps));
            work.counts.reset(steps);
            for input in batch {
                made.push(kernel.run(input, grid, &mut work)?);
            }
            self.meter.count(&work.counts);
            self.work.push(work);
        } else {
            self.run_on_threads(kernel, (batch, grid), workers, &mut made)?;
        }
        let mut columns = Vec::with_capacity(made.len());
        for one in made {
            let before = self.meter.current();
            self.meter.touch(before + one.window_peak)?;
            if !one.notes.is_empty() {
                self.notes.merge(one.notes);
            }
            if let Some(column) = one.column {
                self.meter.add(column_size(&column))?;
                columns.push(column);
            }
        }
        Ok(columns)
    }

    fn run_on_threads(
        &mut self,
        kernel: &Kernel<'_>,
        (batch, grid): (&[Arc<Input>], Grid),
        workers: usize,
        made: &mut Vec<Made>,
    ) -> Result<(), Error> {
        let steps = grid.steps();
        let spare = Mutex::new(std::mem::take(&mut self.work));
        let chunks: Vec<_> = batch.chunks(batch.len().div_ceil(workers * 4).max(1)).collect();
        let mut results: Vec<Option<Outcome>> = Vec::new();
        results.resize_with(chunks.len(), || None);
        let budget = self.budget;
        let pool = self.pool()?;
        pool.in_place_scope(|scope| {
            for (chunk, result) in chunks.iter().zip(results.iter_mut()) {
                let spare = &spare;
                scope.spawn(move |_| {
                    let taken = spare.lock().ok().and_then(|mut spare| spare.pop());
                    let mut work = taken.unwrap_or_else(|| Work::new(steps));
                    work.counts.reset(steps);
                    let one = |input: &Arc<Input>| {
                        budget.check()?;
                        kernel.run(input, grid, &mut work)
                    };
                    let made = chunk.iter().map(one).collect::<Result<Vec<_>, _>>();
                    *result = Some(made.map(|made| (made, work)));
                });
            }
        });
        for result in results.into_iter().flatten() {
            let (more, work) = result?;
            made.extend(more);
            self.meter.count(&work.counts);
            self.work.push(work);
        }
        Ok(())
    }

    /// Keeps notes of a part of the evaluation.
    pub(super) fn note(&mut self, notes: Annotations) {
        self.notes.merge(notes);
    }
}
