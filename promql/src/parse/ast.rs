//! The tree of an expression; every node knows where it stands in the text.
//!
//! Names and values of labels are bytes, as stored ones are. Durations may be expressions of their own (`[5m * 2]`); they are told apart
//! from plain ones because they are worked out only when step and range of the query are known.

use sarsen_block::Matcher;

use crate::func::Function;

/// Where a piece of text stands: bytes `start..end` of the query, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub struct Place {
    /// The first byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

/// What an expression evaluates to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueType {
    /// A number at each step.
    Scalar,
    /// A set of series with one sample each at each step.
    Vector,
    /// A set of series with a window of samples at each step.
    Matrix,
    /// A text.
    String,
}

impl ValueType {
    /// As messages call it: `instant vector`, `range vector`, `scalar`, `string`.
    pub const fn described(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "instant vector",
            Self::Matrix => "range vector",
            Self::String => "string",
        }
    }

    /// As the JSON of trees and answers calls it: `vector`, `matrix`, `scalar`, `string`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Vector => "vector",
            Self::Matrix => "matrix",
            Self::String => "string",
        }
    }
}

/// A node with its place.
#[derive(Debug, Clone)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Where it stands.
    pub place: Place,
}

/// What a node can be.
#[derive(Debug, Clone)]
pub enum ExprKind {
    /// A number, or a duration used as one (in seconds).
    Number(Number),
    /// A text in quotes; bytes, because escapes may make any.
    String(Vec<u8>),
    /// `name{matchers} offset 5m @ 0`.
    Vector(Box<VectorSelector>),
    /// `name{matchers}[5m]`.
    Matrix(Box<MatrixSelector>),
    /// `expr[1h:5m]`.
    Subquery(Box<Subquery>),
    /// `function(arguments)`.
    Call(Box<Call>),
    /// `sum by (job) (expr)`.
    Aggregate(Box<Aggregate>),
    /// `left + on (job) right`.
    Binary(Box<Binary>),
    /// `-expr`, `+expr`.
    Unary {
        /// Whether the sign is a minus.
        negative: bool,
        /// What it stands before.
        expr: Box<Expr>,
    },
    /// `(expr)`.
    Paren(Box<Expr>),
}

/// A number as written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    /// Its value; seconds if it was written as a duration.
    pub value: f64,
    /// Whether it was written as a duration (`5m`).
    pub duration: bool,
}

/// How a length of time is written.
#[derive(Debug, Clone)]
pub enum Length {
    /// In milliseconds; may be negative in offsets.
    Plain(i64),
    /// An expression of durations, worked out when the query's step and range are known.
    Expression(Box<DurationExpr>),
}

/// An expression of durations, in seconds.
#[derive(Debug, Clone)]
pub struct DurationExpr {
    /// What it is.
    pub kind: DurationKind,
    /// Where it stands.
    pub place: Place,
}

/// What a duration expression can be.
#[derive(Debug, Clone)]
pub enum DurationKind {
    /// A number of seconds or a duration.
    Number(Number),
    /// `step()`.
    Step,
    /// `range()`.
    Range,
    /// `min_of(a, b)`.
    Min(Box<DurationExpr>, Box<DurationExpr>),
    /// `max_of(a, b)`.
    Max(Box<DurationExpr>, Box<DurationExpr>),
    /// `-a`, `+a`.
    Unary {
        /// Whether the sign is a minus.
        negative: bool,
        /// What it stands before.
        expr: Box<DurationExpr>,
    },
    /// `a + b`; one of `+ - * / % ^`.
    Binary(ArithmeticOp, Box<DurationExpr>, Box<DurationExpr>),
    /// `(a)`.
    Paren(Box<DurationExpr>),
}

/// Operators of arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its sign")]
pub enum ArithmeticOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
}

/// `@ ...`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// A time in milliseconds.
    Time(i64),
    /// `@ start()`: of the whole query.
    Start,
    /// `@ end()`: of the whole query.
    End,
}

/// `offset` and `@` behind a selector or a subquery.
#[derive(Debug, Clone, Default)]
pub struct Shift {
    /// How far back; `None` if not written.
    pub offset: Option<Length>,
    /// Where time is held fast.
    pub at: Option<At>,
}

