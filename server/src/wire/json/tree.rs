//! The tree of an expression, as `/api/v1/parse_query` shows it.

use sarsen_block::Matcher;
use sarsen_promql::Repeat;
use sarsen_promql::ast::{
    Aggregate, AggregateOp, ArithmeticOp, At, Binary, BinaryOp, Call, Cardinality, CompareOp, DurationExpr,
    DurationKind, Expr, ExprKind, Extension, Length, Matching, MatrixSelector, Number, SetOp, Shift,
    Subquery, VectorSelector,
};
use serde_json::{Map, Value, json};

use super::plain;

/// The tree as JSON.
pub(crate) fn tree(expr: &Expr) -> Value {
    match &expr.kind {
        ExprKind::Number(number) => json!({"type": "numberLiteral", "val": digits(number.value)}),
        ExprKind::String(text) => json!({"type": "stringLiteral", "val": lossy(text)}),
        ExprKind::Vector(selector) => with(vector(selector), [("type", json!("vectorSelector"))]),
        ExprKind::Matrix(selector) => matrix(selector),
        ExprKind::Subquery(subquery) => inner(subquery),
        ExprKind::Call(call) => called(call),
        ExprKind::Aggregate(aggregate) => aggregated(aggregate),
        ExprKind::Binary(binary) => joined(binary),
        ExprKind::Unary { negative, expr } => {
            json!({"type": "unaryExpr", "op": sign(*negative), "expr": tree(expr)})
        }
        ExprKind::Paren(expr) => json!({"type": "parenExpr", "expr": tree(expr)}),
    }
}

fn vector(selector: &VectorSelector) -> Map<String, Value> {
    let fields = [
        ("name", json!(selector.name.as_deref().map(lossy).unwrap_or_default())),
        ("matchers", selector.matchers.iter().map(matcher).collect()),
        ("anchored", json!(selector.extension == Some(Extension::Anchored))),
        ("smoothed", json!(selector.extension == Some(Extension::Smoothed))),
    ];
    fields.into_iter().chain(shift(&selector.shift)).map(|(name, value)| (name.to_owned(), value)).collect()
}

fn matrix(selector: &MatrixSelector) -> Value {
    let (range, range_expr) = length(Some(&selector.range));
    let more = [("type", json!("matrixSelector")), ("range", range), ("rangeExpr", range_expr)];
    with(vector(&selector.selector), more)
}

fn inner(subquery: &Subquery) -> Value {
    let (range, range_expr) = length(Some(&subquery.range));
    let (step, step_expr) = length(subquery.step.as_ref());
    let fields = [
        ("type", json!("subquery")),
        ("expr", tree(&subquery.expr)),
        ("range", range),
        ("rangeExpr", range_expr),
        ("step", step),
        ("stepExpr", step_expr),
    ];
    with(Map::new(), fields.into_iter().chain(shift(&subquery.shift)))
}

fn with<'a>(mut map: Map<String, Value>, more: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    map.extend(more.into_iter().map(|(name, value)| (name.to_owned(), value)));
    Value::Object(map)
}

fn called(call: &Call) -> Value {
    let function = call.function;
    let variadic = match function.repeat {
        Repeat::Once => 0,
        Repeat::UpTo(most) => i64::try_from(most).unwrap_or(i64::MAX),
        Repeat::Any => -1,
    };
    let types: Vec<&str> = function.arguments.iter().map(|kind| kind.name()).collect();
    json!({
        "type": "call",
        "func": {
            "name": function.name,
            "argTypes": types,
            "variadic": variadic,
            "returnType": function.returns.name(),
        },
        "args": call.arguments.iter().map(tree).collect::<Vec<_>>(),
    })
}

fn aggregated(aggregate: &Aggregate) -> Value {
    json!({
        "type": "aggregation",
        "op": aggregate_name(aggregate.op),
        "expr": tree(&aggregate.expr),
        "param": aggregate.parameter.as_ref().map(tree),
        "grouping": names(&aggregate.grouping.labels),
        "without": aggregate.grouping.without,
    })
}

fn joined(binary: &Binary) -> Value {
    json!({
        "type": "binaryExpr",
        "op": operator(binary.op),
        "lhs": tree(&binary.left),
        "rhs": tree(&binary.right),
        "matching": binary.matching.as_ref().map(matching),
        "bool": binary.return_bool,
    })
}

fn matching(matching: &Matching) -> Value {
    let card = match matching.cardinality {
        Cardinality::OneToOne => "one-to-one",
        Cardinality::ManyToOne => "many-to-one",
        Cardinality::OneToMany => "one-to-many",
        Cardinality::ManyToMany => "many-to-many",
    };
    json!({
        "card": card,
        "labels": names(&matching.labels),
        "on": matching.on,
        "include": names(&matching.include),
        "fillValues": {"lhs": matching.fill_left, "rhs": matching.fill_right},
    })
}

