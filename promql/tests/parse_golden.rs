//! Queries that a real Prometheus was asked: each parses, or fails with the words and the place that Prometheus gave; `format_query` is answered to
//! the letter; selectors of `match[]` fail alike.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::path::Path;

use sarsen_promql::{ParseOptions, parse, parse_selector};
use serde_json::Value;

fn lines(name: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/promql").join(name);
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let text = zstd::decode_all(&packed[..]).unwrap();
    let text = String::from_utf8(text).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!lines.is_empty(), "{name} is empty");
    lines
}

fn options(case: &Value) -> ParseOptions {
    if case["group"] == "experimental" { ParseOptions::all() } else { ParseOptions::default() }
}

/// What Prometheus says of the text itself; `None` if it had nothing against it.
fn fault(case: &Value) -> Option<&str> {
    let error = case["body"]["error"].as_str()?;
    let error = ["invalid parameter \"query\": ", "invalid parameter \"match[]\": "]
        .iter()
        .find_map(|before| error.strip_prefix(before))
        .unwrap_or(error);
    error.contains(": parse error: ").then_some(error)
}

#[test]
fn queries_parse_or_fail_with_the_recorded_text() {
    let (mut wrong, mut faults) = (Vec::new(), 0);
    for case in lines("cases.jsonl.zst") {
        let query = case["query"].as_str().unwrap();
        let options = options(&case);
        match (parse(query, &options), fault(&case)) {
            (Ok(tree), None) => {
                let printed = tree.to_string();
                // Prometheus prints `Inf` with a sign; before `^` that is another tree.
                let again = parse(&printed, &options).map(|tree| tree.to_string());
                if again.as_ref() != Ok(&printed) && !printed.contains("+Inf ^") {
                    wrong.push(format!("{query}\n  printed {printed}\n  again {again:?}"));
                }
            }
            (Err(error), Some(expected)) => {
                faults += 1;
                if error.to_string() != expected {
                    wrong.push(format!("{query}\n  expected {expected}\n  got {error}"));
                }
            }
            (result, expected) => wrong.push(format!("{query}\n  expected {expected:?}\n  got {result:?}")),
        }
    }
    assert!(faults > 0, "no faulty queries among the cases");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn parameter<'a>(case: &'a Value, name: &str) -> Option<&'a str> {
    let pairs = case["params"].as_array()?;
    pairs.iter().find(|pair| pair[0] == name).and_then(|pair| pair[1].as_str())
}

#[test]
fn formatted_queries_are_equal() {
    let (mut formatted, mut selectors, mut wrong) = (0, 0, Vec::new());
    for case in lines("api.jsonl.zst") {
        let path = case["path"].as_str().unwrap();
        let expected = fault(&case);
        if path.ends_with("/format_query") || path.ends_with("/parse_query") {
            formatted += 1;
            let query = parameter(&case, "query").unwrap_or_default();
            let result =
                parse(query, &options(&case)).map(|tree| tree.pretty()).map_err(|error| error.to_string());
            let is_equal = match (&result, expected) {
                (Err(got), expected) => Some(got.as_str()) == expected,
                (Ok(got), None) => path.ends_with("/parse_query") || case["body"]["data"] == got.as_str(),
                (Ok(_), Some(_)) => false,
            };
            if !is_equal {
                wrong.push(format!("{query}\n  expected {}\n  got {result:?}", case["body"]));
            }
        } else if let Some(selector) = parameter(&case, "match[]") {
            selectors += 1;
            let got = parse_selector(selector).err().map(|error| error.to_string());
            if got.as_deref() != expected {
                wrong.push(format!("{selector}\n  expected {expected:?}\n  got {got:?}"));
            }
        }
    }
    assert!(formatted > 0 && selectors > 0, "{formatted} formatted, {selectors} selectors");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
