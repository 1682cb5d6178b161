//! The parameters of a request, as Go's programs read them: times, durations, limits, switches, selectors.
//!
//! A form in the body comes before the address, and the first of several values counts unless all are asked for. Texts of faults are those that
//! the originals give; which of them a caller sees is the [`Dialect`]'s matter.

use std::cmp::Ordering;
use std::time::Duration;

use sarsen_block::{Matcher, TimeRange};

use super::dialect::{Dialect, Kind, LimitFault};
use super::fault::Fault;

/// Names and values in the order in which they were given.
pub(crate) type Pairs = Vec<(String, String)>;

/// The first and the last time that a request can name, as Prometheus has them: in milliseconds.
pub(crate) const FIRST: i64 = (i64::MIN / 1000 + 62_135_596_801) * 1000;
/// See [`FIRST`].
pub(crate) const LAST: i64 = (i64::MAX / 1000 - 62_135_596_801) * 1000 + 999;
const FIRST_TEXT: &str = "-292273086-05-16T16:47:06Z";
const LAST_TEXT: &str = "292277025-08-18T07:12:54.999999999Z";

/// From the year 1, at which Go's clock begins, to 1970, in seconds.
const GO_EPOCH: i64 = 62_135_596_800;

/// A moment: seconds since 1970, and nanoseconds, by which an end can be before a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    seconds: i64,
    nanos: u32,
}

impl Ord for Moment {
    /// As Go compares: counted from its own epoch, where what lies too far in the future has wrapped to the far past.
    fn cmp(&self, other: &Self) -> Ordering {
        (self.since_go(), self.nanos).cmp(&(other.since_go(), other.nanos))
    }
}

impl PartialOrd for Moment {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Moment {
    /// Milliseconds since 1970; wraps where Go's do.
    pub(crate) fn ms(self) -> i64 {
        self.seconds.wrapping_mul(1000).wrapping_add(i64::from(self.nanos / 1_000_000))
    }

    /// The same by way of nanoseconds, which wrap much sooner: as the grid of an evaluation has it.
    pub(crate) fn grid_ms(self) -> i64 {
        self.seconds.wrapping_mul(1_000_000_000).wrapping_add(i64::from(self.nanos)) / 1_000_000
    }

