//! Records out of the pages of one segment.
//!
//! A file is pages of 32 KiB; a record is one fragment or several, none of which crosses a page. A fragment: a byte with its
//! kind in the low 3 bits (1 whole, 2 first, 3 middle, 4 last; 0: the rest of the page is zeros) and how the record is
//! packed (8 snappy, 16 zstd), its length and CRC-32C, big-endian. A record is packed before it is cut into fragments.
//! Bytes missing of the last page count as zeros, as Prometheus counts them.

use std::io::Read;
use std::path::{Path, PathBuf};

use sarsen_block::codec::crc32c;

use crate::disk::{Disk, File};
use crate::error::Error;

const PAGE: u64 = 32 << 10;
const HEADER: usize = 7;
const SNAPPY: u8 = 8;
const ZSTD: u8 = 16;
/// No record that unpacks to more is read. The largest that a writer makes is a scrape.
const LARGEST: usize = 1 << 30;
/// Bytes of the file held at a time; whole pages.
const WINDOW: usize = 4 * PAGE as usize;
/// No snappy element of a byte stands for more than this many bytes.
const SNAPPY_GROWTH: usize = 22;

/// What reading a segment came to next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// The bytes of the next record, unpacked.
    Record(&'a [u8]),
    /// The segment is read to its end. Every later step says so again.
    End,
    /// What follows cannot be read: a torn end or damage. Every later step says so again.
    Bad {
        /// How far the file was read, with the zeros that stand for a missing rest of the last page.
        offset: u64,
        /// What is wrong.
        why: String,
    },
}

/// One segment of a log, read from its beginning.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    file: Box<dyn File>,
    length: u64,
    offset: u64,
    window: Vec<u8>,
    window_at: u64,
    /// The fragments of the record so far.
    joined: Vec<u8>,
    record: Vec<u8>,
    /// Kind of the fragment read last.
    last: u8,
    finished: Option<Option<String>>,
}