/// What stands behind a selector and changes how its window is filled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Extension {
    /// `anchored`.
    Anchored,
    /// `smoothed`.
    Smoothed,
}

/// Which series, and at which time.
#[derive(Debug, Clone)]
pub struct VectorSelector {
    /// The name before the braces, if there is one; also a matcher of `matchers`.
    pub name: Option<Vec<u8>>,
    /// All of them must hold, in the order in which they are written; that of the name last, as Prometheus has it.
    pub matchers: Vec<Matcher>,
    /// `offset` and `@`.
    pub shift: Shift,
    /// `anchored` or `smoothed`.
    pub extension: Option<Extension>,
}

/// A window of samples of each series.
#[derive(Debug, Clone)]
pub struct MatrixSelector {
    /// Which series; the modifiers behind the window are kept here.
    pub selector: VectorSelector,
    /// Where the selector itself stands, without window and modifiers behind it.
    pub selector_place: Place,
    /// How long the window is; more than 0.
    pub range: Length,
}

/// An expression evaluated on a grid of its own.
#[derive(Debug, Clone)]
pub struct Subquery {
    /// What is evaluated.
    pub expr: Expr,
    /// How long the window is; more than 0.
    pub range: Length,
    /// The grid's step; `None`: the default of the engine.
    pub step: Option<Length>,
    /// `offset` and `@`.
    pub shift: Shift,
}

/// A call of a function.
#[derive(Debug, Clone)]
pub struct Call {
    /// Which.
    pub function: &'static Function,
    /// Its arguments, checked in number and type.
    pub arguments: Vec<Expr>,
    /// Where the list of arguments stands, without the parentheses.
    pub arguments_place: Place,
}

/// What an aggregation computes for a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its word")]
pub enum AggregateOp {
    Sum,
    Avg,
    Min,
    Max,
    Count,
    Group,
    Stddev,
    Stdvar,
    Topk,
    Bottomk,
    Limitk,
    LimitRatio,
    Quantile,
    CountValues,
}

/// How series are put into groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grouping {
    /// `without (...)`: by all labels but these.
    pub without: bool,
    /// Names, in the order in which they are written. Empty without `without`: one group.
    pub labels: Vec<Vec<u8>>,
}

/// An aggregation over the series of a vector.
#[derive(Debug, Clone)]
pub struct Aggregate {
    /// What is computed.
    pub op: AggregateOp,
    /// The first argument of those that take two.
    pub parameter: Option<Expr>,
    /// Over what.
    pub expr: Expr,
    /// In which groups.
    pub grouping: Grouping,
}

/// Operators between two operands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+ - * / % ^ atan2`.
    Arithmetic(ArithmeticOp),
    /// `== != > < >= <=`.
    Compare(CompareOp),
    /// `</` keeps what is below, `>/` what is above: parts of histograms.
    TrimUpper,
    /// `>/`.
    TrimLower,
    /// `and`, `or`, `unless`.
    Set(SetOp),
}

/// Comparisons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its sign")]
pub enum CompareOp {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
}

/// Operators between sets of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its word")]
pub enum SetOp {
    And,
    Or,
    Unless,
}

/// How many series of one side go with one of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Cardinality {
    /// Each with one.
    #[default]
    OneToOne,
    /// `group_left`.
    ManyToOne,
    /// `group_right`.
    OneToMany,
    /// Set operators.
    ManyToMany,
}

/// How series of two vectors find each other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Matching {
    /// How many with how many.
    pub cardinality: Cardinality,
    /// `on (...)`: by these labels; else by all but these (`ignoring`).
    pub on: bool,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<Vec<u8>>,
    /// The labels of `group_left` or `group_right`.
    pub include: Vec<Vec<u8>>,
    /// `fill` or `fill_left`.
    pub fill_left: Option<f64>,
    /// `fill` or `fill_right`.
    pub fill_right: Option<f64>,
}

/// An operator with its operands.
#[derive(Debug, Clone)]
pub struct Binary {
    /// Which.
    pub op: BinaryOp,
    /// The left operand.
    pub left: Expr,
    /// The right operand.
    pub right: Expr,
    /// `bool` behind a comparison.
    pub return_bool: bool,
    /// Between two vectors; `None` if an operand is a scalar.
    pub matching: Option<Matching>,
}
