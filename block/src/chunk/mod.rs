//! An encoded run of samples of one series.
//!
//! A [`Chunk`] is an encoding byte and opaque bytes; nothing is decoded until samples are asked for. All but the aggregates
//! of Thanos, which are carried through unchanged, are read and written here.

mod cut;
mod encode;
mod histogram;
mod varbit;
mod xor;
mod xor2;

use bytes::Bytes;

use crate::codec::Reader;
use crate::error::Error;
use crate::sample::{Sample, SampleIter, Value};
use crate::time::{TimeRange, Timestamp};

pub use cut::{ChunkCut, HistogramCut};
pub(crate) use encode::encode_floats;
pub use encode::{ChunkEnd, EncodeOptions, encode_chunks};
pub use histogram::{Appended, HistogramChunk, HistogramIter, ResetHeader};
pub use xor::{XorAppender, XorIter};
pub use xor2::{Xor2Appender, Xor2Iter};

/// How the bytes of a chunk are to be read. The number is the encoding byte in a chunk file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Encoding {
    /// Floats: delta of delta of times, xor of values.
    Xor = 1,
    /// Native histograms with integer counts.
    Histogram = 2,
    /// Native histograms with float counts.
    FloatHistogram = 3,
    /// Floats with optional start timestamps.
    Xor2 = 4,
    /// Integer histograms with optional start timestamps.
    HistogramSt = 5,
    /// Float histograms with optional start timestamps.
    FloatHistogramSt = 6,
    /// Five chunks in one: the aggregates that Thanos makes when downsampling.
    Aggregate = 255,
}

impl Encoding {
    /// The encoding that `byte` stands for, if there is one.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Xor,
            2 => Self::Histogram,
            3 => Self::FloatHistogram,
            4 => Self::Xor2,
            5 => Self::HistogramSt,
            6 => Self::FloatHistogramSt,
            255 => Self::Aggregate,
            _ => return None,
        })
    }

    /// Whether every reader of Prometheus' blocks knows it, Thanos' too.
    pub(crate) const fn is_plain(self) -> bool {
        !matches!(self, Self::Xor2 | Self::HistogramSt | Self::FloatHistogramSt)
    }

    /// The byte that stands for this encoding.
    pub const fn byte(self) -> u8 {
        self as u8
    }
}

/// An encoded run of samples, in rising order of time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Chunk {
    /// How `data` is to be read.
    pub encoding: Encoding,
    /// The chunk without length, encoding byte and checksum.
    pub data: Bytes,
}

impl Chunk {
    /// A XOR chunk; `data` is not checked before it is read.
    pub fn xor(data: impl Into<Bytes>) -> Self {
        Self { encoding: Encoding::Xor, data: data.into() }
    }

    /// How many samples the header promises. Aggregates have as many as their first part, the counts; none if that is missing.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the header is cut off.
    pub fn num_samples(&self) -> Result<u16, Error> {
        num_samples(self.encoding, &self.data)
    }

    /// The samples, decoded one by one.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the header is cut off; [`Error::Invalid`] for aggregates, which are several chunks in one.
    pub fn samples(&self) -> Result<ChunkIter<'_>, Error> {
        match self.encoding {
            Encoding::Xor => Ok(ChunkIter::Xor(XorIter::new(&self.data)?)),
            Encoding::Xor2 => Ok(ChunkIter::Xor2(Xor2Iter::new(&self.data)?)),
            Encoding::Histogram
            | Encoding::FloatHistogram
            | Encoding::HistogramSt
            | Encoding::FloatHistogramSt => {
                Ok(ChunkIter::Histogram(HistogramIter::new(&self.data, self.encoding)?))
            }
            Encoding::Aggregate => {
                Err(Error::invalid("chunk", "an aggregate chunk has no samples of its own"))
            }
        }
    }
}

/// How many samples the header of a chunk's data promises.
#[inline]
pub(crate) fn num_samples(encoding: Encoding, data: &[u8]) -> Result<u16, Error> {
    let mask = match encoding {
        Encoding::Aggregate => return num_windows(data),
        Encoding::HistogramSt | Encoding::FloatHistogramSt => 0x3FFF,
        Encoding::Xor | Encoding::Histogram | Encoding::FloatHistogram | Encoding::Xor2 => 0xFFFF,
    };
    match data.first_chunk::<2>() {
        Some(header) => Ok(u16::from_be_bytes(*header) & mask),
        None => Err(Error::corrupt("chunk", 0, "the sample count is cut off")),
    }
}