    /// Of milliseconds.
    pub(crate) fn of_ms(ms: i64) -> Self {
        let nanos = u32::try_from(ms.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
        Self { seconds: ms.div_euclid(1000), nanos }
    }

    const fn since_go(self) -> i64 {
        self.seconds.wrapping_add(GO_EPOCH)
    }

    /// How long after `start`, in nanoseconds, held within what Go's durations can be.
    pub(crate) fn since(self, start: Self) -> i64 {
        let nanos = (i128::from(self.since_go()) - i128::from(start.since_go())) * 1_000_000_000
            + i128::from(self.nanos)
            - i128::from(start.nanos);
        i64::try_from(nanos).unwrap_or(if nanos < 0 { i64::MIN } else { i64::MAX })
    }
}

/// Seconds since 1970 with a fraction, or a date as in RFC 3339; in Prometheus' dialect also the texts of the first and the last time of all.
pub(crate) fn moment(text: &str, dialect: Dialect) -> Result<Moment, String> {
    if let Some(value) = go_float(text) {
        let whole = value.trunc();
        let nanos = ((value - whole) * 1000.0).round() / 1000.0 * 1e9;
        // What is no number, or too large for one, becomes the least number there, as on the processors that Go's programs run on.
        let seconds =
            if whole >= i64::MIN as f64 && whole < -(i64::MIN as f64) { whole as i64 } else { i64::MIN };
        let nanos = if nanos.is_nan() { i64::MIN } else { nanos as i64 };
        let carried = nanos.div_euclid(1_000_000_000);
        let nanos = u32::try_from(nanos.rem_euclid(1_000_000_000)).unwrap_or(0);
        return Ok(Moment { seconds: seconds.wrapping_add(carried), nanos });
    }
    if let Some(date) = date(text) {
        return Ok(Moment { seconds: date.timestamp(), nanos: date.timestamp_subsec_nanos() });
    }
    match text {
        FIRST_TEXT if dialect.is_prometheus() => Ok(Moment::of_ms(FIRST)),
        LAST_TEXT if dialect.is_prometheus() => Ok(Moment::of_ms(LAST)),
        _ => Err(format!("cannot parse {} to a valid timestamp", quoted(text))),
    }
}

fn date(text: &str) -> Option<chrono::DateTime<chrono::FixedOffset>> {
    // Go wants the capital letters and no blank between date and time.
    let is_strict = text.as_bytes().get(10) == Some(&b'T') && !text.ends_with('z');
    is_strict.then(|| chrono::DateTime::parse_from_rfc3339(text).ok()).flatten()
}

/// Seconds, or a duration as Prometheus writes them; in nanoseconds.
pub(crate) fn nanos(text: &str) -> Result<i64, String> {
    if let Some(seconds) = go_float(text) {
        let nanos = seconds * 1e9;
        if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
            return Err(format!("cannot parse {} to a valid duration. It overflows int64", quoted(text)));
        }
        return Ok(if nanos.is_nan() { i64::MIN } else { nanos as i64 });
    }
    let ms = crate::config::model_duration(text);
    ms.map(|ms| ms * 1_000_000).map_err(|_| format!("cannot parse {} to a valid duration", quoted(text)))
}

/// A number as Go's `ParseFloat` takes it. One that is too large for a float is none, as there.
fn go_float(text: &str) -> Option<f64> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let negative = text.starts_with('-');
    let named = match unsigned.to_ascii_lowercase().as_str() {
        "nan" if unsigned.len() == text.len() => Some(f64::NAN),
        "inf" | "infinity" => Some(f64::INFINITY),
        _ => None,
    };
    if let Some(value) = named {
        return Some(if negative { -value } else { value });
    }
    if let Some(hex) = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0X")) {
        return hex_float(hex).map(|value| if negative { -value } else { value });
    }
    let is_plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE_".contains(&b));
    // Underscores stand between two digits, and mean nothing.
    let digit = |at: Option<usize>| at.and_then(|at| text.as_bytes().get(at)).is_some_and(u8::is_ascii_digit);
    let spaced = text.match_indices('_').all(|(at, _)| digit(at.checked_sub(1)) && digit(Some(at + 1)));
    text.replace('_', "").parse().ok().filter(|value: &f64| is_plain && spaced && value.is_finite())
}

/// `1.8p3`: hexadecimal digits and a power of two, which must be there.
fn hex_float(text: &str) -> Option<f64> {
    let (digits, power) = text.split_once(['p', 'P'])?;
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.len() + part.len() == 0 || whole.len() + part.len() > 13 {
        return None;
    }
    let mantissa = u64::from_str_radix(&format!("{whole}{part}"), 16).ok()?;
    let power: i32 = power.parse().ok()?;
    let shift = power.checked_sub(4 * i32::try_from(part.len()).ok()?)?;
    Some(mantissa as f64 * f64::from(shift).exp2()).filter(|value| value.is_finite())
}

/// A text as Go's `%q` shows it, for what parameters hold.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c < ' ' || c == '\u{7f}' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The fields of an address or of a form: `a=b&c=d+e%20f`. What is no field is passed over, what is not UTF-8 replaced.
pub(crate) fn fields(text: &[u8]) -> Pairs {
    let pairs = text.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty());
    let read = |pair: &[u8]| {
        let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
        let (name, value) = pair.split_at(at);
        let text = |part| String::from_utf8_lossy(&unescaped(part)).into_owned();
        (text(name), text(value.strip_prefix(b"=").unwrap_or(value)))
    };
    pairs.map(read).collect()
}

/// What stands behind `%20` and `+`.
pub(crate) fn unescaped(text: &[u8]) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|&byte| char::from(byte).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(&byte) = text.get(at) {
        let pair = (byte == b'%').then(|| digit(text.get(at + 1)).zip(digit(text.get(at + 2)))).flatten();
        match pair.and_then(|(high, low)| u8::try_from(high * 16 + low).ok()) {
            Some(escaped) => {
                out.push(escaped);
                at += 2;
            }
            None => out.push(if byte == b'+' { b' ' } else { byte }),
        }
        at += 1;
    }
    out
}

