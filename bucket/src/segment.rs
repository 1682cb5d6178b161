//! A chunk segment read from front to back: every record's checksum, and how many chunks and samples there are.
//!
//! Nothing is decoded. Pieces of fixed size are read; a record that two of them share is joined.

use std::io::Read;

use bytes::Bytes;
use sarsen_block::{
    CHUNK_FILE_HEADER_LEN, ChunkRef, Encoding, Error, RECORD_HEAD_LEN, check_chunk_file_header, read_chunk,
    record_len,
};

/// Bytes read at once.
const PIECE: usize = 1 << 20;

/// What was found in segments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SegmentCount {
    pub(crate) chunks: u64,
    /// Without those in aggregate chunks.
    pub(crate) samples: u64,
    /// Whether there are aggregate chunks.
    pub(crate) aggregates: bool,
}

impl SegmentCount {
    pub(crate) fn add(&mut self, other: Self) {
        self.chunks += other.chunks;
        self.samples += other.samples;
        self.aggregates |= other.aggregates;
    }
}

/// Checks chunk segment number `segment`, counted from 0, of `length` bytes.
///
/// # Errors
/// `Corrupt` at the first damaged record, `Io` if reading fails.
pub(crate) fn check_segment(input: impl Read, length: u64, segment: u32) -> Result<SegmentCount, Error> {
    let mut pieces = Pieces { input, rest: Bytes::new(), at: 0, left: length };
    check_chunk_file_header(&pieces.at_least(CHUNK_FILE_HEADER_LEN)?, segment)?;
    pieces.pass(CHUNK_FILE_HEADER_LEN);
    let mut count = SegmentCount::default();
    while !pieces.is_at_end() {
        let offset = u32::try_from(pieces.at);
        let offset = offset.map_err(|_| {
            Error::corrupt("chunk file", pieces.at, "the file is longer than references reach")
        })?;
        let place = ChunkRef::new(segment, offset);
        let mut record = pieces.at_least(RECORD_HEAD_LEN)?;
        let length = record_len(record.get(..RECORD_HEAD_LEN).unwrap_or(&record), place)?;
        let fits = length <= pieces.remaining();
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if fits {
            record = pieces.at_least(length)?;
        }
        // Of a record that the file has no room for only the head is at hand, which is refused.
        let chunk = read_chunk(&record, place)?;
        count.chunks += 1;
        if chunk.encoding == Encoding::Aggregate {
            count.aggregates = true;
        } else {
            count.samples += u64::from(chunk.num_samples()?);
        }
        pieces.pass(length);
    }
    Ok(count)
}

/// A file, piece by piece.
struct Pieces<R> {
    input: R,
    /// What has been read and not been passed.
    rest: Bytes,
    /// Where `rest` begins.
    at: u64,
    /// Bytes that have not been read.
    left: u64,
}

impl<R: Read> Pieces<R> {
    fn remaining(&self) -> u64 {
        self.rest.len() as u64 + self.left
    }

    fn is_at_end(&self) -> bool {
        self.remaining() == 0
    }

    /// At least `least` bytes from here, fewer only where the file ends.
    fn at_least(&mut self, least: usize) -> Result<Bytes, Error> {
        let missing = least.saturating_sub(self.rest.len());
        if missing > 0 && self.left > 0 {
            let wanted = self.left.min(missing.max(PIECE) as u64);
            let mut bytes = Vec::with_capacity(self.rest.len() + usize::try_from(wanted).unwrap_or_default());
            bytes.extend_from_slice(&self.rest);
            let read = self.input.by_ref().take(wanted).read_to_end(&mut bytes);
            let read = read.map_err(|e| Error::io("reading a chunk file", e))?;
            self.left = if read == 0 { 0 } else { self.left - read as u64 };
            self.rest = bytes.into();
        }
        Ok(self.rest.clone())
    }

    fn pass(&mut self, length: usize) {
        let length = length.min(self.rest.len());
        self.rest = self.rest.slice(length..);
        self.at += length as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_block::{Chunk, ChunkFileWriter, TimeRange, TimedChunk, XorAppender};

    fn segment(chunks: usize, samples: usize) -> Vec<u8> {
        let mut writer = ChunkFileWriter::new(1 << 30);
        for series in 0..chunks {
            let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
            for i in 0..samples {
                appender.append(&mut bytes, i as i64 * 15_000, (i * series) as f64 * 0.37);
            }
            let chunk = Chunk::xor(appender.finish(&bytes));
            let timed = TimedChunk { range: TimeRange::new(0, samples as i64 * 15_000), chunk };
            writer.write(&[timed], &mut Vec::new(), |_, _| Ok(Vec::new())).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn chunks_and_samples_are_counted_over_many_pieces() {
        let file = segment(3000, 120);
        assert!(file.len() > 2 * PIECE);
        let found = check_segment(&file[..], file.len() as u64, 0).unwrap();
        assert_eq!(found, SegmentCount { chunks: 3000, samples: 360_000, aggregates: false });
    }

    #[test]
    fn every_damaged_byte_is_found() {
        let file = segment(3, 20);
        // The last three bytes of the header are padding.
        for at in (0..5).chain(8..file.len()) {
            let mut damaged = file.clone();
            damaged[at] ^= 0x10;
            assert!(check_segment(&damaged[..], file.len() as u64, 0).is_err(), "byte {at}");
        }
        let whole: Vec<usize> =
            (0..=file.len()).filter(|end| check_segment(&file[..*end], *end as u64, 0).is_ok()).collect();
        assert_eq!(whole.len(), 4, "only at the end of a record: {whole:?}");
        assert!(check_segment(&file[..file.len() - 3], file.len() as u64, 0).is_err(), "a short read");
    }
}
