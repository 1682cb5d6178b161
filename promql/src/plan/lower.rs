//! Makes the tree that is evaluated out of the tree that was written.
//!
//! On the way down go the surroundings of a node: its subqueries, the function and the aggregation round it. On the way up comes
//! whether a node is the same at all steps; the highest such node of a branch is evaluated once only.
//! Two selectors that want the same of a storage share a selection.

use sarsen_block::{METRIC_NAME, MatchOp, Matcher, TimeRange};

use super::Question;
use super::duration::Spans;
use super::identify::identifying;
use super::node::{
    AggregateNode, BinaryNode, CallNode, InfoSource, Node, NodeKind, Selector, SubqueryNode, first_aligned,
};
use super::selection::{Hint, Selection};
use crate::ast::{
    Aggregate, At, Binary, BinaryOp, Call, Expr, ExprKind, Extension, Grouping, Place, Shift, Subquery,
    ValueType, VectorSelector,
};
use crate::func::notes::Places;
use crate::{Error, FunctionId};

/// The tree, and what must be fetched with the number of nodes that read it.
pub(super) fn lower(expr: &Expr, question: &Question) -> Result<(Node, Vec<(Selection, usize)>), Error> {
    let seconds = |ms: i64| ms as f64 / 1000.0;
    let mut lowering = Lowering {
        question,
        spans: Spans { step: seconds(question.step), range: seconds(question.end - question.start) },
        selections: Vec::new(),
    };
    let around = Around {
        start: question.start,
        end: question.end,
        step: question.step,
        grid: (question.start, question.end),
        function: "",
        grouping: None,
        range_behind: 0,
        parameter: false,
        buckets: Buckets::Asked,
    };
    let node = lowering.node(expr, &around)?.wrapped();
    Ok((node, lowering.selections))
}

/// What surrounds a node.
#[derive(Clone)]
struct Around<'a> {
    /// The first and the last time at which selectors without `@` look, before their own offsets and windows...
    start: i64,
    end: i64,
    /// ... and how far back the windows of subqueries round it reach.
    range_behind: i64,
    /// The step of the innermost subquery, or of the query.
    step: i64,
    /// The grid on which the node is evaluated.
    grid: (i64, i64),
    /// The nearest function or aggregation.
    function: &'static str,
    /// The aggregation directly round it.
    grouping: Option<&'a Grouping>,
    /// In the parameter of an aggregation `@` is not resolved: `start()` and `end()` mean nothing there, and a time only shifts.
    parameter: bool,
    /// What of histograms is asked for.
    buckets: Buckets,
}

/// What the surroundings of a selector ask of its histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Buckets {
    /// All that they hold.
    Asked,
    /// Totals, as far as it is known.
    NotAsked,
    /// All that they hold, whatever stands further in.
    Needed,
}

impl Buckets {
    /// What is asked inside of a call.
    const fn within(self, id: FunctionId) -> Self {
        use FunctionId as Id;
        match (self, id) {
            (Self::Needed, _)
            | (_, Id::HistogramQuantile | Id::HistogramQuantiles | Id::HistogramFraction) => Self::Needed,
            (_, Id::HistogramCount | Id::HistogramSum | Id::HistogramAvg) => Self::NotAsked,
            (other, _) => other,
        }
    }
}

/// A lowered node and what its surroundings do with it.
struct Lowered {
    node: Node,
    /// It is the same at all steps.
    invariant: bool,
    /// It is worth evaluating once only.
    wrap: bool,
}

impl Lowered {
    fn wrapped(self) -> Node {
        if self.wrap { invariant(self.node) } else { self.node }
    }
}

fn invariant(node: Node) -> Node {
    Node { place: node.place, value: node.value, kind: NodeKind::Invariant(Box::new(node)) }
}

struct Lowering<'a> {
    question: &'a Question,
    spans: Spans,
    selections: Vec<(Selection, usize)>,
}

