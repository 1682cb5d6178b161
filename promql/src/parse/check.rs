//! What the grammar cannot see: types, numbers of arguments, modifiers that do not fit.
//!
//! The order of the checks is Prometheus', because only the first fault is told. On the way, matching is taken from operators that have a
//! scalar on a side.

use sarsen_block::METRIC_NAME;

use super::ast::{
    Aggregate, AggregateOp, Binary, BinaryOp, Call, Cardinality, Expr, ExprKind, Place, ValueType,
    VectorSelector,
};
use super::grammar::fault;
use super::lex::Fault;
use super::token::quoted;
use crate::func::{FunctionId, Repeat};

/// Checks a whole tree; `text` is what it was read from.
pub(super) fn check(text: &str, expr: &mut Expr) -> Result<ValueType, Fault> {
    let place = expr.place;
    match &mut expr.kind {
        ExprKind::Number(_) => Ok(ValueType::Scalar),
        ExprKind::String(_) => Ok(ValueType::String),
        ExprKind::Vector(selector) => check_selector(selector, place, true).map(|()| ValueType::Vector),
        ExprKind::Matrix(matrix) => {
            check_selector(&matrix.selector, matrix.selector_place, true).map(|()| ValueType::Matrix)
        }
        ExprKind::Subquery(subquery) => match check(text, &mut subquery.expr)? {
            ValueType::Vector => Ok(ValueType::Matrix),
            other => fault(
                place,
                format!("subquery is only allowed on instant vector, got {} instead", other.name()),
            ),
        },
        ExprKind::Call(call) => check_call(text, call, place),
        ExprKind::Aggregate(aggregate) => check_aggregate(text, aggregate),
        ExprKind::Binary(binary) => check_binary(text, binary, place),
        ExprKind::Paren(inner) => check(text, inner),
        ExprKind::Unary { expr: inner, .. } => match check(text, inner)? {
            known @ (ValueType::Scalar | ValueType::Vector) => Ok(known),
            other => fault(
                place,
                format!(
                    "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                    quoted(other.described())
                ),
            ),
        },
    }
}

fn check_selector(selector: &VectorSelector, place: Place, needs_matcher: bool) -> Result<(), Fault> {
    if let Some(name) = &selector.name {
        // That of the name itself comes last.
        let others = selector.matchers.split_last().map_or(&[][..], |(_, others)| others);
        return match others.iter().find(|matcher| matcher.name() == METRIC_NAME) {
            None => Ok(()),
            Some(other) => fault(
                place,
                format!("metric name must not be set twice: {} or {}", quoted(name), quoted(other.value())),
            ),
        };
    }
    if needs_matcher && selector.matchers.iter().all(sarsen_block::Matcher::matches_empty) {
        return fault(place, "vector selector must contain at least one non-empty matcher");
    }
    Ok(())
}

fn expect(text: &str, expr: &mut Expr, wanted: ValueType, context: &str) -> Result<(), Fault> {
    let found = check(text, expr)?;
    if found == wanted { Ok(()) } else { mismatch(expr.place, wanted, context, found) }
}

fn mismatch<T>(place: Place, wanted: ValueType, context: &str, found: ValueType) -> Result<T, Fault> {
    fault(place, format!("expected type {} in {context}, got {}", wanted.described(), found.described()))
}

fn check_aggregate(text: &str, aggregate: &mut Aggregate) -> Result<ValueType, Fault> {
    expect(text, &mut aggregate.expr, ValueType::Vector, "aggregation expression")?;
    if let Some(parameter) = &mut aggregate.parameter {
        let is_text = aggregate.op == AggregateOp::CountValues;
        let wanted = if is_text { ValueType::String } else { ValueType::Scalar };
        expect(text, parameter, wanted, "aggregation parameter")?;
    }
    Ok(ValueType::Vector)
}

