//! [`Json`] to text, byte for byte as Go's encoder writes it.

use std::fmt::Write;

use super::Json;

impl Json {
    /// On one line, without spaces, no newline at the end.
    pub fn compact(&self) -> String {
        let mut out = String::new();
        put(&mut out, self, None);
        out
    }

    /// One field or item a line, indented by tabs, no newline at the end.
    pub fn tabbed(&self) -> String {
        let mut out = String::new();
        put(&mut out, self, Some(0));
        out
    }

    /// The value as it comes back when Go reads it into an untyped variable and writes it again: numbers are 64-bit
    /// floats, names are sorted by their bytes and stand once. `None` if a number is too large for that.
    pub fn as_untyped(&self) -> Option<Self> {
        Some(match self {
            Self::Null | Self::Bool(_) | Self::Text(_) => self.clone(),
            Self::Number(text) => {
                let number: f64 = text.parse().ok()?;
                number.is_finite().then(|| Self::Number(float(number)))?
            }
            Self::List(items) => Self::List(items.iter().map(Self::as_untyped).collect::<Option<_>>()?),
            Self::Object(fields) => {
                let mut sorted = std::collections::BTreeMap::new();
                for (name, value) in fields {
                    sorted.insert(name.clone(), value.as_untyped()?);
                }
                Self::Object(sorted.into_iter().collect())
            }
        })
    }
}

/// A float as Go's encoder writes it: the shortest digits that read back the same, with an exponent only below 1e-6
/// and from 1e21 on.
fn float(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 || (1e-6..1e21).contains(&size) {
        return number.to_string();
    }
    let text = format!("{number:e}");
    if text.contains("e-") { text } else { text.replace('e', "e+") }
}

fn put(out: &mut String, value: &Json, depth: Option<usize>) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(true) => out.push_str("true"),
        Json::Bool(false) => out.push_str("false"),
        Json::Number(text) => out.push_str(text),
        Json::Text(text) => put_text(out, text),
        Json::List(items) => put_all(out, ('[', ']'), depth, items.iter(), put),
        Json::Object(fields) => {
            put_all(out, ('{', '}'), depth, fields.iter(), |out, (name, value), depth| {
                put_text(out, name);
                out.push_str(if depth.is_some() { ": " } else { ":" });
                put(out, value, depth);
            });
        }
    }
}

fn put_all<T>(
    out: &mut String,
    (open, close): (char, char),
    depth: Option<usize>,
    items: impl ExactSizeIterator<Item = T>,
    put_one: impl Fn(&mut String, T, Option<usize>),
) {
    let inner = depth.map(|depth| depth + 1);
    let some = items.len() > 0;
    out.push(open);
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(',');
        }
        put_line(out, inner);
        put_one(out, item, inner);
    }
    if some {
        put_line(out, depth);
    }
    out.push(close);
}

fn put_line(out: &mut String, depth: Option<usize>) {
    if let Some(depth) = depth {
        out.push('\n');
        out.extend(std::iter::repeat_n('\t', depth));
    }
}

fn put_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                // Writing to a String does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}