impl Lowering<'_> {
    fn node(&mut self, expr: &Expr, around: &Around<'_>) -> Result<Lowered, Error> {
        let (kind, value, invariant, wrap) = match &expr.kind {
            ExprKind::Paren(inner) => return self.node(inner, around),
            ExprKind::Number(number) => (NodeKind::Number(number.value), ValueType::Scalar, true, false),
            ExprKind::String(text) => (NodeKind::Text(text.clone()), ValueType::String, true, false),
            ExprKind::Vector(selector) => {
                let mut selector = self.selector(selector, 0, around)?;
                selector.place = expr.place;
                let fixed = selector.at.is_some() && !around.parameter;
                (NodeKind::Select(Box::new(selector)), ValueType::Vector, fixed, fixed)
            }
            ExprKind::Matrix(matrix) => {
                let range_ms = self.spans.length(&matrix.range, false)?;
                let around = Around { grouping: None, ..around.clone() };
                let selector = self.selector(&matrix.selector, range_ms, &around)?;
                let fixed = selector.at.is_some();
                (NodeKind::Window(Box::new(selector)), ValueType::Matrix, fixed, false)
            }
            ExprKind::Subquery(subquery) => return self.subquery(expr, subquery, around),
            ExprKind::Call(call) => return self.call(expr, call, around),
            ExprKind::Aggregate(aggregate) => return self.aggregate(expr, aggregate, around),
            ExprKind::Binary(binary) => return self.binary(expr, binary, around),
            ExprKind::Unary { negative, expr: inner } => {
                let around = Around { grouping: None, ..around.clone() };
                let inner = self.node(inner, &around)?;
                let value = inner.node.value;
                let kind = NodeKind::Unary { negative: *negative, node: Box::new(inner.node) };
                (kind, value, inner.invariant, inner.wrap)
            }
        };
        Ok(Lowered { node: Node { kind, place: expr.place, value }, invariant, wrap })
    }

    /// The offset and the fixed time of a selector or a subquery.
    fn shift(&self, shift: &Shift, around: &Around<'_>) -> Result<(i64, Option<i64>), Error> {
        let offset = match &shift.offset {
            Some(length) => self.spans.length(length, true)?,
            None => 0,
        };
        let at = match shift.at {
            Some(At::Start | At::End) if around.parameter => None,
            Some(At::Start) => Some(self.question.start),
            Some(At::End) => Some(self.question.end),
            Some(At::Time(at)) => Some(at),
            None => None,
        };
        Ok((offset, at))
    }

    fn selector(
        &mut self,
        selector: &VectorSelector,
        range_ms: i64,
        around: &Around<'_>,
    ) -> Result<Selector, Error> {
        let (offset_ms, at) = self.shift(&selector.shift, around)?;
        let lookback = self.question.lookback_ms;
        let (mut start, mut end) = match at {
            Some(at) => (at, at),
            None => (around.start.saturating_sub(around.range_behind), around.end),
        };
        start = start.saturating_sub(if range_ms == 0 { lookback } else { range_ms }).saturating_add(1);
        if range_ms != 0 && selector.extension.is_some() {
            start = start.saturating_sub(lookback);
        }
        if selector.extension == Some(Extension::Smoothed) {
            end = end.saturating_add(lookback);
        }
        let hint = Hint {
            function: around.function,
            range_ms,
            step_ms: around.step,
            grouping: around.grouping.map(|grouping| grouping.labels.clone()).unwrap_or_default(),
            by: around.grouping.is_some_and(|grouping| !grouping.without),
        };
        let range = TimeRange::new(start.saturating_sub(offset_ms), end.saturating_sub(offset_ms));
        let matchers = selector.matchers.clone();
        let selection = self.select(Selection { matchers: matchers.clone(), range, hint });
        let mut found = Selector {
            selection,
            matchers,
            offset_ms,
            at,
            range_ms,
            extension: selector.extension,
            totals: around.buckets == Buckets::NotAsked,
            place: Place::default(),
        };
        if around.parameter
            && range_ms == 0
            && let Some(at) = found.at.take()
        {
            found.offset_ms = offset_ms.saturating_add(around.grid.0.saturating_sub(at));
            // Its window moves on with the steps.
            let extent = around.grid.1.saturating_sub(around.grid.0);
            if let Some((selection, _)) = self.selections.get_mut(selection) {
                let range = selection.range;
                selection.range = TimeRange::new(range.min, range.max.saturating_add(extent));
            }
        }
        Ok(found)
    }

    /// The number of the selection, shared with one that is the same.
    fn select(&mut self, selection: Selection) -> usize {
        let same = |(other, _): &(Selection, usize)| {
            other.range == selection.range
                && other.hint == selection.hint
                && same_matchers(&other.matchers, &selection.matchers)
        };
        let at = self.selections.iter().position(same).unwrap_or_else(|| {
            self.selections.push((selection, 0));
            self.selections.len() - 1
        });
        if let Some((_, uses)) = self.selections.get_mut(at) {
            *uses += 1;
        }
        at
    }

    fn subquery(&mut self, expr: &Expr, subquery: &Subquery, around: &Around<'_>) -> Result<Lowered, Error> {
        let (offset_ms, at) = self.shift(&subquery.shift, around)?;
        let range_ms = self.spans.length(&subquery.range, false)?;
        let step_ms = match &subquery.step {
            Some(length) => self.spans.length(length, false)?,
            None => self.question.subquery_step_ms,
        };
        if step_ms <= 0 {
            return Err(Error::Execution("the step of a subquery is shorter than a millisecond".into()));
        }
        let (start, end, range_behind) = match at {
            Some(at) => (at, at, range_ms),
            None => (around.start, around.end, around.range_behind.saturating_add(range_ms)),
        };
        let (first, last) = match at {
            Some(at) => (at, at),
            None => around.grid,
        };
        let before = first.saturating_sub(offset_ms).saturating_sub(range_ms);
        let inner = Around {
            start: start.saturating_sub(offset_ms),
            end: end.saturating_sub(offset_ms),
            range_behind,
            step: step_ms,
            grid: (first_aligned(before, step_ms), last.saturating_sub(offset_ms)),
            grouping: None,
            // Whether counters began anew between results is found out by their buckets.
            buckets: Buckets::Needed,
            ..around.clone()
        };
        let inner = self.node(&subquery.expr, &inner)?;
        let node = if inner.invariant { invariant(inner.node) } else { inner.node };
        let kind = NodeKind::Subquery(Box::new(SubqueryNode { node, range_ms, step_ms, offset_ms, at }));
        let node = Node { kind, place: expr.place, value: ValueType::Matrix };
        Ok(Lowered { node, invariant: at.is_some(), wrap: false })
    }

    fn call(&mut self, expr: &Expr, call: &Call, around: &Around<'_>) -> Result<Lowered, Error> {
        if let Some(value) = self.context_function(call.function.id) {
            let node = Node { kind: NodeKind::Number(value), place: expr.place, value: ValueType::Scalar };
            return Ok(Lowered { node, invariant: true, wrap: false });
        }
        let buckets = around.buckets.within(call.function.id);
        let inner = Around { function: call.function.name, grouping: None, buckets, ..around.clone() };
        let is_info = call.function.id == FunctionId::Info;
        let info = if is_info { Some(self.info(call, around)?) } else { None };
        // The second argument of `info` is no selector that is evaluated.
        let written = if is_info { call.arguments.get(..1).unwrap_or_default() } else { &call.arguments };
        let arguments =
            written.iter().map(|argument| self.node(argument, &inner)).collect::<Result<Vec<_>, _>>()?;
        let all_invariant = arguments.iter().all(|argument| argument.invariant);
        let of_selectors = arguments.iter().all(|argument| matches!(argument.node.kind, NodeKind::Select(_)));
        let stays = if call.function.id == FunctionId::Timestamp {
            of_selectors && all_invariant
        } else {
            !depends_on_time(call.function.id) && all_invariant
        };
        let nodes: Vec<_> = arguments
            .into_iter()
            .map(|argument| if stays { argument.node } else { argument.wrapped() })
            .collect();
        let kind = NodeKind::Call(Box::new(CallNode {
            function: call.function,
            arguments: nodes,
            argument_places: written.iter().map(bare_place).collect(),
            places: Places::of(call, expr.place),
            info,
        }));
        let node = Node { kind, place: expr.place, value: call.function.returns };
        Ok(Lowered { node, invariant: stays, wrap: stays })
    }

    /// Functions that are numbers once the question is known.
    fn context_function(&self, id: FunctionId) -> Option<f64> {
        let Question { start, end, step, .. } = *self.question;
        match id {
            FunctionId::Start => Some(start as f64 / 1000.0),
            FunctionId::End => Some(end as f64 / 1000.0),
            FunctionId::Range => Some(self.spans.range),
            FunctionId::Step => Some(if start == end { 0.0 } else { step as f64 / 1000.0 }),
            _ => None,
        }
    }

    fn aggregate(
        &mut self,
        expr: &Expr,
        aggregate: &Aggregate,
        around: &Around<'_>,
    ) -> Result<Lowered, Error> {
        let function = aggregate.op.name();
        let direct = Around { function, grouping: Some(&aggregate.grouping), ..around.clone() };
        let parameter = match &aggregate.parameter {
            Some(parameter) => {
                let around = Around { parameter: true, ..direct.clone() };
                Some(self.node(parameter, &around)?.node)
            }
            None => None,
        };
        let inner = self.node(&aggregate.expr, &direct)?;
        let mut grouping = aggregate.grouping.clone();
        grouping.labels.sort();
        let kind = NodeKind::Aggregate(Box::new(AggregateNode {
            op: aggregate.op,
            parameter,
            node: inner.node,
            grouping,
        }));
        let node = Node { kind, place: expr.place, value: ValueType::Vector };
        Ok(Lowered { node, invariant: inner.invariant, wrap: inner.wrap })
    }

    fn binary(&mut self, expr: &Expr, binary: &Binary, around: &Around<'_>) -> Result<Lowered, Error> {
        let trims = matches!(binary.op, BinaryOp::TrimLower | BinaryOp::TrimUpper);
        let buckets = if trims { Buckets::Needed } else { around.buckets };
        let around = Around { function: "", grouping: None, buckets, ..around.clone() };
        let left = self.node(&binary.left, &around)?;
        let right = self.node(&binary.right, &around)?;
        let stays = left.invariant && right.invariant;
        let value = match (left.node.value, right.node.value) {
            (ValueType::Scalar, ValueType::Scalar) => ValueType::Scalar,
            _ => ValueType::Vector,
        };
        let (left, right) = if stays { (left.node, right.node) } else { (left.wrapped(), right.wrapped()) };
        let kind = NodeKind::Binary(Box::new(BinaryNode {
            op: binary.op,
            left,
            right,
            return_bool: binary.return_bool,
            matching: binary.matching.clone(),
        }));
        Ok(Lowered { node: Node { kind, place: expr.place, value }, invariant: stays, wrap: stays })
    }

    /// The info series that go with a call of `info`.
    fn info(&mut self, call: &Call, around: &Around<'_>) -> Result<InfoSource, Error> {
        let (at, offset_ms) = match call.arguments.first() {
            Some(argument) => self.first_selector(argument, around)?.unwrap_or((None, 0)),
            None => (None, 0),
        };
        let written = match call.arguments.get(1).map(|argument| &argument.kind) {
            Some(ExprKind::Vector(selector)) => selector.matchers.as_slice(),
            _ => &[],
        };
        let (mut names, data): (Vec<_>, Vec<_>) =
            written.iter().cloned().partition(|matcher| matcher.name() == METRIC_NAME);
        if names.is_empty() {
            names.push(Matcher::equal(METRIC_NAME, "target_info"));
        } else if names.iter().all(|matcher| matcher.op().is_negative()) {
            let any = Matcher::new(MatchOp::Regex, METRIC_NAME, ".+_info")
                .map_err(|error| Error::Execution(error.to_string()))?;
            names.insert(0, any);
        }
        let (start, end) = at.map_or(around.grid, |at| (at, at));
        let start = start.saturating_sub(self.question.lookback_ms).saturating_add(1);
        let range = TimeRange::new(start.saturating_sub(offset_ms), end.saturating_sub(offset_ms));
        let mut matchers: Vec<_> = data.iter().chain(&names).cloned().collect();
        matchers.extend(call.arguments.first().map(identifying).unwrap_or_default());
        let hint = Hint { function: "info", step_ms: around.step, ..Hint::default() };
        let selection = self.select(Selection { matchers: matchers.clone(), range, hint });
        let selector = Selector {
            selection,
            matchers,
            offset_ms,
            at,
            range_ms: 0,
            extension: None,
            totals: false,
            place: Place::default(),
        };
        Ok(InfoSource { selector, names, data })
    }

    /// The fixed time and the offset of the first selector, those of subqueries round it added up until a time holds them fast.
    fn first_selector(&self, expr: &Expr, around: &Around<'_>) -> Result<Option<(Option<i64>, i64)>, Error> {
        let of = |shift: &Shift| self.shift(shift, around).map(|(offset, at)| Some((at, offset)));
        match &expr.kind {
            ExprKind::Number(_) | ExprKind::String(_) => Ok(None),
            ExprKind::Vector(selector) => of(&selector.shift),
            ExprKind::Matrix(matrix) => of(&matrix.selector.shift),
            ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => self.first_selector(expr, around),
            ExprKind::Aggregate(aggregate) => self.first_selector(&aggregate.expr, around),
            ExprKind::Binary(binary) => match self.first_selector(&binary.left, around)? {
                None => self.first_selector(&binary.right, around),
                found => Ok(found),
            },
            ExprKind::Call(call) => {
                for argument in &call.arguments {
                    if let Some(found) = self.first_selector(argument, around)? {
                        return Ok(Some(found));
                    }
                }
                Ok(None)
            }
            ExprKind::Subquery(subquery) => {
                let (offset, at) = self.shift(&subquery.shift, around)?;
                Ok(self.first_selector(&subquery.expr, around)?.map(|found| match found {
                    (None, inner) => (at, inner.saturating_add(offset)),
                    fixed => fixed,
                }))
            }
        }
    }
}

/// Where an argument stands; parentheses round it do not count.
fn bare_place(expr: &Expr) -> Place {
    match &expr.kind {
        ExprKind::Paren(inner) => bare_place(inner),
        _ => expr.place,
    }
}

fn same_matchers(a: &[Matcher], b: &[Matcher]) -> bool {
    a.len() == b.len()
        && a.iter().zip(b).all(|(a, b)| (a.op(), a.name(), a.value()) == (b.op(), b.name(), b.value()))
}

/// Functions whose result changes with the step although their arguments do not.
const fn depends_on_time(id: FunctionId) -> bool {
    use FunctionId as Id;
    matches!(
        id,
        Id::DaysInMonth
            | Id::DayOfMonth
            | Id::DayOfWeek
            | Id::DayOfYear
            | Id::Hour
            | Id::Minute
            | Id::Month
            | Id::Year
            | Id::PredictLinear
            | Id::Time
            | Id::Timestamp
            | Id::Start
            | Id::End
            | Id::Range
            | Id::Step
    )
}
