//! Durations as Prometheus writes them: `15d`, `1h30m`, `500ms`, and back.
//!
//! Whole numbers, each with its unit; units stand from the longest to the shortest, each at most once; a lone `0` needs none. A day has 24 hours
//! and a year 365 days. Go's own durations (`1.5h`, in any order) are another language and not read here. Errors are told in Prometheus' words
//! (`model.ParseDuration`), which its users compare.

use std::fmt;

use crate::labels::quote;

/// Units with their length in milliseconds, from the longest to the shortest.
const UNITS: [(&str, u64); 7] = [
    ("y", 365 * 86_400_000),
    ("w", 7 * 86_400_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1000),
    ("ms", 1),
];
/// Prometheus keeps durations as nanoseconds in 63 bits; what does not fit there is refused here as well.
const MAX_NANOS: u64 = 1 << 63;
const NANOS_PER_MS: u64 = 1_000_000;

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DurationError {
    /// There is no text.
    Empty,
    /// It has another form, or its units stand in another order.
    Malformed {
        /// The whole text.
        text: String,
    },
    /// It has a unit that is none.
    UnknownUnit {
        /// The whole text.
        text: String,
        /// What stands where a unit should.
        unit: String,
    },
    /// It is longer than 292 years.
    OutOfRange,
}

impl fmt::Display for DurationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty duration string"),
            Self::Malformed { text } => {
                f.write_str("not a valid duration string: ")?;
                quote(f, text.as_bytes())
            }
            Self::UnknownUnit { text, unit } => {
                f.write_str("unknown unit ")?;
                quote(f, unit.as_bytes())?;
                f.write_str(" in duration ")?;
                quote(f, text.as_bytes())
            }
            Self::OutOfRange => f.write_str("duration out of range"),
        }
    }
}

impl std::error::Error for DurationError {}

/// The milliseconds of a duration such as `1h30m`; never negative.
///
/// # Errors
/// [`DurationError`], which says what is wrong in Prometheus' words.
pub fn parse_duration(text: &str) -> Result<i64, DurationError> {
    match text {
        "" => return Err(DurationError::Empty),
        "0" => return Ok(0),
        _ => {}
    }
    let malformed = || DurationError::Malformed { text: text.to_owned() };
    let (mut rest, mut total, mut last) = (text, 0_u64, None);
    while !rest.is_empty() {
        let (digits, behind) = split(rest, |c| !c.is_ascii_digit());
        let count: u64 = digits.parse().map_err(|_| malformed())?;
        let (unit, behind) = split(behind, |c| c.is_ascii_digit());
        rest = behind;
        if unit.is_empty() {
            return Err(malformed());
        }
        let Some(rank) = UNITS.iter().position(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit { text: text.to_owned(), unit: unit.to_owned() });
        };
        if last.is_some_and(|last| rank <= last) {
            return Err(malformed());
        }
        last = Some(rank);
        let ms = UNITS.get(rank).map_or(1, |(_, ms)| *ms);
        if count > MAX_NANOS / (ms * NANOS_PER_MS) {
            return Err(DurationError::OutOfRange);
        }
        total += count * ms;
        if total > (MAX_NANOS - 1) / NANOS_PER_MS {
            return Err(DurationError::OutOfRange);
        }
    }
    i64::try_from(total).map_err(|_| DurationError::OutOfRange)
}

fn split(text: &str, ends: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(ends).unwrap_or(text.len()))
}

/// Milliseconds as Prometheus prints a duration: `1h30m`; years and weeks only if nothing is left over.
pub fn print_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut out = if ms < 0 { "-".to_owned() } else { String::new() };
    let mut left = ms.unsigned_abs();
    for (unit, length) in UNITS {
        let exact = matches!(unit, "y" | "w");
        if left < length || (exact && !left.is_multiple_of(length)) {
            continue;
        }
        out.push_str(&(left / length).to_string());
        out.push_str(unit);
        left %= length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        for (text, ms) in [
            ("5m", 300_000),
            ("1y2w3d4h5m6s7ms", 33_019_506_007),
            ("1h30m", 5_400_000),
            ("2m1s5ms", 121_005),
            ("365d", 31_536_000_000),
            ("292y", 9_208_512_000_000),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(ms), "{text}");
            assert_eq!(parse_duration(&print_duration(ms)), Ok(ms), "{text}");
        }
        assert_eq!(parse_duration("0"), Ok(0));
        assert_eq!(print_duration(5_400_000), "1h30m");
        assert_eq!(print_duration(-90 * 86_400_000), "-90d");
        assert_eq!(print_duration(0), "0s");
    }

    #[test]
    fn what_is_no_duration_is_told_in_prometheus_words() {
        for (text, why) in [
            ("", "empty duration string"),
            ("5m5m", "not a valid duration string: \"5m5m\""),
            ("1m1h", "not a valid duration string: \"1m1h\""),
            ("h", "not a valid duration string: \"h\""),
            ("5", "not a valid duration string: \"5\""),
            ("-1h", "not a valid duration string: \"-1h\""),
            ("0.5m", "unknown unit \".\" in duration \"0.5m\""),
            ("1M", "unknown unit \"M\" in duration \"1M\""),
            ("1h ", "unknown unit \"h \" in duration \"1h \""),
            ("293y", "duration out of range"),
            ("99999999999999999999s", "not a valid duration string: \"99999999999999999999s\""),
        ] {
            assert_eq!(parse_duration(text).unwrap_err().to_string(), why);
        }
    }
}
