//! PromQL: a query as a question, its needs, and its answer.
//!
//! Three steps, and nothing held open between them. [`parse`] makes a tree of positions out of text. [`prepare`] says what must be
//! fetched to answer it over a grid of times: one [`Selection`] for each selector. [`Prepared::evaluate`] takes the series that were found and
//! computes. The crate never fetches: no storage trait, no async, no clock; a [`Budget`] bounds what an evaluation may use and
//! holds the flag by which its caller stops it.
//!
//! The rooms, in reading order: `parse` (text to tree), `plan` (tree to needs), `input` (what a caller hands in), `eval` (operators over
//! whole series), `func` (one table of functions), `value`, `annotations`, `budget`; `script` runs test scripts.

#![forbid(unsafe_code)]

mod annotations;
mod budget;
mod error;
mod eval;
mod func;
mod histogram;
mod input;
mod number;
mod parse;
mod plan;
#[cfg(feature = "script")]
mod script;
mod value;

pub use annotations::{Annotation, Annotations, Note, Repaired, Severity};
pub use budget::{Budget, Stop};
pub use error::{Error, ParseError};
pub use eval::{Answer, Stats};
pub use func::{Function, FunctionId, Repeat};
pub use input::{InputSeries, Samples, SeriesData, SeriesSet};
pub use parse::{MAX_DEPTH, ParseOptions, ast, parse, parse_selector};
pub use plan::{EvalOptions, Hint, Prepared, Question, Selection, prepare};
#[cfg(feature = "script")]
pub use script::{Failure, Report, ScriptOptions, run_script};
pub use value::{InstantSample, Point, RangeSeries, Value};
