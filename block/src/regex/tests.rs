//! The reading of expressions by example, and the shortcuts against the automaton.

use super::*;

fn pattern(text: &str) -> Pattern {
    Pattern::new(text.as_bytes()).unwrap()
}

fn plan(text: &str) -> &'static str {
    match pattern(text).plan {
        Plan::Literals(_) => "literals",
        Plan::Globs(_) => "globs",
        Plan::Automaton(_) => "automaton",
    }
}

#[test]
fn common_expressions_need_no_automaton() {
    for text in [
        "",
        "a",
        "a|b",
        "^a$",
        "(?i)ab",
        "a[0-9]",
        "x(a|b|)y",
        "a{3}",
        "ab?c",
        "(?:a|b){2}",
        "\\.",
        "\\Qa.b\\E",
    ] {
        assert_eq!(plan(text), "literals", "{text}");
    }
    for text in
        [".*", ".+", "a.*", ".*a", ".*a.*", "a.*|b.+", "(a|b).*", "^a.*b$", "(.*)", ".{2,}x", "(?s).*a"]
    {
        assert_eq!(plan(text), "globs", "{text}");
    }
    for text in [".", "a*", "[a-z]+", "\\d+", "(?-s).*", "a.b", "\\bx", "(?m)^a$", "[0-9]{3}"] {
        assert_eq!(plan(text), "automaton", "{text}");
    }
}

#[test]
fn many_alternatives_are_listed() {
    let text: Vec<String> = (0..20_000).map(|i| format!("pod-{i}")).collect();
    let listed = pattern(&text.join("|"));
    assert_eq!(listed.literals().map(<[_]>::len), Some(20_000));
    assert!(listed.is_match(b"pod-19999") && !listed.is_match(b"pod-20000"));
    assert_eq!(listed.prefix(), b"pod-");
    let grouped = pattern(&format!("x-(?:{})", text.join("|")));
    assert!(grouped.is_match(b"x-pod-7") && grouped.literals().is_some());
}

#[test]
fn what_accepts_everything_is_known() {
    assert!(pattern(".*").accepts_all() && !pattern(".*").accepts_all_but_empty());
    assert!(pattern(".+").accepts_all_but_empty() && !pattern(".+").accepts_all());
    assert!(pattern("a.*|.*").accepts_all());
    assert!(pattern("a.*||.+").accepts_all() && !pattern("a.*||.+").accepts_all_but_empty());
    assert!(!pattern("(?-s).*").accepts_all());
}

#[test]
fn prefixes_hold() {
    for (text, prefix) in [
        ("abc.*", "abc"),
        ("^abc[0-9]+", "abc"),
        ("abc|abd\\d+", "ab"),
        ("(?:ab)+c", "ab"),
        ("a*", ""),
        ("(?i)abc", ""),
        ("x(?:ab|ac)\\d+", "xa"),
        ("x(?:ab|)\\d+", "x"),
        ("(?m)^ab\\d+", ""),
    ] {
        assert_eq!(pattern(text).prefix(), prefix.as_bytes(), "{text}");
    }
}

/// The deepest tree is walked by recursion here and in the automaton's builder; a thread of a test has 2 MB.
#[test]
fn the_deepest_tree_is_walked() {
    let deep = |levels: usize, open: &str, close: &str| open.repeat(levels) + "x" + &close.repeat(levels);
    assert!(pattern(&deep(499, "(?:a*|b", ")")).is_match(b"aa"));
    assert!(pattern(&deep(495, "(?:", "\\d*)*")).is_match(b"x1"));
    assert!(pattern(&deep(998, "(", ")")).is_match(b"x"));
    let fault = Pattern::new(deep(1000, "(", ")").as_bytes()).unwrap_err().to_string();
    assert!(fault.contains("error parsing regexp: expression nests too deeply: `((("), "{fault}");
    assert!(pattern(&deep(100_000, "(?:", ")")).is_match(b"x"));
    assert!(Pattern::new(deep(100_000, "(?:a*", ")").as_bytes()).is_ok());
    assert!(Pattern::new(deep(100_000, "(?:a*|b", ")").as_bytes()).is_err());
}

#[test]
fn large_expressions_are_refused_and_cheap_to_refuse() {
    for text in
        ["(?:\\pL{1000})", &"\\pL".repeat(1 << 17), "(?:(?:[a-z]{100}){10}x{1001})", "((a{100}){10}){2}"]
    {
        assert!(Pattern::new(text.as_bytes()).is_err(), "{text:.20}");
    }
    for text in [
        "[[:".repeat(100_000),
        "{".repeat(300_000),
        "(?i)[\\x{41}-\\x{1e942}]".repeat(20_000),
        "[".to_owned() + &"\\pL".repeat(50_000),
    ] {
        drop(Pattern::new(text.as_bytes()));
    }
}

#[test]
fn bytes_that_are_no_utf8_count_as_one_character_each() {
    let value = b"a\xe2\x82b\xff";
    assert!(pattern("a..b.").is_match(value) && !pattern("a.b.").is_match(value));
    assert!(pattern("a[^x]{2}b\\x{fffd}").is_match(value));
    assert!(pattern("a.{2,}").is_match(b"a\xe2\x82") && !pattern("a.{3,}").is_match(b"a\xe2\x82"));
    assert!(
        !pattern("a.").is_match("a\u{20ac}b".as_bytes()) && pattern("a.b").is_match("a\u{20ac}b".as_bytes())
    );
}

/// Whatever shortcut is taken, the automaton alone would have said the same.
fn agrees_with_the_automaton(text: &str, values: &[Vec<u8>]) {
    let Ok(pattern) = Pattern::new(text.as_bytes()) else { return };
    let node = read::read(text).unwrap();
    let Ok(slow) = automaton(&node, text) else { return };
    for value in values {
        let hit = pattern.is_match(value);
        assert_eq!(hit, run(&slow, value), "{text:?} on {:?}", value.escape_ascii().to_string());
        assert!(!hit || value.starts_with(pattern.prefix()), "{text:?}");
        let listed = pattern.literals().map(|all| all.iter().any(|one| **one == **value));
        assert!(listed.is_none_or(|listed| listed == hit), "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_without_panic(text in "\\PC{0,40}", value in proptest::collection::vec(0u8..255, 0..20)) {
        agrees_with_the_automaton(&text, &[value, Vec::new()]);
    }

    #[test]
    fn shortcuts_change_nothing(
        parts in proptest::collection::vec(proptest::sample::select(vec![
            "a", "b", "ab", ".*", ".+", ".", "|", "(", ")", "(?:", "(?i)", "[ab]", "a{2}", "?", "*", "{1,2}", "^", "$", "\u{20ac}", "",
        ]), 0..10),
        values in proptest::collection::vec("[abAB\u{20ac}\n]{0,8}", 1..6),
        bytes in proptest::collection::vec(proptest::sample::select(vec![b'a', b'b', 0xE2, 0x82, 0xAC, 0xFF]), 0..8),
    ) {
        let mut values: Vec<Vec<u8>> = values.into_iter().map(String::into_bytes).collect();
        values.push(bytes);
        agrees_with_the_automaton(&parts.concat(), &values);
    }
}
