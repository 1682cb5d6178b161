//! From the text of a query to its answer: parse, ask the stores for everything at once, evaluate, within time and memory.
//!
//! So many queries run at the same time; others wait, and their time runs while they wait. A query is evaluated on a thread that may block, so the number of
//! such threads is bounded too. When its time is over its caller is told at once, and the thread ends at its next look at the budget; until then it holds its
//! place. Whoever drops the future of an answer stops the evaluation the same way, and the stores with it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sarsen_promql::ast::Expr;
use sarsen_promql::{
    Answer, Budget, Error, EvalOptions, ParseOptions, Prepared, Question, Selection, Severity, Stats, Stop,
    Value, parse, prepare,
};
use tokio::sync::Semaphore;

use super::assemble::{Told, select};
use super::dialect::{Dialect, Kind};
use super::fault::Fault;
use super::gather::Gather;
use super::services::{Answered, Asking, Queries, Times};
use crate::clock;
use crate::metrics::{GateMetrics, QueryMetrics};
use crate::store::Store;

const FIVE_MINUTES: i64 = 300_000;
const HOUR: i64 = 3_600_000;
/// Warnings and infos that Prometheus shows.
const SHOWN: usize = 10;

/// How queries are evaluated.
#[derive(Debug, Clone)]
pub(crate) struct ExecOptions {
    pub(crate) dialect: Dialect,
    /// How long a query may take, waiting included.
    pub(crate) timeout: Duration,
    /// Queries at the same time.
    pub(crate) most: usize,
    /// Selections of a query that are asked ahead at the same time; 0: all. One that the evaluation waits for is asked at once.
    pub(crate) selects: usize,
    /// Samples that a query may have in memory; 0: any.
    pub(crate) max_samples: u64,
    /// Bytes that results and windows of a query may take; 0: any.
    pub(crate) max_bytes: u64,
    /// How far back a selector looks.
    pub(crate) lookback_ms: i64,
    /// Whether it looks further back in coarse data.
    pub(crate) dynamic_lookback: bool,
    /// The step of subqueries that have none.
    pub(crate) subquery_step_ms: i64,
    /// Features of the language, by Prometheus' names; unknown ones change nothing.
    pub(crate) features: Vec<String>,
}

impl Default for ExecOptions {
    fn default() -> Self {
        Self {
            dialect: Dialect::default(),
            timeout: Duration::from_secs(120),
            most: 20,
            selects: 4,
            max_samples: 50_000_000,
            max_bytes: 0,
            lookback_ms: FIVE_MINUTES,
            dynamic_lookback: true,
            subquery_step_ms: 60_000,
            features: Vec::new(),
        }
    }
}

impl ExecOptions {
    fn has_feature(&self, name: &str) -> bool {
        self.features.iter().any(|feature| feature == name)
    }
}

/// For which times an answer is wanted, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// At one time.
    At(i64),
    /// At each step from `start` on, none later than `end`.
    Over {
        start: i64,
        end: i64,
        /// More than 0.
        step: i64,
    },
}

/// A query.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) text: String,
    pub(crate) when: When,
    /// How far back selectors look, if not as far as usual.
    pub(crate) lookback_ms: Option<i64>,
    /// How long it may take, if shorter than usual.
    pub(crate) timeout: Option<Duration>,
    /// How the stores are asked.
    pub(crate) gather: Gather,
}

/// The answer to a query, and what it took.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) value: Value,
    /// What the evaluation warns of, as the dialect shows it.
    pub(crate) warnings: Vec<String>,
    pub(crate) infos: Vec<String>,
    /// What stores could not give.
    pub(crate) missing: Vec<String>,
    pub(crate) stats: Stats,
    pub(crate) timings: Timings,
    /// What was asked for.
    pub(crate) selections: Vec<Selection>,
    /// What the stores told.
    pub(crate) told: Arc<Told>,
}

/// Where the time went.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Timings {
    pub(crate) queue: Duration,
    pub(crate) preparation: Duration,
    pub(crate) evaluation: Duration,
    pub(crate) total: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ExecError {
    /// The text is no query, or none for these times.
    Query(String),
    /// It could not be answered.
    Failed(Fault),
}

impl ExecError {
    fn failed(kind: Kind, why: impl Into<String>) -> Self {
        Self::Failed(Fault::new(kind, why))
    }
}

/// Evaluates queries over a store. Clones are the same.
#[derive(Clone)]
pub(crate) struct Executor(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    options: ExecOptions,
    parse: ParseOptions,
    eval: EvalOptions,
    workers: usize,
    gate: Arc<Semaphore>,
    metrics: QueryMetrics,
}

