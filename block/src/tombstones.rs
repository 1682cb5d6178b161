//! Ranges of series that must not be seen.
//!
//! ```text
//! magic 01 30 BA 30 | version 1 | stones | crc: be32 over the stones
//! stone: series number uvarint | min varint | max varint, both inclusive
//! ```
//!
//! The file holds stones in any order, several for one series if need be. In memory the intervals of a series are
//! sorted and merged, those that touch included. Only reading, writing and asking: nothing here removes a sample.

use std::collections::BTreeMap;

use crate::codec::{Reader, crc32c, put_u32, put_uvarint, put_varint};
use crate::error::Error;
use crate::postings::SeriesNo;
use crate::time::{TimeRange, Timestamp};

const OBJECT: &str = "tombstones";
const HEADER: [u8; 5] = [0x01, 0x30, 0xBA, 0x30, 1];

/// The deleted intervals of the series of one block.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tombstones {
    stones: BTreeMap<SeriesNo, Vec<TimeRange>>,
}

impl Tombstones {
    /// Reads the content of a tombstones file.
    ///
    /// # Errors
    /// `Corrupt` if header, checksum or a stone is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let mut header = Reader::new(OBJECT, bytes);
        if header.take(HEADER.len(), "header")? != HEADER {
            return Err(Error::corrupt(OBJECT, 0, "not a tombstones file of version 1"));
        }
        let Some(length) = header.remaining().checked_sub(4) else {
            return Err(header.corrupt("no checksum"));
        };
        let stones = header.take(length, "stones")?;
        if header.u32("checksum")? != crc32c(stones) {
            return Err(header.corrupt("checksum of the stones does not match"));
        }
        let mut reader = Reader::new(OBJECT, stones).based_at(HEADER.len() as u64);
        let mut read = Self::default();
        while reader.remaining() > 0 {
            let no = reader.uvarint("series number")?;
            let no = u32::try_from(no).map_err(|_| reader.corrupt(format!("series number {no}")))?;
            let range = TimeRange::new(reader.varint("min time")?, reader.varint("max time")?);
            if range.is_empty() {
                return Err(reader.corrupt("an interval that ends before it begins"));
            }
            read.stones.entry(SeriesNo(no)).or_default().push(range);
        }
        read.stones.values_mut().for_each(merge);
        Ok(read)
    }

    /// The content of a tombstones file, stones by series and time. Without a stone these are nine bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = HEADER.to_vec();
        for (no, range) in self.iter() {
            put_uvarint(&mut out, u64::from(no.0));
            put_varint(&mut out, range.min);
            put_varint(&mut out, range.max);
        }
        let crc = crc32c(out.get(HEADER.len()..).unwrap_or_default());
        put_u32(&mut out, crc);
        out
    }

    /// Marks a closed interval of a series as deleted. An empty one marks nothing.
    pub fn add(&mut self, no: SeriesNo, range: TimeRange) {
        if !range.is_empty() {
            let ranges = self.stones.entry(no).or_default();
            ranges.push(range);
            merge(ranges);
        }
    }

    /// Forgets the intervals of a series that end before `from`.
    pub fn drop_before(&mut self, no: SeriesNo, from: Timestamp) {
        if let Some(ranges) = self.stones.get_mut(&no) {
            ranges.retain(|range| range.max >= from);
            if ranges.is_empty() {
                self.stones.remove(&no);
            }
        }
    }

    /// The deleted intervals of a series: sorted, apart from each other by at least a millisecond.
    pub fn of(&self, no: SeriesNo) -> &[TimeRange] {
        self.stones.get(&no).map_or(&[], Vec::as_slice)
    }

    /// All stones, by series and time.
    pub fn iter(&self) -> impl Iterator<Item = (SeriesNo, TimeRange)> + '_ {
        self.stones.iter().flat_map(|(&no, ranges)| ranges.iter().map(move |&range| (no, range)))
    }

    /// How many intervals there are.
    pub fn count(&self) -> usize {
        self.stones.values().map(Vec::len).sum()
    }

    /// Whether nothing is deleted.
    pub fn is_empty(&self) -> bool {
        self.stones.is_empty()
    }
}

/// Sorts intervals and joins those that overlap or touch.
fn merge(ranges: &mut Vec<TimeRange>) {
    ranges.sort_by_key(|range| (range.min, range.max));
    ranges.dedup_by(|next, last| {
        let joined = next.min <= last.max.saturating_add(1);
        if joined {
            last.max = last.max.max(next.max);
        }
        joined
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn known_bytes() {
        assert_eq!(Tombstones::default().to_bytes(), [0x01, 0x30, 0xBA, 0x30, 1, 0, 0, 0, 0]);
        let mut one = Tombstones::default();
        one.add(SeriesNo(1), TimeRange::new(-5, 300));
        let bytes = [0x01, 0x30, 0xBA, 0x30, 1, 0x01, 0x09, 0xD8, 0x04, 0x69, 0xAD, 0xD4, 0x1F];
        assert_eq!(one.to_bytes(), bytes);
        assert_eq!(Tombstones::decode(&bytes).unwrap(), one);
        for at in 0..bytes.len() {
            let mut bad = bytes;
            bad[at] ^= 4;
            assert!(Tombstones::decode(&bad).is_err(), "byte {at}");
            assert!(Tombstones::decode(&bytes[..at]).is_err(), "{at} bytes");
        }
    }

    proptest! {
        #[test]
        fn intervals_against_a_set(adds in proptest::collection::vec((0u32..3, -20i64..20, 0i64..6), 0..20)) {
            let mut stones = Tombstones::default();
            let mut model = BTreeSet::new();
            for &(no, min, length) in &adds {
                stones.add(SeriesNo(no), TimeRange::new(min, min + length));
                model.extend((min..=min + length).map(|t| (no, t)));
            }
            let seen: Vec<_> = stones.iter().flat_map(|(no, r)| (r.min..=r.max).map(move |t| (no.0, t))).collect();
            prop_assert_eq!(&seen, &model.into_iter().collect::<Vec<_>>());
            for no in 0..3 {
                prop_assert!(stones.of(SeriesNo(no)).windows(2).all(|w| w[0].max + 1 < w[1].min));
            }
            prop_assert_eq!(&Tombstones::decode(&stones.to_bytes()).unwrap(), &stones);
            let mut kept = stones.clone();
            kept.drop_before(SeriesNo(1), 5);
            let expected: Vec<_> = stones.iter().filter(|(no, range)| no.0 != 1 || range.max >= 5).collect();
            prop_assert_eq!(kept.iter().collect::<Vec<_>>(), expected);
            prop_assert_eq!(kept.is_empty(), kept.count() == 0);
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let mut whole = HEADER.to_vec();
            whole.extend(&bytes);
            put_u32(&mut whole, crc32c(&bytes));
            if let Ok(stones) = Tombstones::decode(&whole) {
                prop_assert_eq!(Tombstones::decode(&stones.to_bytes()).unwrap(), stones);
            }
        }
    }
}