/// Why no record came.
enum Stop {
    /// The file was read to its end, nothing begun.
    End,
    Bad(String),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl Segment {
    /// Opens a segment.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn open(disk: &dyn Disk, path: &Path) -> Result<Self, Error> {
        let file = disk.open(path).map_err(Error::on("opening", path))?;
        let length = file.size().map_err(Error::on("reading", path))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            length,
            offset: 0,
            window: Vec::new(),
            window_at: 0,
            joined: Vec::new(),
            record: Vec::new(),
            last: 0,
            finished: None,
        })
    }

    /// How far the file has been read.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The next record, or why there is none.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk fails to read.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Step<'_>, Error> {
        if self.finished.is_none() {
            match self.read_record() {
                Ok(()) => {}
                // The end in the middle of a record.
                Err(Stop::End) if matches!(self.last, 2 | 3) => {
                    self.finished = Some(Some("last record is torn".to_owned()));
                }
                Err(Stop::End) => self.finished = Some(None),
                Err(Stop::Bad(why)) => self.finished = Some(Some(why)),
                Err(Stop::Failed(error)) => return Err(error),
            }
        }
        Ok(match &self.finished {
            None => Step::Record(&self.record),
            Some(None) => Step::End,
            Some(Some(why)) => Step::Bad { offset: self.offset, why: why.clone() },
        })
    }

    /// Whether nothing but zeros lies behind the place that was read to: whatever is wrong there, it is the end.
    ///
    /// # Errors
    /// [`Error::Io`] if the disk fails to read.
    pub fn is_torn(&self) -> Result<bool, Error> {
        let (mut at, mut piece) = (self.offset, vec![0; WINDOW]);
        loop {
            let read = self.file.read_at(&mut piece, at).map_err(Error::on("reading", &self.path))?;
            if read == 0 {
                return Ok(true);
            }
            if piece.iter().take(read).any(|byte| *byte != 0) {
                return Ok(false);
            }
            at += read as u64;
        }
    }

    fn read_record(&mut self) -> Result<(), Stop> {
        self.joined.clear();
        let mut fragments = 0;
        loop {
            let [head] = self.bytes::<1>()?;
            self.last = head & 7;
            if self.last == 0 {
                self.skip_padding()?;
                continue;
            }
            self.read_fragment()?;
            match (self.last, fragments) {
                (1, 0) | (2, 0) | (3 | 4, 1..) => {}
                (1..=4, _) => return Err(Stop::Bad(format!("a fragment of kind {} out of turn", self.last))),
                (kind, _) => return Err(Stop::Bad(format!("unexpected record type {kind}"))),
            }
            if matches!(self.last, 1 | 4) {
                return self.unpack(head);
            }
            fragments += 1;
        }
    }

    /// Reads over the zeros that fill a page.
    fn skip_padding(&mut self) -> Result<(), Stop> {
        while !self.offset.is_multiple_of(PAGE) {
            let [byte] = self.bytes::<1>()?;
            if byte != 0 {
                self.offset = self.offset.next_multiple_of(PAGE);
                return Err(Stop::Bad("unexpected non-zero byte in padded page".to_owned()));
            }
        }
        Ok(())
    }

    /// Reads a fragment behind its first byte, and adds it to the record.
    fn read_fragment(&mut self) -> Result<(), Stop> {
        let [high, low] = self.bytes::<2>()?;
        let wanted = u32::from_be_bytes(self.bytes::<4>()?);
        let length = usize::from(u16::from_be_bytes([high, low]));
        if length > PAGE as usize - HEADER {
            return Err(Stop::Bad(format!("invalid record size {length}")));
        }
        if self.joined.len() + length > LARGEST {
            return Err(Stop::Bad(format!("a record of more than {LARGEST} bytes")));
        }
        let start = self.joined.len();
        self.take(length)?;
        let found = crc32c(self.joined.get(start..).unwrap_or_default());
        if found != wanted {
            return Err(Stop::Bad(format!("unexpected checksum {found:x}, expected {wanted:x}")));
        }
        Ok(())
    }

    fn unpack(&mut self, head: u8) -> Result<(), Stop> {
        self.record.clear();
        if head & SNAPPY != 0 {
            return unpack_snappy(&self.joined, &mut self.record).map_err(Stop::Bad);
        }
        if head & ZSTD != 0 {
            return unpack_zstd(&self.joined, &mut self.record).map_err(Stop::Bad);
        }
        std::mem::swap(&mut self.joined, &mut self.record);
        Ok(())
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let start = self.joined.len();
        self.take(N)?;
        let taken = self.joined.get(start..).and_then(|bytes| bytes.try_into().ok()).unwrap_or([0; N]);
        self.joined.truncate(start);
        Ok(taken)
    }

    /// Puts the next `n` bytes behind `joined`. Behind the end of the file zeros follow up to the end of the page.
    fn take(&mut self, n: usize) -> Result<(), Stop> {
        let end = self.length.next_multiple_of(PAGE);
        if n > 0 && self.offset >= end {
            return Err(Stop::End);
        }
        let mut left = n;
        while left > 0 {
            if self.offset >= end {
                return Err(Stop::Bad("unexpected EOF".to_owned()));
            }
            let ready = self.ready()?;
            if ready.is_empty() {
                let zeros = left.min((end - self.offset) as usize);
                self.joined.resize(self.joined.len() + zeros, 0);
                (self.offset, left) = (self.offset + zeros as u64, left - zeros);
                continue;
            }
            let part = ready.len().min(left);
            let from = (self.offset - self.window_at) as usize;
            self.joined.extend_from_slice(self.window.get(from..from + part).unwrap_or_default());
            (self.offset, left) = (self.offset + part as u64, left - part);
        }
        Ok(())
    }

    /// Bytes of the file at the reader's place, some of them; none behind its end.
    fn ready(&mut self) -> Result<&[u8], Error> {
        let held = self.window_at..self.window_at + self.window.len() as u64;
        if !held.contains(&self.offset) && self.offset < self.length {
            self.window_at = self.offset - self.offset % PAGE;
            let length = (self.length - self.window_at).min(WINDOW as u64) as usize;
            self.window.resize(length, 0);
            let read = self.file.read_at(&mut self.window, self.window_at);
            let read = read.map_err(Error::on("reading", &self.path))?;
            self.window.truncate(read);
            self.length =
                self.length.min(self.window_at + if read < length { read as u64 } else { u64::MAX >> 1 });
        }
        let from = self.offset.saturating_sub(self.window_at) as usize;
        Ok(self.window.get(from..).unwrap_or_default())
    }
}

fn unpack_snappy(packed: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let length = snap::raw::decompress_len(packed).map_err(|why| why.to_string())?;
    if length > LARGEST.min(packed.len().saturating_mul(SNAPPY_GROWTH)) {
        return Err(format!("{} bytes cannot unpack to {length}", packed.len()));
    }
    out.resize(length, 0);
    snap::raw::Decoder::new().decompress(packed, out).map(|_| ()).map_err(|why| why.to_string())
}

fn unpack_zstd(packed: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(packed).map_err(|why| why.to_string())?;
    let read = decoder.by_ref().take(LARGEST as u64 + 1).read_to_end(out).map_err(|why| why.to_string())?;
    if read > LARGEST {
        return Err(format!("unpacks to more than {LARGEST} bytes"));
    }
    Ok(())
}
