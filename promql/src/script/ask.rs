//! Asks the engine.

use super::commands::When;
use super::storage::Storage;
use crate::{Budget, Error, EvalOptions, ParseOptions, Question, SeriesSet, Severity, Value, parse, prepare};

/// As many samples as Prometheus' own tests let a query hold.
const MAX_SAMPLES: u64 = 10_000;

/// An answer with its annotations as they are shown.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) value: Value,
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
}

/// Everything that is experimental is on.
pub(super) const fn parse_options() -> ParseOptions {
    ParseOptions::all()
}

/// Asks `query` of what is in `storage`.
///
/// # Errors
/// The text of the error.
pub(super) fn ask(
    storage: &Storage,
    query: &str,
    when: When,
    options: EvalOptions,
) -> Result<Answered, String> {
    asked(storage, query, when, options).map_err(|error| error.to_string())
}

fn asked(storage: &Storage, query: &str, when: When, options: EvalOptions) -> Result<Answered, Error> {
    let question = match when {
        When::Instant(at) => Question { options, ..Question::instant(at) },
        When::Range { start, end, step } => Question { options, ..Question::range(start, end, step) },
    };
    let expr = parse(query, &parse_options())?;
    let prepared = prepare(query, expr, &question)?;
    let found: Vec<Box<dyn SeriesSet>> =
        prepared.selections().iter().map(|selection| storage.select(selection)).collect();
    let mut budget = Budget::default();
    budget.max_samples = MAX_SAMPLES;
    let answer = prepared.evaluate(found, &budget)?;
    let shown = |severity| {
        let of = answer.annotations.iter().filter(|annotation| annotation.note.severity() == severity);
        of.map(|annotation| annotation.text(query)).collect()
    };
    Ok(Answered { warnings: shown(Severity::Warning), infos: shown(Severity::Info), value: answer.value })
}
