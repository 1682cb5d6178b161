//! Words to tree: expressions, operators, calls and aggregations.
//!
//! A fault of syntax tells what is being read: the innermost of the [`Context`]s that are open. Prometheus' generated parser finds the
//! same one by dropping its stack down to a state that knows what to do with an error.

use sarsen_block::parse_duration;

use super::ParseOptions;
use super::ast::{
    Aggregate, AggregateOp, ArithmeticOp, Binary, BinaryOp, Call, Expr, ExprKind, Grouping, Number, Place,
    SetOp,
};
use super::lex::{Fault, Lexer};
use super::literal;
use super::token::{Keyword, Kind, Token, quoted};
use crate::func::{Function, FunctionId};

/// What is being read, and what may stand next in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Context {
    None,
    Aggregation,
    GroupingList,
    GroupingLabel,
    GroupingNext,
    Matcher,
    MatchOperator,
    MatchValue,
    MatchNext,
    Offset,
    At,
    Bracket,
    RangeEnd,
    SubqueryStep,
    SubqueryEnd,
}

impl Context {
    fn describe(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Aggregation => " in aggregation",
            Self::GroupingList => " in grouping opts, expected \"(\"",
            Self::GroupingLabel => " in grouping opts, expected label",
            Self::GroupingNext => " in grouping opts, expected \",\" or \")\"",
            Self::Matcher => " in label matching, expected identifier or \"}\"",
            Self::MatchOperator => " in label matching, expected label matching operator",
            Self::MatchValue => " in label matching, expected string",
            Self::MatchNext => " in label matching, expected \",\" or \"}\"",
            Self::Offset => " in offset, expected number, duration, step(), or range()",
            Self::At => " in @, expected timestamp",
            Self::Bracket => " in subquery or range selector, expected number, duration, step(), or range()",
            Self::RangeEnd => " in subquery or range, expected \":\" or \"]\"",
            Self::SubqueryStep => {
                " in subquery selector, expected number, duration, step(), range(), or \"]\""
            }
            Self::SubqueryEnd => " in subquery selector, expected \"]\"",
        }
    }
}

/// A node and how many stand above each other in it.
#[derive(Debug)]
pub(super) struct Grown<T> {
    pub(super) node: T,
    pub(super) height: u32,
}

pub(super) type Tree = Grown<Expr>;

pub(super) struct Parser<'a> {
    pub(super) text: &'a str,
    pub(super) options: ParseOptions,
    pub(super) context: Context,
    lexer: Lexer<'a>,
    ahead: Option<Token<'a>>,
    /// Behind the last word read that may end an expression.
    closing: u32,
    depth: u32,
}

