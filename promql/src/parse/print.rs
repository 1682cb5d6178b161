//! Tree to text on one line, as Prometheus prints it: what is printed reads back as the same tree.
//!
//! Durations lose what is below a millisecond, matchers are sorted by their text, comments and superfluous blanks are gone. Parentheses
//! are nodes of the tree, so none are added and none are lost.

use std::fmt::{self, Display, Formatter};

use sarsen_block::{METRIC_NAME, MatchOp, print_duration, quote};

use super::ast::{
    Aggregate, At, Binary, Cardinality, DurationExpr, DurationKind, Expr, ExprKind, Length, MatrixSelector,
    Number, Shift, Subquery, VectorSelector,
};
use crate::number::{general, plain};

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => number.fmt(f),
            ExprKind::String(text) => quote(f, text),
            ExprKind::Vector(selector) => selector.fmt(f),
            ExprKind::Matrix(matrix) => matrix.fmt(f),
            ExprKind::Subquery(subquery) => write!(f, "{}{}", subquery.expr, Suffix(subquery)),
            ExprKind::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                comma_separated(f, &call.arguments)?;
                f.write_str(")")
            }
            ExprKind::Aggregate(aggregate) => {
                write!(f, "{}(", Head(aggregate))?;
                if let Some(parameter) = &aggregate.parameter {
                    write!(f, "{parameter}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            ExprKind::Binary(binary) => {
                write!(f, "{} {} {}", binary.left, Operator(binary), binary.right)
            }
            ExprKind::Unary { negative, expr } => write!(f, "{}{expr}", if *negative { "-" } else { "+" }),
            ExprKind::Paren(expr) => write!(f, "({expr})"),
        }
    }
}

fn comma_separated<T: Display>(f: &mut Formatter<'_>, items: &[T]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

/// The aggregation before its arguments: `sum by (job) `, or `sum`.
pub(super) struct Head<'a>(pub(super) &'a Aggregate);

impl Display for Head<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.name())?;
        let grouping = &self.0.grouping;
        if grouping.without {
            write!(f, " without ({}) ", Labels(&grouping.labels))
        } else if grouping.labels.is_empty() {
            Ok(())
        } else {
            write!(f, " by ({}) ", Labels(&grouping.labels))
        }
    }
}

/// The operator between its operands, with what modifies it.
pub(super) struct Operator<'a>(pub(super) &'a Binary);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.name())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        let Some(matching) = &self.0.matching else { return Ok(()) };
        let group = match matching.cardinality {
            Cardinality::ManyToOne => Some("group_left"),
            Cardinality::OneToMany => Some("group_right"),
            Cardinality::OneToOne | Cardinality::ManyToMany => None,
        };
        if !matching.labels.is_empty() || matching.on || group.is_some() {
            let how = if matching.on { "on" } else { "ignoring" };
            write!(f, " {how} ({})", Labels(&matching.labels))?;
        }
        if let Some(group) = group {
            write!(f, " {group} ({})", Labels(&matching.include))?;
        }
        match (matching.fill_left, matching.fill_right) {
            (Some(left), Some(right)) if left == right => write!(f, " fill ({})", general(left)),
            (left, right) => {
                if let Some(left) = left {
                    write!(f, " fill_left ({})", general(left))?;
                }
                match right {
                    Some(right) => write!(f, " fill_right ({})", general(right)),
                    None => Ok(()),
                }
            }
        }
    }
}

struct Labels<'a>(&'a [Vec<u8>]);

impl Display for Labels<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, label) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            let plain = label.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
                && label.first().is_some_and(|byte| !byte.is_ascii_digit());
            if plain {
                f.write_str(&String::from_utf8_lossy(label))?;
            } else {
                quote(f, label)?;
            }
        }
        Ok(())
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.duration {
            #[expect(clippy::cast_possible_truncation, reason = "durations are in range; the cast saturates")]
            let nanos = (self.value.abs() * 1e9) as i64;
            let sign = if self.value < 0.0 { "-" } else { "" };
            return write!(f, "{sign}{}", print_duration(nanos / 1_000_000));
        }
        f.write_str(&plain(self.value))
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_matchers(f, self)?;
        write_at(f, &self.shift)?;
        write_extension(f, self)?;
        write_offset(f, &self.shift)
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_matchers(f, &self.selector)?;
        write!(f, "[{}]", self.range)?;
        write_extension(f, &self.selector)?;
        write_at(f, &self.selector.shift)?;
        write_offset(f, &self.selector.shift)
    }
}

fn write_matchers(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    let name = selector.name.as_deref();
    if let Some(name) = name {
        f.write_str(&String::from_utf8_lossy(name))?;
    }
    let is_name = |matcher: &&sarsen_block::Matcher| {
        matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal && Some(matcher.value()) == name
    };
    let shown = selector.matchers.iter().filter(|matcher| !is_name(matcher));
    let mut texts: Vec<String> = shown.map(ToString::to_string).collect();
    if texts.is_empty() {
        return Ok(());
    }
    texts.sort_unstable();
    write!(f, "{{{}}}", texts.join(","))
}

fn write_extension(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    selector.extension.map_or(Ok(()), |extension| write!(f, " {}", extension.name()))
}

fn write_at(f: &mut Formatter<'_>, shift: &Shift) -> fmt::Result {
    match shift.at {
        None => Ok(()),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
        #[expect(clippy::cast_precision_loss, reason = "Prometheus prints it through a float, too")]
        Some(At::Time(ms)) => write!(f, " @ {:.3}", ms as f64 / 1000.0),
    }
}

fn write_offset(f: &mut Formatter<'_>, shift: &Shift) -> fmt::Result {
    match &shift.offset {
        None | Some(Length::Plain(0)) => Ok(()),
        Some(offset) => write!(f, " offset {offset}"),
    }
}

/// What stands behind the expression of a subquery.
pub(super) struct Suffix<'a>(pub(super) &'a Subquery);

impl Display for Suffix<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", self.0.range)?;
        match &self.0.step {
            None | Some(Length::Plain(0)) => {}
            Some(step) => step.fmt(f)?,
        }
        f.write_str("]")?;
        write_at(f, &self.0.shift)?;
        write_offset(f, &self.0.shift)
    }
}

impl Display for Length {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(ms) => f.write_str(&print_duration(*ms)),
            Self::Expression(expr) => expr.fmt(f),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            DurationKind::Number(number) => number.fmt(f),
            DurationKind::Step => f.write_str("step()"),
            DurationKind::Range => f.write_str("range()"),
            DurationKind::Min(left, right) => write!(f, "min_of({left}, {right})"),
            DurationKind::Max(left, right) => write!(f, "max_of({left}, {right})"),
            DurationKind::Unary { negative, expr } => {
                write!(f, "{}{expr}", if *negative { "-" } else { "" })
            }
            DurationKind::Binary(op, left, right) => write!(f, "{left} {} {right}", op.name()),
            DurationKind::Paren(expr) => write!(f, "({expr})"),
        }
    }
}
