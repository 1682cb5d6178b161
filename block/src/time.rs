//! A millisecond, and a closed range of them.
//!
//! Ranges are closed on both sides everywhere in this house; [`BlockMeta`](crate::BlockMeta) alone is half-open,
//! because its file is, and converts at its own door.

/// Milliseconds since the Unix epoch, signed.
pub type Timestamp = i64;

/// A closed range of time: both ends belong to it. `min > max` is the empty range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeRange {
    /// First millisecond of the range.
    pub min: Timestamp,
    /// Last millisecond of the range.
    pub max: Timestamp,
}

impl TimeRange {
    /// All of time.
    pub const ALL: Self = Self { min: Timestamp::MIN, max: Timestamp::MAX };

    /// The closed range from `min` to `max`.
    pub const fn new(min: Timestamp, max: Timestamp) -> Self {
        Self { min, max }
    }

    /// Whether no millisecond lies in the range.
    pub const fn is_empty(self) -> bool {
        self.min > self.max
    }

    /// Whether `t` lies in the range.
    pub const fn contains(self, t: Timestamp) -> bool {
        self.min <= t && t <= self.max
    }

    /// Whether the two ranges share a millisecond.
    pub const fn overlaps(self, other: Self) -> bool {
        self.min <= other.max && other.min <= self.max && !self.is_empty() && !other.is_empty()
    }

    /// Whether every millisecond of `other` lies in the range too.
    pub const fn covers(self, other: Self) -> bool {
        other.is_empty() || self.min <= other.min && other.max <= self.max
    }

    /// The milliseconds that lie in both; empty if there are none.
    #[must_use]
    pub fn intersect(self, other: Self) -> Self {
        Self { min: self.min.max(other.min), max: self.max.min(other.max) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_on_both_sides() {
        let range = TimeRange::new(10, 20);
        assert!(range.contains(10) && range.contains(20) && !range.contains(21));
        assert!(range.overlaps(TimeRange::new(20, 30)) && !range.overlaps(TimeRange::new(21, 30)));
        assert!(range.intersect(TimeRange::new(21, 30)).is_empty());
        assert!(!TimeRange::new(3, 2).overlaps(TimeRange::ALL));
        assert!(range.covers(range) && range.covers(TimeRange::new(3, 2)) && TimeRange::ALL.covers(range));
        assert!(!range.covers(TimeRange::new(10, 21)) && !TimeRange::new(3, 2).covers(range));
    }
}