/// `offset` and `@` of a selector or a subquery.
fn shift(shift: &Shift) -> [(&'static str, Value); 4] {
    let (offset, offset_expr) = length(shift.offset.as_ref());
    let (timestamp, bound) = match shift.at {
        None => (Value::Null, Value::Null),
        Some(At::Time(ms)) => (json!(ms), Value::Null),
        Some(At::Start) => (Value::Null, json!("start")),
        Some(At::End) => (Value::Null, json!("end")),
    };
    [("offset", offset), ("offsetExpr", offset_expr), ("timestamp", timestamp), ("startOrEnd", bound)]
}

/// Milliseconds, and the expression if it is one.
fn length(length: Option<&Length>) -> (Value, Value) {
    match length {
        None => (json!(0), Value::Null),
        Some(Length::Plain(ms)) => (json!(ms), Value::Null),
        Some(Length::Expression(expr)) => (json!(0), duration(expr)),
    }
}

fn duration(expr: &DurationExpr) -> Value {
    let node = |op: &str, left: Value, right: Value| json!({"type": "durationExpr", "op": op, "lhs": left, "rhs": right, "wrapped": false});
    match &expr.kind {
        DurationKind::Number(Number { value, duration }) => {
            json!({"type": "numberLiteral", "val": digits(*value), "duration": duration})
        }
        DurationKind::Step => node("step", Value::Null, Value::Null),
        DurationKind::Range => node("range", Value::Null, Value::Null),
        DurationKind::Min(a, b) => node("min_of", duration(a), duration(b)),
        DurationKind::Max(a, b) => node("max_of", duration(a), duration(b)),
        DurationKind::Unary { negative, expr } => node(sign(*negative), Value::Null, duration(expr)),
        DurationKind::Binary(op, a, b) => node(arithmetic(*op), duration(a), duration(b)),
        DurationKind::Paren(expr) => {
            let mut inner = duration(expr);
            if let Some(wrapped) = inner.get_mut("wrapped") {
                *wrapped = json!(true);
            }
            inner
        }
    }
}

fn matcher(matcher: &Matcher) -> Value {
    let (name, value) = (lossy(matcher.name()), lossy(matcher.value()));
    json!({"name": name, "value": value, "type": matcher.op().as_str()})
}

fn names(names: &[Vec<u8>]) -> Vec<String> {
    names.iter().map(|name| lossy(name)).collect()
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn digits(value: f64) -> String {
    let mut out = Vec::new();
    let _ = plain(&mut out, value);
    lossy(&out)
}

const fn sign(negative: bool) -> &'static str {
    if negative { "-" } else { "+" }
}

const fn arithmetic(op: ArithmeticOp) -> &'static str {
    match op {
        ArithmeticOp::Add => "+",
        ArithmeticOp::Sub => "-",
        ArithmeticOp::Mul => "*",
        ArithmeticOp::Div => "/",
        ArithmeticOp::Mod => "%",
        ArithmeticOp::Pow => "^",
        ArithmeticOp::Atan2 => "atan2",
    }
}

const fn operator(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Arithmetic(op) => arithmetic(op),
        BinaryOp::Compare(CompareOp::Equal) => "==",
        BinaryOp::Compare(CompareOp::NotEqual) => "!=",
        BinaryOp::Compare(CompareOp::Greater) => ">",
        BinaryOp::Compare(CompareOp::Less) => "<",
        BinaryOp::Compare(CompareOp::GreaterOrEqual) => ">=",
        BinaryOp::Compare(CompareOp::LessOrEqual) => "<=",
        BinaryOp::TrimUpper => "</",
        BinaryOp::TrimLower => ">/",
        BinaryOp::Set(SetOp::And) => "and",
        BinaryOp::Set(SetOp::Or) => "or",
        BinaryOp::Set(SetOp::Unless) => "unless",
    }
}

const fn aggregate_name(op: AggregateOp) -> &'static str {
    match op {
        AggregateOp::Sum => "sum",
        AggregateOp::Avg => "avg",
        AggregateOp::Min => "min",
        AggregateOp::Max => "max",
        AggregateOp::Count => "count",
        AggregateOp::Group => "group",
        AggregateOp::Stddev => "stddev",
        AggregateOp::Stdvar => "stdvar",
        AggregateOp::Topk => "topk",
        AggregateOp::Bottomk => "bottomk",
        AggregateOp::Limitk => "limitk",
        AggregateOp::LimitRatio => "limit_ratio",
        AggregateOp::Quantile => "quantile",
        AggregateOp::CountValues => "count_values",
    }
}
