//! Numbers and strings as Prometheus and Go write them.
//!
//! The words come from the lexer, so most of their form is known; what is left to find is what it lets through: `0x`, `1e999`. Durations are read by [`sarsen_block::parse_duration`].

use super::token::quoted;

/// The value of a number: decimal, hexadecimal (`0x1F`), octal (`017`; decimal if it holds an 8 or a 9), with `_` between digits, `Inf`, `NaN`.
///
/// # Errors
/// The text that Go gives.
pub(super) fn number(text: &str) -> Result<f64, String> {
    let fault = |why: &str| format!("strconv.ParseFloat: parsing {}: {why}", quoted(text));
    if text.eq_ignore_ascii_case("inf") {
        return Ok(f64::INFINITY);
    }
    if text.eq_ignore_ascii_case("nan") {
        return Ok(f64::NAN);
    }
    if !underscores_stand_well(text) {
        return Err(fault("invalid syntax"));
    }
    let digits = text.replace('_', "");
    if let Some(whole) = integer(&digits) {
        #[expect(clippy::cast_precision_loss, reason = "whole numbers beyond 2^53 are rounded, as Go does")]
        return Ok(whole as f64);
    }
    match digits.parse::<f64>() {
        Ok(value) if value.is_infinite() => Err(fault("value out of range")),
        Ok(value) => Ok(value),
        Err(_) => Err(fault("invalid syntax")),
    }
}

/// Go's reading with base 0.
fn integer(digits: &str) -> Option<i64> {
    if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        return i64::from_str_radix(hex, 16).ok();
    }
    match digits.strip_prefix('0') {
        Some(octal) if !octal.is_empty() => i64::from_str_radix(octal, 8).ok(),
        _ => digits.parse().ok(),
    }
}

/// An underscore stands between two digits, or between the base and a digit.
fn underscores_stand_well(text: &str) -> bool {
    let hexadecimal = text.starts_with("0x") || text.starts_with("0X");
    let is_digit = |byte: u8| byte.is_ascii_digit() || (hexadecimal && byte.is_ascii_hexdigit());
    let bytes = text.as_bytes();
    let digit_at = |at: Option<usize>| at.and_then(|at| bytes.get(at)).copied().is_some_and(is_digit);
    bytes.iter().enumerate().all(|(at, byte)| {
        let before = digit_at(at.checked_sub(1)) || (hexadecimal && at == 2);
        *byte != b'_' || (before && digit_at(at.checked_add(1)))
    })
}

/// The letters with which units of durations begin.
pub(super) const LETTERS_OF_UNITS: &[u8] = b"smhdwy";
/// The bytes that a quoted string stands for. The lexer has seen that it ends and that its escapes are good.
pub(super) fn unquoted(literal: &str) -> Vec<u8> {
    let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    if literal.starts_with('`') || !inner.contains('\\') {
        return inner.as_bytes().to_vec();
    }
    let mut out = Vec::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        let c = if c == '\\' { escaped(&mut chars, &mut out) } else { Some(c) };
        if let Some(c) = c {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    out
}

/// Reads what follows a backslash: a character, or one byte that is put out at once.
fn escaped(chars: &mut std::str::Chars<'_>, out: &mut Vec<u8>) -> Option<char> {
    let (first, digits, base) = match chars.next()? {
        'a' => return Some('\x07'),
        'b' => return Some('\x08'),
        'f' => return Some('\x0c'),
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        'v' => return Some('\x0b'),
        'x' => (0, 2, 16),
        'u' => (0, 4, 16),
        'U' => (0, 8, 16),
        digit @ '0'..='7' => (digit.to_digit(8)?, 2, 8),
        other => return Some(other),
    };
    let mut value = first;
    for _ in 0..digits {
        value = value.checked_mul(base)?.checked_add(chars.next()?.to_digit(base)?)?;
    }
    if digits == 2 {
        out.push(u8::try_from(value).ok()?);
        return None;
    }
    char::from_u32(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        for (text, value) in [
            ("0", 0.0),
            ("1_000", 1000.0),
            ("0x1F", 31.0),
            ("0X_1f", 31.0),
            ("0755", 493.0),
            ("08", 8.0),
            ("0e5", 0.0),
            (".5", 0.5),
            ("5.", 5.0),
            ("1_23.50_0_0e+1_2", 1.235e14),
            ("9223372036854775808", 9_223_372_036_854_775_808.0),
            ("Inf", f64::INFINITY),
        ] {
            assert_eq!(number(text), Ok(value), "{text}");
        }
        assert!(number("nAn").unwrap().is_nan());
        for (text, why) in [
            ("0x", "invalid syntax"),
            ("1e", "invalid syntax"),
            ("1e_5", "invalid syntax"),
            ("0xffffffffffffffff", "invalid syntax"),
            ("1e1000", "value out of range"),
        ] {
            assert_eq!(number(text), Err(format!("strconv.ParseFloat: parsing \"{text}\": {why}")));
        }
    }

    #[test]
    fn strings() {
        assert_eq!(
            unquoted(r#""a\n\x41\101\u00e9\U0001f600\"\xff""#),
            b"a\nAA\xc3\xa9\xf0\x9f\x98\x80\"\xff"
        );
        assert_eq!(unquoted(r"'it\'s'"), b"it's");
        assert_eq!(unquoted("`a\\n\r\n`"), b"a\\n\r\n");
    }
}
