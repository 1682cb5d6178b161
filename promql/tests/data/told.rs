//! Answers of an engine and of an HTTP API in one form, and whether they are the same.
//!
//! Values are equal to the bit, mathematics and all.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test file uses the part it needs, and may fail loudly"
)]

use std::collections::BTreeMap;

use sarsen_block::{Counts, Histogram, Labels, Span};
use sarsen_promql::{Budget, Error, ParseOptions, Point, Question, Severity, Value, parse, prepare};
use serde::Deserialize;
use serde_json::Value as Json;

use super::DataSet;

/// The body of an answer.
#[derive(Deserialize)]
pub(crate) struct Body {
    status: String,
    #[serde(rename = "errorType")]
    error_type: Option<String>,
    error: Option<String>,
    data: Option<Data>,
    #[serde(default)]
    warnings: Vec<String>,
    #[serde(default)]
    infos: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct Data {
    #[serde(rename = "resultType")]
    result_type: String,
    result: Json,
}

/// An answer, from wherever it comes.
#[derive(Debug, PartialEq)]
pub(crate) enum Told {
    Failed { kind: String, text: String },
    Answered { kind: String, series: Vec<Series>, warnings: Vec<String>, infos: Vec<String> },
}

/// A series of an answer; a scalar is one without labels, a string has its text as a label.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Series {
    labels: BTreeMap<String, String>,
    floats: Vec<(i64, f64)>,
    histograms: Vec<(i64, Buckets)>,
}

/// A histogram as JSON has it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Buckets {
    count: f64,
    sum: f64,
    /// Which bounds are in it, the bounds, and the count.
    buckets: Vec<(i64, f64, f64, f64)>,
}

/// What the engine answers over `data`, with the texts of errors as the HTTP API gives them.
pub(crate) fn ours(query: &str, data: &DataSet, question: &Question, syntax: &ParseOptions) -> Told {
    let bad = |error: &Error| Told::Failed {
        kind: "bad_data".to_owned(),
        text: format!("invalid parameter \"query\": {error}"),
    };
    let parsed = parse(query, syntax).map_err(Error::from);
    let prepared = match parsed.and_then(|expr| prepare(query, expr, question)) {
        Ok(prepared) => prepared,
        Err(error) => return bad(&error),
    };
    let found = prepared.selections().iter().map(|selection| data.select(selection)).collect();
    let answer = match prepared.evaluate(found, &Budget::default()) {
        Ok(answer) => answer,
        Err(error) => return Told::Failed { kind: "execution".to_owned(), text: error.to_string() },
    };
    let notes = |severity| {
        let of = answer.annotations.iter().filter(|annotation| annotation.note.severity() == severity);
        let mut texts: Vec<String> = of.map(|annotation| annotation.text(query)).collect();
        texts.sort();
        texts
    };
    let (kind, series) = told_value(&answer.value);
    Told::Answered { kind, series, warnings: notes(Severity::Warning), infos: notes(Severity::Info) }
}

fn told_labels(labels: &Labels) -> BTreeMap<String, String> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    labels.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn told_value(value: &Value) -> (String, Vec<Series>) {
    match value {
        Value::Scalar(t, value) => {
            ("scalar".to_owned(), vec![Series { floats: vec![(*t, *value)], ..Series::default() }])
        }
        Value::String(t, text) => {
            let labels = BTreeMap::from([(String::new(), String::from_utf8_lossy(text).into_owned())]);
            ("string".to_owned(), vec![Series { labels, floats: vec![(*t, 0.0)], ..Series::default() }])
        }
        Value::Vector(samples) => {
            let told = samples.iter().map(|sample| {
                let mut series = Series { labels: told_labels(&sample.labels), ..Series::default() };
                match &sample.point {
                    Point::Float(value) => series.floats.push((sample.t, *value)),
                    Point::Histogram(histogram) => {
                        series.histograms.push((sample.t, told_histogram(histogram)));
                    }
                }
                series
            });
            ("vector".to_owned(), told.collect())
        }
        Value::Matrix(series) => {
            let told = series.iter().map(|series| Series {
                labels: told_labels(&series.labels),
                floats: series.floats.clone(),
                histograms: series
                    .histograms
                    .iter()
                    .map(|(t, histogram)| (*t, told_histogram(histogram)))
                    .collect(),
            });
            ("matrix".to_owned(), told.collect())
        }
    }
}

/// The buckets of a histogram that are not empty, from below; written from the definition of the format.
fn told_histogram(histogram: &Histogram) -> Buckets {
    let histogram = histogram.clone().to_float();
    let Counts::Float { count, zero, positive, negative } = &histogram.counts else { panic!("integers") };
    let threshold = histogram.zero_threshold;
    let mut buckets = Vec::new();
    for (index, count) in numbered(&histogram.negative_spans, negative).into_iter().rev() {
        let (lower, upper) = (-bound(&histogram, index), -bound(&histogram, index - 1));
        buckets.push((1, lower, upper.min(-threshold), count));
    }
    // A bucket of zeros that holds less than nothing, or nobody knows what, is not shown.
    if *zero > 0.0 {
        buckets.push((3, -threshold, threshold, *zero));
    }
    for (index, count) in numbered(&histogram.positive_spans, positive) {
        let (lower, upper) = (bound(&histogram, index - 1), bound(&histogram, index));
        if histogram.has_custom_buckets() {
            buckets.push((if index == 0 { 3 } else { 0 }, lower, upper, count));
        } else {
            buckets.push((0, lower.max(threshold), upper, count));
        }
    }
    buckets.retain(|(_, _, _, count)| *count != 0.0);
    Buckets { count: *count, sum: histogram.sum, buckets }
}

