//! The same query with its time held by `@`.

use super::ask::parse_options;
use crate::ast::{At, Expr, ExprKind};
use crate::parse;

/// Functions whose result depends on the time of evaluation even if their arguments do not.
const UNSAFE: [&str; 14] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "end",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "range",
    "start",
    "step",
    "time",
];

/// `query` with every outermost selector and subquery without `@` held at `at`, and the times at which that must answer the same.
/// Nothing if a function in it goes by the time of evaluation.
pub(super) fn held(query: &str, at: i64) -> Vec<(String, i64)> {
    let Ok(mut expr) = parse(query, &parse_options()) else { return Vec::new() };
    if !hold(&mut expr, at) {
        return Vec::new();
    }
    let text = expr.to_string();
    let times = if at == 0 { vec![-1000, 0, 1000] } else { vec![-10 * at, 0, at / 5, at, 10 * at] };
    times.into_iter().map(|time| (text.clone(), time)).collect()
}

/// Holds every outermost selector; whether all functions outside of subqueries allow that.
fn hold(expr: &mut Expr, at: i64) -> bool {
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => true,
        ExprKind::Vector(selector) => {
            selector.shift.at.get_or_insert(At::Time(at));
            true
        }
        ExprKind::Matrix(matrix) => {
            matrix.selector.shift.at.get_or_insert(At::Time(at));
            true
        }
        ExprKind::Subquery(subquery) => {
            subquery.shift.at.get_or_insert(At::Time(at));
            true
        }
        ExprKind::Call(call) => {
            let name = call.function.name;
            let mut allowed = name != "timestamp" && !UNSAFE.contains(&name);
            for argument in &mut call.arguments {
                allowed &= hold(argument, at);
            }
            allowed
        }
        ExprKind::Aggregate(aggregate) => {
            let parameter = aggregate.parameter.as_mut().is_none_or(|parameter| hold(parameter, at));
            hold(&mut aggregate.expr, at) && parameter
        }
        ExprKind::Binary(binary) => {
            let left = hold(&mut binary.left, at);
            hold(&mut binary.right, at) && left
        }
        ExprKind::Unary { expr, .. } | ExprKind::Paren(expr) => hold(expr, at),
    }
}
