//! Our own test scripts, run; and that they leave out no function, aggregation or operator.
//!
//! Their expectations were checked against Prometheus' engine, which passes every one of them.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sarsen_promql::{EvalOptions, Function, ScriptOptions, run_script};

/// Names and texts of the scripts in a folder.
fn scripts(folder: &str) -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(folder);
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "test"))
        .map(|path| {
            (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    found.sort();
    assert!(!found.is_empty(), "there is no script");
    found
}

/// The lines that ask.
fn asked() -> String {
    let texts = scripts("scripts");
    let lines = texts.iter().flat_map(|(_, text)| text.lines()).filter(|line| line.starts_with("eval"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn every_script_gives_what_it_expects() {
    run_all("scripts", &ScriptOptions::default());
}

#[test]
fn names_that_go_at_once_make_series_the_same() {
    run_all(
        "scripts/early",
        &ScriptOptions { evaluation: EvalOptions::default(), ..ScriptOptions::default() },
    );
}

/// Runs the scripts in a folder to their ends.
fn run_all(folder: &str, options: &ScriptOptions) {
    let mut failures = Vec::new();
    for (name, text) in scripts(folder) {
        let asks = text.lines().filter(|line| line.starts_with("eval")).count();
        let report = run_script(&text, &ScriptOptions { name: name.clone(), ..options.clone() });
        if report.failures.is_empty() {
            assert_eq!(report.passed, asks, "{name} was not run to its end");
        }
        failures.extend(report.failures);
    }
    let shown: Vec<String> = failures.iter().map(ToString::to_string).collect();
    assert!(failures.is_empty(), "{}\n{} failed", shown.join("\n"), failures.len());
}

#[test]
fn every_function_aggregation_and_operator_is_asked_for() {
    let asked = asked();
    let word = |c: char| !(c.is_ascii_alphanumeric() || c == '_');
    let words: BTreeSet<&str> = asked.split(word).collect();
    let aggregations = [
        "sum",
        "avg",
        "min",
        "max",
        "count",
        "group",
        "stddev",
        "stdvar",
        "topk",
        "bottomk",
        "limitk",
        "limit_ratio",
        "quantile",
        "count_values",
    ];
    let modifiers = [
        "and",
        "or",
        "unless",
        "atan2",
        "bool",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "by",
        "without",
        "offset",
        "start",
        "end",
        "anchored",
        "smoothed",
        "fill",
        "fill_left",
        "fill_right",
    ];
    let functions = Function::all().iter().map(|function| function.name);
    let all = functions.chain(aggregations).chain(modifiers);
    let missing: Vec<&str> = all.filter(|name| !words.contains(name)).collect();
    assert!(missing.is_empty(), "no script asks for {missing:?}");
    for operator in
        ["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<=", "</", ">/", "@", "=~", "!~"]
    {
        assert!(asked.contains(operator), "no script asks for {operator}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    let script =
        "load 1m\n  m 1 2 3\n\neval instant at 1m m\n  m 2\n\neval instant at 2m m\n  m 4\n\nnonsense\n";
    let run = |text: &str| run_script(text, &ScriptOptions::default());
    let report = run(script);
    assert_eq!((report.passed, report.failures.len()), (0, 1));
    assert_eq!(report.failures[0].line, 10);
    let report = run(script.strip_suffix("nonsense\n").unwrap());
    assert_eq!((report.passed, report.failures.len()), (1, 1));
    let failure = &report.failures[0];
    assert_eq!((failure.line, failure.query.as_str()), (7, "m at 120000 ms"));
    assert_eq!(failure.expected, "{__name__=\"m\"} 4");
    assert_eq!(failure.got, "{__name__=\"m\"} 3");
}

#[test]
fn wrong_answers_are_seen() {
    let load =
        "load 1m\n  m{a=\"1\"} 1 2 3\n  m{a=\"2\"} 5 6 7\n  h {{schema:0 count:1 sum:1 buckets:[1]}}x3\n\n";
    for wrong in [
        "eval instant at 1m m\n  m{a=\"1\"} 2\n",
        "eval instant at 1m m\n  m{a=\"1\"} 2\n  m{a=\"2\"} 6\n  m{a=\"3\"} 6\n",
        "eval instant at 1m m\n  m{a=\"1\"} 2\n  m{a=\"2\"} 6.1\n",
        "eval instant at 1m m{a=\"1\"} - 2\n  {a=\"1\"} 1e-30\n",
        "eval instant at 1m sort(m)\n  expect ordered\n  m{a=\"2\"} 6\n  m{a=\"1\"} 2\n",
        "eval instant at 1m m\n",
        "eval instant at 1m 1 + 1\n  3\n",
        "eval instant at 1m \"a\"\n  expect string \"b\"\n",
        "eval instant at 1m m\n  expect fail\n",
        "eval instant at 1m topk(NaN, m)\n",
        "eval instant at 1m topk(NaN, m)\n  expect fail msg: something else\n",
        "eval instant at 1m rate(m[2m])\n  expect no_info\n  {a=\"1\"} 0.016666666\n  {a=\"2\"} 0.016666666\n",
        "eval instant at 1m m{a=\"1\"}\n  expect warn\n  m{a=\"1\"} 2\n",
        "eval range from 0 to 2m step 1m m{a=\"1\"}\n  m{a=\"1\"} 1 2\n",
        "eval range from 0 to 2m step 1m m{a=\"1\"}\n  m{a=\"1\"} 1 _ 3\n",
        "eval instant at 1m h\n  h {{schema:0 count:1 sum:1 buckets:[1] counter_reset_hint:gauge}}\n",
        "eval instant at 1m h\n  h {{schema:0 count:1 sum:1 offset:1 buckets:[1]}}\n",
        "eval instant at 1m h\n  h 1\n",
    ] {
        let report = run_script(&format!("{load}{wrong}"), &ScriptOptions::default());
        assert_eq!((report.passed, report.failures.len()), (0, 1), "{wrong}");
    }
}
