//! Whether an answer is the one that was expected.
//!
//! Numbers may differ by a millionth of their sum (Prometheus: `util/almost`); an expected 0 is 0. Histograms are compared by their buckets,
//! empty ones left out of account, and by their counter reset hint if the script names it.

use std::collections::BTreeMap;
use std::fmt::Display;

use sarsen_block::{Counts, Histogram, Labels, ResetHint, Span, is_stale};

use super::commands::{Eval, Expected, Notes, Text, When};
use super::series::Written;
use crate::{Point, RangeSeries, Value};

/// What is wrong with an answer.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) query: String,
    pub(super) expected: String,
    pub(super) got: String,
}

impl Wrong {
    pub(super) fn new(expected: impl Display, got: impl Display) -> Self {
        Self { query: String::new(), expected: expected.to_string(), got: got.to_string() }
    }

    /// Says of which query.
    pub(super) fn about(self, query: &str, when: When) -> Self {
        let query = match when {
            When::Instant(at) => format!("{query} at {at} ms"),
            When::Range { start, end, step } => format!("{query} from {start} to {end} step {step} ms"),
        };
        Self { query, ..self }
    }
}

/// Compares annotations of one kind.
pub(super) fn notes(kind: &str, expected: &Notes, got: &[String]) -> Result<(), Wrong> {
    if (expected.any || !expected.texts.is_empty()) && got.is_empty() {
        return Err(Wrong::new(kind, "none"));
    }
    if expected.none && !got.is_empty() {
        return Err(Wrong::new(format!("no {kind}"), got.join("; ")));
    }
    if expected.texts.is_empty() {
        return Ok(());
    }
    for text in &expected.texts {
        if !got.iter().any(|got| text.accepts(got)) {
            return Err(Wrong::new(format!("{kind} with {}", text.shown()), got.join("; ")));
        }
    }
    for got in got {
        if !expected.texts.iter().any(|text| text.accepts(got)) {
            let texts: Vec<&str> = expected.texts.iter().map(Text::shown).collect();
            return Err(Wrong::new(format!("only {kind} with {}", texts.join("; ")), got));
        }
    }
    Ok(())
}

/// Compares an answer.
pub(super) fn value(eval: &Eval, got: &Value) -> Result<(), Wrong> {
    match got {
        Value::Scalar(_, value) => scalar(eval, *value),
        Value::String(_, text) => {
            let expected = match &eval.expected {
                Expected::String(expected) => expected.clone(),
                Expected::Series(series) if series.is_empty() => Vec::new(),
                _ => {
                    return Err(Wrong::new(
                        shown_expected(eval),
                        format!("the string {}", text.escape_ascii()),
                    ));
                }
            };
            let shown = |text: &[u8]| format!("the string {}", text.escape_ascii());
            if expected == *text { Ok(()) } else { Err(Wrong::new(shown(&expected), shown(text))) }
        }
        Value::Vector(samples) => {
            let got: Vec<_> = samples.iter().map(|sample| (&sample.labels, sample.point.clone())).collect();
            vector(eval, &got)
        }
        Value::Matrix(series) => matrix(eval, series),
    }
}

/// Compares the points of a range at `at` with what is expected of an instant query.
pub(super) fn middle(eval: &Eval, got: &Value, at: i64) -> Result<(), Wrong> {
    let Value::Matrix(series) = got else {
        return Err(Wrong::new("a matrix", shown_value(got)));
    };
    sorted(series)?;
    let mut points = Vec::new();
    for one in series {
        let float = one.floats.iter().find(|(t, _)| *t == at).map(|(_, value)| Point::Float(*value));
        let histogram = one.histograms.iter().find(|(t, _)| *t == at);
        let histogram = histogram.map(|(_, histogram)| Point::Histogram(Box::new(histogram.clone())));
        points.extend(float.into_iter().chain(histogram).map(|point| (&one.labels, point)));
    }
    match (&eval.expected, points.as_slice()) {
        (Expected::Scalar(_), [(_, Point::Float(value))]) => scalar(eval, *value),
        _ => vector(eval, &points),
    }
}

fn scalar(eval: &Eval, got: f64) -> Result<(), Wrong> {
    match eval.expected {
        Expected::Scalar(expected) if almost(expected, got) => Ok(()),
        _ => Err(Wrong::new(shown_expected(eval), format!("the scalar {got}"))),
    }
}

