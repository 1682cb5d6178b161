//! Selectors: names, matchers, and what stands behind them: windows, subqueries, `offset`, `@`, `anchored`, `smoothed`.

use sarsen_block::{METRIC_NAME, MatchOp, Matcher};

use super::ast::{
    At, BinaryOp, CompareOp, Expr, ExprKind, Extension, Length, MatrixSelector, Place, Shift, Subquery,
    VectorSelector,
};
use super::grammar::{Context, Parser, Tree, fault, grown, higher, may_name_metric, sign};
use super::lex::Fault;
use super::literal;
use super::token::{Keyword, Kind, Time, Token};

impl<'a> Parser<'a> {
    /// A selector and nothing else.
    pub(super) fn only_selector(&mut self) -> Result<Vec<Matcher>, Fault> {
        let token = self.peek()?;
        let tree = match token.kind {
            Kind::LeftBrace => self.selector(None)?,
            kind if may_name_metric(kind) => {
                self.take()?;
                self.selector(Some(token))?
            }
            _ => return self.unexpected(),
        };
        self.expect(Kind::End)?;
        match tree.node.kind {
            ExprKind::Vector(selector) => Ok(selector.matchers),
            _ => Ok(Vec::new()),
        }
    }

    /// What follows a name, or stands without one.
    pub(super) fn selector(&mut self, name: Option<Token<'a>>) -> Result<Tree, Fault> {
        let mut matchers = Vec::new();
        let mut place = name.map(|name| name.place);
        if let Some(open) = self.take_if(Kind::LeftBrace)? {
            let end = self.matchers(&mut matchers)?;
            place = Some(Place { start: place.unwrap_or(open.place).start, end });
        }
        if let Some(name) = name {
            matchers.push(Matcher::equal(METRIC_NAME, name.text));
        }
        let name = name.map(|name| name.text.as_bytes().to_vec());
        let selector = VectorSelector { name, matchers, shift: Shift::default(), extension: None };
        grown(ExprKind::Vector(Box::new(selector)), place.unwrap_or_default(), 0)
    }

    /// Everything behind `{`; where it ends.
    fn matchers(&mut self, matchers: &mut Vec<Matcher>) -> Result<u32, Fault> {
        let outer = std::mem::replace(&mut self.context, Context::Matcher);
        let end = loop {
            self.context = Context::Matcher;
            if let Some(close) = self.take_if(Kind::RightBrace)? {
                break close.place.end;
            }
            matchers.push(self.matcher()?);
            self.context = Context::MatchNext;
            if let Some(close) = self.take_if(Kind::RightBrace)? {
                break close.place.end;
            }
            self.expect(Kind::Comma)?;
        };
        self.context = outer;
        Ok(end)
    }

    fn matcher(&mut self) -> Result<Matcher, Fault> {
        let label = self.peek()?;
        let name = match label.kind {
            Kind::Name => label.text.as_bytes().to_vec(),
            Kind::Text => literal::unquoted(label.text),
            _ => return self.unexpected(),
        };
        self.take()?;
        self.context = Context::MatchOperator;
        let op = match match_operator(self.peek()?.kind) {
            Some(op) => op,
            None if label.kind == Kind::Text => return Ok(Matcher::equal(METRIC_NAME, name)),
            None => return self.unexpected(),
        };
        self.take()?;
        self.context = Context::MatchValue;
        let value = self.expect(Kind::Text)?;
        let place = Place { start: label.place.start, end: value.place.end };
        Matcher::new(op, name, literal::unquoted(value.text)).or_else(|error| match error {
            sarsen_block::Error::Invalid { why, .. } => fault(place, why),
            other => fault(place, other.to_string()),
        })
    }

    /// What stands alone, with what stands behind it.
    pub(super) fn modified(&mut self) -> Result<Tree, Fault> {
        let mut tree = self.primary()?;
        loop {
            match self.peek()?.kind {
                Kind::LeftBracket => tree = self.bracket(tree)?,
                Kind::Keyword(Keyword::Offset) => {
                    self.take()?;
                    let offset = self.within(Context::Offset, Self::offset)?;
                    tree.height = tree.height.max(higher(offset.height, tree.node.place)?);
                    self.set_offset(&mut tree.node, offset.node)?;
                }
                Kind::At => {
                    self.take()?;
                    self.within(Context::At, |parser| parser.at(&mut tree.node))?;
                }
                Kind::Keyword(Keyword::Anchored) => self.extend(&mut tree.node, Extension::Anchored)?,
                Kind::Keyword(Keyword::Smoothed) => self.extend(&mut tree.node, Extension::Smoothed)?,
                _ => return Ok(tree),
            }
        }
    }

    /// `[5m]` or `[1h:5m]`.
    fn bracket(&mut self, over: Tree) -> Result<Tree, Fault> {
        let open = self.take()?;
        let outer = std::mem::replace(&mut self.context, Context::Bracket);
        let range = self.positive_length()?;
        self.context = Context::RangeEnd;
        let below = over.height.max(range.height);
        let tree = if self.take_if(Kind::Colon)?.is_some() {
            self.subquery(over.node, range.node, below)?
        } else {
            let close = self.expect(Kind::RightBracket)?;
            let bracket = Place { start: open.place.start, end: close.place.end };
            let selector = windowed(over.node, bracket)?;
            let place = Place { start: selector.1.start, end: self.closing() };
            let (selector, selector_place) = selector;
            let matrix = MatrixSelector { selector, selector_place, range: range.node };
            grown(ExprKind::Matrix(Box::new(matrix)), place, below)?
        };
        self.context = outer;
        Ok(tree)
    }

