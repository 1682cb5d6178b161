//! What is logged beside samples, one row behind the other: deletions, exemplars, metadata.
//!
//! These are rare; their columns would not be worth the code, and zstd finds what repeats.

use sarsen_block::codec::{Reader, put_str, put_uvarint, put_varint};
use sarsen_block::{LabelsRef, TimeRange, Timestamp};

use super::{DELETIONS, EXEMPLARS, METADATA, SeriesId};
use crate::error::Error;

/// Collects the rows of one record of any of the three kinds.
#[derive(Debug)]
pub(crate) struct NotesEncoder {
    kind: u8,
    count: u64,
    last_id: u64,
    last_t: Timestamp,
    body: Vec<u8>,
}

impl NotesEncoder {
    pub(crate) const fn deletions() -> Self {
        Self::of(DELETIONS)
    }

    pub(crate) const fn exemplars() -> Self {
        Self::of(EXEMPLARS)
    }

    pub(crate) const fn metadata() -> Self {
        Self::of(METADATA)
    }

    const fn of(kind: u8) -> Self {
        Self { kind, count: 0, last_id: 0, last_t: 0, body: Vec::new() }
    }

    fn push_id(&mut self, id: SeriesId) {
        put_varint(&mut self.body, id.0.wrapping_sub(self.last_id) as i64);
        self.last_id = id.0;
        self.count += 1;
    }

    fn push_time(&mut self, t: Timestamp) {
        put_varint(&mut self.body, t.wrapping_sub(self.last_t));
        self.last_t = t;
    }

    pub(crate) fn push_deletion(&mut self, id: SeriesId, range: TimeRange) {
        self.push_id(id);
        self.push_time(range.min);
        put_varint(&mut self.body, range.max.wrapping_sub(range.min));
    }

    pub(crate) fn push_exemplar(&mut self, id: SeriesId, t: Timestamp, bits: u64, labels: LabelsRef<'_>) {
        self.push_id(id);
        self.push_time(t);
        self.body.extend_from_slice(&bits.to_le_bytes());
        put_str(&mut self.body, labels.as_bytes());
    }

    pub(crate) fn push_metadata(&mut self, id: SeriesId, kind: u8, unit: &[u8], help: &[u8]) {
        self.push_id(id);
        self.body.push(kind);
        put_str(&mut self.body, unit);
        put_str(&mut self.body, help);
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.body.len()
    }

    /// The record, behind what `out` holds; the encoder is empty again.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.push(self.kind);
        put_uvarint(out, self.count);
        out.extend_from_slice(&self.body);
        self.clear();
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.last_id = 0;
        self.last_t = 0;
        self.body.clear();
    }

    pub(crate) fn capacity(&self) -> usize {
        self.body.capacity()
    }
}

/// The rows of a record and what they are coded against.
#[derive(Debug, Clone)]
struct Notes<'a> {
    left: usize,
    last_id: u64,
    last_t: Timestamp,
    reader: Reader<'a>,
}

impl<'a> Notes<'a> {
    fn decode(mut reader: Reader<'a>) -> Result<Self, Error> {
        // A row of any kind takes at least three bytes.
        let left = reader.length(reader.remaining() / 3, "number of rows")?;
        Ok(Self { left, last_id: 0, last_t: 0, reader })
    }

    /// The reader and the id of the next row; `None` at the end.
    fn next(&mut self) -> Result<Option<SeriesId>, Error> {
        if self.left == 0 {
            self.reader.finish()?;
            return Ok(None);
        }
        self.left -= 1;
        self.last_id = self.last_id.wrapping_add(self.reader.varint("series id")? as u64);
        Ok(Some(SeriesId(self.last_id)))
    }

    fn time(&mut self) -> Result<Timestamp, Error> {
        self.last_t = self.last_t.wrapping_add(self.reader.varint("time")?);
        Ok(self.last_t)
    }
}

/// One logged deletion: what the series has in this range is not to be read any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedDeletion {
    /// The series.
    pub id: SeriesId,
    /// From when to when, both included.
    pub range: TimeRange,
}

/// The deletions of one record, in the order they were logged.
#[derive(Debug, Clone)]
pub struct Deletions<'a>(Notes<'a>);

/// One logged exemplar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedExemplar<'a> {
    /// The series.
    pub id: SeriesId,
    /// When.
    pub t: Timestamp,
    /// The bits of its value.
    pub bits: u64,
    /// Its own labels, such as a trace id.
    pub labels: LabelsRef<'a>,
}

/// The exemplars of one record, in the order they were logged.
#[derive(Debug, Clone)]
pub struct Exemplars<'a>(Notes<'a>);

/// What was logged of the meaning of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedMetadata<'a> {
    /// The series.
    pub id: SeriesId,
    /// Its type, as the writer of the log numbers them.
    pub kind: u8,
    /// Its unit.
    pub unit: &'a [u8],
    /// What it says.
    pub help: &'a [u8],
}

/// The metadata of one record, in the order it was logged.
#[derive(Debug, Clone)]
pub struct Metadata<'a>(Notes<'a>);

macro_rules! rows {
    ($name:ident, $what:literal) => {
        impl<'a> $name<'a> {
            pub(crate) fn decode(reader: Reader<'a>) -> Result<Self, Error> {
                Notes::decode(reader).map(Self)
            }

            #[doc = concat!("How many ", $what, " are still to come.")]
            pub const fn len(&self) -> usize {
                self.0.left
            }

            #[doc = concat!("Whether no ", $what, " are left.")]
            pub const fn is_empty(&self) -> bool {
                self.0.left == 0
            }
        }
    };
}

rows!(Deletions, "deletions");
rows!(Exemplars, "exemplars");
rows!(Metadata, "rows");

impl Deletions<'_> {
    /// The next deletion; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<LoggedDeletion>, Error> {
        let Some(id) = self.0.next()? else { return Ok(None) };
        let min = self.0.time()?;
        let max = min.wrapping_add(self.0.reader.varint("length of a deletion")?);
        Ok(Some(LoggedDeletion { id, range: TimeRange::new(min, max) }))
    }
}

impl<'a> Exemplars<'a> {
    /// The next exemplar; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged or the labels are not in their byte form.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<LoggedExemplar<'a>>, Error> {
        let Some(id) = self.0.next()? else { return Ok(None) };
        let t = self.0.time()?;
        let bits = self.0.reader.take(8, "value of an exemplar")?;
        let bits = bits.try_into().map_or(0, u64::from_le_bytes);
        let labels = LabelsRef::decode(self.0.reader.str("labels of an exemplar")?)?;
        Ok(Some(LoggedExemplar { id, t, bits, labels }))
    }
}

impl<'a> Metadata<'a> {
    /// The next row; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged.
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<LoggedMetadata<'a>>, Error> {
        let Some(id) = self.0.next()? else { return Ok(None) };
        let kind = self.0.reader.u8("type")?;
        let unit = self.0.reader.str("unit")?;
        let help = self.0.reader.str("help")?;
        Ok(Some(LoggedMetadata { id, kind, unit, help }))
    }
}
