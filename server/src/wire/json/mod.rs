//! JSON as Prometheus' HTTP API writes it: answers of queries, series, trees of expressions.
//!
//! Values are texts with the least digits that read back the same; times are seconds with three digits behind the point or none. Everything goes
//! piece by piece into a [`Write`](std::io::Write), so that a large answer is never one text. What is not UTF-8 is shown with replacement characters.

mod histogram;
mod number;
mod text;
mod tree;
mod value;

pub(crate) use number::{float, plain, seconds};
pub(crate) use text::{labels, string};
pub(crate) use tree::tree;
pub(crate) use value::value;
