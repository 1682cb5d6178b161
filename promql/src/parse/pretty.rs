//! Tree to text for people: what does not fit on a line of a hundred bytes is split at its operators and arguments.

use std::fmt::{self, Write};

use super::ast::{Expr, ExprKind};
use super::print::{Head, Operator, Suffix};

const LINE: usize = 100;

impl Expr {
    /// The text over several lines, as Prometheus formats it; on one line if that is not longer than 100 bytes.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        // Writing into a string does not fail.
        let _ = write_pretty(&mut out, self, 0);
        out
    }
}

fn write_pretty(out: &mut String, expr: &Expr, level: usize) -> fmt::Result {
    if let ExprKind::Unary { negative, expr: inner } = &expr.kind {
        let mut below = String::new();
        write_pretty(&mut below, inner, level)?;
        let sign = if *negative { '-' } else { '+' };
        return write!(out, "{}{sign}{}", indent(level), below.trim());
    }
    if fits(expr) {
        // Prometheus forgets to indent subqueries.
        let indent = if matches!(expr.kind, ExprKind::Subquery(_)) { String::new() } else { indent(level) };
        return write!(out, "{indent}{expr}");
    }
    match &expr.kind {
        ExprKind::Aggregate(aggregate) => {
            writeln!(out, "{}{}(", indent(level), Head(aggregate))?;
            if let Some(parameter) = &aggregate.parameter {
                write_pretty(out, parameter, level + 1)?;
                out.push_str(",\n");
            }
            write_pretty(out, &aggregate.expr, level + 1)?;
            write!(out, "\n{})", indent(level))
        }
        ExprKind::Binary(binary) => {
            write_pretty(out, &binary.left, level + 1)?;
            write!(out, "\n{}{}\n", indent(level), Operator(binary))?;
            write_pretty(out, &binary.right, level + 1)
        }
        ExprKind::Call(call) => {
            writeln!(out, "{}{}(", indent(level), call.function.name)?;
            for (index, argument) in call.arguments.iter().enumerate() {
                if index > 0 {
                    out.push_str(",\n");
                }
                write_pretty(out, argument, level + 1)?;
            }
            write!(out, "\n{})", indent(level))
        }
        ExprKind::Paren(inner) => {
            writeln!(out, "{}(", indent(level))?;
            write_pretty(out, inner, level + 1)?;
            write!(out, "\n{})", indent(level))
        }
        ExprKind::Subquery(subquery) => {
            write_pretty(out, &subquery.expr, level)?;
            write!(out, "{}", Suffix(subquery))
        }
        _ => write!(out, "{}{expr}", indent(level)),
    }
}

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

/// Whether it is not longer than a line.
fn fits(expr: &Expr) -> bool {
    write!(Line { left: LINE }, "{expr}").is_ok()
}

/// Takes as many bytes as a line has, and no more: printing stops there.
struct Line {
    left: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.left = self.left.checked_sub(text.len()).ok_or(fmt::Error)?;
        Ok(())
    }
}
