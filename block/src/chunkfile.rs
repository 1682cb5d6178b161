//! Many chunks in one file, found by reference.
//!
//! A chunk file is a header and records back to back; the format is drawn in `FORMAT.md`. [`ChunkFileWriter`] decides where a
//! file ends and the next begins exactly as Prometheus does, so that the same chunks lie in the same files. Reading
//! starts from a reference: [`record_len`] says how much to read, [`read_chunk`] checks and takes the chunk out.
//! [`ChunkFileWalk`] reads a file from front to back. No file is opened here.

use std::io::{self, Read, Write};

use bytes::Bytes;

use crate::chunk::{Chunk, ChunkRef, Encoding, TimedChunk};
use crate::codec::{crc32c, put_uvarint, uvarint_len};
use crate::error::Error;

/// Bytes of the header of a chunk file.
pub const CHUNK_FILE_HEADER_LEN: usize = 8;

/// Where Prometheus ends a chunk file unless told otherwise.
pub const DEFAULT_CHUNK_FILE_LIMIT: u64 = 512 << 20;

/// The first bytes to read at a reference, so that [`record_len`] can answer: a length and the encoding.
pub const RECORD_HEAD_LEN: usize = MAX_LENGTH_LEN + 1;

const HEADER: [u8; CHUNK_FILE_HEADER_LEN] = [0x85, 0xBD, 0x40, 0xDD, 1, 0, 0, 0];
const MAX_LENGTH_LEN: usize = 5;
const CRC_LEN: usize = 4;
const OBJECT: &str = "chunk file";

/// What a chunk of `data_len` bytes of data counts towards the limit of a file: the length field is charged at its longest.
const fn charged(data_len: usize) -> u64 {
    (MAX_LENGTH_LEN + 1 + CRC_LEN) as u64 + data_len as u64
}

/// Writes chunks, series by series, and begins a new file when one is full. The files belong to the caller, who opens and closes
/// them when asked to.
#[derive(Debug)]
pub struct ChunkFileWriter<W> {
    limit: u64,
    /// The open file, its number and how many bytes it holds.
    open: Option<(W, u32, u64)>,
    batch: Batch,
    record: Vec<u8>,
}

/// What the chunks of one series have filled so far.
#[derive(Debug, Clone, Copy, Default)]
struct Batch {
    /// Bytes of the open file when the series began.
    started: u64,
    /// Whether no file was begun since.
    is_first: bool,
    /// Whether there was a chunk.
    has_chunks: bool,
    charged: u64,
}

impl<W: Write> ChunkFileWriter<W> {
    /// Files of about `limit` bytes; only a single chunk that is longer makes a file longer.
    pub const fn new(limit: u64) -> Self {
        let batch = Batch { started: 0, is_first: true, has_chunks: false, charged: 0 };
        Self { limit, open: None, batch, record: Vec::new() }
    }

    /// Writes the chunks of one series and appends their references to `refs`, in order.
    ///
    /// `next_file` is called when a file is to begin, with the full one (none at first) and the number of the new one, counted from
    /// 0. A series may lie in several files.
    ///
    /// # Errors
    /// [`Error::Io`] from writing and from `next_file`; [`Error::Invalid`] if a reference cannot hold the place.
    pub fn write(
        &mut self,
        chunks: &[TimedChunk],
        refs: &mut Vec<ChunkRef>,
        mut next_file: impl FnMut(Option<W>, u32) -> io::Result<W>,
    ) -> Result<(), Error> {
        self.begin_series();
        for TimedChunk { chunk, .. } in chunks {
            refs.push(self.write_chunk(chunk, &mut next_file)?);
        }
        Ok(())
    }

    /// What is written from now on belongs to another series.
    pub(crate) fn begin_series(&mut self) {
        let started = self.open.as_ref().map_or(0, |(_, _, written)| *written);
        self.batch = Batch { started, is_first: true, has_chunks: false, charged: 0 };
    }

    /// Writes the next chunk of a series.
    pub(crate) fn write_chunk(
        &mut self,
        chunk: &Chunk,
        next_file: &mut impl FnMut(Option<W>, u32) -> io::Result<W>,
    ) -> Result<ChunkRef, Error> {
        if u32::try_from(chunk.data.len()).is_err() {
            return Err(too_many());
        }
        let mut record = std::mem::take(&mut self.record);
        put_record(&mut record, chunk);
        let written = self.write_record(&record, chunk.data.len(), next_file);
        self.record = record;
        written
    }

