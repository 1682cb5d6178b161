//! Many ranges of one object in few requests.
//!
//! Ranges that lie close together are fetched as one, because a request costs more than the bytes between; what was asked for
//! is then cut out of it without copying.

use std::ops::Range;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use crate::bucket::Bucket;
use crate::error::Error;

/// The gap that is read over rather than asked around, as Thanos has it: 512 KiB.
pub const DEFAULT_GAP: u64 = 512 << 10;
/// Requests for one object at the same time.
const REQUESTS_IN_FLIGHT: usize = 10;

/// The fewest ranges, in order and with more than `gap` bytes between them, that cover all of `ranges`. None is made longer than
/// `most` bytes by joining. Empty ranges need nothing.
pub fn coalesce(ranges: &[Range<u64>], gap: u64, most: u64) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
    sorted.sort_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in sorted {
        if let Some(last) = joined.last_mut() {
            let end = last.end.max(range.end);
            let near = range.start <= last.end.saturating_add(gap);
            // Ranges that overlap stay one whatever their length: otherwise bytes would be fetched twice.
            if range.start < last.end || (near && end - last.start <= most) {
                last.end = end;
                continue;
            }
        }
        joined.push(range);
    }
    joined
}

/// Stretches of one object that were fetched: in order, without overlap.
#[derive(Debug, Default)]
pub(crate) struct Stretches {
    pub(crate) ranges: Vec<Range<u64>>,
    pub(crate) bytes: Vec<Bytes>,
}

impl Stretches {
    /// The number of the stretch that has `at`, if one does.
    pub(crate) fn find(&self, at: u64) -> Option<usize> {
        let number = self.ranges.partition_point(|whole| whole.end <= at);
        self.ranges.get(number).filter(|whole| whole.start <= at).map(|_| number)
    }

    /// Bytes of all of them.
    pub(crate) fn size(&self) -> u64 {
        self.bytes.iter().map(|bytes| bytes.len() as u64).sum()
    }

    /// What is at hand from `at` on, up to the end of its stretch, lent.
    pub(crate) fn view(&self, at: u64) -> Option<&[u8]> {
        let number = self.find(at)?;
        let (whole, bytes) = (self.ranges.get(number)?, self.bytes.get(number)?);
        bytes.get(usize::try_from(at - whole.start).ok()?..)
    }

    /// The same, shared.
    pub(crate) fn from(&self, at: u64) -> Option<Bytes> {
        let number = self.find(at)?;
        let (whole, bytes) = (self.ranges.get(number)?, self.bytes.get(number)?);
        let start = usize::try_from(at - whole.start).ok()?;
        (start <= bytes.len()).then(|| bytes.slice(start..))
    }

    /// The bytes of `range`, cut out without copying.
    pub(crate) fn cut(&self, range: &Range<u64>) -> Option<Bytes> {
        if range.is_empty() {
            return Some(Bytes::new());
        }
        let length = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        let rest = self.from(range.start)?;
        (length <= rest.len()).then(|| rest.slice(..length))
    }
}

/// The bytes of each of `ranges` of an object, in the order asked for. Joined requests are at most `most` bytes long.
///
/// # Errors
/// `NotFound` if there is no object; `Corrupt` if it ends before a range; otherwise as the store says.
pub async fn get_ranges(
    bucket: &Bucket,
    name: &str,
    ranges: &[Range<u64>],
    gap: u64,
    most: u64,
) -> Result<Vec<Bytes>, Error> {
    let joined = coalesce(ranges, gap, most);
    let requests = joined.clone().into_iter().map(|range| bucket.get_range(name, range));
    let fetched: Vec<Bytes> =
        futures_util::stream::iter(requests).buffered(REQUESTS_IN_FLIGHT).try_collect().await?;
    let fetched = Stretches { ranges: joined, bytes: fetched };
    let missing = |range: &Range<u64>| {
        Error::corrupt(name, format!("bytes {}..{} are missing", range.start, range.end))
    };
    ranges.iter().map(|range| fetched.cut(range).ok_or_else(|| missing(range))).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn close_ranges_are_joined_and_distant_ones_are_not() {
        let joined = |pairs: &[(u64, u64)], gap, most| {
            let ranges: Vec<Range<u64>> = pairs.iter().map(|&(start, end)| start..end).collect();
            let joined = coalesce(&ranges, gap, most);
            joined.into_iter().map(|range| (range.start, range.end)).collect::<Vec<_>>()
        };
        assert_eq!(joined(&[(10, 20), (0, 5), (30, 40)], 5, 1000), [(0, 20), (30, 40)]);
        assert_eq!(joined(&[(0, 5), (5, 10), (10, 15)], 0, 10), [(0, 10), (10, 15)]);
        assert_eq!(joined(&[(0, 30), (10, 20), (20, 40)], 0, 10), [(0, 40)]);
        assert_eq!(joined(&[(7, 7)], 0, 10), []);
        assert_eq!(joined(&[(u64::MAX - 1, u64::MAX), (0, 1)], u64::MAX, u64::MAX), [(0, u64::MAX)]);
    }

    fn ranges() -> impl Strategy<Value = Vec<Range<u64>>> {
        prop::collection::vec((0u64..500, 0u64..40).prop_map(|(start, length)| start..start + length), 0..30)
    }

    proptest! {
        #[test]
        fn every_byte_asked_for_is_covered_once(ranges in ranges(), gap in 0u64..30, most in 1u64..200) {
            let joined = coalesce(&ranges, gap, most);
            for range in &ranges {
                prop_assert!(range.is_empty() || joined.iter().any(|whole| whole.start <= range.start && range.end <= whole.end));
            }
            for pair in joined.windows(2) {
                prop_assert!(pair[0].end <= pair[1].start);
            }
            // Nothing is fetched that is further than the gap from what was asked for.
            for byte in joined.iter().cloned().flatten() {
                let near = |range: &&Range<u64>| !range.is_empty() && range.start <= byte.saturating_add(gap) && byte < range.end + gap.max(1);
                prop_assert!(ranges.iter().any(|range| near(&range)));
            }
        }
    }
}
