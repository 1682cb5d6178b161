//! New series: number and labels, one after the other.
//!
//! Label sets of one batch resemble each other, but finding out how is left to zstd: it packs the series of a target
//! from 329 to 5 bytes each, in 128 ns. Naming labels that equal those of the series before by a bit was tried: less
//! than a byte each, but 151 ns, and where neighbours differ more, 418 instead of 331 ns.

use sarsen_block::LabelsRef;
use sarsen_block::codec::{Reader, put_str, put_uvarint, put_varint};

use super::{BIRTHS, SeriesId};
use crate::error::Error;

/// Collects births for one record.
#[derive(Debug, Default)]
pub(crate) struct BirthsEncoder {
    count: u64,
    last: u64,
    body: Vec<u8>,
}

impl BirthsEncoder {
    pub(crate) fn push(&mut self, id: SeriesId, labels: LabelsRef<'_>) {
        put_varint(&mut self.body, id.0.wrapping_sub(self.last) as i64);
        put_str(&mut self.body, labels.as_bytes());
        self.last = id.0;
        self.count += 1;
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The record, behind what `out` holds; the encoder is empty again.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.push(BIRTHS);
        put_uvarint(out, self.count);
        out.extend_from_slice(&self.body);
        self.clear();
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.last = 0;
        self.body.clear();
    }

    pub(crate) fn capacity(&self) -> usize {
        self.body.capacity()
    }
}

/// The births of one record, in the order they were logged.
#[derive(Debug, Clone)]
pub struct Births<'a> {
    left: u64,
    last: u64,
    reader: Reader<'a>,
}

impl<'a> Births<'a> {
    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, Error> {
        // A birth takes at least two bytes.
        let left = reader.length(reader.remaining() / 2, "number of births")? as u64;
        Ok(Self { left, last: 0, reader })
    }

    /// How many births are still to come.
    pub const fn len(&self) -> u64 {
        self.left
    }

    /// Whether no birth is left.
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The next birth; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged or the labels are not in their byte form.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<(SeriesId, LabelsRef<'a>)>, Error> {
        if self.left == 0 {
            self.reader.finish()?;
            return Ok(None);
        }
        self.left -= 1;
        self.last = self.last.wrapping_add(self.reader.varint("series id")? as u64);
        let labels = LabelsRef::decode(self.reader.str("labels")?)?;
        Ok(Some((SeriesId(self.last), labels)))
    }
}
