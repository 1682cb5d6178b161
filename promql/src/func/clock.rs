//! Dates in UTC, as Go reckons them.
//!
//! The calendar is the proleptic Gregorian one over all 64-bit seconds. Go counts from March of the year -292277022400 in 64 bits
//! without a sign, so that the few earlier seconds come out in the far future; here as well.

/// Seconds from Go's first second to 1970.
const GO_ZERO: u64 = 9_223_372_028_741_760_000;
const DAY: i64 = 86_400;

/// A moment in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) year: i64,
    /// From 1.
    pub(crate) month: u8,
    /// Of the month, from 1.
    pub(crate) day: u8,
    /// From 0: Sunday.
    pub(crate) weekday: u8,
    /// From 1.
    pub(crate) year_day: u16,
    pub(crate) hour: u8,
    pub(crate) minute: u8,
    pub(crate) second: u8,
}

impl Moment {
    /// The moment so many seconds after 1970 began.
    pub(crate) fn at(seconds: i64) -> Self {
        let from_zero = GO_ZERO.wrapping_add_signed(seconds);
        let in_day = (from_zero % DAY.unsigned_abs()) as u32;
        let days = (from_zero / DAY.unsigned_abs()) as i64 - (GO_ZERO / DAY.unsigned_abs()) as i64;
        let (year, month, day) = civil(days);
        Self {
            year,
            month,
            day,
            // 1970 began on a Thursday.
            weekday: (days + 4).rem_euclid(7) as u8,
            year_day: (days - days_before(year, 1, 1) + 1) as u16,
            hour: (in_day / 3600) as u8,
            minute: (in_day / 60 % 60) as u8,
            second: (in_day % 60) as u8,
        }
    }

    /// The moment that a sample's value names. What no 64-bit integer holds, and NaN, is the first of them, as on the machines
    /// on which Prometheus usually runs.
    pub(crate) fn of_value(value: f64) -> Self {
        // 2^63 is a float, 2^63 - 1 is not.
        let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
        Self::at(if fits { value as i64 } else { i64::MIN })
    }

    /// How many days the month has.
    pub(crate) const fn days_in_month(self) -> u8 {
        match self.month {
            2 if self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }
}

/// Year, month and day so many days after 1970 began. Years are counted from March, so that the leap day is a year's last.
fn civil(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let in_era = days.rem_euclid(146_097);
    let year_in_era = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year_in_era + year_in_era / 4 - year_in_era / 100);
    let shifted = (5 * in_year + 2) / 153;
    let day = in_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_in_era + era * 400 + i64::from(month <= 2), month as u8, day as u8)
}

/// The inverse of [`civil`].
fn days_before(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_in_era = year.rem_euclid(400);
    let in_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_in_era * 365 + year_in_era / 4 - year_in_era / 100 + in_year - 719_468
}

/// `2006-01-02T15:04:05Z`.
pub(crate) fn rfc3339(seconds: i64) -> String {
    let Moment { year, month, day, hour, minute, second, .. } = Moment::at(seconds);
    let sign = if year < 0 { "-" } else { "" };
    let year = year.unsigned_abs();
    format!("{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_those_of_go() {
        // Seconds; year, month, day, day of the year, day of the week, hour, minute; printed by Go 1.26.
        let cases = [
            (i64::MIN, (292_277_026_596, 12, 4, 339, 0, 15, 30)),
            (i64::MAX, (292_277_026_596, 12, 4, 339, 0, 15, 30)),
            (-62_135_596_801, (0, 12, 31, 366, 0, 23, 59)),
            (-62_135_596_800, (1, 1, 1, 1, 1, 0, 0)),
            (-9_223_372_028_741_760_000, (-292_277_022_400, 3, 1, 61, 3, 0, 0)),
            (-9_223_372_028_741_760_001, (292_277_026_854, 1, 7, 7, 3, 7, 0)),
            (-1, (1969, 12, 31, 365, 3, 23, 59)),
            (-99_999_999_999_999, (-3_166_904, 2, 24, 55, 1, 14, 13)),
            (1_000_000_000_000_000, (31_690_708, 7, 5, 187, 0, 1, 46)),
        ];
        for (seconds, expected) in cases {
            let m = Moment::at(seconds);
            assert_eq!((m.year, m.month, m.day, m.year_day, m.weekday, m.hour, m.minute), expected);
        }
        assert_eq!(rfc3339(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(rfc3339(-62_167_219_201), "-0001-12-31T23:59:59Z");
        assert_eq!(Moment::of_value(f64::NAN), Moment::at(i64::MIN));
        assert_eq!(Moment::of_value(1e300), Moment::at(i64::MIN));
        assert_eq!(Moment::of_value(-1.9), Moment::at(-1));
    }

    proptest! {
        #[test]
        fn days_follow_each_other(day in -100_000_000_000i64..100_000_000_000) {
            let (year, month, of_month) = civil(day);
            prop_assert_eq!(days_before(year, i64::from(month), i64::from(of_month)), day);
            let today = Moment::at(day * DAY);
            let next = civil(day + 1);
            let expected = match (of_month == today.days_in_month(), month) {
                (false, _) => (year, month, of_month + 1),
                (true, 12) => (year + 1, 1, 1),
                (true, _) => (year, month + 1, 1),
            };
            prop_assert_eq!(next, expected);
        }
    }
}
