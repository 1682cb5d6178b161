//! The habits of Go's JSON, one by one.

use proptest::prelude::*;

use super::*;

fn parsed(text: &str) -> Json {
    Json::parse("t", text.as_bytes()).unwrap()
}

#[test]
fn strings_are_escaped_as_go_does() {
    let text = Json::text("<a>&\"\\/\u{8}\u{c}\n\r\t\u{0}\u{1f}\u{7f}\u{2028}\u{2029}é");
    let want = "\"\\u003ca\\u003e\\u0026\\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\u{7f}\\u2028\\u2029é\"";
    assert_eq!(text.compact(), want);
    assert_eq!(parsed(want), text);
}

#[test]
fn what_is_not_utf8_becomes_one_replacement_a_byte() {
    assert_eq!(lossy(b"a\xff\xe2\x82b"), "a\u{fffd}\u{fffd}\u{fffd}b");
    assert_eq!(parsed(r#""\ud83e\udd80 \ud83e \udd80x""#), Json::text("🦀 \u{fffd} \u{fffd}x"));
}

#[test]
fn untyped_numbers_are_floats() {
    let text = r#"{"z":1.0,"a":1e21,"b":100000000000000000000,"c":0.0000001,"d":1e-6,"e":123456789012345678,"a":-0}"#;
    let want = r#"{"a":-0,"b":100000000000000000000,"c":1e-7,"d":0.000001,"e":123456789012345680,"z":1}"#;
    assert_eq!(parsed(text).as_untyped().unwrap().compact(), want);
    assert_eq!(parsed("1e21").as_untyped().unwrap().compact(), "1e+21");
    assert_eq!(parsed("1e400").as_untyped(), None);
}

#[test]
fn tabs_and_empty_ones() {
    let text = "{\n\t\"a\": [],\n\t\"b\": {},\n\t\"c\": [\n\t\t1,\n\t\tnull\n\t]\n}";
    assert_eq!(parsed(text).tabbed(), text);
}

#[test]
fn fields_as_go_finds_them() {
    let json = parsed(r#"{"Ab":1,"aB":2,"AB":null,"t":"x","f":1.0}"#);
    let fields = json.fields("t").unwrap();
    assert_eq!(fields.i64("ab").unwrap(), 2);
    assert_eq!(fields.text("none").unwrap(), "");
    assert!(fields.i64("f").is_err() && fields.i64("t").is_err() && fields.list("t").is_err());
}

#[test]
fn bad_text_is_refused_with_its_place() {
    for (text, at) in [("", 0), ("{\"a\":1,", 7), ("[1 2]", 3), ("\"a", 2), ("01", 99), ("-", 1), ("nul", 0)]
    {
        match Json::parse("t", text.as_bytes()) {
            Ok(value) => assert_eq!((at, value.compact().as_str()), (99, "0"), "{text}"),
            Err(crate::Error::Corrupt(corrupt)) => assert_eq!(corrupt.offset, at, "{text}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert!(Json::parse("t", "[".repeat(100_000).as_bytes()).is_err());
}

fn values() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::Bool),
        any::<i64>().prop_map(Json::from),
        any::<String>().prop_map(Json::Text),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::List),
            proptest::collection::vec((any::<String>(), inner), 0..5).prop_map(Json::Object),
        ]
    })
}

proptest! {
    #[test]
    fn what_is_written_is_read(value in values()) {
        prop_assert_eq!(&parsed(&value.compact()), &value);
        prop_assert_eq!(&parsed(&value.tabbed()), &value);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        if let Ok(value) = Json::parse("t", &bytes) {
            prop_assert_eq!(Json::parse("t", value.compact().as_bytes()).unwrap(), value);
        }
    }
}
