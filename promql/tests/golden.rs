//! Every query of the golden data against what a real Prometheus answered: status, error, type, labels, values, annotations.
//!
//! Values are equal to the bit, mathematics and all. Nothing here knows how many cases there are.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod data;

use std::fmt::Write as _;

use data::DataSet;
use data::told::{Body, Told, same, shortened, theirs};
use sarsen_promql::{EvalOptions, ParseOptions, Question};
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    id: String,
    group: String,
    #[serde(rename = "type")]
    kind: String,
    query: String,
    time: Option<String>,
    start: Option<String>,
    end: Option<String>,
    step: Option<String>,
    body: Body,
    #[serde(default)]
    ordered: bool,
}

fn milliseconds(text: &str) -> i64 {
    let seconds: f64 = text.parse().unwrap();
    (seconds * 1000.0).round() as i64
}

fn ours(case: &Case, data: &DataSet) -> Told {
    let options = EvalOptions {
        delayed_name_removal: case.group == "delayed-name-removal",
        start_timestamps: false,
        type_and_unit_labels: case.group == "type-and-unit-labels",
    };
    let syntax = if case.group == "experimental" { ParseOptions::all() } else { ParseOptions::default() };
    let time = |text: &Option<String>| milliseconds(text.as_deref().unwrap());
    let question = match case.kind.as_str() {
        "instant" => Question::instant(time(&case.time)),
        "range" => Question::range(time(&case.start), time(&case.end), time(&case.step)),
        other => panic!("{}: type {other}", case.id),
    };
    let question = Question { options, ..question };
    data::told::ours(&case.query, data, &question, &syntax)
}

#[test]
fn every_case_is_answered_as_prometheus_answers_it() {
    let data = DataSet::golden();
    let cases: Vec<Case> = data::lines("cases");
    let mut wrong = Vec::new();
    for case in &cases {
        let (ours, theirs) = (ours(case, &data), theirs(&case.body));
        if !same(case.ordered, &ours, &theirs) {
            wrong.push((case, ours, theirs));
        }
    }
    let mut text = String::new();
    for (case, ours, theirs) in &wrong {
        let when: Vec<&str> = [&case.time, &case.start, &case.end, &case.step]
            .into_iter()
            .filter_map(Option::as_deref)
            .collect();
        let (id, group, query) = (&case.id, &case.group, &case.query);
        let _ = writeln!(text, "{id} ({group}, {}) {query}", when.join(" "));
        let _ = writeln!(text, "  expected {}\n  got      {}", shortened(theirs), shortened(ours));
    }
    assert!(wrong.is_empty(), "{text}{} of {} cases are answered otherwise", wrong.len(), cases.len());
}
