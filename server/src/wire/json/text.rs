//! Texts and sets of labels.

use std::io::{Result, Write};

use sarsen_block::LabelsRef;

/// A text in quotes; `<`, `>` and `&` are escaped, as in Go's own encoder, so that an answer shown as a page by mistake stays text.
pub(crate) fn string(out: &mut impl Write, text: &str) -> Result<()> {
    quoted(out, text, true)
}

/// `{"name":"value"}`, by name.
pub(crate) fn labels(out: &mut impl Write, labels: LabelsRef<'_>) -> Result<()> {
    let mut before: &[u8] = b"{";
    for (name, value) in labels.iter() {
        out.write_all(before)?;
        quoted(out, &String::from_utf8_lossy(name), false)?;
        out.write_all(b":")?;
        quoted(out, &String::from_utf8_lossy(value), false)?;
        before = b",";
    }
    out.write_all(if before == b"{" { b"{}" } else { b"}" })
}

fn quoted(out: &mut impl Write, text: &str, html: bool) -> Result<()> {
    let is_special = |c: char| {
        c < ' ' || matches!(c, '"' | '\\' | '\u{2028}' | '\u{2029}') || html && matches!(c, '<' | '>' | '&')
    };
    out.write_all(b"\"")?;
    let mut rest = text;
    while let Some(at) = rest.find(is_special) {
        let (clean, tail) = rest.split_at(at);
        out.write_all(clean.as_bytes())?;
        let mut chars = tail.chars();
        match chars.next() {
            Some('"') => out.write_all(b"\\\"")?,
            Some('\\') => out.write_all(b"\\\\")?,
            Some('\n') => out.write_all(b"\\n")?,
            Some('\r') => out.write_all(b"\\r")?,
            Some('\t') => out.write_all(b"\\t")?,
            Some(other) => write!(out, "\\u{:04x}", u32::from(other))?,
            None => {}
        }
        rest = chars.as_str();
    }
    out.write_all(rest.as_bytes())?;
    out.write_all(b"\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sarsen_block::Labels;

    #[test]
    fn labels_are_not_escaped_for_pages() {
        let set = Labels::from_pairs([("a", "<b>\"\n"), ("ü", "☃")]).unwrap();
        let mut out = Vec::new();
        labels(&mut out, set.as_ref()).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "{\"a\":\"<b>\\\"\\n\",\"ü\":\"☃\"}");
        let mut out = Vec::new();
        labels(&mut out, LabelsRef::default()).unwrap();
        assert_eq!(out, b"{}");
    }

    proptest! {
        #[test]
        fn texts_read_back(text: String) {
            let mut out = Vec::new();
            string(&mut out, &text).unwrap();
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
