//! Runs test scripts in the language of Prometheus' own engine tests (`promql/promqltest`).
//!
//! A script loads series, asks queries and says what they answer. An instant query is asked several times: as written, with every selector
//! held at its time by `@` at times before and behind it, and each of these as a range query too, which must give the same.
//! The engine is the one of those tests: names go late, start timestamps count, everything experimental is on.
//!
//! `commands` reads a script, `series` its lines of series, `storage` keeps what is loaded, `classic` makes native histograms of classic
//! ones, `variants` rewrites queries, `ask` asks them, `compare` says what is wrong with an answer.

mod ask;
mod classic;
mod commands;
mod compare;
mod series;
mod storage;
mod text;
mod variants;

use commands::{Command, Eval, Load, Text, When};
use compare::Wrong;
use series::Written;
use storage::{Loaded, Storage};

use crate::EvalOptions;

/// How scripts are run.
#[derive(Debug, Clone)]
pub struct ScriptOptions {
    /// The name of the script in what is told about it.
    pub name: String,
    /// Whether queries are asked again in other forms that must answer the same.
    pub again: bool,
    /// What differs between engines; by default as in Prometheus' own tests.
    pub evaluation: EvalOptions,
}

impl Default for ScriptOptions {
    fn default() -> Self {
        let evaluation =
            EvalOptions { delayed_name_removal: true, start_timestamps: true, type_and_unit_labels: false };
        Self { name: "script".to_owned(), again: true, evaluation }
    }
}

/// What running a script gave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// How many evaluations answered what they should.
    pub passed: usize,
    /// Those that did not; and what stopped the script, if something did.
    pub failures: Vec<Failure>,
}

/// An evaluation that did not answer what it should, or a line that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The name of the script.
    pub script: String,
    /// The line, from 1.
    pub line: usize,
    /// The query that was asked, and when; empty if the line is no evaluation.
    pub query: String,
    /// What should have come.
    pub expected: String,
    /// What came.
    pub got: String,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { script, line, query, expected, got } = self;
        write!(f, "{script}:{line}: {query}\n  expected {expected}\n  got      {got}")
    }
}

/// Runs the script in `text` to its end; after a line that makes no sense, or cannot be loaded, nothing more is run.
pub fn run_script(text: &str, options: &ScriptOptions) -> Report {
    let mut report = Report::default();
    let mut fail = |line, wrong: Wrong| {
        let Wrong { query, expected, got } = wrong;
        report.failures.push(Failure { script: options.name.clone(), line, query, expected, got });
    };
    let commands = match commands::read(text) {
        Ok(commands) => commands,
        Err(fault) => {
            fail(fault.line, Wrong::new("a line of a script", fault.what));
            return report;
        }
    };
    let mut storage = Storage::default();
    let mut passed = 0;
    for command in commands {
        match command {
            Command::Clear => storage = Storage::default(),
            Command::Load(load) => {
                if let Err(why) = fill(&mut storage, &load) {
                    fail(load.line, Wrong::new("samples that can be loaded", why));
                    break;
                }
            }
            Command::Eval(eval) => match evaluate(&storage, &eval, options) {
                Ok(()) => passed += 1,
                Err(wrong) => fail(eval.line, wrong),
            },
        }
    }
    report.passed = passed;
    report
}

/// Loads what a `load` says.
fn fill(storage: &mut Storage, load: &Load) -> Result<(), String> {
    for (series, starts) in &load.series {
        let mut t = 0;
        for (at, value) in series.values.iter().enumerate() {
            let offset = starts.as_ref().and_then(|starts| starts.values.get(at).copied().flatten());
            let start = offset.map_or(0, |offset| t + offset);
            match value {
                Written::Gap => {}
                Written::Float(value) => storage.append(&series.labels, t, start, Loaded::Float(*value))?,
                Written::Histogram { histogram, .. } => {
                    storage.append(&series.labels, t, start, Loaded::Histogram((**histogram).clone()))?;
                }
            }
            t += load.gap_ms;
        }
    }
    if load.with_nhcb {
        for (labels, t, histogram) in classic::converted(load)? {
            storage.append(&labels, t, 0, Loaded::Histogram(histogram))?;
        }
    }
    storage.settle()
}

/// Asks a query in all its forms.
fn evaluate(storage: &Storage, eval: &Eval, options: &ScriptOptions) -> Result<(), Wrong> {
    let asked = Asked { storage, eval, options };
    let at = match (eval.when, eval.grid) {
        (When::Range { .. }, _) => return asked.compare(&eval.query, eval.when),
        (When::Instant(_), Some((_, end, _))) => end,
        (When::Instant(at), None) => at,
    };
    asked.once(&eval.query, at)?;
    if options.again {
        for (query, at) in variants::held(&eval.query, at) {
            asked.once(&query, at)?;
        }
    }
    Ok(())
}

/// A query with its surroundings.
struct Asked<'a> {
    storage: &'a Storage,
    eval: &'a Eval,
    options: &'a ScriptOptions,
}

impl Asked<'_> {
    /// Asks an instant query, and the same as the middle of a range.
    fn once(&self, query: &str, at: i64) -> Result<(), Wrong> {
        let eval = self.eval;
        self.compare(query, When::Instant(at))?;
        let with_its_own_time =
            ["start()", "end()", "range()", "step()"].iter().any(|call| query.contains(call));
        if !self.options.again || !eval.also_as_range || eval.fail.is_some() || with_its_own_time {
            return Ok(());
        }
        let when = When::Range { start: at - 60_000, end: at + 60_000, step: 60_000 };
        let told = |wrong: Wrong| wrong.about(query, when);
        let answer = self.ask(query, when).map_err(|got| told(Wrong::new("an answer", got)))?;
        if eval.ordered {
            return Ok(());
        }
        compare::middle(eval, &answer.value, at).map_err(told)
    }

    fn ask(&self, query: &str, when: When) -> Result<ask::Answered, String> {
        ask::ask(self.storage, query, when, self.options.evaluation)
    }

    /// Asks a query and compares what comes.
    fn compare(&self, query: &str, when: When) -> Result<(), Wrong> {
        let eval = self.eval;
        let told = |wrong: Wrong| wrong.about(query, when);
        match (self.ask(query, when), &eval.fail) {
            (Err(_), Some(Text::Any)) => Ok(()),
            (Err(got), Some(text)) if text.accepts(&got) => Ok(()),
            (Err(got), Some(text)) => Err(told(Wrong::new(format!("the error {}", text.shown()), got))),
            (Err(got), None) => Err(told(Wrong::new("an answer", got))),
            (Ok(_), Some(text)) => Err(told(Wrong::new(format!("the error {}", text.shown()), "an answer"))),
            (Ok(answer), None) => {
                compare::notes("warnings", &eval.warn, &answer.warnings).map_err(told)?;
                compare::notes("infos", &eval.info, &answer.infos).map_err(told)?;
                compare::value(eval, &answer.value).map_err(told)
            }
        }
    }
}
