//! When a block was uploaded, in the text form of Go's `time.Time`.
//!
//! RFC 3339 with as many digits of the fraction as are needed, and the zone it was written with. The year 1 stands for
//! "not set". Days are counted in the proleptic Gregorian calendar.

use std::fmt;

/// A moment with the zone in which it was written. Default: not set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadTime {
    /// Seconds since the Unix epoch.
    seconds: i64,
    nanos: u32,
    zone_minutes: i32,
}

/// 0001-01-01T00:00:00Z in seconds since the Unix epoch.
const UNSET_SECONDS: i64 = -62_135_596_800;

impl Default for UploadTime {
    fn default() -> Self {
        Self::UNSET
    }
}

impl UploadTime {
    /// "Not set", which Go writes as the first second of the year 1.
    pub const UNSET: Self = Self { seconds: UNSET_SECONDS, nanos: 0, zone_minutes: 0 };

    /// The moment `ms` milliseconds after the Unix epoch, in UTC.
    pub const fn from_unix_ms(ms: i64) -> Self {
        let nanos = ms.rem_euclid(1000) as u32 * 1_000_000;
        Self { seconds: ms.div_euclid(1000), nanos, zone_minutes: 0 }
    }

    /// Milliseconds since the Unix epoch; `None` if not set.
    pub fn unix_ms(self) -> Option<i64> {
        let set = (self.seconds, self.nanos) != (UNSET_SECONDS, 0);
        set.then(|| self.seconds * 1000 + i64::from(self.nanos / 1_000_000))
    }

    /// Reads RFC 3339 as strictly as Go does; `None` if it is something else.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let part = |from: usize, to: usize| -> Option<i64> {
            let digits = bytes.get(from..to)?;
            digits.iter().all(u8::is_ascii_digit).then(|| text.get(from..to)?.parse().ok())?
        };
        let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
        let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
        let marks = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        let marked = marks.iter().all(|&(at, mark)| bytes.get(at) == Some(&mark));
        let real = (1..=12).contains(&month) && day >= 1 && day <= days_of(year, month);
        if !marked || !real || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let rest = text.get(19..)?;
        let (nanos, zone) = match rest.strip_prefix('.') {
            None => (0, rest),
            Some(fraction) => {
                let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
                (nanos_of(fraction.get(..digits)?)?, fraction.get(digits..)?)
            }
        };
        let zone_minutes = zone_of(zone)?;
        let of_day = hour * 3600 + minute * 60 + second;
        let seconds = days_before(year, month, day) * 86400 + of_day - i64::from(zone_minutes) * 60;
        Some(Self { seconds, nanos, zone_minutes })
    }
}

/// The digits behind the decimal point, of which the first nine count.
fn nanos_of(digits: &str) -> Option<u32> {
    if digits.is_empty() {
        return None;
    }
    let nine: String = digits.chars().chain(std::iter::repeat('0')).take(9).collect();
    nine.parse().ok()
}

/// `Z`, `+02:00`, `-09:30` in minutes.
fn zone_of(text: &str) -> Option<i32> {
    if text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    let two =
        |t: &str| (t.len() == 2 && t.bytes().all(|b| b.is_ascii_digit())).then(|| t.parse::<i32>().ok())?;
    let (hours, minutes) = (two(hours)?, two(minutes)?);
    (hours <= 23 && minutes <= 59).then_some(sign * (hours * 60 + minutes))
}

const fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

const fn days_of(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date. Counts years from March on, so that the leap day is the last of a year.
const fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, month) = (year.div_euclid(400), (month + 9) % 12);
    let of_era = year - era * 400;
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day that lie `days` after 1970-01-01.
const fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

impl fmt::Display for UploadTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let local = self.seconds + i64::from(self.zone_minutes) * 60;
        let (year, month, day) = date_of(local.div_euclid(86400));
        let of_day = local.rem_euclid(86400);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos > 0 {
            write!(f, ".{}", format!("{:09}", self.nanos).trim_end_matches('0'))?;
        }
        match self.zone_minutes {
            0 => f.write_str("Z"),
            zone => {
                let sign = if zone < 0 { '-' } else { '+' };
                write!(f, "{sign}{:02}:{:02}", zone.abs() / 60, zone.abs() % 60)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_moments() {
        assert_eq!(UploadTime::UNSET.to_string(), "0001-01-01T00:00:00Z");
        assert_eq!(UploadTime::parse("0001-01-01T00:00:00Z"), Some(UploadTime::UNSET));
        assert_eq!(UploadTime::from_unix_ms(1_704_067_200_120).to_string(), "2024-01-01T00:00:00.12Z");
        assert_eq!(UploadTime::from_unix_ms(951_782_399_000).to_string(), "2000-02-28T23:59:59Z");
        assert_eq!(UploadTime::parse("2024-02-29T00:00:00Z").unwrap().unix_ms(), Some(1_709_164_800_000));
        assert_eq!(UploadTime::UNSET.unix_ms(), None);
    }

    #[test]
    fn texts_that_come_back() {
        for text in
            ["2023-11-15T00:00:00+02:00", "2023-11-14T22:00:12.345678901Z", "1969-12-31T23:59:59.5-09:30"]
        {
            assert_eq!(UploadTime::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            UploadTime::parse("2024-02-03T04:05:06.700+00:00").unwrap().to_string(),
            "2024-02-03T04:05:06.7Z"
        );
    }

    #[test]
    fn texts_that_are_refused() {
        for text in [
            "",
            "2024",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-01-01 00:00:00Z",
            "2024-01-01T24:00:00Z",
            "2024-01-01T00:00:60Z",
            "2024-01-01T00:00:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00:00+2:00",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00Zx",
            "+024-01-01T00:00:00Z",
            "2024-01-01T00:00:0éZ",
        ] {
            assert_eq!(UploadTime::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_moment_comes_back(ms in -62_135_596_799_999i64..253_402_300_799_999) {
            let time = UploadTime::from_unix_ms(ms);
            prop_assert_eq!(UploadTime::parse(&time.to_string()), Some(time));
            prop_assert_eq!(time.unix_ms(), Some(ms));
        }
    }
}