impl Executor {
    /// Over `store`.
    pub(crate) fn new(store: Arc<dyn Store>, options: ExecOptions, metrics: QueryMetrics) -> Self {
        let has = |name: &str| options.has_feature(name);
        let parse = ParseOptions {
            experimental_functions: has("promql-experimental-functions"),
            extended_range_selectors: has("promql-extended-range-selectors"),
            fill_modifiers: has("promql-binop-fill-modifiers"),
            as_thanos: !options.dialect.is_prometheus(),
        };
        let eval = EvalOptions {
            delayed_name_removal: has("promql-delayed-name-removal"),
            start_timestamps: has("use-start-timestamps") || has("st-storage"),
            type_and_unit_labels: has("type-and-unit-labels"),
        };
        let gate = Arc::new(Semaphore::new(options.most.clamp(1, Semaphore::MAX_PERMITS)));
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Inner { store, options, parse, eval, workers, gate, metrics }))
    }

    /// Whether a feature that is off by default was asked for.
    pub(crate) fn has_feature(&self, name: &str) -> bool {
        self.0.options.has_feature(name)
    }

    /// The same over another store: queries of both take the same places.
    #[cfg(feature = "standalone")]
    pub(crate) fn over(&self, store: Arc<dyn Store>) -> Self {
        let Inner { options, parse, eval, workers, gate, metrics, .. } = &*self.0;
        Self(Arc::new(Inner {
            store,
            options: options.clone(),
            parse: *parse,
            eval: *eval,
            workers: *workers,
            gate: Arc::clone(gate),
            metrics: metrics.clone(),
        }))
    }

    /// What is asked.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.0.store)
    }

    /// The tree of a query; the fault is Prometheus' own text.
    pub(crate) fn parse(&self, text: &str) -> Result<Expr, String> {
        parse(text, &self.0.parse).map_err(|why| why.to_string())
    }

    /// How far back selectors look: further in data that is coarser than that.
    fn lookback(&self, asked: &Asked) -> i64 {
        let usual = self.0.options.lookback_ms;
        if let Some(own) = asked.lookback_ms {
            return own;
        }
        let resolution = asked.gather.max_resolution_ms;
        let further = self.0.options.dynamic_lookback && resolution > usual;
        match further {
            true if resolution > FIVE_MINUTES => usual.max(HOUR),
            true => usual.max(FIVE_MINUTES),
            false => usual,
        }
    }

    /// Makes a query ready.
    pub(crate) fn prepare(&self, asked: &Asked) -> Result<Prepared, ExecError> {
        let expr = self.parse(&asked.text).map_err(ExecError::Query)?;
        let (start, end, step) = match asked.when {
            When::At(at) => (at, at, 0),
            When::Over { start, end, step } => (start, end, step),
        };
        let question = Question {
            start,
            end,
            step,
            lookback_ms: self.lookback(asked),
            subquery_step_ms: self.0.options.subquery_step_ms,
            options: self.0.eval,
        };
        prepare(&asked.text, expr, &question).map_err(|why| ExecError::Query(why.to_string()))
    }

    /// Answers a query.
    pub(crate) async fn answer(&self, asked: Asked) -> Result<Outcome, ExecError> {
        let began = clock::moment();
        let limit = asked.timeout.map_or(self.0.options.timeout, |own| own.min(self.0.options.timeout));
        let prepared = self.prepare(&asked)?;
        if let When::Over { start, end, .. } = asked.when {
            self.0.metrics.asked_range(Duration::from_millis(end.abs_diff(start)));
        }
        let _active = Active::new(&self.0.metrics);
        let preparation = began.elapsed();
        let place = tokio::time::timeout(limit, Arc::clone(&self.0.gate).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(ExecError::failed(Kind::Timeout, "query timed out in query queue"));
        };
        let queue = began.elapsed().saturating_sub(preparation);
        let place = (place, Place::new(&self.0.metrics.queries, queue));
        let left = limit.saturating_sub(began.elapsed());
        if left.is_zero() {
            return Err(ExecError::failed(Kind::Timeout, "query timed out in query execution"));
        }
        let times = Timings { queue, preparation, ..Timings::default() };
        let tenant = asked.gather.tenant.clone().unwrap_or_default();
        let outcome = self.evaluate(prepared, asked.gather, left, place).await?;
        let evaluation = began.elapsed().saturating_sub(preparation + queue);
        let timings = Timings { evaluation, total: began.elapsed(), ..times };
        let (series, _, _) = outcome.told.sent();
        self.0.metrics.answered(&tenant, timings.total, series, outcome.stats.samples_read);
        Ok(Outcome { timings, ..outcome })
    }

    async fn evaluate(
        &self,
        prepared: Prepared,
        gather: Gather,
        left: Duration,
        place: (tokio::sync::OwnedSemaphorePermit, Place),
    ) -> Result<Outcome, ExecError> {
        let told = Arc::new(Told::new(self.0.options.selects));
        let budget = self.budget();
        let _stopped_when_dropped = Stopper { budget: budget.clone(), told: Arc::clone(&told) };
        let mut selections = prepared.selections().to_vec();
        if let Some(matcher) = &gather.enforced {
            selections.iter_mut().for_each(|selection| super::hold(&mut selection.matchers, matcher));
        }
        let ask = |selection: &Selection| {
            self.0.metrics.selects.entered(Duration::ZERO);
            select(self.store(), selection, &gather, &told)
        };
        let sets = selections.iter().map(ask).collect();
        let (text, working, metrics, asked) =
            (prepared.text().to_owned(), budget.clone(), self.0.metrics.selects.clone(), selections.len());
        let work = tokio::task::spawn_blocking(move || {
            let _place = place;
            let answer = prepared.evaluate(sets, &working);
            (0..asked).for_each(|_| metrics.left());
            answer
        });
        let answer = match tokio::time::timeout(left, work).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(why)) => {
                return Err(ExecError::failed(Kind::Internal, format!("evaluation ended early: {why}")));
            }
            Err(_) => {
                budget.stop(Stop::Timeout);
                Err(Error::Timeout)
            }
        };
        let Answer { value, annotations, stats } = answer.map_err(|why| failed(why, &told))?;
        let (warnings, infos) = self.notes(&annotations, &text);
        let missing = told.warnings();
        Ok(Outcome { value, warnings, infos, missing, stats, timings: Timings::default(), selections, told })
    }

    fn budget(&self) -> Budget {
        let mut budget = Budget::default();
        budget.max_samples = self.0.options.max_samples;
        budget.max_bytes = self.0.options.max_bytes;
        budget.workers = self.0.workers;
        budget
    }

    /// Warnings and infos: Prometheus shows the first ten with their places, Thanos all without, as warnings.
    fn notes(&self, notes: &sarsen_promql::Annotations, text: &str) -> (Vec<String>, Vec<String>) {
        if !self.0.options.dialect.is_prometheus() {
            return (notes.iter().map(|note| note.note.full_text()).collect(), Vec::new());
        }
        let shown = |severity, what: &str| {
            let mut texts = notes.texts(severity, text);
            let more = texts.len().saturating_sub(SHOWN);
            if more > 0 {
                texts.truncate(SHOWN);
                texts.push(format!("{more} more {what} annotations omitted"));
            }
            texts
        };
        (shown(Severity::Warning, "warning"), shown(Severity::Info, "info"))
    }
}