    /// Writes the next chunk of a series, whose record was found in another file: `data_len` of its bytes are the data.
    #[inline]
    pub(crate) fn write_record(
        &mut self,
        record: &[u8],
        data_len: usize,
        next_file: &mut impl FnMut(Option<W>, u32) -> io::Result<W>,
    ) -> Result<ChunkRef, Error> {
        let batch = &mut self.batch;
        batch.charged += charged(data_len);
        // As in Prometheus, a series that meets a file in use is measured against what is left of it; all other batches
        // are measured against a whole file, whatever part of the series lies in the present one.
        let cut = if batch.is_first && batch.started > CHUNK_FILE_HEADER_LEN as u64 {
            let cut = batch.charged + batch.started > self.limit;
            batch.is_first = !cut;
            cut
        } else {
            batch.has_chunks && batch.charged + CHUNK_FILE_HEADER_LEN as u64 > self.limit
        };
        if cut {
            batch.charged = charged(data_len);
        }
        batch.has_chunks = true;
        if cut || self.open.is_none() {
            self.begin_file(next_file)?;
        }
        let Some((file, number, written)) = &mut self.open else {
            return Err(Error::invalid("chunk file", "no file was begun"));
        };
        let offset = u32::try_from(*written).map_err(|_| too_many())?;
        file.write_all(record).map_err(|e| Error::io("writing a chunk file", e))?;
        *written += record.len() as u64;
        Ok(ChunkRef::new(*number, offset))
    }

    /// The file that is still open, if any chunk was written.
    pub fn finish(self) -> Option<W> {
        self.open.map(|(file, ..)| file)
    }

    #[cold]
    fn begin_file(
        &mut self,
        next_file: &mut impl FnMut(Option<W>, u32) -> io::Result<W>,
    ) -> Result<(), Error> {
        let (full, number) = match self.open.take() {
            Some((file, number, _)) => (Some(file), number.checked_add(1).ok_or_else(too_many)?),
            None => (None, 0),
        };
        let mut file = next_file(full, number).map_err(|e| Error::io("beginning a chunk file", e))?;
        file.write_all(&HEADER).map_err(|e| Error::io("writing a chunk file", e))?;
        self.open = Some((file, number, CHUNK_FILE_HEADER_LEN as u64));
        Ok(())
    }
}

#[cold]
fn too_many() -> Error {
    Error::invalid(
        "chunk file",
        "a reference has 32 bits for the file and 32 for the offset; this place needs more",
    )
}

/// The record of `chunk`, in place of what `record` held.
fn put_record(record: &mut Vec<u8>, chunk: &Chunk) {
    record.clear();
    put_uvarint(record, chunk.data.len() as u64);
    let checked_from = record.len();
    record.push(chunk.encoding.byte());
    record.extend_from_slice(&chunk.data);
    let crc = crc32c(record.get(checked_from..).unwrap_or_default());
    record.extend_from_slice(&crc.to_be_bytes());
}

fn corrupt(at: ChunkRef, what: impl Into<String>) -> Error {
    Error::corrupt(format!("chunks/{:06}", u64::from(at.segment()) + 1), at.offset().into(), what)
}

/// Checks the header of chunk file number `segment`.
///
/// # Errors
/// [`Error::Corrupt`] if magic or version are wrong or cut off.
pub fn check_chunk_file_header(bytes: &[u8], segment: u32) -> Result<(), Error> {
    let at = |offset| ChunkRef::new(segment, offset);
    match bytes.first_chunk::<CHUNK_FILE_HEADER_LEN>() {
        None => Err(corrupt(at(0), format!("the header needs 8 bytes, {} are there", bytes.len()))),
        Some([0x85, 0xBD, 0x40, 0xDD, 1, _, _, _]) => Ok(()),
        Some([0x85, 0xBD, 0x40, 0xDD, version, ..]) => {
            Err(corrupt(at(4), format!("version {version} is unknown, 1 is known")))
        }
        Some(_) => Err(corrupt(at(0), "not a chunk file: the magic is wrong")),
    }
}

/// Length of the length field and length of the data of the record that begins with `head`.
fn record_lengths(head: &[u8], at: ChunkRef) -> Result<(usize, usize), Error> {
    let mut value = 0u64;
    for (i, &byte) in head.iter().take(MAX_LENGTH_LEN).enumerate() {
        value |= u64::from(byte & 0x7F) << (7 * i);
        if byte < 0x80 {
            let length = u32::try_from(value).ok().and_then(|length| usize::try_from(length).ok());
            return Ok((i + 1, length.ok_or_else(|| corrupt(at, format!("a chunk of {value} bytes")))?));
        }
    }
    Err(corrupt(at, "the length of the chunk is not a varint of at most 5 bytes"))
}

/// Length in bytes of the whole record that lies at `at` and begins with `head`, its first [`RECORD_HEAD_LEN`] bytes.
///
/// # Errors
/// [`Error::Corrupt`] if these bytes hold no length.
pub fn record_len(head: &[u8], at: ChunkRef) -> Result<u64, Error> {
    let (prefix, data) = record_lengths(head, at)?;
    Ok((prefix + 1 + CRC_LEN) as u64 + data as u64)
}

