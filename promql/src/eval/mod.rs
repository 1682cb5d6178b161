//! Operators over whole series: each node is evaluated for all steps before its parent.
//!
//! `column` is what a node evaluates to, `evaluator` goes down the tree. Series that do not look at each other flow in batches through a
//! `pipeline` (from a `source`, through a kernel of `series` and `stage`s), on several threads; everything else is done by one.
//! Aggregations (`fold`, `aggregate`, `choose`, `count_values`) and operators between vectors (`binary`) look at several series. `meter` counts
//! samples, `answer` makes the answer of columns.

mod aggregate;
mod answer;
mod binary;
mod bits;
mod call;
mod calls;
mod choose;
mod column;
mod count_values;
mod evaluator;
mod extended;
mod fold;
mod group;
mod heap;
mod info;
mod merge;
mod meter;
mod names;
mod operator;
mod pipeline;
mod series;
mod source;
mod stage;
mod window;

pub use answer::Answer;
pub(crate) use call::{VectorCall, VectorFunction};
pub(crate) use column::{Column, ColumnBuilder, Grid};
pub use meter::Stats;
pub(crate) use names::{filtered, with, without_name};
pub(crate) use window::{Bounds, Window};
