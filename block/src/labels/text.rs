//! Labels as text for people and for tools that compare text: the quoting of Go's `strconv.Quote`.
//!
//! `promtool tsdb dump`, the selectors in Prometheus' error texts and our own dump print label sets in this one form, so it
//! stands once. Bytes that are not UTF-8 come out as `\xNN`.

use std::fmt::{self, Write};

use super::LabelsRef;

/// Whether a name may stand without quotes: a letter or `_`, then letters, digits and `_`.
pub(crate) fn plain_name(name: &[u8]) -> bool {
    let (Some(first), rest) = (name.first(), name.get(1..).unwrap_or_default()) else {
        return false;
    };
    (first.is_ascii_alphabetic() || *first == b'_')
        && rest.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// Writes `text` in double quotes, escaped as Go does.
///
/// # Errors
/// Only those of `out`.
pub fn quote(out: &mut impl Write, text: &[u8]) -> fmt::Result {
    out.write_char('"')?;
    for piece in text.utf8_chunks() {
        for c in piece.valid().chars() {
            quote_char(out, c)?;
        }
        for byte in piece.invalid() {
            write!(out, "\\x{byte:02x}")?;
        }
    }
    out.write_char('"')
}

fn quote_char(out: &mut impl Write, c: char) -> fmt::Result {
    match c {
        '"' => out.write_str("\\\""),
        '\\' => out.write_str("\\\\"),
        ' '..='~' => out.write_char(c),
        '\x07' => out.write_str("\\a"),
        '\x08' => out.write_str("\\b"),
        '\x0c' => out.write_str("\\f"),
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        '\x0b' => out.write_str("\\v"),
        '\0'..='\x7f' => write!(out, "\\x{:02x}", u32::from(c)),
        _ if printable(c) => out.write_char(c),
        _ if u32::from(c) < 0x1_0000 => write!(out, "\\u{:04x}", u32::from(c)),
        _ => write!(out, "\\U{:08x}", u32::from(c)),
    }
}

/// Letters, marks, numbers, punctuation and symbols. The standard library only tells through its escaping, and escapes a mark
/// when it comes first; hence the letter before it.
fn printable(c: char) -> bool {
    let mut buffer = [b'a'; 5];
    let length = c.encode_utf8(&mut buffer[1..]).len();
    let text = std::str::from_utf8(&buffer[..=length]).unwrap_or_default();
    text.escape_debug().nth(1) == Some(c)
}

impl fmt::Display for LabelsRef<'_> {
    /// `{name="value", ...}` as Prometheus prints a label set; names that are not plain are quoted.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('{')?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if plain_name(name) {
                f.write_str(&String::from_utf8_lossy(name))?;
            } else {
                quote(f, name)?;
            }
            f.write_char('=')?;
            quote(f, value)?;
        }
        f.write_char('}')
    }
}

impl fmt::Display for super::Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.as_ref(), f)
    }
}

#[cfg(test)]
mod tests {
    use crate::labels::Labels;

    #[test]
    fn a_set_prints_as_in_a_dump() {
        let set = Labels::from_pairs([
            ("__name__", &b"up"[..]),
            ("a.b", b"x\"\\\n\x7f"),
            ("z", "\u{e9}\u{301}\u{200b}\u{1f600}\u{e0001}".as_bytes()),
        ]);
        let expected = "{__name__=\"up\", \"a.b\"=\"x\\\"\\\\\\n\\x7f\", z=\"\u{e9}\u{301}\\u200b\u{1f600}\\U000e0001\"}";
        assert_eq!(set.unwrap().to_string(), expected);
        let bytes = Labels::from_pairs([("a", b"b\xffc")]).unwrap();
        assert_eq!(bytes.to_string(), r#"{a="b\xffc"}"#);
    }
}
