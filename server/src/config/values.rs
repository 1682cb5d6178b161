//! Values of flags as Go programs write them: durations of two kinds, sizes, quoted strings, external labels.
//!
//! Every function takes the text of one value and gives the value or a short reason; who calls adds the flag's name.
//! Two kinds of durations exist because Thanos has two: Prometheus' own (`15d`, whole numbers, falling units) and Go's
//! (`1.5h`, `300ms`, any order). Sizes are powers of two whatever the unit is called, and a unit is required.

/// A duration as Prometheus reads it, in milliseconds.
pub(crate) fn model_duration(text: &str) -> Result<i64, String> {
    sarsen_block::parse_duration(text).map_err(|why| why.to_string())
}

/// A duration as Go's `time.ParseDuration` reads it, in nanoseconds: `1h30m`, `1.5s`, `-2ms`, `0`.
pub(crate) fn go_duration(text: &str) -> Result<i64, String> {
    let bad = |why: &str| format!("{why} in duration {text:?}");
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(format!("invalid duration {text:?}"));
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let number_len = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let number: f64 = match number {
            "" | "." => return Err(format!("invalid duration {text:?}")),
            _ => number.parse().map_err(|_| format!("invalid duration {text:?}"))?,
        };
        let scale = match unit {
            "" => return Err(bad("missing unit")),
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(bad(&format!("unknown unit {unit:?}"))),
        };
        total += number * scale;
        rest = tail;
    }
    if total > i64::MAX as f64 {
        return Err(format!("invalid duration {text:?}"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked against the range just above")]
    let total = total.round() as i64;
    Ok(if negative { -total } else { total })
}

/// A size in bytes: `512MB`, `1GiB`, `1.5KB`, `0`. `KB` and `KiB` are both 1,024 bytes; a unit is required.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    if text == "0" {
        return Ok(0);
    }
    if text.is_empty() {
        return Err("empty size".to_owned());
    }
    let (mut rest, mut total) = (text, 0f64);
    while !rest.is_empty() {
        let number_len = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
        let (number, tail) = rest.split_at(number_len);
        let unit_len = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit_len);
        let number: f64 = number.parse().map_err(|_| format!("invalid size {text:?}"))?;
        let power = match unit.strip_suffix('B').map(|u| u.strip_suffix('i').unwrap_or(u)) {
            Some("") if unit == "B" => 0,
            Some("K") => 1,
            Some("M") => 2,
            Some("G") => 3,
            Some("T") => 4,
            Some("P") => 5,
            Some("E") => 6,
            _ if unit.is_empty() => {
                return Err(format!("missing unit in {text:?} (B, KB, MB, GB, TB, PB or EB)"));
            }
            _ => return Err(format!("unknown unit {unit:?} in {text:?} (B, KB, MB, GB, TB, PB or EB)")),
        };
        total += number * 1024f64.powi(power);
        rest = tail;
    }
    if total >= i64::MAX as f64 {
        return Err(format!("size {text:?} is out of range"));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked; the sign cannot occur"
    )]
    Ok(total as u64)
}

/// A size in bytes as [`size`], but bare numbers are bytes: what Sarsen's own flags take.
pub(crate) fn size_or_number(text: &str) -> Result<u64, String> {
    text.parse().or_else(|_| size(text))
}

/// An external label: a name, `=`, and the value as a quoted Go string.
pub(crate) fn label(text: &str) -> Result<(String, String), String> {
    let (name, quoted) = text.split_once('=').ok_or_else(|| format!("unrecognized label {text:?}"))?;
    let mut chars = name.chars();
    let valid = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !valid {
        return Err(format!("unsupported format for label {text:?}: {name:?} is no label name"));
    }
    let value = unquote(quoted).ok_or_else(|| {
        format!("label {name}: the value {quoted} must be a quoted string, as in {name}=\"value\"")
    })?;
    Ok((name.to_owned(), value))
}