/// The fields of a request, those of a form first, with the dialect that decides how faults are told.
#[derive(Debug)]
pub(crate) struct Params {
    pub(crate) dialect: Dialect,
    pub(crate) fields: Pairs,
}

impl Params {
    /// The first value of a field, if it is there and not empty.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        self.all(name).next().filter(|value| !value.is_empty())
    }

    /// The first value of a field, empty if it is not there.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.first(name).unwrap_or_default()
    }

    /// All values of a field.
    pub(crate) fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let name = name.to_owned();
        self.fields.iter().filter(move |(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// A fault of a parameter.
    pub(crate) fn fault(&self, name: &str, why: &str) -> Fault {
        Fault::new(Kind::BadData, self.dialect.parameter(name, why))
    }

    /// A time that must be there.
    pub(crate) fn time(&self, name: &str) -> Result<Moment, Fault> {
        moment(self.text(name), self.dialect).map_err(|why| self.fault(name, &why))
    }

    /// A time that may be left out.
    pub(crate) fn time_or(&self, name: &str, otherwise: Moment) -> Result<Moment, Fault> {
        match self.first(name) {
            None => Ok(otherwise),
            Some(text) => moment(text, self.dialect)
                .map_err(|why| Fault::new(Kind::BadData, self.dialect.time_value(name, &why))),
        }
    }

    /// `start` and `end` of what is asked of labels: all time, or the last `default` before `now`.
    pub(crate) fn range(&self, default: Duration, now: i64) -> Result<TimeRange, Fault> {
        let (first, last) = if default.is_zero() {
            (FIRST, LAST)
        } else {
            (now.saturating_sub(i64::try_from(default.as_millis()).unwrap_or(i64::MAX)), now)
        };
        // Thanos wraps these faults once more, and tells it.
        let wrapped = |fault: Fault| match self.dialect {
            Dialect::Prometheus => fault,
            Dialect::Thanos => Fault { why: format!("{}: {}", fault.kind.name(), fault.why), ..fault },
        };
        let start = self.time_or("start", Moment::of_ms(first)).map_err(wrapped)?;
        let end = self.time_or("end", Moment::of_ms(last)).map_err(wrapped)?;
        if end < start && !self.dialect.is_prometheus() {
            return Err(wrapped(Fault::bad("end timestamp must not be before start time")));
        }
        Ok(TimeRange::new(start.ms(), end.ms()))
    }

    /// How many at most; 0: all.
    pub(crate) fn limit(&self) -> Result<usize, Fault> {
        let Some(text) = self.first("limit") else { return Ok(0) };
        let fault = |fault| Fault::new(Kind::BadData, self.dialect.limit(text, fault));
        let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(fault(LimitFault::NoNumber));
        }
        let number: i64 = text.parse().map_err(|_| fault(LimitFault::Range))?;
        usize::try_from(number).map_err(|_| fault(LimitFault::Negative))
    }

    /// A switch as Go's `ParseBool` takes it.
    pub(crate) fn switch(&self, name: &str, otherwise: bool) -> Result<bool, Fault> {
        match self.text(name) {
            "" => Ok(otherwise),
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            other => {
                let why = format!(
                    "'{name}' parameter: strconv.ParseBool: parsing {}: invalid syntax",
                    quoted(other)
                );
                Err(Fault::new(Kind::BadData, why))
            }
        }
    }

    /// How long a query may take, if the request says so.
    pub(crate) fn timeout(&self) -> Result<Option<Duration>, Fault> {
        let Some(text) = self.first("timeout") else { return Ok(None) };
        let nanos = nanos(text).map_err(|why| self.fault("timeout", &why))?;
        Ok(Some(Duration::from_nanos(nanos.max(0).unsigned_abs())))
    }

    /// How far a selector looks back, in milliseconds, if the request says so.
    pub(crate) fn lookback(&self) -> Result<Option<i64>, Fault> {
        let Some(text) = self.first("lookback_delta") else { return Ok(None) };
        let fault = |why: String| match self.dialect {
            Dialect::Prometheus => format!("error parsing lookback delta duration: {why}"),
            Dialect::Thanos => format!("'lookback_delta' parameter: {why}"),
        };
        let nanos = nanos(text).map_err(|why| Fault::new(Kind::BadData, fault(why)))?;
        // The engine's clock has milliseconds; what is less than one looks back to the very moment alone.
        Ok((nanos > 0).then(|| (nanos / 1_000_000).max(1)))
    }

    /// The selectors of `match[]`, each with at least one matcher that refuses the empty text; in Thanos' dialect that is left to the stores.
    pub(crate) fn selectors(&self, name: &str) -> Result<Vec<Vec<Matcher>>, Fault> {
        let mut found = Vec::new();
        for text in self.all(name) {
            let matchers = sarsen_promql::parse_selector(text)
                .map_err(|why| Fault::new(Kind::BadData, why.to_string()))?;
            found.push(matchers);
        }
        let is_bounded = |matchers: &Vec<Matcher>| matchers.iter().any(|matcher| !matcher.matches_empty());
        if self.dialect.is_prometheus() && !found.iter().all(is_bounded) {
            return Err(Fault::new(Kind::BadData, "match[] must contain at least one non-empty matcher"));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_as_go_reads_them() {
        for (text, ms) in [
            ("1", 1000),
            ("1699999500.9999", 1_699_999_501_000),
            ("1699999500.0001", 1_699_999_500_000),
            ("-5.25", -5250),
            ("1e9", 1_000_000_000_000),
            ("2023-11-14T22:30:00.123456789Z", 1_700_001_000_123),
            ("2023-11-14T23:30:00+01:00", 1_700_001_000_000),
            ("9223372036854775807", 0),
            ("0x1p4", 16_000),
            ("1_000", 1_000_000),
            (FIRST_TEXT, FIRST),
            (LAST_TEXT, LAST),
        ] {
            assert_eq!(moment(text, Dialect::Prometheus).map(Moment::ms), Ok(ms), "{text}");
        }
        let read = |text| moment(text, Dialect::Prometheus);
        assert_eq!(read(FIRST_TEXT).map(Moment::grid_ms), Ok(6_795_364_580_679));
        for bad in
            ["", "abc", "1e400", "_10", "1__0", "1_.5", " 1", "2023-11-14", "2023-11-14 22:30:00Z", "0x10"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(moment(FIRST_TEXT, Dialect::Thanos).is_err());
        // What is no number lies before all times, as Go's clock has it.
        for odd in ["NaN", "Inf", "-Inf"] {
            assert!(read(odd) < read("-5"), "{odd}");
        }
        assert_eq!((FIRST, LAST), (-9_223_309_901_257_974_000, 9_223_309_901_257_974_999));
    }

    #[test]
    fn fields_of_forms() {
        let pairs = |text: &str| {
            let read = fields(text.as_bytes());
            read.into_iter().map(|(name, value)| format!("{name}|{value}")).collect::<Vec<_>>()
        };
        assert_eq!(
            pairs("query=up{a=\"b\"}&match%5B%5D=a+b%2B%c3%BC"),
            ["query|up{a=\"b\"}", "match[]|a b+ü"]
        );
        assert_eq!(pairs("a&&b=%zz%4"), ["a|", "b|%zz%4"]);
        assert!(pairs("").is_empty());
    }

    #[test]
    fn durations_as_go_reads_them() {
        assert_eq!(nanos("1.5"), Ok(1_500_000_000));
        assert_eq!(nanos("5m"), Ok(300_000_000_000));
        assert_eq!(nanos("-5"), Ok(-5_000_000_000));
        assert_eq!(
            nanos("1e30").unwrap_err(),
            "cannot parse \"1e30\" to a valid duration. It overflows int64"
        );
        assert_eq!(nanos("-1m").unwrap_err(), "cannot parse \"-1m\" to a valid duration");
        assert!(nanos("").is_err());
    }
}