fn numbered(spans: &[Span], counts: &[f64]) -> Vec<(i32, f64)> {
    let mut index = 0;
    let mut numbers = Vec::new();
    for span in spans {
        index += span.offset;
        for _ in 0..span.length {
            numbers.push(index);
            index += 1;
        }
    }
    numbers.into_iter().zip(counts.iter().copied()).collect()
}

/// The upper bound of bucket `index`.
fn bound(histogram: &Histogram, index: i32) -> f64 {
    if histogram.has_custom_buckets() {
        return match usize::try_from(index) {
            Ok(at) => histogram.custom_values.get(at).copied().unwrap_or(f64::INFINITY),
            Err(_) => f64::NEG_INFINITY,
        };
    }
    (f64::from(index) * (-f64::from(histogram.schema)).exp2()).exp2()
}

/// What the body says; warnings and infos sorted.
pub(crate) fn theirs(body: &Body) -> Told {
    let Some(data) = &body.data else {
        assert_eq!(body.status, "error");
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        return Told::Failed { kind: text(&body.error_type), text: text(&body.error) };
    };
    let result = &data.result;
    let series = match data.result_type.as_str() {
        "scalar" => vec![Series { floats: vec![float_point(result)], ..Series::default() }],
        "string" => {
            let labels = BTreeMap::from([(String::new(), result[1].as_str().unwrap().to_owned())]);
            vec![Series { labels, floats: vec![(time(&result[0]), 0.0)], ..Series::default() }]
        }
        _ => result.as_array().unwrap().iter().map(read_series).collect(),
    };
    Told::Answered {
        kind: data.result_type.clone(),
        series,
        warnings: sorted(&body.warnings),
        infos: sorted(&body.infos),
    }
}

fn sorted(texts: &[String]) -> Vec<String> {
    let mut texts = texts.to_vec();
    texts.sort();
    texts
}

fn time(json: &Json) -> i64 {
    (json.as_f64().unwrap() * 1000.0).round() as i64
}

fn number(json: &Json) -> f64 {
    json.as_str().unwrap().parse().unwrap()
}

fn float_point(json: &Json) -> (i64, f64) {
    (time(&json[0]), number(&json[1]))
}

fn histogram_point(json: &Json) -> (i64, Buckets) {
    let histogram = &json[1];
    let bucket =
        |json: &Json| (json[0].as_i64().unwrap(), number(&json[1]), number(&json[2]), number(&json[3]));
    let buckets = histogram["buckets"].as_array().into_iter().flatten().map(bucket).collect();
    (time(&json[0]), Buckets { count: number(&histogram["count"]), sum: number(&histogram["sum"]), buckets })
}

fn read_series(json: &Json) -> Series {
    let labels = json["metric"].as_object().unwrap().iter();
    let several = |key: &str| json[key].as_array().cloned().unwrap_or_default();
    let one = |key: &str| json.get(key).cloned();
    let floats = several("values").into_iter().chain(one("value"));
    let histograms = several("histograms").into_iter().chain(one("histogram"));
    Series {
        labels: labels.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect(),
        floats: floats.map(|point| float_point(&point)).collect(),
        histograms: histograms.map(|point| histogram_point(&point)).collect(),
    }
}

fn equal(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}

/// Bounds of buckets are worked out by exponentiation here.
fn equal_bound(a: f64, b: f64) -> bool {
    a == b || (a - b).abs() <= 1e-15 * a.abs()
}

fn equal_histogram(a: &Buckets, b: &Buckets) -> bool {
    let mut buckets = a.buckets.iter().zip(&b.buckets);
    let bounds =
        buckets.all(|(a, b)| a.0 == b.0 && equal_bound(a.1, b.1) && equal_bound(a.2, b.2) && equal(a.3, b.3));
    bounds && a.buckets.len() == b.buckets.len() && equal(a.count, b.count) && equal(a.sum, b.sum)
}

fn equal_series(a: &Series, b: &Series) -> bool {
    let lengths = a.floats.len() == b.floats.len() && a.histograms.len() == b.histograms.len();
    let mut histograms = a.histograms.iter().zip(&b.histograms);
    lengths
        && a.labels == b.labels
        && a.floats.iter().zip(&b.floats).all(|(a, b)| a.0 == b.0 && equal(a.1, b.1))
        && histograms.all(|(a, b)| a.0 == b.0 && equal_histogram(&a.1, &b.1))
}

/// Whether two answers are the same; vectors are sets unless they are `ordered`.
pub(crate) fn same(ordered: bool, ours: &Told, theirs: &Told) -> bool {
    let (
        Told::Answered { kind, series, warnings, infos },
        Told::Answered {
            kind: their_kind,
            series: their_series,
            warnings: their_warnings,
            infos: their_infos,
        },
    ) = (ours, theirs)
    else {
        return ours == theirs;
    };
    let notes = kind == their_kind && warnings == their_warnings && infos == their_infos;
    let (mut series, mut their_series) = (series.clone(), their_series.clone());
    if kind == "vector" && !ordered {
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        their_series.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    let mut pairs = series.iter().zip(&their_series);
    notes && series.len() == their_series.len() && pairs.all(|(a, b)| equal_series(a, b))
}

/// For messages.
pub(crate) fn shortened(told: &Told) -> String {
    let mut text = format!("{told:?}");
    if let Some((end, _)) = text.char_indices().nth(1500) {
        text.truncate(end);
        text += "...";
    }
    text
}