pub(super) fn fault<T>(place: Place, message: impl Into<String>) -> Result<T, Fault> {
    Err(Fault { message: message.into(), place })
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str, options: ParseOptions) -> Self {
        let lexer = Lexer::new(text);
        Self { text, options, context: Context::None, lexer, ahead: None, closing: 0, depth: 0 }
    }

    /// The next word, which stays where it is.
    pub(super) fn peek(&mut self) -> Result<Token<'a>, Fault> {
        if let Some(token) = self.ahead {
            return Ok(token);
        }
        let token = self.lexer.next()?;
        let closes = matches!(
            token.kind,
            Kind::RightBrace | Kind::RightParen | Kind::RightBracket | Kind::Duration | Kind::Number
        );
        if closes {
            self.closing = token.place.end;
        }
        self.ahead = Some(token);
        Ok(token)
    }

    /// Takes the next word.
    pub(super) fn take(&mut self) -> Result<Token<'a>, Fault> {
        let token = self.peek()?;
        self.ahead = None;
        Ok(token)
    }

    /// Takes the next word if it is `kind`.
    pub(super) fn take_if(&mut self, kind: Kind) -> Result<Option<Token<'a>>, Fault> {
        if self.peek()?.kind == kind { self.take().map(Some) } else { Ok(None) }
    }

    /// Takes the next word, which must be `kind`.
    pub(super) fn expect(&mut self, kind: Kind) -> Result<Token<'a>, Fault> {
        match self.take_if(kind)? {
            Some(token) => Ok(token),
            None => self.unexpected(),
        }
    }

    /// The fault that the next word may not stand here.
    pub(super) fn unexpected<T>(&mut self) -> Result<T, Fault> {
        let token = self.peek()?;
        fault(token.place, format!("unexpected {}{}", token.described(), self.context.describe()))
    }

    /// Reads something while faults are told as of `context`.
    pub(super) fn within<T>(
        &mut self,
        context: Context,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let outer = std::mem::replace(&mut self.context, context);
        let result = read(self);
        self.context = outer;
        result
    }

    /// Reads something one level further in.
    pub(super) fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let place = self.peek()?.place;
        self.depth += 1;
        let result = if self.depth > super::MAX_OPEN { too_deep(place, super::MAX_OPEN) } else { read(self) };
        self.depth -= 1;
        result
    }

    /// Behind the last word read that may end an expression.
    pub(super) fn closing(&self) -> u32 {
        self.closing
    }

    pub(super) fn whole(&mut self) -> Result<Expr, Fault> {
        if self.peek()?.kind == Kind::End {
            return fault(Place::default(), "no expression found in input");
        }
        let tree = self.expression(0)?;
        self.expect(Kind::End)?;
        Ok(tree.node)
    }

    /// An expression of operators that bind at least as tightly as `floor`.
    fn expression(&mut self, floor: u8) -> Result<Tree, Fault> {
        let mut left = self.operand()?;
        while let Kind::Operator(op) = self.peek()?.kind {
            let precedence = op.precedence();
            if precedence < floor {
                break;
            }
            self.take()?;
            let (return_bool, matching) = self.operator_modifiers(op)?;
            let floor = if op.is_right_associative() { precedence } else { precedence + 1 };
            let right = self.nested(|parser| parser.expression(floor))?;
            let place = Place { start: left.node.place.start, end: right.node.place.end };
            let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
            if fills && !self.options.fill_modifiers {
                return fault(place, "binop fill modifiers are experimental and not enabled");
            }
            let height = left.height.max(right.height);
            let binary =
                Binary { op, left: left.node, right: right.node, return_bool, matching: Some(matching) };
            left = grown(ExprKind::Binary(Box::new(binary)), place, height)?;
        }
        Ok(left)
    }

    /// Signs, what they stand before, and what stands behind it.
    fn operand(&mut self) -> Result<Tree, Fault> {
        let token = self.peek()?;
        let negative = match sign(token.kind) {
            Some(negative) => negative,
            None => return self.modified(),
        };
        self.take()?;
        let mut inner = self.nested(|parser| parser.expression(ArithmeticOp::Pow.precedence()))?;
        if let ExprKind::Number(number) = &mut inner.node.kind {
            if negative {
                number.value = -number.value;
            }
            inner.node.place.start = token.place.start;
            return Ok(inner);
        }
        let place = Place { start: token.place.start, end: inner.node.place.end };
        grown(ExprKind::Unary { negative, expr: Box::new(inner.node) }, place, inner.height)
    }

    /// What stands alone: a literal, a selector, a call, an aggregation, an expression in parentheses.
    pub(super) fn primary(&mut self) -> Result<Tree, Fault> {
        let token = self.peek()?;
        match token.kind {
            Kind::Number | Kind::Duration => {
                let number = self.number()?;
                grown(ExprKind::Number(number), token.place, 0)
            }
            Kind::Text => {
                self.take()?;
                grown(ExprKind::String(literal::unquoted(token.text)), token.place, 0)
            }
            Kind::LeftParen => {
                self.take()?;
                let inner = self.nested(|parser| parser.expression(0))?;
                let end = self.expect(Kind::RightParen)?.place.end;
                let place = Place { start: token.place.start, end };
                grown(ExprKind::Paren(Box::new(inner.node)), place, inner.height)
            }
            Kind::LeftBrace => self.selector(None),
            Kind::Name | Kind::Time(_) => {
                self.take()?;
                if self.peek()?.kind == Kind::LeftParen {
                    self.call(token)
                } else {
                    self.selector(Some(token))
                }
            }
            Kind::Aggregate(op) => {
                self.take()?;
                let next = self.peek()?.kind;
                if next == Kind::LeftParen || groups(next).is_some() {
                    self.within(Context::Aggregation, |parser| parser.aggregate(op, token))
                } else {
                    self.selector(Some(token))
                }
            }
            kind if may_name_metric(kind) => {
                self.take()?;
                self.selector(Some(token))
            }
            _ => self.unexpected(),
        }
    }

    /// A number, or a duration as one.
    pub(super) fn number(&mut self) -> Result<Number, Fault> {
        let token = self.take()?;
        match token.kind {
            Kind::Number => match literal::number(token.text) {
                Ok(value) => Ok(Number { value, duration: false }),
                Err(why) => fault(token.place, format!("error parsing number: {why}")),
            },
            _ => match parse_duration(token.text) {
                Ok(ms) => Ok(Number { value: seconds(ms), duration: true }),
                Err(why) => fault(token.place, why.to_string()),
            },
        }
    }

    fn call(&mut self, name: Token<'a>) -> Result<Tree, Fault> {
        let (arguments, height) = self.nested(Self::arguments)?;
        let Some(function) = Function::named(name.text) else {
            return fault(name.place, format!("unknown function with name {}", quoted(name.text)));
        };
        let experimental =
            function.experimental || (self.options.as_thanos && function.id == FunctionId::FirstOverTime);
        if experimental && !self.options.experimental_functions {
            return fault(name.place, format!("function {} is not enabled", quoted(name.text)));
        }
        let arguments_place = match (arguments.first(), arguments.last()) {
            (Some(first), Some(last)) => Place { start: first.place.start, end: last.place.end },
            _ => Place::default(),
        };
        let place = Place { start: name.place.start, end: self.closing };
        grown(ExprKind::Call(Box::new(Call { function, arguments, arguments_place })), place, height)
    }

    /// `(a, b)`, and the greatest height in it.
    fn arguments(&mut self) -> Result<(Vec<Expr>, u32), Fault> {
        self.expect(Kind::LeftParen)?;
        let mut arguments = Vec::new();
        let mut height = 0;
        if self.take_if(Kind::RightParen)?.is_some() {
            return Ok((arguments, height));
        }
        loop {
            let argument = self.expression(0)?;
            height = height.max(argument.height);
            arguments.push(argument.node);
            let Some(comma) = self.take_if(Kind::Comma)? else { break };
            if !may_begin(self.peek()?.kind) {
                return fault(comma.place, "trailing commas not allowed in function call args");
            }
        }
        self.expect(Kind::RightParen)?;
        Ok((arguments, height))
    }

    fn aggregate(&mut self, op: AggregateOp, word: Token<'a>) -> Result<Tree, Fault> {
        let mut grouping = None;
        if groups(self.peek()?.kind).is_some() {
            grouping = Some(self.grouping()?);
        }
        let (arguments, height) = self.nested(Self::arguments)?;
        let mut end = self.closing;
        if grouping.is_none() {
            if groups(self.peek()?.kind).is_some() {
                grouping = Some(self.grouping()?);
                end = self.closing;
            } else {
                end = self.before_next_paren(end);
            }
        }
        let place = Place { start: word.place.start, end };
        let (parameter, expr) = self.aggregated(op, arguments, place)?;
        let aggregate = Aggregate { op, parameter, expr, grouping: grouping.unwrap_or_default() };
        grown(ExprKind::Aggregate(Box::new(aggregate)), place, height)
    }

    /// Where an aggregation ends behind which a word was read already: Prometheus takes the end of that word if it may end an
    /// expression, but for a parenthesis with nothing but blanks before it.
    fn before_next_paren(&self, end: u32) -> u32 {
        let Some(next) = self.ahead.filter(|token| token.kind == Kind::RightParen) else {
            return self.closing;
        };
        let at = |position: u32| usize::try_from(position).unwrap_or(usize::MAX);
        let between = self.text.get(at(end)..at(next.place.start)).unwrap_or_default();
        if between.trim_matches([' ', '\t', '\n', '\r']).is_empty() { end } else { self.closing }
    }

    fn aggregated(
        &self,
        op: AggregateOp,
        mut arguments: Vec<Expr>,
        place: Place,
    ) -> Result<(Option<Expr>, Expr), Fault> {
        if arguments.is_empty() {
            return fault(place, "no arguments for aggregate expression provided");
        }
        if matches!(op, AggregateOp::Limitk | AggregateOp::LimitRatio) && !self.options.experimental_functions
        {
            let name = op.name();
            return fault(
                place,
                format!(
                    "{name}() is experimental and must be enabled with --enable-feature=promql-experimental-functions"
                ),
            );
        }
        let (expected, got) = (if op.takes_parameter() { 2 } else { 1 }, arguments.len());
        match (arguments.pop(), arguments.pop()) {
            (Some(expr), parameter) if got == expected => Ok((parameter, expr)),
            _ => fault(
                place,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {expected}, got {got}"
                ),
            ),
        }
    }

    /// `by (a, b)` or `without (a, b)`.
    fn grouping(&mut self) -> Result<Grouping, Fault> {
        let without = groups(self.take()?.kind) == Some(true);
        Ok(Grouping { without, labels: self.labels()? })
    }
}

