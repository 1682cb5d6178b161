//! One record as a checked frame; pure bytes.
//!
//! A frame is 16 bytes of header and the stored payload. The header's own check covers the frame's position (segment
//! and offset), so bytes that merely look like a frame, or lie where another frame was meant to be, are not taken for
//! one; that is what lets a reader look for good frames behind damage, byte by byte. `FORMAT.md` draws it and says
//! why there are no pages.

use crate::segment::Position;

/// Length of a frame's header in bytes.
pub(crate) const HEADER_LEN: usize = 16;

/// The largest stored payload of a frame.
pub(crate) const MAX_STORED: usize = 64 << 20;

/// How the payload of a frame is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Codec {
    /// As it is.
    Plain = 1,
    /// One zstd frame that names its content size.
    Zstd = 2,
    /// No payload: the frame says only, by being there, what was synced before it.
    Mark = 3,
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Length of the stored payload in bytes.
    pub(crate) length: u32,
    /// CRC-32 of the stored payload.
    pub(crate) checksum: u32,
    /// All bytes of the segment before this offset were synced before the frame was written.
    pub(crate) synced: u32,
    /// The codec's number; numbers that [`Codec::from_byte`] does not know belong to later versions.
    pub(crate) codec: u8,
}

impl Codec {
    pub(crate) const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Plain),
            2 => Some(Self::Zstd),
            3 => Some(Self::Mark),
            _ => None,
        }
    }
}

/// The check of a header at a position: 24 bits of a CRC-32 over the position and the header's first 13 bytes.
fn check(fields: &[u8; 13], position: Position) -> [u8; 3] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&position.segment.0.to_le_bytes());
    hasher.update(&position.offset.to_le_bytes());
    hasher.update(fields);
    let [a, b, c, _] = hasher.finalize().to_le_bytes();
    [a, b, c]
}

impl Header {
    /// The header as bytes, for a frame that begins at `position`.
    pub(crate) fn encode(self, position: Position) -> [u8; HEADER_LEN] {
        let [l0, l1, l2, l3] = self.length.to_le_bytes();
        let [c0, c1, c2, c3] = self.checksum.to_le_bytes();
        let [s0, s1, s2, s3] = self.synced.to_le_bytes();
        let fields = [l0, l1, l2, l3, c0, c1, c2, c3, s0, s1, s2, s3, self.codec];
        let [k0, k1, k2] = check(&fields, position);
        [l0, l1, l2, l3, c0, c1, c2, c3, s0, s1, s2, s3, self.codec, k0, k1, k2]
    }

    /// The header at the start of `bytes`, if there is a good one for `position`. Zeros never are.
    pub(crate) fn decode(bytes: &[u8], position: Position) -> Option<Self> {
        let (fields, rest) = bytes.split_first_chunk::<13>()?;
        let (found, _) = rest.split_first_chunk::<3>()?;
        let [l0, l1, l2, l3, c0, c1, c2, c3, s0, s1, s2, s3, codec] = *fields;
        // Cheap refusals first: a search for frames asks this at every byte.
        if codec == 0 {
            return None;
        }
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if length as usize > MAX_STORED || check(fields, position) != *found {
            return None;
        }
        Some(Self {
            length,
            checksum: u32::from_le_bytes([c0, c1, c2, c3]),
            synced: u32::from_le_bytes([s0, s1, s2, s3]),
            codec,
        })
    }

    /// Length of the whole frame in bytes.
    pub(crate) const fn frame_len(self) -> usize {
        HEADER_LEN + self.length as usize
    }
}

/// Writes `synced` into the frame that begins at `start` of `bytes` and at `position` of the log.
pub(crate) fn stamp(bytes: &mut [u8], start: usize, position: Position, synced: u32) {
    let Some(slot) = bytes.get_mut(start..).and_then(|rest| rest.first_chunk_mut::<HEADER_LEN>()) else {
        return;
    };
    if let Some(header) = Header::decode(&*slot, position) {
        *slot = Header { synced, ..header }.encode(position);
    }
}

/// The checksum of a stored payload.
pub(crate) fn checksum(stored: &[u8]) -> u32 {
    crc32fast::hash(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::SegmentNo;
    use proptest::prelude::*;

    fn at(segment: u64, offset: u64) -> Position {
        Position { segment: SegmentNo(segment), offset }
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_at_its_position_only(
            length in 0u32..=(MAX_STORED as u32),
            (checksum, synced, codec) in any::<(u32, u32, u8)>(),
            (segment, offset, other) in any::<(u64, u64, u64)>(),
        ) {
            let header = Header { length, checksum, synced, codec: codec.max(1) };
            let bytes = header.encode(at(segment, offset));
            prop_assert_eq!(Header::decode(&bytes, at(segment, offset)), Some(header));
            // 24 bits of check: a wrong position passes once in 16 million times.
            if other != offset {
                prop_assert_eq!(Header::decode(&bytes, at(segment, other)), None);
            }
        }
    }

    #[test]
    fn every_changed_bit_is_noticed_and_zeros_are_nothing() {
        let header = Header { length: 40, checksum: 0xDEAD_BEEF, synced: 32, codec: 2 };
        let bytes = header.encode(at(1, 72));
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::decode(&changed, at(1, 72)), None, "bit {bit}");
        }
        for offset in 0..100_000 {
            assert_eq!(Header::decode(&[0; 16], at(1, offset)), None);
        }
        assert_eq!(Header::decode(&bytes[..15], at(1, 72)), None);
    }

    #[test]
    fn a_stamp_changes_only_what_was_synced() {
        let header = Header { length: 1, checksum: 5, synced: 0, codec: 1 };
        let mut bytes = vec![9; 3];
        bytes.extend_from_slice(&header.encode(at(2, 35)));
        stamp(&mut bytes, 3, at(2, 35), 32);
        assert_eq!(Header::decode(&bytes[3..], at(2, 35)), Some(Header { synced: 32, ..header }));
    }
}