#[async_trait]
impl Queries for Executor {
    async fn answer(&self, asking: Asking) -> Result<Answered, String> {
        let Asking { text, times, lookback_ms, timeout, gather } = asking;
        let when = match times {
            Times::At(at) => When::At(at),
            Times::Over { start, end, step } => When::Over { start, end, step },
        };
        let asked = Asked { text, when, lookback_ms, timeout, gather };
        let outcome = Self::answer(self, asked).await.map_err(|why| match why {
            ExecError::Query(why) => why,
            ExecError::Failed(fault) => fault.why,
        })?;
        let Outcome { value, mut warnings, infos, missing, stats, .. } = outcome;
        warnings.extend(infos);
        warnings.extend(missing);
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let samples = (number(stats.total_queryable_samples), number(stats.peak_samples));
        Ok(Answered { value, warnings, samples })
    }
}

/// Why an evaluation ended without an answer.
fn failed(why: Error, told: &Told) -> ExecError {
    let kind = match &why {
        Error::Timeout => Kind::Timeout,
        Error::Canceled => Kind::Canceled,
        Error::Data(text) => {
            let text = told.failure().map_or_else(|| text.clone(), |failure| failure.to_string());
            return ExecError::failed(Kind::Execution, format!("expanding series: {text}"));
        }
        _ => Kind::Execution,
    };
    ExecError::failed(kind, why.to_string())
}

/// Stops evaluation and stores when nobody waits any more.
struct Stopper {
    budget: Budget,
    told: Arc<Told>,
}

impl Drop for Stopper {
    fn drop(&mut self) {
        self.budget.stop(Stop::Canceled);
        self.told.stop();
    }
}

/// A query that has been asked and not answered.
struct Active(QueryMetrics);

impl Active {
    fn new(metrics: &QueryMetrics) -> Self {
        metrics.active(1.0);
        Self(metrics.clone())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active(-1.0);
    }
}

/// A place among those that run.
struct Place(GateMetrics);

impl Place {
    fn new(gate: &GateMetrics, waited: Duration) -> Self {
        gate.entered(waited);
        Self(gate.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.left();
    }
}
