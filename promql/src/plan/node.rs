//! The tree that is evaluated: lengths and times resolved, brackets gone, invariant parts marked, each selector bound to its selection.

use sarsen_block::Matcher;

use crate::ast::{AggregateOp, BinaryOp, Extension, Grouping, Matching, Place, ValueType};
use crate::func::Function;
use crate::func::notes::Places;

/// A node with its place and type.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) kind: NodeKind,
    /// Where it stands in the query.
    pub(crate) place: Place,
    /// What it evaluates to.
    pub(crate) value: ValueType,
}

/// What a node can be.
#[derive(Debug, Clone)]
pub(crate) enum NodeKind {
    /// A number at each step.
    Number(f64),
    /// A text.
    Text(Vec<u8>),
    /// The newest sample of each series.
    Select(Box<Selector>),
    /// A window of samples of each series.
    Window(Box<Selector>),
    /// A window of the results of an expression on a grid of its own.
    Subquery(Box<SubqueryNode>),
    /// A function.
    Call(Box<CallNode>),
    /// Series put into groups.
    Aggregate(Box<AggregateNode>),
    /// An operator between two operands.
    Binary(Box<BinaryNode>),
    /// A sign.
    Unary {
        /// Whether it is a minus.
        negative: bool,
        /// What it stands before.
        node: Box<Node>,
    },
    /// Evaluated once, at the first step, and the same at all steps.
    Invariant(Box<Node>),
}

/// A selector, instant or with a window.
#[derive(Debug, Clone)]
pub(crate) struct Selector {
    /// Which of the selections gives its series.
    pub(crate) selection: usize,
    /// As written.
    pub(crate) matchers: Vec<Matcher>,
    /// How far back.
    pub(crate) offset_ms: i64,
    /// The time that stands for every step.
    pub(crate) at: Option<i64>,
    /// How long the window is; 0 for an instant selector.
    pub(crate) range_ms: i64,
    /// `anchored` or `smoothed`.
    pub(crate) extension: Option<Extension>,
    /// Of histograms nothing but their totals is asked for.
    pub(crate) totals: bool,
    /// Where it stands.
    pub(crate) place: Place,
}

/// A subquery.
#[derive(Debug, Clone)]
pub(crate) struct SubqueryNode {
    /// What is evaluated.
    pub(crate) node: Node,
    /// How long the window is.
    pub(crate) range_ms: i64,
    /// Between two times of its grid.
    pub(crate) step_ms: i64,
    /// How far back.
    pub(crate) offset_ms: i64,
    /// The time that stands for every step.
    pub(crate) at: Option<i64>,
}

/// A call.
#[derive(Debug, Clone)]
pub(crate) struct CallNode {
    /// Of which function.
    pub(crate) function: &'static Function,
    /// Its arguments.
    pub(crate) arguments: Vec<Node>,
    /// Where each argument stands.
    pub(crate) argument_places: Vec<Place>,
    /// The places that notes refer to.
    pub(crate) places: Places,
    /// What `info` joins with.
    pub(crate) info: Option<InfoSource>,
}

/// The info series that `info` reads.
#[derive(Debug, Clone)]
pub(crate) struct InfoSource {
    /// Selector of the info series, at the time at which its first argument selects.
    pub(crate) selector: Selector,
    /// Matchers of `__name__`: what an info series is called.
    pub(crate) names: Vec<Matcher>,
    /// Matchers of the labels that are added; empty: all labels are.
    pub(crate) data: Vec<Matcher>,
}

/// An aggregation.
#[derive(Debug, Clone)]
pub(crate) struct AggregateNode {
    /// What is computed.
    pub(crate) op: AggregateOp,
    /// The first argument of those that take two.
    pub(crate) parameter: Option<Node>,
    /// Over what.
    pub(crate) node: Node,
    /// In which groups; labels are sorted.
    pub(crate) grouping: Grouping,
}

/// An operator with its operands.
#[derive(Debug, Clone)]
pub(crate) struct BinaryNode {
    /// Which.
    pub(crate) op: BinaryOp,
    /// The left operand.
    pub(crate) left: Node,
    /// The right operand.
    pub(crate) right: Node,
    /// Whether a comparison answers 0 or 1.
    pub(crate) return_bool: bool,
    /// Between two vectors.
    pub(crate) matching: Option<Matching>,
}

/// The first time of a subquery's grid: the first multiple of `step_ms` behind `before`.
pub(crate) const fn first_aligned(before: i64, step_ms: i64) -> i64 {
    (before.div_euclid(step_ms) + 1) * step_ms
}
