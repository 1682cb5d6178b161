//! The frames of one file, one after the other, in bounded memory; and the search for frames behind damage.
//!
//! Reads only. The length of the file is taken once, at open.

use std::path::Path;

use bytes::Bytes;

use crate::disk::{Disk, File};
use crate::error::Error;
use crate::frame::{self, Codec, HEADER_LEN, Header};
use crate::segment::{self, HeaderState, Position, SegmentNo};

/// How much is read at once, unless a frame is larger.
const WINDOW: usize = 1 << 20;

/// A frame that was found whole.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) position: Position,
    pub(crate) synced: u64,
    pub(crate) codec: Codec,
    pub(crate) payload: Bytes,
}

/// What lies at the reader's place.
#[derive(Debug)]
pub(crate) enum Next {
    Frame(Found),
    /// The file, or the part of it that counts, ends here.
    End,
    /// No good frame; the reader stays where it is.
    Bad(&'static str),
}

/// Reads the frames of a file.
#[derive(Debug)]
pub(crate) struct Frames {
    file: Box<dyn File>,
    name: String,
    number: SegmentNo,
    /// Where the part that counts ends.
    end: u64,
    at: u64,
    window: Vec<u8>,
    window_start: u64,
}

impl Frames {
    /// Opens the file at `path`, which is to be segment `number`; the reader stands at its start.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, number: SegmentNo) -> Result<Self, Error> {
        let file = disk.open(path).map_err(Error::on("opening", path))?;
        let end = file.size().map_err(Error::on("looking at", path))?;
        let name = path.display().to_string();
        Ok(Self { file, name, number, end, at: 0, window: Vec::new(), window_start: 0 })
    }

    /// Reads the header of the file and steps behind it if it is good.
    pub(crate) fn header(&mut self) -> Result<Option<segment::Header>, Error> {
        let number = self.number;
        match segment::Header::decode(self.bytes(segment::HEADER_LEN as usize)?, number) {
            HeaderState::Good(header) => {
                self.at += segment::HEADER_LEN;
                Ok(Some(header))
            }
            HeaderState::Bad => Ok(None),
            HeaderState::Unknown(version) => Err(self.unsupported("version", u64::from(version))),
        }
    }

    pub(crate) const fn offset(&self) -> u64 {
        self.at
    }

    pub(crate) const fn end(&self) -> u64 {
        self.end
    }

    /// Goes to `offset`, which the caller knows to be the start of a frame, or the end.
    pub(crate) const fn seek(&mut self, offset: u64) {
        self.at = offset;
    }

    /// Says that what lies behind `end` does not count.
    pub(crate) fn limit(&mut self, end: u64) {
        self.end = self.end.min(end);
    }

    const fn position(&self) -> Position {
        Position { segment: self.number, offset: self.at }
    }

    fn unsupported(&self, what: &'static str, found: u64) -> Error {
        Error::Unsupported { object: self.name.clone(), what, found }
    }

    /// Up to `length` bytes from where the reader stands; fewer only at the end.
    fn bytes(&mut self, length: usize) -> Result<&[u8], Error> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let length = length.min(left);
        let mut start = self.start_in_window(length);
        if start.is_none() {
            let take = length.max(WINDOW).min(left);
            self.window.resize(take, 0);
            let read = self
                .file
                .read_at(&mut self.window, self.at)
                .map_err(|source| Error::io("reading", Path::new(&self.name), source))?;
            // Shorter than when it was opened: treated as if the file ended there.
            self.window.truncate(read);
            self.window_start = self.at;
            start = Some(0);
        }
        let rest = self.window.get(start.unwrap_or(0)..).unwrap_or_default();
        Ok(rest.get(..length).unwrap_or(rest))
    }

    fn start_in_window(&self, length: usize) -> Option<usize> {
        let start = usize::try_from(self.at.checked_sub(self.window_start)?).ok()?;
        (start.checked_add(length)? <= self.window.len()).then_some(start)
    }

    /// The frame at the reader's place; the reader steps behind it.
    pub(crate) fn next(&mut self) -> Result<Next, Error> {
        if self.at >= self.end {
            return Ok(Next::End);
        }
        let position = self.position();
        let bytes = self.bytes(HEADER_LEN)?;
        if bytes.len() < HEADER_LEN {
            return Ok(Next::Bad("the file ends inside the header of a frame"));
        }
        let Some(header) = Header::decode(bytes, position) else {
            return Ok(Next::Bad("the header of a frame does not fit its check"));
        };
        let bytes = self.bytes(header.frame_len())?;
        if bytes.len() < header.frame_len() {
            return Ok(Next::Bad("the file ends inside a frame"));
        }
        let payload = bytes.get(HEADER_LEN..).unwrap_or_default();
        if frame::checksum(payload) != header.checksum {
            return Ok(Next::Bad("the payload of a frame does not fit its checksum"));
        }
        let payload = Bytes::copy_from_slice(payload);
        let Some(codec) = Codec::from_byte(header.codec) else {
            return Err(self.unsupported("a frame of codec", u64::from(header.codec)));
        };
        self.at += header.frame_len() as u64;
        Ok(Next::Frame(Found { position, synced: u64::from(header.synced), codec, payload }))
    }

    /// Looks for the next good frame from the reader's place on, byte by byte, and steps behind it.
    pub(crate) fn search(&mut self) -> Result<Option<Found>, Error> {
        while self.at < self.end {
            let position = self.position();
            let end = self.end;
            let bytes = self.bytes(HEADER_LEN)?;
            let plausible = Header::decode(bytes, position)
                .is_some_and(|header| position.offset.saturating_add(header.frame_len() as u64) <= end);
            if plausible && let Next::Frame(found) = self.next()? {
                return Ok(Some(found));
            }
            self.at += 1;
        }
        Ok(None)
    }
}
