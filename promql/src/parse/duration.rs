//! Lengths of time: literals, and expressions of them.
//!
//! A length that is a single number, whatever its sign, is plain; everything else is worked out when the query's step and range are known.

use super::ast::{ArithmeticOp, BinaryOp, DurationExpr, DurationKind, Length, Number, Place};
use super::grammar::{Grown, Parser, fault, higher, sign};
use super::lex::Fault;
use super::token::{Kind, Time, Token};

type Tree = Grown<DurationExpr>;

/// Go's durations are nanoseconds in 64 bits.
const MAX_SECONDS: f64 = 9_223_372_036.854_776;

impl<'a> Parser<'a> {
    /// What stands in brackets: it must be more than nothing.
    pub(super) fn positive_length(&mut self) -> Result<Grown<Length>, Fault> {
        let tree = self.nested(|parser| parser.duration(0))?;
        // What stands behind it is looked at first.
        self.peek()?;
        if let DurationKind::Number(number) = &tree.node.kind
            && number.value <= 0.0
        {
            return fault(tree.node.place, "duration must be greater than 0");
        }
        Ok(length(tree))
    }

    /// What stands behind `offset`: one number, call or pair of parentheses with its sign. Operators behind it are those of the expression
    /// round it, but for parentheses without a sign, and after two signs.
    pub(super) fn offset(&mut self) -> Result<Grown<Length>, Fault> {
        let first = self.peek()?;
        let Some(negative) = sign(first.kind) else {
            let tree = self.duration_primary()?;
            return if first.kind == Kind::LeftParen { self.duration_behind(tree, 0) } else { Ok(tree) }
                .map(length);
        };
        self.take()?;
        let second = self.peek()?;
        if sign(second.kind).is_some() {
            let inner = self.nested(|parser| parser.duration(ArithmeticOp::Pow.precedence()))?;
            let tree = signed(negative, first, inner)?;
            return self.duration_behind(tree, 0).map(length);
        }
        if matches!(second.kind, Kind::Number | Kind::Duration) {
            let mut number = self.number()?;
            number.value = if negative { -number.value } else { number.value };
            in_range(number, first.place)?;
            let place = Place { start: first.place.start, end: second.place.end };
            let node = DurationExpr { kind: DurationKind::Number(number), place };
            return Ok(length(Grown { node, height: 1 }));
        }
        let inner = self.nested(Self::duration_primary)?;
        // Prometheus keeps a plus before a call, where the place shows it.
        if !negative && matches!(second.kind, Kind::Time(_)) {
            let place = Place { start: first.place.start, end: inner.node.place.end };
            let kind = DurationKind::Unary { negative, expr: Box::new(inner.node) };
            let height = higher(inner.height, place)?;
            return Ok(length(Grown { node: DurationExpr { kind, place }, height }));
        }
        signed(negative, first, inner).map(length)
    }

    /// Operators that bind at least as tightly as `floor`.
    fn duration(&mut self, floor: u8) -> Result<Tree, Fault> {
        let first = self.peek()?;
        let left = match sign(first.kind) {
            None => self.duration_primary()?,
            Some(negative) => {
                self.take()?;
                let inner = self.nested(|parser| parser.duration(ArithmeticOp::Pow.precedence()))?;
                signed(negative, first, inner)?
            }
        };
        self.duration_behind(left, floor)
    }

    fn duration_behind(&mut self, left: Tree, floor: u8) -> Result<Tree, Fault> {
        let mut left = left;
        loop {
            let sign = self.peek()?;
            let Kind::Operator(BinaryOp::Arithmetic(op)) = sign.kind else { return Ok(left) };
            if op == ArithmeticOp::Atan2 || op.precedence() < floor {
                return Ok(left);
            }
            self.take()?;
            let floor = op.precedence() + u8::from(op != ArithmeticOp::Pow);
            let right = self.nested(|parser| parser.duration(floor))?;
            let is_zero = matches!(&right.node.kind, DurationKind::Number(number) if number.value == 0.0);
            match op {
                ArithmeticOp::Div if is_zero => return fault(sign.place, "division by zero"),
                ArithmeticOp::Mod if is_zero => return fault(sign.place, "modulo by zero"),
                _ => {}
            }
            let place = Place { start: left.node.place.start, end: right.node.place.end };
            let height = higher(left.height.max(right.height), place)?;
            let kind = DurationKind::Binary(op, Box::new(left.node), Box::new(right.node));
            left = Grown { node: DurationExpr { kind, place }, height };
        }
    }