/// A node over others of which the highest is `below`.
pub(super) fn grown(kind: ExprKind, place: Place, below: u32) -> Result<Tree, Fault> {
    let height = higher(below, place)?;
    Ok(Grown { node: Expr { kind, place }, height })
}

/// One more than `below`.
pub(super) fn higher(below: u32, place: Place) -> Result<u32, Fault> {
    if below >= super::MAX_DEPTH { too_deep(place, super::MAX_DEPTH) } else { Ok(below + 1) }
}

fn too_deep<T>(place: Place, limit: u32) -> Result<T, Fault> {
    fault(place, format!("expression is nested more than {limit} levels deep"))
}

/// Seconds, computed as Go computes them.
#[expect(clippy::cast_precision_loss, reason = "whole seconds of 292 years are exact")]
pub(super) fn seconds(ms: i64) -> f64 {
    (ms / 1000) as f64 + (ms % 1000 * 1_000_000) as f64 / 1e9
}

/// Whether it is a sign, and a minus.
pub(super) fn sign(kind: Kind) -> Option<bool> {
    match kind {
        Kind::Operator(BinaryOp::Arithmetic(ArithmeticOp::Add)) => Some(false),
        Kind::Operator(BinaryOp::Arithmetic(ArithmeticOp::Sub)) => Some(true),
        _ => None,
    }
}

/// Whether it begins a grouping, and one with `without`.
fn groups(kind: Kind) -> Option<bool> {
    match kind {
        Kind::Keyword(Keyword::By) => Some(false),
        Kind::Keyword(Keyword::Without) => Some(true),
        _ => None,
    }
}

/// Words that are metric names where an operand stands.
pub(super) fn may_name_metric(kind: Kind) -> bool {
    match kind {
        Kind::Name | Kind::MetricName | Kind::Aggregate(_) | Kind::Time(_) => true,
        Kind::Operator(BinaryOp::Set(SetOp::And | SetOp::Or | SetOp::Unless)) => true,
        Kind::Keyword(keyword) => !matches!(
            keyword,
            Keyword::Bool | Keyword::On | Keyword::Ignoring | Keyword::GroupLeft | Keyword::GroupRight
        ),
        _ => false,
    }
}

/// Words with which an operand may begin.
pub(super) fn may_begin(kind: Kind) -> bool {
    let is_literal =
        matches!(kind, Kind::Number | Kind::Duration | Kind::Text | Kind::LeftParen | Kind::LeftBrace);
    is_literal || may_name_metric(kind) || sign(kind).is_some()
}
