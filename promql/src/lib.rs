//! PromQL: a query as a question, its needs, and its answer.
//!
//! Three steps, and nothing held open between them. [`parse`] makes a tree of positions out of text. [`prepare`] says what must be
//! fetched to answer it over a grid of times: one [`Selection`] for each selector. [`Prepared::evaluate`] takes the series that were found and
//! computes. The crate never fetches: no storage trait, no async, no clock; a [`Budget`] bounds what an evaluation may use and
//! holds the flag by which its caller stops it.
//!
//! ```
//! use sarsen_block::Labels;
//! use sarsen_promql::*;
//!
//! /// A counter that grows by 3 every 15 s.
//! #[derive(Debug)]
//! struct Counter;
//!
//! impl SeriesData for Counter {
//!     fn read(&self, samples: &mut Samples) -> Result<(), Error> {
//!         samples.times.extend((0..40).map(|number| number * 15_000));
//!         samples.floats.extend((0..40).map(|number| f64::from(number) * 3.0));
//!         Ok(())
//!     }
//! }
//!
//! /// What a storage found, by rising labels.
//! struct Found(std::vec::IntoIter<InputSeries>);
//!
//! impl SeriesSet for Found {
//!     fn next(&mut self) -> Result<Option<InputSeries>, Error> {
//!         Ok(self.0.next())
//!     }
//! }
//!
//! let text = "sum by (job) (rate(requests_total[5m]))";
//! let query = prepare(text, parse(text, &ParseOptions::default())?, &Question::instant(540_000))?;
//! // What must be fetched: five minutes before the time of the query, for `rate`.
//! let [needed] = query.selections() else { unreachable!("one selector") };
//! assert_eq!((needed.range.max, needed.hint.function), (540_000, "rate"));
//!
//! let series = ["a", "b"].map(|pod| InputSeries {
//!     labels: Labels::from_pairs([("__name__", "requests_total"), ("job", "api"), ("pod", pod)]).unwrap(),
//!     data: Box::new(Counter),
//! });
//! let found = Box::new(Found(Vec::from(series).into_iter()));
//! let answer = query.evaluate(vec![found], &Budget::default())?;
//! let Value::Vector(vector) = answer.value else { unreachable!("an instant vector") };
//! assert_eq!(vector[0].labels, Labels::from_pairs([("job", "api")]).unwrap());
//! let Point::Float(rate) = vector[0].point else { unreachable!("no histogram") };
//! assert!((rate - 0.4).abs() < 1e-12, "two counters, 0.2 a second each");
//! # Ok::<(), Error>(())
//! ```
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
