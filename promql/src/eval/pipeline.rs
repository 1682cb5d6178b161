//! Series, one batch after another: read, made to columns, changed one by one, on several threads, and handed on in order.
//!
//! A node whose series do not look at each other (selectors, functions over windows, arithmetic with scalars, signs) is a stage of a
//! pipeline. So under an aggregation only one batch of series is in memory at a time.

use std::sync::atomic::{AtomicUsize, Ordering};
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
use crate::{Annotations, Budget, Error};

/// So many series are read before they are worked on.
const BATCH: usize = 512;

/// From fewer points than this on, threads do not pay.
const WORTH_THREADS: usize = 4096;

/// Where a pipeline begins.
#[derive(Debug)]
pub(super) enum Origin<'a> {
    /// Series of a storage or of a subquery.
    Series(Reader, Box<Kernel<'a>>),
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
    pub(super) fn collect(self, evaluator: &mut Evaluator<'_>) -> Result<Vec<Column>, Error> {
        let (merged, steps) = (self.loss == Loss::Merged, self.grid.steps());
        let mut columns = Vec::new();
        self.each(evaluator, |evaluator, batch| {
            evaluator.hold(&batch)?;
            columns.extend(batch);
            Ok(())
        })?;
        if merged { same_labels(columns, steps, Clash::Any) } else { Ok(columns) }
    }

    /// Hands all series to `sink`, batch by batch. While threads work on a batch, the caller's takes in the one before, hands it on and reads the next
    /// one, and then works with them.
    pub(super) fn each(
        mut self,
        evaluator: &mut Evaluator<'_>,
        mut sink: impl FnMut(&mut Evaluator<'_>, Vec<Column>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match std::mem::replace(&mut self.origin, Origin::Ready(Vec::new().into_iter())) {
            Origin::Ready(mut ready) => loop {
                evaluator.budget.check()?;
                let batch: Vec<_> = ready.by_ref().take(BATCH).collect();
                if batch.is_empty() {
                    break;
                }
                evaluator.let_go(&batch);
                sink(evaluator, self.staged(batch)?)?;
            },
            Origin::Series(mut reader, kernel) => {
                let mut batch = reader.batch(BATCH)?;
                self.look_for_apart(&batch);
                let (grid, mut made) = (self.grid, Vec::new());
                while !batch.is_empty() {
                    evaluator.budget.check()?;
                    let mut settle = |evaluator: &mut Evaluator<'_>, made| {
                        let columns = evaluator.taken_in(made)?;
                        if columns.is_empty() { Ok(()) } else { sink(evaluator, self.staged(columns)?) }
                    };
                    let before = std::mem::take(&mut made);
                    let mut next = Ok(Vec::new());
                    made = evaluator.run(&kernel, &batch, grid, |evaluator| {
                        settle(evaluator, before)?;
                        next = reader.batch(BATCH);
                        Ok(())
                    })?;
                    batch = match next {
                        Ok(next) => next,
                        Err(why) => return settle(evaluator, made).and(Err(why)),
                    };
                }
                let columns = evaluator.taken_in(made)?;
                if !columns.is_empty() {
                    sink(evaluator, self.staged(columns)?)?;
                }
            }
        }
        self.finish(evaluator)
    }

    /// Leaves the comparison of labels out if it cannot find anything.
    fn look_for_apart(&mut self, first: &[Arc<Input>]) {
        let first = first.first().map(|first| first.labels.as_ref().as_ref());
        if self.one_name && self.loss == Loss::Refused && first.is_some_and(stay_apart) {
            self.loss = Loss::None;
        }
    }

    /// Columns behind all stages.
    fn staged(&mut self, mut columns: Vec<Column>) -> Result<Vec<Column>, Error> {
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
        Ok(columns)
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

/// What became of a part of a batch.
type Outcome = Result<Vec<Made>, Error>;

/// A batch that several threads share.
struct Share<'a> {
    kernel: &'a Kernel<'a>,
    grid: Grid,
    budget: &'a Budget,
    parts: Vec<&'a [Arc<Input>]>,
    /// The first part that nobody has taken.
    next: AtomicUsize,
    /// What became of each part.
    done: Mutex<Vec<(usize, Outcome)>>,
    /// What threads work with: not taken yet, and given back with its counts.
    spare: Mutex<Vec<Work>>,
    used: Mutex<Vec<Work>>,
}

impl Share<'_> {
    /// Works until nothing is left.
    fn work(&self) {
        let steps = self.grid.steps();
        let taken = self.spare.lock().ok().and_then(|mut spare| spare.pop());
        let mut work = taken.unwrap_or_else(|| Work::new(steps));
        work.counts.reset(steps);
        loop {
            let at = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(part) = self.parts.get(at) else { break };
            let one = |input: &Arc<Input>| {
                self.budget.check()?;
                self.kernel.run(input, self.grid, &mut work)
            };
            let made = part.iter().map(one).collect();
            if let Ok(mut done) = self.done.lock() {
                done.push((at, made));
            }
        }
        if let Ok(mut used) = self.used.lock() {
            used.push(work);
        }
    }
}

/// Two series of a result have the same labels.
pub(super) fn same_labelset() -> Error {
    Error::Execution("vector cannot contain metrics with the same labelset".into())
}

impl Evaluator<'_> {
    /// Runs a kernel over a batch of series; what becomes of each, in their order. Calls `meanwhile` first, or while threads work already.
    fn run(
        &mut self,
        kernel: &Kernel<'_>,
        batch: &[Arc<Input>],
        grid: Grid,
        meanwhile: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<Vec<Made>, Error> {
        let workers = self.budget.workers.max(1);
        let steps = grid.steps();
        if workers == 1 || batch.len() * steps.max(16) < WORTH_THREADS {
            meanwhile(self)?;
            let mut work = self.work.pop().unwrap_or_else(|| Work::new(steps));
            work.counts.reset(steps);
            let made = batch.iter().map(|input| kernel.run(input, grid, &mut work));
            let made = made.collect::<Result<Vec<_>, _>>()?;
            self.meter.count(&work.counts);
            self.work.push(work);
            return Ok(made);
        }
        let pool = self.pool()?;
        let share = Share {
            kernel,
            grid,
            budget: self.budget,
            parts: batch.chunks(batch.len().div_ceil(workers * 8).max(1)).collect(),
            next: AtomicUsize::new(0),
            done: Mutex::default(),
            spare: Mutex::new(std::mem::take(&mut self.work)),
            used: Mutex::default(),
        };
        let met = pool.in_place_scope(|scope| {
            for _ in 1..workers {
                scope.spawn(|_| share.work());
            }
            let met = meanwhile(self);
            if met.is_ok() {
                share.work();
            } else {
                share.next.store(share.parts.len(), Ordering::Relaxed);
            }
            met
        });
        let Share { done, spare, used, .. } = share;
        met?;
        self.work = spare.into_inner().unwrap_or_default();
        for work in used.into_inner().unwrap_or_default() {
            self.meter.count(&work.counts);
            self.work.push(work);
        }
        let mut done = done.into_inner().unwrap_or_default();
        done.sort_unstable_by_key(|(part, _)| *part);
        let mut made = Vec::with_capacity(batch.len());
        for (_, part) in done {
            made.extend(part?);
        }
        Ok(made)
    }

    /// Takes in what became of a batch; the columns that hold something.
    fn taken_in(&mut self, made: Vec<Made>) -> Result<Vec<Column>, Error> {
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

    /// Keeps notes of a part of the evaluation.
    pub(super) fn note(&mut self, notes: Annotations) {
        self.notes.merge(notes);
    }
}
