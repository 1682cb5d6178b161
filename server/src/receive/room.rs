//! How long the volume lasts: free bytes over time, and the pace at which they go.

use std::collections::VecDeque;

use sarsen_block::Timestamp;
use sarsen_wal::Space;

/// The pace is measured over this long.
const WINDOW_MS: i64 = 3_600_000;
/// And not before this much time has passed.
const SHORTEST_MS: i64 = 120_000;

/// What is left of a volume.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct RoomLeft {
    /// Free bytes.
    pub(crate) free: u64,
    /// Hours until none are left, at the pace of the last hour; none if the volume is not filling.
    pub(crate) hours: Option<f64>,
}

/// Free bytes of the last hour.
#[derive(Debug, Default)]
pub(super) struct Room {
    seen: VecDeque<(Timestamp, u64)>,
}

impl Room {
    pub(super) fn note(&mut self, now: Timestamp, space: Space) {
        while self.seen.front().is_some_and(|(then, _)| now.saturating_sub(*then) > WINDOW_MS) {
            self.seen.pop_front();
        }
        self.seen.push_back((now, space.available));
    }

    pub(super) fn left(&self) -> Option<RoomLeft> {
        let (&(then, before), &(now, free)) = (self.seen.front()?, self.seen.back()?);
        let (gone, passed) = (before.saturating_sub(free), now.saturating_sub(then));
        let hours = (gone > 0 && passed >= SHORTEST_MS)
            .then(|| free as f64 / (gone as f64 / passed as f64) / 3_600_000.0);
        Some(RoomLeft { free, hours })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_told_from_the_pace_of_the_last_hour() {
        let mut room = Room::default();
        assert_eq!(room.left(), None);
        let space = |free| Space { available: free, total: 1000 };
        room.note(0, space(900));
        assert_eq!(room.left(), Some(RoomLeft { free: 900, hours: None }));
        room.note(1_800_000, space(850));
        // 50 in half an hour: 100 an hour.
        assert_eq!(room.left(), Some(RoomLeft { free: 850, hours: Some(8.5) }));
        room.note(7_200_000, space(850));
        assert_eq!(room.left(), Some(RoomLeft { free: 850, hours: None }));
    }
}
