//! Any text as an expression, any bytes as a value: nothing panics, what is listed is what matches, and every match has the prefix.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sarsen_block::{MatchOp, Matcher, parse_selector};

fuzz_target!(|data: &[u8]| {
    // The first zero byte parts the expression from the values.
    let mut parts = data.split(|byte| *byte == 0);
    let expression = parts.next().unwrap_or_default();
    if let Ok(text) = std::str::from_utf8(expression) {
        if let Ok(matchers) = parse_selector(text) {
            let printed: Vec<String> = matchers.iter().map(ToString::to_string).collect();
            let again = parse_selector(&format!("{{{}}}", printed.join(",")));
            assert_eq!(again.ok(), Some(matchers), "a selector reads back as printed");
        }
    }
    let Ok(matcher) = Matcher::new(MatchOp::Regex, "a", expression) else { return };
    let opposite = Matcher::new(MatchOp::NotRegex, "a", expression);
    let opposite = opposite.expect("what is an expression for one is one for the other");
    for value in parts.chain([&b""[..], b"a", b"\xff"]) {
        let hit = matcher.matches(value);
        assert_ne!(hit, opposite.matches(value));
        assert!(!hit || value.starts_with(matcher.prefix()));
        if let Some(all) = matcher.literals() {
            assert_eq!(hit, all.iter().any(|one| **one == *value));
        }
        assert!(!matcher.accepts_all() || hit);
        assert!(!matcher.accepts_all_but_empty() || hit != value.is_empty());
    }
    for value in matcher.literals().unwrap_or_default().iter().take(100) {
        assert!(matcher.matches(value));
    }
});
