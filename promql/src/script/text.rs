//! Numbers as scripts write them outside of queries.

/// A number as Go reads it: whole with the prefix of its base, or a float.
pub(super) fn number(text: &str) -> Option<f64> {
    if let Some(whole) = integer(text) {
        return Some(whole as f64);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let decimal = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let named = matches!(unsigned.to_ascii_lowercase().as_str(), "inf" | "infinity" | "nan");
    if decimal || named { text.parse().ok() } else { None }
}

/// A whole number: decimal, or `0x`, `0o`, `0b`, or octal with a leading zero.
fn integer(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let lower = unsigned.to_ascii_lowercase();
    let (digits, base) = match lower.as_bytes() {
        [b'0', b'x', ..] => (lower.get(2..)?, 16),
        [b'0', b'o', ..] => (lower.get(2..)?, 8),
        [b'0', b'b', ..] => (lower.get(2..)?, 2),
        [b'0', _, ..] => (lower.get(1..)?, 8),
        _ => (lower.as_str(), 10),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let value = i64::from_str_radix(digits, base).ok()?;
    Some(if text.starts_with('-') { -value } else { value })
}
