//! Where the bytes of an index go: in large pieces, counted, padded and summed.
//!
//! Besides the checksums that the format asks for, one is kept of each section from its first byte to its last, for the side object that
//! stands beside a block ([`Checks`](crate::Checks)).

use std::io;

use super::{SERIES_ALIGNMENT, too_large};
use crate::checks::SectionCheck;
use crate::codec::Crc32c;
use crate::error::Error;

const BUFFER: usize = 64 << 10;

/// A writer with a buffer that knows its position.
#[derive(Debug)]
pub(crate) struct Output<W> {
    out: W,
    buffer: Vec<u8>,
    /// How many bytes have left the buffer.
    flushed: u64,
    /// The sections that are complete, the checksum of what came since, and how much of the buffer is in one or the other.
    sections: Vec<SectionCheck>,
    crc: Crc32c,
    summed: usize,
}

impl<W: io::Write> Output<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            buffer: Vec::with_capacity(2 * BUFFER),
            flushed: 0,
            sections: Vec::new(),
            crc: Crc32c::new(),
            summed: 0,
        }
    }

    pub(crate) fn position(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.empty() } else { Ok(()) }
    }

    fn empty(&mut self) -> Result<(), Error> {
        self.out.write_all(&self.buffer).map_err(|e| Error::io("writing an index", e))?;
        self.sum();
        self.summed = 0;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(2 * BUFFER);
        Ok(())
    }

    fn sum(&mut self) {
        self.crc.update(self.buffer.get(self.summed..).unwrap_or_default());
        self.summed = self.buffer.len();
    }

    /// Here ends the section that is called `name`.
    pub(crate) fn end_section(&mut self, name: &'static str) {
        self.sum();
        let offset = self.sections.last().map_or(0, |last| last.offset + last.length);
        let crc32c = std::mem::take(&mut self.crc).value();
        self.sections.push(SectionCheck {
            name: name.to_owned(),
            offset,
            length: self.position() - offset,
            crc32c,
        });
    }

    /// The writer, and the sections.
    pub(crate) fn finish(mut self) -> Result<(W, Vec<SectionCheck>), Error> {
        self.empty()?;
        self.out.flush().map_err(|e| Error::io("writing an index", e))?;
        Ok((self.out, self.sections))
    }

    /// Zeroes up to the next multiple of `alignment`.
    pub(crate) fn pad(&mut self, alignment: u64) -> Result<(), Error> {
        let past = self.position() % alignment;
        let zeroes = if past == 0 { 0 } else { alignment - past };
        self.put([0; SERIES_ALIGNMENT as usize].get(..zeroes as usize).unwrap_or_default())
    }

    /// A section of a known length: its length, what `fill` puts, and the checksum of that.
    pub(crate) fn section(
        &mut self,
        length: u64,
        what: &str,
        fill: impl FnOnce(&mut Summed<'_, W>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let field = u32::try_from(length).map_err(|_| too_large(what))?;
        self.put(&field.to_be_bytes())?;
        let mut summed = Summed { out: self, crc: Crc32c::new() };
        fill(&mut summed)?;
        let crc = summed.crc.value();
        self.put(&crc.to_be_bytes())
    }
}

/// An output that keeps the checksum of what passes.
pub(crate) struct Summed<'a, W> {
    out: &'a mut Output<W>,
    crc: Crc32c,
}

impl<W: io::Write> Summed<'_, W> {
    pub(crate) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.crc.update(bytes);
        self.out.put(bytes)
    }
}
