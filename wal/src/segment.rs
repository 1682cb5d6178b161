//! Numbered files: name, header, list.
//!
//! A segment is a file named by its number. Its header says where the segment before it ended: a segment is begun
//! only after the one before it is synced to its end, so a header is also a seal on its predecessor.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::error::Error;

/// The directory, inside a database's, that holds the segments.
pub(crate) const LOG: &str = "log";
/// The directory, inside a database's, that holds checkpoints.
pub(crate) const CHECKPOINT: &str = "checkpoint";

/// Length of a segment's header in bytes.
pub(crate) const HEADER_LEN: u64 = 32;
const MAGIC: [u8; 8] = *b"sarsnlog";
const VERSION: u32 = 1;

/// The number of a segment. The first segment of a log is 1; numbers rise by one and are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNo(pub u64);

impl SegmentNo {
    pub(crate) const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    pub(crate) fn path(self, directory: &Path) -> PathBuf {
        directory.join(self.to_string())
    }

    /// The number that a name stands for, if it is a name that [`Display`](fmt::Display) gives.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let number = Self(name.parse().ok()?);
        (number.0 > 0 && number.to_string() == name).then_some(number)
    }
}

impl fmt::Display for SegmentNo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08}", self.0)
    }
}

/// A place between two bytes of a log: before it everything counts. Offset 0 is the start of a segment that need not
/// exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The segment.
    pub segment: SegmentNo,
    /// Byte offset in its file.
    pub offset: u64,
}

impl Position {
    /// The start of a log that has never been written.
    pub const START: Self = Self { segment: SegmentNo::FIRST, offset: 0 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.segment, self.offset)
    }
}

/// The first bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) segment: SegmentNo,
    /// Where the segment before this one ended; 0 if this is the first of its directory or the first behind a checkpoint.
    pub(crate) previous_end: u64,
}

/// What a header turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HeaderState {
    Good(Header),
    /// Too short, or its checksum does not fit: torn or damaged.
    Bad,
    /// Whole, with a version that we do not know.
    Unknown(u32),
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER_LEN as usize] {
        let mut bytes = [0; HEADER_LEN as usize];
        let (head, tail) = bytes.split_at_mut(16);
        let (magic, numbers) = head.split_at_mut(8);
        let (version, check) = numbers.split_at_mut(4);
        let (segment, previous) = tail.split_at_mut(8);
        magic.copy_from_slice(&MAGIC);
        version.copy_from_slice(&VERSION.to_le_bytes());
        segment.copy_from_slice(&self.segment.0.to_le_bytes());
        previous.copy_from_slice(&self.previous_end.to_le_bytes());
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(magic);
        hasher.update(version);
        hasher.update(tail);
        check.copy_from_slice(&hasher.finalize().to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8], expected: SegmentNo) -> HeaderState {
        let Some((bytes, _)) = bytes.split_first_chunk::<{ HEADER_LEN as usize }>() else {
            return HeaderState::Bad;
        };
        let (head, tail) = bytes.split_at(16);
        let (magic, numbers) = head.split_at(8);
        let (version, check) = numbers.split_at(4);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(magic);
        hasher.update(version);
        hasher.update(tail);
        if magic != MAGIC || check != hasher.finalize().to_le_bytes() {
            return HeaderState::Bad;
        }
        let version = version.try_into().map_or(0, u32::from_le_bytes);
        if version != VERSION {
            return HeaderState::Unknown(version);
        }
        let (segment, previous) = tail.split_at(8);
        let segment = SegmentNo(segment.try_into().map_or(0, u64::from_le_bytes));
        let previous_end = previous.try_into().map_or(0, u64::from_le_bytes);
        if segment == expected { HeaderState::Good(Self { segment, previous_end }) } else { HeaderState::Bad }
    }
}

/// The segments of a directory with their lengths, rising. A directory that does not exist has none.
pub(crate) fn list(disk: &dyn Disk, directory: &Path) -> Result<Vec<(SegmentNo, u64)>, Error> {
    let entries = match disk.read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("listing", directory, error)),
    };
    let mut segments: Vec<_> = entries
        .iter()
        .filter(|entry| !entry.is_dir)
        .filter_map(|entry| Some((SegmentNo::parse(&entry.name)?, entry.len)))
        .collect();
    segments.sort_unstable();
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbers_in_one_form() {
        assert_eq!(SegmentNo(12).to_string(), "00000012");
        assert_eq!(SegmentNo::parse("00000012"), Some(SegmentNo(12)));
        assert_eq!(SegmentNo::parse("123456789"), Some(SegmentNo(123_456_789)));
        for name in ["12", "00000000", "000000012", "+0000012", "00000012.tmp", ""] {
            assert_eq!(SegmentNo::parse(name), None, "{name}");
        }
    }

    #[test]
    fn every_changed_bit_of_a_header_is_noticed() {
        let header = Header { segment: SegmentNo(3), previous_end: 77 };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes, SegmentNo(3)), HeaderState::Good(header));
        assert_eq!(Header::decode(&bytes, SegmentNo(4)), HeaderState::Bad);
        assert_eq!(Header::decode(&bytes[..31], SegmentNo(3)), HeaderState::Bad);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&changed, SegmentNo(3)), HeaderState::Bad, "bit {bit}");
        }
    }
}
