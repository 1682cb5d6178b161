//! Tree to needs: what is constant, what is per step, and what must be fetched.
//!
//! `duration` works out lengths, `identify` narrows what `info` fetches, `lower` makes the tree that is evaluated (`node`) and gathers the `selection`s.

mod duration;
mod identify;
mod lower;
mod node;
mod selection;

use crate::ast::{Expr, ValueType};
use crate::{Error, Function, FunctionId};

pub(crate) use node::{
    AggregateNode, BinaryNode, CallNode, Node, NodeKind, Selector, SubqueryNode, first_aligned,
};
pub use selection::{Hint, Selection};

/// What differs between engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EvalOptions {
    /// Names go at the end of a query instead of in each function.
    pub delayed_name_removal: bool,
    /// Functions over counters make use of start timestamps.
    pub start_timestamps: bool,
    /// The type of a metric is known from its label `__type__`.
    pub type_and_unit_labels: bool,
}

/// When, and how a query is to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// The first time, in milliseconds.
    pub start: i64,
    /// No time is later; the same as `start` in an instant query.
    pub end: i64,
    /// Between two times, in milliseconds; 0: an instant query.
    pub step: i64,
    /// How old a sample may be to be seen at a time, in milliseconds.
    pub lookback_ms: i64,
    /// The step of subqueries that name none, in milliseconds.
    pub subquery_step_ms: i64,
    /// What differs between engines.
    pub options: EvalOptions,
}

impl Question {
    /// An instant query with the defaults of a server: five minutes back, subqueries every minute.
    pub fn instant(at: i64) -> Self {
        Self {
            start: at,
            end: at,
            step: 0,
            lookback_ms: 300_000,
            subquery_step_ms: 60_000,
            options: EvalOptions::default(),
        }
    }

    /// A range query with the same defaults.
    pub fn range(start: i64, end: i64, step: i64) -> Self {
        Self { end, step, ..Self::instant(start) }
    }
}

/// A query that is ready for its data.
#[derive(Debug)]
pub struct Prepared {
    pub(crate) text: Box<str>,
    pub(crate) root: Node,
    pub(crate) question: Question,
    selections: Vec<Selection>,
    /// How many nodes read each selection.
    pub(crate) uses: Vec<usize>,
}

impl Prepared {
    /// What must be fetched; the series that are found are handed to [`evaluate`](Self::evaluate) in this order.
    pub fn selections(&self) -> &[Selection] {
        &self.selections
    }

    /// The text of the query, which places in annotations refer to.
    pub const fn text(&self) -> &str {
        &self.text
    }

    /// What the query evaluates to; range queries answer a matrix whatever this says.
    pub const fn value_type(&self) -> ValueType {
        self.root.value
    }

    /// Whether the query sorts its answer, so that the order of an instant vector means something.
    pub fn is_ordered(&self) -> bool {
        fn ordered(function: &Function) -> bool {
            use FunctionId::{Sort, SortByLabel, SortByLabelDesc, SortDesc};
            matches!(function.id, Sort | SortDesc | SortByLabel | SortByLabelDesc)
        }
        matches!(&self.root.kind, NodeKind::Call(call) if ordered(call.function))
    }
}

/// Makes a query ready: lengths are worked out, `@`, `start()` and their like resolved, and what must be fetched is known.
///
/// # Errors
/// [`Error::Execution`] if a duration comes out wrong, or the query is of a type that has no answer over a range.
pub fn prepare(text: &str, expr: Expr, question: &Question) -> Result<Prepared, Error> {
    let (root, wanted) = lower::lower(&expr, question)?;
    if question.step != 0 && !matches!(root.value, ValueType::Vector | ValueType::Scalar) {
        return Err(Error::Execution(format!(
            "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
            root.value.described()
        )));
    }
    if question.step < 0 || question.lookback_ms < 0 || question.subquery_step_ms <= 0 {
        return Err(Error::Execution("steps and look-back must not be negative".into()));
    }
    let (selections, uses) = wanted.into_iter().unzip();
    Ok(Prepared { text: text.into(), root, question: *question, selections, uses })
}
