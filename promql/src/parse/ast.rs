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

impl Place {
    /// Where it starts in `text`: the line and the byte in the line, both from 1, as messages tell it.
    pub fn line_and_column(self, text: &str) -> (u32, u32) {
        let start = usize::try_from(self.start).unwrap_or(usize::MAX).min(text.len());
        let before = text.as_bytes().get(..start).unwrap_or_default();
        let breaks = before.iter().filter(|byte| **byte == b'\n').count();
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let counted = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        (counted(breaks + 1), counted(start - line_start + 1))
    }
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

impl Expr {
    /// What it evaluates to. The type of an operator is that of its operands, so this may look at the whole tree.
    pub fn value_type(&self) -> ValueType {
        match &self.kind {
            ExprKind::Number(_) => ValueType::Scalar,
            ExprKind::String(_) => ValueType::String,
            ExprKind::Vector(_) | ExprKind::Aggregate(_) => ValueType::Vector,
            ExprKind::Matrix(_) | ExprKind::Subquery(_) => ValueType::Matrix,
            ExprKind::Call(call) => call.function.returns,
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => expr.value_type(),
            ExprKind::Binary(binary) => {
                let scalars =
                    [&binary.left, &binary.right].map(|side| side.value_type() == ValueType::Scalar);
                if scalars == [true, true] { ValueType::Scalar } else { ValueType::Vector }
            }
        }
    }
}

impl Expr {
    /// The matchers of every selector, in the order in which they stand in the text but for the parameters of aggregations, which come last,
    /// as in Prometheus.
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        let mut found = Vec::new();
        let mut left = vec![self];
        while let Some(expr) = left.pop() {
            match &expr.kind {
                ExprKind::Number(_) | ExprKind::String(_) => {}
                ExprKind::Vector(selector) => found.push(&selector.matchers[..]),
                ExprKind::Matrix(matrix) => found.push(&matrix.selector.matchers[..]),
                ExprKind::Subquery(subquery) => left.push(&subquery.expr),
                ExprKind::Call(call) => left.extend(call.arguments.iter().rev()),
                ExprKind::Aggregate(aggregate) => {
                    left.extend(&aggregate.parameter);
                    left.push(&aggregate.expr);
                }
                ExprKind::Binary(binary) => left.extend([&binary.right, &binary.left]),
                ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => left.push(expr),
            }
        }
        found
    }
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

impl ArithmeticOp {
    /// As written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
        }
    }
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

impl Extension {
    /// As written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anchored => "anchored",
            Self::Smoothed => "smoothed",
        }
    }
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

impl AggregateOp {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Sum,
        Self::Avg,
        Self::Min,
        Self::Max,
        Self::Count,
        Self::Group,
        Self::Stddev,
        Self::Stdvar,
        Self::Topk,
        Self::Bottomk,
        Self::Limitk,
        Self::LimitRatio,
        Self::Quantile,
        Self::CountValues,
    ];

    /// As written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Group => "group",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Topk => "topk",
            Self::Bottomk => "bottomk",
            Self::Limitk => "limitk",
            Self::LimitRatio => "limit_ratio",
            Self::Quantile => "quantile",
            Self::CountValues => "count_values",
        }
    }

    /// Whether it takes an argument before the expression.
    pub const fn takes_parameter(self) -> bool {
        matches!(
            self,
            Self::Topk | Self::Bottomk | Self::Limitk | Self::LimitRatio | Self::Quantile | Self::CountValues
        )
    }
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

impl BinaryOp {
    /// As written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Arithmetic(op) => op.name(),
            Self::Compare(op) => op.name(),
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::Set(op) => op.name(),
        }
    }
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

impl CompareOp {
    /// As written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::Less => "<",
            Self::GreaterOrEqual => ">=",
            Self::LessOrEqual => "<=",
        }
    }
}

/// Operators between sets of series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its word")]
pub enum SetOp {
    And,
    Or,
    Unless,
}

impl SetOp {
    /// As written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }
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

impl Cardinality {
    /// As the JSON of trees calls it: `one-to-one`, `many-to-one`, `one-to-many`, `many-to-many`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneToOne => "one-to-one",
            Self::ManyToOne => "many-to-one",
            Self::OneToMany => "one-to-many",
            Self::ManyToMany => "many-to-many",
        }
    }
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