/// The samples of the first part of an aggregate: length, encoding byte, and a chunk that begins with its count.
fn num_windows(data: &[u8]) -> Result<u16, Error> {
    let mut reader = Reader::new("aggregate chunk", data);
    if reader.uvarint("length of the counts")? == 0 {
        return Ok(0);
    }
    reader.u8("encoding of the counts")?;
    Ok(u16::from_be_bytes([reader.u8("number of counts")?, reader.u8("number of counts")?]))
}

/// The samples of one chunk.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum ChunkIter<'a> {
    /// Of a XOR chunk.
    Xor(XorIter<'a>),
    /// Of a XOR2 chunk.
    Xor2(Xor2Iter<'a>),
    /// Of a histogram chunk.
    Histogram(HistogramIter<'a>),
}

impl ChunkIter<'_> {
    /// Goes to the next sample and tells only its time, `None` at the end. Much cheaper than the sample for histograms.
    ///
    /// # Errors
    /// As [`SampleIter::next`].
    pub fn advance(&mut self) -> Result<Option<Timestamp>, Error> {
        match self {
            Self::Xor(iter) => Ok(iter.next()?.map(|(t, _)| t)),
            Self::Xor2(iter) => Ok(iter.next()?.map(|(t, ..)| t)),
            Self::Histogram(iter) => iter.advance(),
        }
    }
}

impl SampleIter for ChunkIter<'_> {
    #[inline]
    fn next(&mut self) -> Result<Option<Sample>, Error> {
        match self {
            Self::Xor(iter) => Ok(iter.next()?.map(|(t, value)| Sample::float(t, value))),
            Self::Xor2(iter) => {
                let sample = |(t, start, value)| Sample { t, start, value: Value::Float(value) };
                Ok(iter.next()?.map(sample))
            }
            Self::Histogram(iter) => iter.next(),
        }
    }
}

/// Where a chunk lies among the chunk files of a block: the number of the file, counted from 0, in the upper half, and the
/// offset of the record in it in the lower half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkRef(pub u64);

impl ChunkRef {
    /// The record at byte `offset` of the file with number `segment`.
    pub const fn new(segment: u32, offset: u32) -> Self {
        Self((segment as u64) << 32 | offset as u64)
    }

    /// Number of the chunk file, counted from 0: file `000001` is 0.
    pub const fn segment(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// Offset of the record in its file.
    pub const fn offset(self) -> u32 {
        self.0 as u32
    }
}

/// What an index says about a chunk: its first and last time, and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ChunkMeta {
    /// Times of the first and the last sample.
    pub range: TimeRange,
    /// Where the chunk lies.
    pub chunk_ref: ChunkRef,
}

/// A chunk with the times of its first and its last sample.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedChunk {
    /// Times of the first and the last sample.
    pub range: TimeRange,
    /// The samples.
    pub chunk: Chunk,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_their_bytes() {
        for byte in 0..=255 {
            assert!(Encoding::from_byte(byte).is_none_or(|encoding| encoding.byte() == byte));
        }
        assert_eq!((0..=255).filter_map(Encoding::from_byte).count(), 7);
    }

    #[test]
    fn counts_stand_in_the_header() {
        let chunk = |encoding| Chunk { encoding, data: Bytes::from_static(&[0xC1, 0x02, 0]) };
        assert_eq!(chunk(Encoding::Xor2).num_samples().unwrap(), 0xC102);
        assert_eq!(chunk(Encoding::HistogramSt).num_samples().unwrap(), 0x0102);
        let aggregate = |data: &'static [u8]| Chunk { encoding: Encoding::Aggregate, data: data.into() };
        assert_eq!(aggregate(&[9, 1, 0xC1, 2]).num_samples().unwrap(), 0xC102);
        assert_eq!(aggregate(&[0, 0, 0, 0, 0]).num_samples().unwrap(), 0);
        assert!(aggregate(&[9, 1, 0xC1]).num_samples().is_err());
        assert!(Chunk::xor(&[0][..]).num_samples().is_err());
        assert!(Chunk::xor(&[0][..]).samples().is_err());
    }

    #[test]
    fn a_reference_is_a_file_and_an_offset() {
        let at = ChunkRef::new(3, 8);
        assert_eq!((at.0, at.segment(), at.offset()), (3 << 32 | 8, 3, 8));
    }
}
