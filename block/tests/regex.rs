//! Expressions mean here what they mean to Prometheus: the same verdict, the same error text, the same values.
//!
//! The cases are described in `testdata/regex/README.md`.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use sarsen_block::{Error, MatchOp, Matcher};
use serde::Deserialize;

const CASES: &[u8] = include_bytes!("../../testdata/regex/cases.jsonl.zst");

#[derive(Deserialize)]
struct Case {
    p: String,
    #[serde(default)]
    err: Option<String>,
    #[serde(default)]
    s: Vec<String>,
    #[serde(default)]
    m: String,
}

fn from_hex(text: &str) -> Vec<u8> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
    pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
}

fn difference(case: &Case) -> Option<String> {
    let matcher = Matcher::new(MatchOp::Regex, "a", &case.p);
    match (matcher, &case.err) {
        (Err(Error::Invalid { why, .. }), Some(expected)) => {
            // Which rewriting of a deep expression the text quotes is nobody's concern.
            let deep = |text: &str| text.starts_with("error parsing regexp: expression nests too deeply: ");
            (why != *expected && !(deep(&why) && deep(expected)))
                .then(|| format!("{why:.99}, not {expected:.99}"))
        }
        (Err(error), _) => Some(format!("refused: {error}")),
        (Ok(_), Some(expected)) => Some(format!("accepted, not {expected}")),
        (Ok(matcher), None) => case.s.iter().zip(case.m.bytes()).find_map(|(value, expected)| {
            let value = from_hex(value);
            let hit = matcher.matches(&value);
            let listed = matcher.literals().is_none_or(|all| all.iter().any(|one| **one == *value) == hit);
            let prefixed = !hit || value.starts_with(matcher.prefix());
            let wrong = hit != (expected == b'1') || !listed || !prefixed;
            wrong
                .then(|| format!("\"{}\": {hit}, listed {listed}, prefixed {prefixed}", value.escape_ascii()))
        }),
    }
}

#[test]
fn verdicts_texts_and_matches_are_those_of_prometheus() {
    let text = zstd::decode_all(CASES).unwrap();
    let mut count = 0;
    let mut wrong = Vec::new();
    for line in text.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
        let case: Case = serde_json::from_slice(line).unwrap();
        count += 1;
        if let Some(difference) = difference(&case) {
            let start: String = case.p.chars().take(40).collect();
            wrong.push(format!("{start:?} ({} bytes): {difference:.300}", case.p.len()));
        }
    }
    assert_eq!(count, 9000);
    let shown = wrong.iter().take(60).cloned().collect::<Vec<_>>().join("\n");
    assert!(wrong.is_empty(), "{} differ:\n{shown}", wrong.len());
}