fn vector(eval: &Eval, got: &[(&Labels, Point)]) -> Result<(), Wrong> {
    let wrong = || {
        let got: Vec<String> =
            got.iter().map(|(labels, point)| format!("{} {}", labels.as_ref(), shown_point(point))).collect();
        Wrong::new(shown_expected(eval), lines(&got))
    };
    let Expected::Series(expected) = &eval.expected else { return Err(wrong()) };
    if expected.len() != got.len() {
        return Err(wrong());
    }
    let mut seen = Vec::new();
    for (position, (labels, point)) in got.iter().enumerate() {
        let at = expected.iter().position(|(expected, _)| expected == *labels).ok_or_else(wrong)?;
        if seen.contains(&at) || (eval.ordered && at != position) {
            return Err(wrong());
        }
        seen.push(at);
        let value = expected.get(at).and_then(|(_, values)| values.first());
        let same = match (value, point) {
            (Some(Written::Float(value)), Point::Float(got)) => almost(*value, *got),
            (Some(Written::Histogram { histogram, hinted }), Point::Histogram(got)) => {
                same_histogram(histogram, got, *hinted)
            }
            _ => false,
        };
        if !same {
            return Err(wrong());
        }
    }
    Ok(())
}

fn matrix(eval: &Eval, got: &[RangeSeries]) -> Result<(), Wrong> {
    let wrong = || Wrong::new(shown_expected(eval), shown_matrix(got));
    if eval.ordered {
        return Err(Wrong::new("a vector in order", "a matrix"));
    }
    let Expected::Series(expected) = &eval.expected else { return Err(wrong()) };
    sorted(got)?;
    let grid = match (eval.grid, eval.when) {
        (Some(grid), _) => grid,
        (None, When::Range { start, end, step }) => (start, end, step),
        (None, When::Instant(at)) => (at, at, 0),
    };
    if expected.len() != got.len() {
        return Err(wrong());
    }
    for one in got {
        let values = expected.iter().find(|(labels, _)| *labels == one.labels).ok_or_else(wrong)?;
        if !same_series(&values.1, one, grid) {
            return Err(wrong());
        }
    }
    Ok(())
}

/// Whether the values of a series are those expected on the grid from the first time to the second in steps of the third.
fn same_series(expected: &[Written], got: &RangeSeries, (start, end, step): (i64, i64, i64)) -> bool {
    let (mut floats, mut histograms) = (got.floats.iter(), got.histograms.iter());
    let mut t = start;
    for value in expected {
        let same = t <= end
            && match value {
                Written::Gap => true,
                Written::Float(value) => {
                    floats.next().is_some_and(|(time, got)| *time == t && almost(*value, *got))
                }
                Written::Histogram { histogram, hinted } => histograms
                    .next()
                    .is_some_and(|(time, got)| *time == t && same_histogram(histogram, got, *hinted)),
            };
        if !same {
            return false;
        }
        t += step;
    }
    floats.next().is_none() && histograms.next().is_none()
}

fn sorted(series: &[RangeSeries]) -> Result<(), Wrong> {
    if series.is_sorted_by(|a, b| a.labels < b.labels) {
        Ok(())
    } else {
        Err(Wrong::new("series sorted by labels, each once", shown_matrix(series)))
    }
}

/// Equality up to a millionth.
fn almost(a: f64, b: f64) -> bool {
    const EPSILON: f64 = 1e-6;
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if (a.is_nan() && b.is_nan()) || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < EPSILON * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < EPSILON
}

fn same_histogram(expected: &Histogram, got: &Histogram, hinted: bool) -> bool {
    let ([count, zero], [positive, negative]) = parts(expected);
    let ([got_count, got_zero], [got_positive, got_negative]) = parts(got);
    let same_bounds = expected.custom_values.len() == got.custom_values.len()
        && expected.custom_values.iter().zip(&got.custom_values).all(|(a, b)| a == b);
    expected.schema == got.schema
        && expected.zero_threshold == got.zero_threshold
        && same_bounds
        && almost(count, got_count)
        && almost(expected.sum, got.sum)
        && almost(zero, got_zero)
        && same_buckets(&positive, &got_positive)
        && same_buckets(&negative, &got_negative)
        && (!hinted || expected.hint == got.hint)
}

type Buckets = BTreeMap<i64, f64>;