    fn subquery(&mut self, expr: Expr, range: Length, below: u32) -> Result<Tree, Fault> {
        self.context = Context::SubqueryStep;
        let mut below = below;
        let step = if self.peek()?.kind == Kind::RightBracket {
            None
        } else {
            let step = self.positive_length()?;
            below = below.max(step.height);
            Some(step.node)
        };
        if step.is_some() {
            self.context = Context::SubqueryEnd;
        }
        let end = self.expect(Kind::RightBracket)?.place.end;
        let place = Place { start: expr.place.start, end };
        let subquery = Subquery { expr, range, step, shift: Shift::default() };
        grown(ExprKind::Subquery(Box::new(subquery)), place, below)
    }

    fn set_offset(&mut self, expr: &mut Expr, offset: Length) -> Result<(), Fault> {
        let place = expr.place;
        let Some(shift) = shift_of(expr) else {
            return fault(
                place,
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            );
        };
        if !matches!(shift.offset, None | Some(Length::Plain(0))) {
            return fault(place, "offset may not be set multiple times");
        }
        shift.offset = Some(offset);
        expr.place.end = self.closing();
        Ok(())
    }

    /// What follows `@`.
    fn at(&mut self, expr: &mut Expr) -> Result<(), Fault> {
        let place = expr.place;
        let at = match self.peek()?.kind {
            Kind::Time(time @ (Time::Start | Time::End)) => {
                self.take()?;
                self.expect(Kind::LeftParen)?;
                self.expect(Kind::RightParen)?;
                if time == Time::Start { At::Start } else { At::End }
            }
            kind => {
                let negative = sign(kind);
                if negative.is_some() {
                    self.take()?;
                }
                if !matches!(self.peek()?.kind, Kind::Number | Kind::Duration) {
                    return self.unexpected();
                }
                let value = self.number()?.value;
                At::Time(milliseconds(if negative == Some(true) { -value } else { value }, place)?)
            }
        };
        let Some(shift) = shift_of(expr) else {
            return fault(
                place,
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            );
        };
        if shift.at.is_some() {
            return fault(place, "@ <timestamp> may not be set multiple times");
        }
        shift.at = Some(at);
        expr.place.end = self.closing();
        Ok(())
    }

    fn extend(&mut self, expr: &mut Expr, extension: Extension) -> Result<(), Fault> {
        self.take()?;
        let name = extension.name();
        if !self.options.extended_range_selectors {
            return fault(expr.place, format!("{name} modifier is experimental and not enabled"));
        }
        let set = match &mut expr.kind {
            ExprKind::Vector(selector) => &mut selector.extension,
            ExprKind::Matrix(matrix) => &mut matrix.selector.extension,
            ExprKind::Subquery(_) => {
                return fault(expr.place, format!("{name} modifier is not supported for subqueries"));
            }
            _ => return fault(expr.place, format!("{name} modifier not implemented")),
        };
        if set.is_some_and(|set| set != extension) {
            return fault(expr.place, "anchored and smoothed modifiers cannot be used together");
        }
        *set = Some(extension);
        Ok(())
    }
}

/// The selector that a window is put over, and where it stands.
fn windowed(expr: Expr, bracket: Place) -> Result<(VectorSelector, Place), Fault> {
    let ExprKind::Vector(selector) = expr.kind else {
        return fault(bracket, "ranges only allowed for vector selectors");
    };
    if !matches!(selector.shift.offset, None | Some(Length::Plain(0))) {
        return fault(bracket, "no offset modifiers allowed before range");
    }
    if selector.shift.at.is_some() {
        return fault(bracket, "no @ modifiers allowed before range");
    }
    Ok((*selector, expr.place))
}

fn shift_of(expr: &mut Expr) -> Option<&mut Shift> {
    match &mut expr.kind {
        ExprKind::Vector(selector) => Some(&mut selector.shift),
        ExprKind::Matrix(matrix) => Some(&mut matrix.selector.shift),
        ExprKind::Subquery(subquery) => Some(&mut subquery.shift),
        _ => None,
    }
}

/// Seconds to milliseconds, rounded. What does not fit becomes the earliest time, as Go has it on x86.
fn milliseconds(seconds: f64, place: Place) -> Result<i64, Fault> {
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let in_bounds = seconds > -LIMIT && seconds < LIMIT;
    if !in_bounds {
        let shown = match seconds {
            f64::INFINITY => "+Inf".to_owned(),
            f64::NEG_INFINITY => "-Inf".to_owned(),
            seconds if seconds.is_nan() => "NaN".to_owned(),
            seconds => format!("{seconds:.6}"),
        };
        return fault(place, format!("timestamp out of bounds for @ modifier: {shown}"));
    }
    let rounded = (seconds * 1000.0).round();
    #[expect(clippy::cast_possible_truncation, reason = "checked against the bounds")]
    Ok(if rounded > -LIMIT && rounded < LIMIT { rounded as i64 } else { i64::MIN })
}

fn match_operator(kind: Kind) -> Option<MatchOp> {
    match kind {
        Kind::Equal => Some(MatchOp::Equal),
        Kind::Operator(BinaryOp::Compare(CompareOp::NotEqual)) => Some(MatchOp::NotEqual),
        Kind::EqualRegex => Some(MatchOp::Regex),
        Kind::NotEqualRegex => Some(MatchOp::NotRegex),
        _ => None,
    }
}