    fn duration_primary(&mut self) -> Result<Tree, Fault> {
        let token = self.peek()?;
        let node = match token.kind {
            Kind::Number | Kind::Duration => {
                let number = self.number()?;
                in_range(number, token.place)?;
                DurationExpr { kind: DurationKind::Number(number), place: token.place }
            }
            Kind::Time(time @ (Time::Step | Time::Range)) => {
                self.take()?;
                self.expect(Kind::LeftParen)?;
                let end = self.expect(Kind::RightParen)?.place.end;
                let kind = if time == Time::Step { DurationKind::Step } else { DurationKind::Range };
                DurationExpr { kind, place: Place { start: token.place.start, end } }
            }
            Kind::Time(time @ (Time::MinOf | Time::MaxOf)) => return self.extreme(time, token),
            Kind::LeftParen => {
                self.take()?;
                let inner = self.nested(|parser| parser.duration(0))?;
                self.expect(Kind::RightParen)?;
                return wrapped(inner, token.place);
            }
            _ => return self.unexpected(),
        };
        Ok(Grown { node, height: 1 })
    }

    /// `min_of(a, b)`, `max_of(a, b)`.
    fn extreme(&mut self, time: Time, word: Token<'a>) -> Result<Tree, Fault> {
        self.take()?;
        self.expect(Kind::LeftParen)?;
        let left = self.nested(|parser| parser.duration(0))?;
        self.expect(Kind::Comma)?;
        let right = self.nested(|parser| parser.duration(0))?;
        self.expect(Kind::RightParen)?;
        // Prometheus places the call by its arguments.
        let place = Place { start: left.node.place.start, end: right.node.place.end };
        let height = higher(left.height.max(right.height), word.place)?;
        let (left, right) = (Box::new(left.node), Box::new(right.node));
        let kind = match time {
            Time::MinOf => DurationKind::Min(left, right),
            _ => DurationKind::Max(left, right),
        };
        Ok(Grown { node: DurationExpr { kind, place }, height })
    }
}

/// In parentheses, which show in the place only round a number, and there only the first of them.
fn wrapped(inner: Tree, open: Place) -> Result<Tree, Fault> {
    let mut place = inner.node.place;
    if matches!(inner.node.kind, DurationKind::Number(_)) {
        place.start = open.start;
    }
    if matches!(inner.node.kind, DurationKind::Paren(_)) {
        return Ok(inner);
    }
    let height = higher(inner.height, place)?;
    Ok(Grown { node: DurationExpr { kind: DurationKind::Paren(Box::new(inner.node)), place }, height })
}

/// With a sign before it: a number takes it up, a plus before anything else is forgotten.
fn signed(negative: bool, sign: Token<'_>, inner: Tree) -> Result<Tree, Fault> {
    let Grown { mut node, height } = inner;
    let place = Place { start: sign.place.start, end: node.place.end };
    if let DurationKind::Number(number) = &mut node.kind {
        if negative {
            number.value = -number.value;
        }
        node.place = place;
        return Ok(Grown { node, height });
    }
    if !negative {
        return Ok(Grown { node, height });
    }
    let height = higher(height, place)?;
    let kind = DurationKind::Unary { negative, expr: Box::new(node) };
    Ok(Grown { node: DurationExpr { kind, place }, height })
}

fn in_range(number: Number, place: Place) -> Result<(), Fault> {
    if number.value.abs() > MAX_SECONDS { fault(place, "duration out of range") } else { Ok(()) }
}

/// Seconds are rounded to nanoseconds, and cut to milliseconds, as Prometheus does.
fn length(tree: Tree) -> Grown<Length> {
    let Grown { node, height } = tree;
    let node = match node.kind {
        DurationKind::Number(number) => {
            #[expect(clippy::cast_possible_truncation, reason = "numbers are in range; the cast saturates")]
            let nanos = (number.value * 1e9).round() as i64;
            Length::Plain(nanos / 1_000_000)
        }
        kind => Length::Expression(Box::new(DurationExpr { kind, place: node.place })),
    };
    Grown { node, height }
}