fn same_buckets(expected: &Buckets, got: &Buckets) -> bool {
    expected.len() == got.len()
        && expected.iter().zip(got).all(|((at, a), (other, b))| at == other && almost(*a, *b))
}

/// Count and zero count; positive and negative buckets that are not empty, by number.
fn parts(histogram: &Histogram) -> ([f64; 2], [Buckets; 2]) {
    let histogram = histogram.clone().to_float();
    let Counts::Float { count, zero, positive, negative } = &histogram.counts else {
        return ([f64::NAN; 2], [Buckets::new(), Buckets::new()]);
    };
    let sides = [buckets(&histogram.positive_spans, positive), buckets(&histogram.negative_spans, negative)];
    ([*count, *zero], sides)
}

fn buckets(spans: &[Span], counts: &[f64]) -> Buckets {
    let mut at = 0_i64;
    let mut numbers = Vec::new();
    for span in spans {
        at += i64::from(span.offset);
        for _ in 0..span.length {
            numbers.push(at);
            at += 1;
        }
    }
    numbers.into_iter().zip(counts.iter().copied()).filter(|(_, count)| *count != 0.0).collect()
}

fn lines(all: &[String]) -> String {
    match all {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        _ => all.iter().map(|line| format!("\n    {line}")).collect(),
    }
}

fn shown_value(value: &Value) -> String {
    match value {
        Value::Scalar(_, value) => format!("the scalar {value}"),
        Value::String(_, text) => format!("the string {}", text.escape_ascii()),
        Value::Vector(samples) => format!("a vector of {}", samples.len()),
        Value::Matrix(series) => shown_matrix(series),
    }
}

fn shown_matrix(series: &[RangeSeries]) -> String {
    let all: Vec<String> = series
        .iter()
        .map(|one| {
            let floats = one.floats.iter().map(|(t, value)| (*t, value.to_string()));
            let histograms = one.histograms.iter().map(|(t, histogram)| (*t, shown_histogram(histogram)));
            let mut points: Vec<_> = floats.chain(histograms).collect();
            points.sort_by_key(|(t, _)| *t);
            let points = points.into_iter().map(|(t, value)| format!(" {value}@{t}"));
            format!("{}{}", one.labels.as_ref(), points.collect::<String>())
        })
        .collect();
    lines(&all)
}

fn shown_expected(eval: &Eval) -> String {
    match &eval.expected {
        Expected::Scalar(value) => format!("the scalar {value}"),
        Expected::String(text) => format!("the string {}", text.escape_ascii()),
        Expected::Series(series) => {
            let all: Vec<String> = series
                .iter()
                .map(|(labels, values)| {
                    let values = values.iter().map(|value| match value {
                        Written::Gap => " _".to_owned(),
                        Written::Float(value) => format!(" {value}"),
                        Written::Histogram { histogram, .. } => format!(" {}", shown_histogram(histogram)),
                    });
                    format!("{}{}", labels.as_ref(), values.collect::<String>())
                })
                .collect();
            lines(&all)
        }
    }
}

fn shown_point(point: &Point) -> String {
    match point {
        Point::Float(value) => value.to_string(),
        Point::Histogram(histogram) => shown_histogram(histogram),
    }
}

/// As a script writes it, with the buckets that are not empty by number.
fn shown_histogram(histogram: &Histogram) -> String {
    let ([count, zero], [positive, negative]) = parts(histogram);
    let mut text = format!("{{{{schema:{} count:{count} sum:{}", histogram.schema, histogram.sum);
    if zero != 0.0 || histogram.zero_threshold != 0.0 {
        text += &format!(" z_bucket:{zero} z_bucket_w:{}", histogram.zero_threshold);
    }
    if !histogram.custom_values.is_empty() {
        text += &format!(" custom_values:{:?}", histogram.custom_values);
    }
    for (name, buckets) in [("buckets", positive), ("n_buckets", negative)] {
        if !buckets.is_empty() {
            text += &format!(" {name}:{buckets:?}");
        }
    }
    let hint = match histogram.hint {
        ResetHint::Unknown => "",
        ResetHint::Reset => " counter_reset_hint:reset",
        ResetHint::NotReset => " counter_reset_hint:not_reset",
        ResetHint::Gauge => " counter_reset_hint:gauge",
    };
    text + hint + "}}"
}
