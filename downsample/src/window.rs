//! How coarse a block is, which window a time falls into, and how many chunks a series is cut into.
//!
//! A resolution is named by the milliseconds between its samples, as in `meta.json`. Blocks of other resolutions than these
//! three are nobody's work: they are left alone.

use sarsen_block::{TimeRange, Timestamp};

/// How far apart the samples of a block are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Resolution {
    /// As they were written.
    Raw,
    /// Aggregates over five minutes.
    FiveMinutes,
    /// Aggregates over an hour.
    OneHour,
}

impl Resolution {
    /// Every resolution, the finest first.
    pub const ALL: [Self; 3] = [Self::Raw, Self::FiveMinutes, Self::OneHour];

    /// Milliseconds between samples; 0 for raw data.
    pub const fn ms(self) -> i64 {
        match self {
            Self::Raw => 0,
            Self::FiveMinutes => 300_000,
            Self::OneHour => 3_600_000,
        }
    }

    /// The resolution with so many milliseconds between samples.
    pub fn of_ms(ms: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|resolution| resolution.ms() == ms)
    }
}

/// As if raw samples were a minute apart, which decides how many chunks are made of them.
pub(crate) const RAW_STEP: i64 = 60_000;

/// More windows than these, on average, are not wanted in a chunk.
const MOST_WINDOWS: i64 = 140;

/// The last millisecond of the window of `width` milliseconds that `t`, which is not negative, falls into.
#[inline]
pub(crate) const fn window_end(t: Timestamp, width: i64) -> Timestamp {
    (t - t % width).saturating_add(width - 1)
}

/// How many chunks the windows of `width` over `range` are spread over, when `samples` of the `step` milliseconds that they are usually
/// apart lie in it. Thanos' formula, which decides over bytes.
pub(crate) fn chunk_count(range: TimeRange, step: i64, width: i64, samples: usize) -> usize {
    let length = range.max.saturating_sub(range.min);
    let windows = (length / width) as f64;
    let share = samples as f64 / (length as f64 / step as f64);
    let share = if share > 1.0 { 1.0 } else { share };
    // What is not a number, because nothing is divided by nothing, becomes 0.
    let expected = ((windows * share) as i64).saturating_add(1);
    usize::try_from(expected / (MOST_WINDOWS + 1) + 1).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_ends_a_millisecond_before_the_next() {
        assert_eq!(window_end(0, 300_000), 299_999);
        assert_eq!(window_end(299_999, 300_000), 299_999);
        assert_eq!(window_end(300_000, 300_000), 599_999);
        assert_eq!(window_end(i64::MAX, 300_000), i64::MAX);
    }

    /// The search that Thanos does, one by one.
    fn searched(range: TimeRange, step: i64, width: i64, samples: usize) -> usize {
        let length = range.max - range.min;
        let share = (samples as f64 / (length as f64 / step as f64)).min(1.0);
        let expected = ((length / width) as f64 * share) as i64 + 1;
        (1..).find(|chunks| expected / chunks <= 140).unwrap() as usize
    }

    #[test]
    fn chunks_are_as_many_as_a_search_finds() {
        for length in [1, 60_000, 300_000, 86_400_000, 1_209_600_000, 42_000_000 + 41, 42_300_000, 42_600_000]
        {
            let range = TimeRange::new(1_700_000_000_000, 1_700_000_000_000 + length);
            for samples in [1, 2, 140, 141, 142, 1000, 5000, 80_640] {
                for (step, width) in [(RAW_STEP, 300_000), (300_000, 3_600_000)] {
                    assert_eq!(
                        chunk_count(range, step, width, samples),
                        searched(range, step, width, samples)
                    );
                }
            }
        }
        assert_eq!(chunk_count(TimeRange::new(5, 5), RAW_STEP, 300_000, 1), 1);
        assert_eq!(chunk_count(TimeRange::new(5, 5), RAW_STEP, 300_000, 0), 1);
        assert_eq!(chunk_count(TimeRange::new(5, -5), RAW_STEP, 300_000, 3), 1);
    }
}
