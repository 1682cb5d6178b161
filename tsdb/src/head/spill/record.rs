//! The bytes of one piece of a chunk in a spill file. Pure; drawn in `DESIGN.md`.
//!
//! A record says everything that is known of its piece, and where the piece before it lies, so that a series needs to
//! remember its newest record only. Its checksum covers the place, so that bytes of another place do not count.

use sarsen_block::codec::{Crc32c, Reader, put_uvarint, put_varint};
use sarsen_block::{Encoding, Error, SeriesNo, TimeRange};

use super::SpillRef;

/// Records begin at multiples of this many bytes.
pub(super) const UNIT: usize = 8;
/// Bytes in front of the body: its checksum and its length.
pub(super) const FRONT: usize = 8;
/// No body is longer; what says so is damaged.
const MAX_BODY: usize = 1 << 26;

/// What a piece is a piece of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PieceHead {
    /// The series.
    pub(crate) series: SeriesNo,
    /// How the bytes of the whole chunk are to be read.
    pub(crate) encoding: Encoding,
    /// Whether the chunk ends with this piece. Otherwise the next pieces, or the open chunk, go on.
    pub(crate) is_last: bool,
    /// How many bytes of the chunk lie in the pieces before this one.
    pub(crate) before: u32,
    /// How many samples the chunk has up to here.
    pub(crate) samples: u16,
    /// From the first sample of the chunk to the last one that the chunk had when this was written.
    pub(crate) range: TimeRange,
}

/// One piece, read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) head: PieceHead,
    /// The piece of this series before this one.
    pub(crate) prev: SpillRef,
    pub(crate) bytes: Vec<u8>,
}

fn checksum(place: SpillRef, body: &[u8]) -> u32 {
    let mut crc = Crc32c::new();
    crc.update(&place.to_bytes());
    crc.update(body);
    crc.value()
}

/// Appends the record that will lie at `place`.
pub(super) fn put(out: &mut Vec<u8>, place: SpillRef, prev: SpillRef, head: &PieceHead, bytes: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&[0; FRONT]);
    out.push(head.encoding.byte());
    out.push(u8::from(head.is_last));
    put_uvarint(out, u64::from(head.series.0));
    out.extend_from_slice(&prev.to_bytes());
    put_uvarint(out, u64::from(head.before));
    put_uvarint(out, u64::from(head.samples));
    put_varint(out, head.range.min);
    put_uvarint(out, head.range.max.wrapping_sub(head.range.min) as u64);
    out.extend_from_slice(bytes);
    let body = out.get(start + FRONT..).unwrap_or_default();
    let (crc, length) = (checksum(place, body).to_le_bytes(), (body.len() as u32).to_le_bytes());
    if let Some(front) = out.get_mut(start..start + FRONT) {
        front.iter_mut().zip(crc.into_iter().chain(length)).for_each(|(to, from)| *to = from);
    }
    out.resize(out.len().next_multiple_of(UNIT), 0);
}

/// How many bytes the record has that begins with `front`, padding left out.
pub(super) fn length(front: &[u8], place: SpillRef) -> Result<usize, Error> {
    let length = front.get(4..FRONT).and_then(|four| four.first_chunk::<4>()).copied();
    match length.map(u32::from_le_bytes).map(|length| length as usize) {
        Some(length) if length <= MAX_BODY => Ok(FRONT + length),
        Some(length) => Err(place.damaged(format!("a record of {length} bytes"))),
        None => Err(place.damaged("the record is cut off")),
    }
}

/// Reads the record that lies at `place`; `bytes` may go on behind it.
pub(super) fn get(bytes: &[u8], place: SpillRef) -> Result<Piece, Error> {
    let length = length(bytes, place)?;
    let stored = bytes.first_chunk::<4>().copied().map(u32::from_le_bytes);
    let body = bytes.get(FRONT..length).ok_or_else(|| place.damaged("the record is cut off"))?;
    if stored != Some(checksum(place, body)) {
        return Err(place.damaged("the checksum does not fit"));
    }
    let mut reader = Reader::new("spilled piece", body);
    let encoding = reader.u8("encoding")?;
    let encoding =
        Encoding::from_byte(encoding).ok_or_else(|| place.damaged(format!("encoding {encoding}")))?;
    let is_last = reader.u8("end")? != 0;
    let narrow = |value: u64| u32::try_from(value).map_err(|_| place.damaged("a number is too large"));
    let series = SeriesNo(narrow(reader.uvarint("series")?)?);
    let prev = SpillRef::from_bytes(reader.take(6, "reference")?).unwrap_or_default();
    let before = narrow(reader.uvarint("bytes before")?)?;
    let samples = narrow(reader.uvarint("samples")?)? as u16;
    let min = reader.varint("first time")?;
    let max = min.wrapping_add(reader.uvarint("length of time")? as i64);
    let bytes = body.get(reader.position()..).unwrap_or_default().to_vec();
    let head = PieceHead { series, encoding, is_last, before, samples, range: TimeRange::new(min, max) };
    Ok(Piece { head, prev, bytes })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What was put at a place is read there, nowhere else, and not with any bit turned.
        #[test]
        fn a_record_is_good_at_its_place_alone(
            (series, before, samples, is_last) in (any::<u32>(), any::<u32>(), any::<u16>(), any::<bool>()),
            (min, span) in (any::<i64>(), any::<i64>()),
            bytes in prop::collection::vec(any::<u8>(), 0..300),
            (file, at, turned) in (1u32..1 << 22, 0u64..1 << 26, any::<prop::sample::Index>()),
        ) {
            let range = TimeRange::new(min, min.wrapping_add(span));
            let head = PieceHead { series: SeriesNo(series), encoding: Encoding::Xor, is_last, before, samples, range };
            let place = SpillRef::new(file, at * UNIT as u64).unwrap();
            let prev = SpillRef::new(file / 2 + 1, 64).unwrap();
            let mut out = Vec::new();
            put(&mut out, place, prev, &head, &bytes);
            prop_assert_eq!(out.len() % UNIT, 0);
            prop_assert_eq!(get(&out, place).unwrap(), Piece { head, prev, bytes });
            let other = SpillRef::new(file, (at + 1) % (1 << 26) * UNIT as u64).unwrap();
            prop_assert!(get(&out, other).is_err());
            let bit = turned.index(length(&out, place).unwrap() * 8);
            out[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(get(&out, place).is_err());
        }
    }
}