/// The chunk at `at`. `bytes` begin with its record and may go on behind it; the chunk shares them.
///
/// # Errors
/// [`Error::Corrupt`] if the record is cut off, its checksum is wrong or its encoding is unknown.
pub fn read_chunk(bytes: &Bytes, at: ChunkRef) -> Result<Chunk, Error> {
    let record = Record::read(bytes, at)?;
    Ok(Chunk { encoding: record.encoding, data: bytes.slice_ref(record.data) })
}

/// A chunk as it lies in its file, checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Record<'a> {
    /// All of it: length, encoding, data, checksum.
    pub(crate) bytes: &'a [u8],
    pub(crate) encoding: Encoding,
    pub(crate) data: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record at `at`, with which `bytes` begin.
    #[inline]
    pub(crate) fn read(bytes: &'a [u8], at: ChunkRef) -> Result<Self, Error> {
        let (prefix, len) = record_lengths(bytes, at)?;
        let end = prefix.saturating_add(1).saturating_add(len);
        let (Some(checked), Some(stored)) =
            (bytes.get(prefix..end), bytes.get(end..).and_then(<[u8]>::first_chunk::<CRC_LEN>))
        else {
            return Err(corrupt(at, format!("the chunk has {len} bytes, the file ends before")));
        };
        let (stored, found) = (u32::from_be_bytes(*stored), crc32c(checked));
        if stored != found {
            return Err(corrupt(at, format!("checksum {found:08x}, {stored:08x} is stored")));
        }
        let (&byte, data) = checked.split_first().unwrap_or((&0, &[]));
        let encoding = Encoding::from_byte(byte)
            .ok_or_else(|| corrupt(at, format!("chunk encoding {byte} is unknown")))?;
        Ok(Self { bytes: bytes.get(..end + CRC_LEN).unwrap_or_default(), encoding, data })
    }
}

/// Reads a chunk file from front to back, with no more than one record in memory.
#[derive(Debug)]
pub struct ChunkFileWalk<R> {
    input: R,
    segment: u32,
    at: u64,
    ended: bool,
}

impl<R: Read> ChunkFileWalk<R> {
    /// Reads and checks the header of `input`, chunk file number `segment`.
    ///
    /// # Errors
    /// [`Error::Io`] from reading; [`Error::Corrupt`] if the header is damaged.
    pub fn new(mut input: R, segment: u32) -> Result<Self, Error> {
        let mut header = Vec::with_capacity(CHUNK_FILE_HEADER_LEN);
        read_up_to(&mut input, CHUNK_FILE_HEADER_LEN, &mut header)?;
        check_chunk_file_header(&header, segment)?;
        Ok(Self { input, segment, at: CHUNK_FILE_HEADER_LEN as u64, ended: false })
    }

    /// Offset of the next record.
    pub const fn offset(&self) -> u64 {
        self.at
    }

    /// The next chunk and its place, `None` at the end of the file. A damaged record whose length still fits the file is passed
    /// over, so the walk may go on after its error; after any other error it has ended.
    ///
    /// # Errors
    /// [`Error::Io`] from reading; [`Error::Corrupt`] if a record is damaged.
    #[expect(clippy::should_implement_trait, reason = "a step may fail")]
    pub fn next(&mut self) -> Result<Option<(ChunkRef, Chunk)>, Error> {
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        let Ok(offset) = u32::try_from(self.at) else {
            return Err(Error::corrupt(OBJECT, self.at, "the file is longer than references reach"));
        };
        let at = ChunkRef::new(self.segment, offset);
        let mut record = Vec::new();
        read_up_to(&mut self.input, 1, &mut record)?;
        if record.is_empty() {
            return Ok(None);
        }
        while record.last().is_some_and(|byte| *byte >= 0x80) && record.len() < MAX_LENGTH_LEN {
            if read_up_to(&mut self.input, 1, &mut record)? == 0 {
                break;
            }
        }
        let (_, data) = record_lengths(&record, at)?;
        let rest = 1 + data.saturating_add(CRC_LEN);
        let whole = read_up_to(&mut self.input, rest, &mut record)? == rest;
        self.at += record.len() as u64;
        self.ended = !whole;
        Ok(Some((at, read_chunk(&record.into(), at)?)))
    }
}

/// Appends up to `n` bytes of `input`, fewer only at its end, and says how many.
fn read_up_to(input: &mut impl Read, n: usize, into: &mut Vec<u8>) -> Result<usize, Error> {
    input.take(n as u64).read_to_end(into).map_err(|e| Error::io("reading a chunk file", e))
}

/// Length in bytes that the record of a chunk with `data_len` bytes of data takes in a file.
pub const fn record_size(data_len: usize) -> u64 {
    (uvarint_len(data_len as u64) + 1 + CRC_LEN) as u64 + data_len as u64
}

#[cfg(test)]
mod tests;
