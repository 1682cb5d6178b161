//! Hostile texts, printing as the inverse of reading, and texts of faults that no recording holds.

use proptest::prelude::*;

use super::ast::{ExprKind, Length, Place, ValueType};
use super::{MAX_DEPTH, MAX_OPEN, ParseOptions, parse, parse_selector};

fn fault(text: &str) -> String {
    parse(text, &ParseOptions::all()).map(|tree| tree.to_string()).unwrap_err().to_string()
}

fn printed(text: &str) -> String {
    parse(text, &ParseOptions::all()).unwrap_or_else(|error| panic!("{text}: {error}")).to_string()
}

#[test]
fn depth_is_bounded() {
    let over =
        |open: &str, close: &str, count: usize| format!("{}a{}", open.repeat(count), close.repeat(count));
    let most = usize::try_from(MAX_DEPTH).unwrap();
    for (open, close) in [
        ("(", ")"),
        ("-", ""),
        ("a+", ""),
        ("a^", ""),
        ("", "+a"),
        ("abs(", ")"),
        ("sum(", ")"),
        ("", "[1m:]"),
    ] {
        for count in [20_000, most + 1] {
            let text = over(open, close, count);
            assert!(fault(&text).contains("nested more than"), "{open}{close}");
        }
    }
    let open = usize::try_from(MAX_OPEN).unwrap();
    let forms =
        [("(", ")", open), ("-", "", open), ("", "+a", most - 1), ("sum(", ")", open), ("a^", "", open)];
    for (open, close, count) in forms {
        let text = over(open, close, count);
        let tree = parse(&text, &ParseOptions::all()).unwrap();
        assert!(!tree.pretty().is_empty());
        assert_eq!(tree.value_type(), ValueType::Vector);
        assert_eq!(printed(&tree.clone().to_string()), tree.to_string());
    }
    for inner in ["(", "-", "5m+", "min_of(1,", "2^"] {
        assert!(fault(&format!("m[{}5m", inner.repeat(20_000))).contains("nested more than"));
        assert!(fault(&format!("m offset - {}5m", inner.repeat(20_000))).contains("nested more than"));
    }
    assert!(fault(&format!("m[{}5m]", "5m+".repeat(20_000))).contains("nested more than"));
}

#[test]
fn long_texts_are_read_in_linear_time() {
    let labels = (0..50_000).map(|i| format!("l{i}=\"v\"")).collect::<Vec<_>>().join(",");
    assert!(printed(&format!("m{{{labels}}}")).len() > 500_000);
    let words = (0..20_000).map(|i| format!("value-number-{i}")).collect::<Vec<_>>().join("|");
    assert!(!printed(&format!("m{{l=~\"{words}\"}}")).is_empty());
    let arguments = "\"a\",".repeat(50_000);
    assert!(!printed(&format!("label_join(m, \"d\", \",\", {arguments} \"b\")")).is_empty());
    assert!(fault(&"fill ".repeat(50_000)).contains("unexpected identifier"));
    assert!(fault(&"{".repeat(100_000)).contains("unexpected left brace"));
}