fn check_call(text: &str, call: &mut Call, place: Place) -> Result<ValueType, Fault> {
    let function = call.function;
    let (types, got) = (function.arguments, call.arguments.len());
    let name = quoted(function.name);
    let wrong = |bound: &str, count: usize| {
        fault(place, format!("expected {bound}{count} argument(s) in call to {name}, got {got}"))
    };
    let least = types.len().saturating_sub(1);
    match function.repeat {
        Repeat::Once if got != types.len() => return wrong("", types.len()),
        Repeat::UpTo(_) | Repeat::Any if got < least => return wrong("at least ", least),
        Repeat::UpTo(more) if got > least + more => return wrong("at most ", least + more),
        _ => {}
    }
    if function.id == FunctionId::Info
        && let Some(labels) = call.arguments.get(1)
    {
        check_info_labels(labels, place)?;
    }
    for (index, argument) in call.arguments.iter_mut().enumerate() {
        let found = match &argument.kind {
            ExprKind::Vector(selector) if function.id == FunctionId::Info && index == 1 => {
                check_selector(selector, argument.place, false)?;
                ValueType::Vector
            }
            _ => check(text, argument)?,
        };
        if let Some(wanted) = types.get(index).or(types.last())
            && *wanted != found
        {
            return mismatch(argument.place, *wanted, &format!("call to function {name}"), found);
        }
    }
    Ok(function.returns)
}

/// The second argument of `info` selects labels, not series.
fn check_info_labels(labels: &Expr, call: Place) -> Result<(), Fault> {
    let found = labels.value_type();
    if found != ValueType::Vector {
        return mismatch(call, ValueType::Vector, "call to function \"info\"", found);
    }
    match &labels.kind {
        ExprKind::Vector(selector) if selector.name.is_none() => Ok(()),
        ExprKind::Vector(_) => {
            fault(labels.place, "expected label selectors only, got vector selector instead")
        }
        _ => fault(labels.place, "expected label selectors only"),
    }
}

fn check_binary(text: &str, binary: &mut Binary, place: Place) -> Result<ValueType, Fault> {
    let left = check(text, &mut binary.left)?;
    let right = check(text, &mut binary.right)?;
    let scalars = (left == ValueType::Scalar, right == ValueType::Scalar);
    let compares = matches!(binary.op, BinaryOp::Compare(_));
    if binary.return_bool && !compares {
        return fault(operator_place(text, binary), "bool modifier can only be used on comparison operators");
    }
    if compares && !binary.return_bool && scalars == (true, true) {
        return fault(operator_place(text, binary), "comparisons between scalars must use BOOL modifier");
    }
    check_labels(text, binary)?;
    for (found, side) in [(left, &binary.left), (right, &binary.right)] {
        if !matches!(found, ValueType::Scalar | ValueType::Vector) {
            return fault(side.place, "binary expression must contain only scalar and instant vector types");
        }
    }
    check_matching(binary, scalars != (false, false), place)?;
    Ok(if scalars == (true, true) { ValueType::Scalar } else { ValueType::Vector })
}

fn check_labels(text: &str, binary: &Binary) -> Result<(), Fault> {
    let Some(matching) = binary.matching.as_ref().filter(|matching| matching.on) else { return Ok(()) };
    let twice = matching.labels.iter().find(|label| matching.include.contains(label));
    match twice {
        None => Ok(()),
        Some(label) => fault(
            operator_place(text, binary),
            format!("label {} must not occur in ON and GROUP clause at once", quoted(label)),
        ),
    }
}

fn check_matching(binary: &mut Binary, has_scalar: bool, place: Place) -> Result<(), Fault> {
    let Some(matching) = &binary.matching else { return Ok(()) };
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    let set = match binary.op {
        BinaryOp::Set(op) => Some(quoted(op.name())),
        _ => None,
    };
    if has_scalar {
        if !matching.labels.is_empty() {
            return fault(place, "vector matching only allowed between instant vectors");
        }
        if fills {
            return fault(place, "filling in missing series only allowed between instant vectors");
        }
        binary.matching = None;
        return match set {
            Some(op) => fault(place, format!("set operator {op} not allowed in binary scalar expression")),
            None => Ok(()),
        };
    }
    let Some(op) = set else { return Ok(()) };
    if matching.cardinality != Cardinality::ManyToMany {
        return fault(place, format!("no grouping allowed for {op} operation"));
    }
    if fills {
        return fault(place, "filling in missing series not allowed for set operators");
    }
    Ok(())
}

/// From behind the left operand, blanks passed over.
fn operator_place(text: &str, binary: &Binary) -> Place {
    let at = usize::try_from(binary.left.place.end).unwrap_or(usize::MAX);
    let behind = text.get(at..).unwrap_or_default();
    let blanks = behind.len() - behind.trim_start_matches([' ', '\t', '\n', '\r']).len();
    let start = binary.left.place.end.saturating_add(u32::try_from(blanks).unwrap_or(u32::MAX));
    Place { start, end: binary.right.place.start }
}