/// The text inside a Go string literal, interpreted (`"..."`) or raw (`` `...` ``); `None` if it is none.
fn unquote(literal: &str) -> Option<String> {
    // Single quotes are for strings in selectors; Go reads one character between them.
    let bytes = (!literal.starts_with('\'')).then(|| sarsen_block::unquote(literal)).flatten()?;
    String::from_utf8(bytes).ok()
}

/// A point in time as flags name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// Milliseconds since 1970.
    At(i64),
    /// Milliseconds from now; negative: ago.
    FromNow(i64),
}

#[cfg(any(feature = "compact", feature = "store", feature = "tools"))]
impl Moment {
    /// Milliseconds since 1970, if it is `now` now.
    pub(crate) const fn resolve(self, now: i64) -> i64 {
        match self {
            Self::At(at) => at,
            Self::FromNow(ms) => now.saturating_add(ms),
        }
    }
}

/// A date as in RFC 3339, or a Prometheus duration from now with or without a sign: `-1d`, `2h45m`.
pub(crate) fn moment(text: &str) -> Result<Moment, String> {
    if let Ok(date) = chrono::DateTime::parse_from_rfc3339(text) {
        return Ok(Moment::At(date.timestamp_millis()));
    }
    let (sign, duration) = match text.strip_prefix('-') {
        Some(duration) => (-1, duration),
        None => (1, text),
    };
    let ms = model_duration(duration)
        .map_err(|_| format!("{text:?} is neither a date (2006-01-02T15:04:05Z) nor a duration (-1d)"))?;
    Ok(Moment::FromNow(sign * ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_dates_or_lie_so_far_from_now() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(Moment::At(1000)));
        assert_eq!(moment("1970-01-01T01:00:00+01:00"), Ok(Moment::At(0)));
        assert_eq!(moment("0000-01-01T00:00:00Z"), Ok(Moment::At(-62_167_219_200_000)));
        assert_eq!(moment("9999-12-31T23:59:59Z"), Ok(Moment::At(253_402_300_799_000)));
        assert_eq!(moment("-1d").unwrap().resolve(86_400_001), 1);
        assert_eq!(moment("2h45m").unwrap().resolve(1), 9_900_001);
        for bad in ["", "yesterday", "1.5h", "--1d", "2024-13-01T00:00:00Z"] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn go_durations() {
        assert_eq!(go_duration("1.5h"), Ok(5_400_000_000_000));
        assert_eq!(go_duration("1m1h"), Ok(3_660_000_000_000));
        assert_eq!(go_duration("300ms"), Ok(300_000_000));
        assert_eq!(go_duration("-2us"), Ok(-2_000));
        assert_eq!(go_duration("0"), Ok(0));
        for bad in ["", "1", "1d", ".s", "s", "1h2"] {
            assert!(go_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_powers_of_two() {
        assert_eq!(size("500MB"), Ok(500 << 20));
        assert_eq!(size("500MiB"), Ok(500 << 20));
        assert_eq!(size("1.5KB"), Ok(1536));
        assert_eq!(size("1GB512MB"), Ok((1 << 30) + (512 << 20)));
        assert_eq!(size("12B"), Ok(12));
        assert_eq!(size("0"), Ok(0));
        for bad in ["", "12", "kB", "5kB", "5K", "5iB", "5 MB", "-1B", "9EB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
        assert_eq!(size_or_number("1024"), Ok(1024));
    }

    #[test]
    fn labels_need_quotes() {
        assert_eq!(label("replica=\"0\""), Ok(("replica".to_owned(), "0".to_owned())));
        assert_eq!(label(r#"a="x=\"y\"\u00e9\x41\101""#), Ok(("a".to_owned(), "x=\"y\"éAA".to_owned())));
        assert_eq!(label("a=`raw\\n`"), Ok(("a".to_owned(), "raw\\n".to_owned())));
        for bad in ["a", "a=b", "a='b'", "1a=\"b\"", "=\"b\"", "a=\"b", "a=\"b\\q\""] {
            assert!(label(bad).is_err(), "{bad}");
        }
    }
}