#[test]
fn hostile_numbers_are_faults() {
    for (text, expected) in [
        ("m[1e100]", "1:3: parse error: duration out of range"),
        ("m offset 1e30", "1:10: parse error: duration out of range"),
        ("m offset Inf", "1:10: parse error: duration out of range"),
        ("m offset -1e30", "1:10: parse error: duration out of range"),
        ("m[9223372036854775808y]", "1:3: parse error: duration out of range"),
        (
            "m[99999999999999999999s]",
            "1:3: parse error: not a valid duration string: \"99999999999999999999s\"",
        ),
        ("m[5m:1e100]", "1:6: parse error: duration out of range"),
        ("m @ 1e19", "1:1: parse error: timestamp out of bounds for @ modifier: 10000000000000000000.000000"),
        (
            "1e999",
            "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e999\": value out of range",
        ),
        ("m[1/0]", "1:4: parse error: division by zero"),
        ("m[1%-0]", "1:4: parse error: modulo by zero"),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
    assert_eq!(printed("m @ 9e18"), "m @ -9223372036854776.000");
}

#[test]
fn faults_of_syntax_tell_what_was_being_read() {
    for (text, expected) in [
        ("sum(up up)", "1:8: parse error: unexpected identifier \"up\" in aggregation"),
        ("sum(rate(up[5m] up))", "1:17: parse error: unexpected identifier \"up\" in aggregation"),
        ("sum foo", "1:5: parse error: unexpected identifier \"foo\""),
        ("a + on b", "1:8: parse error: unexpected identifier \"b\" in grouping opts, expected \"(\""),
        ("a + on(b) group_left) c", "1:22: parse error: unexpected right parenthesis ')'"),
        ("(a + on(b) group_left)", "1:22: parse error: unexpected \")\" in grouping opts, expected \"(\""),
        ("sum by (without) (a)", "1:9: parse error: unexpected <without> in grouping opts, expected label"),
        ("sum by (a,,) (a)", "1:11: parse error: unexpected \",\" in grouping opts, expected label"),
        ("sum by (\"\") (a)", "1:9: parse error: invalid label name for grouping: \"\""),
        (
            "m[5m 5m]",
            "1:6: parse error: unexpected duration \"5m\" in subquery or range, expected \":\" or \"]\"",
        ),
        ("m[5m:1m 1m]", "1:9: parse error: unexpected duration \"1m\" in subquery selector, expected \"]\""),
        ("f(a,)", "1:4: parse error: trailing commas not allowed in function call args"),
        ("nosuch(up)&", "1:1: parse error: unknown function with name \"nosuch\""),
        ("sum() &", "1:7: parse error: unexpected character: '&'"),
        ("a\n  + b +", "2:8: parse error: unexpected end of input"),
        ("m smoothed anchored", "1:1: parse error: anchored and smoothed modifiers cannot be used together"),
        (
            "m offset (5m) * 2 + a",
            "1:21: parse error: unexpected identifier \"a\" in offset, expected number, duration, step(), or range()",
        ),
        ("\"a long string with a 'quote'\" \"x\"", "1:32: parse error: unexpected string \"\\\"x\\\"\""),
        ("1 \"a long string\"", "1:3: parse error: unexpected string \"\\\"a long st\"..."),
    ] {
        assert_eq!(fault(text), expected, "{text}");
    }
}

#[test]
fn places_and_lengths() {
    let tree = parse("sum(rate(m[5m] offset 1m)) + m", &ParseOptions::default()).unwrap();
    let ExprKind::Binary(binary) = &tree.kind else { panic!("{tree}") };
    let ExprKind::Aggregate(sum) = &binary.left.kind else { panic!("{tree}") };
    let ExprKind::Call(rate) = &sum.expr.kind else { panic!("{tree}") };
    let ExprKind::Matrix(matrix) = &rate.arguments[0].kind else { panic!("{tree}") };
    assert_eq!(tree.place, Place { start: 0, end: 30 });
    assert_eq!(binary.left.place, Place { start: 0, end: 26 });
    assert_eq!(rate.arguments_place, Place { start: 9, end: 24 });
    assert_eq!(matrix.selector_place, Place { start: 9, end: 10 });
    assert!(matches!(matrix.range, Length::Plain(300_000)));
    assert!(matches!(matrix.selector.shift.offset, Some(Length::Plain(60_000))));
    assert_eq!(Place { start: 5, end: 5 }.line_and_column("ab\ncde"), (2, 3));
}

#[test]
fn printing_is_that_of_prometheus() {
    for (text, expected) in [
        ("sum by()(m)", "sum(m)"),
        ("sum(m) without()", "sum without () (m)"),
        ("sum(m) by(a, \"b.c\", on)", "sum by (a, \"b.c\", on) (m)"),
        ("m offset 0s", "m"),
        ("m anchored @ 1.5 offset -2h", "m @ 1.500 anchored offset -2h"),
        ("m[5m] smoothed offset 1d @ start()", "m[5m] smoothed @ start() offset 1d"),
        ("m[5*1m:step()] offset -(5m)", "m[5 * 1m:step()] offset -(5m)"),
        (
            "a + fill(1) b + fill_left(1e6) fill_right(-0.00001) c",
            "a + fill (1) b + fill_left (1e+06) fill_right (-1e-05) c",
        ),
        ("a+on()group_right b", "a + on () group_right () b"),
        ("{__name__=\"up\",a!=\"b\"}", "{__name__=\"up\",a!=\"b\"}"),
        ("up{b='1',a=~\"x\"}", "up{a=~\"x\",b=\"1\"}"),
        ("-5m ^ .5e1", "-5m ^ 5"),
        ("m </ 5 >/ .1", "m </ 5 >/ 0.1"),
        ("1e100", &format!("1{}", "0".repeat(100))),
        ("'\\xff\\'é'", "\"\\xff'é\""),
    ] {
        assert_eq!(printed(text), expected, "{text}");
    }
}

#[test]
fn selectors_of_an_expression() {
    let text =
        "topk(scalar(k), a{x='}'} + rate(b[5m])) / on (job) -c{d=~'e|f'} unless max_over_time(g:h[1h:])";
    let tree = parse(text, &ParseOptions::all()).unwrap();
    let shown: Vec<String> = tree.selectors().iter().map(|matchers| format!("{matchers:?}")).collect();
    let expected = [
        "[x=\"}\", __name__=\"a\"]",
        "[__name__=\"b\"]",
        "[__name__=\"k\"]",
        "[d=~\"e|f\", __name__=\"c\"]",
        "[__name__=\"g:h\"]",
    ];
    assert_eq!(shown, expected);
    assert!(parse("1 + 2", &ParseOptions::all()).unwrap().selectors().is_empty());
}

#[test]
fn selectors_alone() {
    let shown = |text: &str| parse_selector(text).map(|matchers| format!("{matchers:?}"));
    assert_eq!(shown("up{a=\"b\"}").unwrap(), "[a=\"b\", __name__=\"up\"]");
    assert_eq!(shown("{}").unwrap(), "[]");
    assert_eq!(shown("offset").unwrap(), "[__name__=\"offset\"]");
    assert_eq!(shown("").unwrap_err().to_string(), "unknown position: parse error: unexpected end of input");
    assert_eq!(shown("up[5m]").unwrap_err().to_string(), "1:3: parse error: unexpected \"[\"");
    assert_eq!(shown("sum(up)").unwrap_err().to_string(), "1:4: parse error: unexpected \"(\"");
}

/// Expressions as text, well typed: instant vectors.
fn vector() -> impl Strategy<Value = String> {
    let matchers =
        prop_oneof![Just(""), Just("{a=\"b\"}"), Just("{c=~\"d|e\", \"f.g\"!=\"\\n\"}"), Just("{}")];
    let shift = prop_oneof![
        Just(""),
        Just(" offset 5m"),
        Just(" offset -1h30m"),
        Just(" offset -(step() * 2)"),
        Just(" @ 12.5"),
        Just(" @ end() offset -min_of(5m, 1h)"),
    ];
    let name = prop_oneof![Just("m"), Just("a:b"), Just("sum"), Just("start"), Just("offset")];
    let selector = (name, matchers, shift.clone())
        .prop_map(|(name, matchers, shift)| format!("{name}{matchers}{shift}"));
    let leaf = prop_oneof![
        selector,
        Just("vector(1)".to_owned()),
        Just("{\"q.r\", s!~\"t\"}".to_owned()),
        shift.clone().prop_map(|shift| format!("rate(m[5m]{shift})")),
        Just("max_over_time(m[1h + 2 * range()] smoothed)".to_owned()),
    ];
    leaf.prop_recursive(6, 40, 3, move |inner| {
        let operator = prop_oneof![
            Just("+"),
            Just("-"),
            Just("*"),
            Just("/"),
            Just("%"),
            Just("^"),
            Just("atan2"),
            Just("=="),
            Just("> bool"),
            Just("</"),
            Just(">/"),
            Just("and"),
            Just("unless on (a)"),
            Just("or ignoring (b)"),
            Just("* on (a, \"b.c\") group_left (d)"),
            Just("<= ignoring (a) group_right ()"),
            Just("- fill (1)"),
            Just("/ on () fill_left (2) fill_right (1e-7)"),
        ];
        let scalar = prop_oneof![
            Just("2"),
            Just("-0.5"),
            Just("5m"),
            Just("NaN"),
            Just("time()"),
            Just("(1 + 2 ^ -3)")
        ];
        let shift = shift.clone();
        prop_oneof![
            (inner.clone(), operator, inner.clone())
                .prop_map(|(left, op, right)| format!("{left} {op} {right}")),
            (inner.clone(), scalar).prop_map(|(left, right)| format!("({right} * {left} - {right})")),
            inner.clone().prop_map(|inner| format!("({inner})")),
            inner.clone().prop_map(|inner| format!("-{inner}")),
            inner.clone().prop_map(|inner| format!("+ {inner}")),
            inner.clone().prop_map(|inner| format!("sum by (a, b) ({inner})")),
            inner.clone().prop_map(|inner| format!("topk without () (3, {inner})")),
            inner.clone().prop_map(|inner| format!("count_values(\"v\\t\", {inner})")),
            inner.clone().prop_map(|inner| format!("label_replace({inner}, 'a', \"$1\", `b`, '(.*)')")),
            (inner, shift).prop_map(|(inner, shift)| format!("avg_over_time(({inner})[1h:5m]{shift})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn what_is_printed_reads_back(text in vector()) {
        let tree = parse(&text, &ParseOptions::all());
        prop_assert!(tree.is_ok(), "{}: {:?}", text, tree);
        let tree = tree.unwrap();
        let once = tree.to_string();
        let again = parse(&once, &ParseOptions::all());
        prop_assert!(again.is_ok(), "{}: {:?}", once, again);
        prop_assert_eq!(&again.unwrap().to_string(), &once);
        let pretty = tree.pretty();
        let pretty_again = parse(&pretty, &ParseOptions::all());
        prop_assert!(pretty_again.is_ok(), "{}: {:?}", pretty, pretty_again);
        prop_assert_eq!(pretty_again.unwrap().to_string(), once);
    }

    #[test]
    fn any_text_is_judged(text in "[a-c(){}\\[\\]\"'`,+=~@#0-9eExX.:_\\\\ é\n<>!%^*/-]{0,40}|(sum|by|on|up|offset|[(){}, ]){0,12}") {
        let result = parse(&text, &ParseOptions::all());
        if let Ok(tree) = result {
            let _ = (tree.pretty(), tree.value_type());
        }
        let _ = parse_selector(&text);
    }
}
