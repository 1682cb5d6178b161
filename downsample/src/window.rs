//! How coarse a block is.
//!
//! A resolution is named by the milliseconds between its samples, as in `meta.json`. Blocks of other resolutions than these
//! three are nobody's work: they are left alone.

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
