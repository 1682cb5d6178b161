//! The chunks of one file in `chunks_head`.
//!
//! Eight bytes of header (magic `01 30 BC 91`, version 1, three zeros), then chunks without gaps: series (u64), first and
//! last time (i64), encoding (u8, high bit: out of order), length (uvarint), data, CRC-32C over all of that. A file was
//! set aside at full length beforehand, so a tail of zeros is no fault. Numbers are big-endian.

use std::path::Path;

use bytes::Bytes;
use sarsen_block::codec::{Reader, crc32c};
use sarsen_block::{Chunk, Encoding, TimeRange};

use crate::disk::{Disk, read_file};
use crate::error::Error;

const MAGIC: u32 = 0x0130_BC91;
const OUT_OF_ORDER: u8 = 0x80;
/// Bytes before the data of a chunk: three numbers, the encoding, a length of up to five bytes, and the checksum behind.
const MOST: usize = 8 + 8 + 8 + 1 + 5 + 4;

/// A chunk that Prometheus took out of the memory of its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeadChunk {
    /// The series, by the number that the log gives it.
    pub series: u64,
    /// Where the chunk lies: number of the file in the upper half, offset in the lower.
    pub reference: u64,
    /// Times of the first and the last sample.
    pub range: TimeRange,
    /// Whether its samples came out of order.
    pub out_of_order: bool,
    /// The samples.
    pub chunk: Chunk,
}

/// The chunks of a file, one by one.
#[derive(Debug, Clone)]
pub struct HeadChunks {
    bytes: Bytes,
    number: u32,
    at: usize,
}

impl HeadChunks {
    /// Opens the file with the given number. The file is read as a whole: it is at most 128 MiB long.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Record`] or [`Error::Unsupported`] if the header is not that of such a file.
    pub fn open(disk: &dyn Disk, number: u32, path: &Path) -> Result<Self, Error> {
        let bytes = read_file(disk, path).map_err(Error::on("reading", path))?;
        let mut reader = Reader::new("head chunks", &bytes);
        let magic = reader.u32("magic")?;
        if magic != MAGIC {
            return Err(Reader::new("head chunks", &bytes)
                .corrupt(format!("the magic is {magic:08x}"))
                .into());
        }
        let version = reader.u8("version")?;
        if version != 1 {
            return Err(Error::Unsupported {
                object: path.display().to_string(),
                what: "version",
                found: u64::from(version),
            });
        }
        reader.take(3, "padding")?;
        let at = reader.position();
        Ok(Self { bytes, number, at })
    }

    /// The next chunk; `None` at the end. After an error nothing more can be read.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<HeadChunk>, Error> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.len() < MOST && rest.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        let mut reader = Reader::new("head chunk", rest).based_at(self.at as u64);
        let series = reader.u64("series")?;
        let range = TimeRange::new(reader.u64("first time")? as i64, reader.u64("last time")? as i64);
        if (series, range) == (0, TimeRange::new(0, 0)) {
            return Ok(None);
        }
        let code = reader.u8("encoding")?;
        let length = reader.length(reader.remaining(), "length of a chunk")?;
        let start = self.at + reader.position();
        reader.take(length, "chunk")?;
        let covered = reader.position();
        let wanted = reader.u32("checksum")?;
        let found = crc32c(rest.get(..covered).unwrap_or_default());
        if found != wanted {
            return Err(reader.corrupt(format!("the checksum is {found:08x}, not {wanted:08x}")).into());
        }
        let encoding = Encoding::from_byte(code & !OUT_OF_ORDER)
            .ok_or_else(|| reader.corrupt(format!("unknown encoding {}", code & !OUT_OF_ORDER)))?;
        let reference = u64::from(self.number) << 32 | self.at as u64;
        self.at += reader.position();
        let chunk = Chunk { encoding, data: self.bytes.slice(start..start + length) };
        Ok(Some(HeadChunk { series, reference, range, out_of_order: code & OUT_OF_ORDER != 0, chunk }))
    }
}
