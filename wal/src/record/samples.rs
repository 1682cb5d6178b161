//! Float samples of known series, in three columns: ids, times, values.

use sarsen_block::Timestamp;
use sarsen_block::codec::{Reader, put_uvarint};

use super::runs::{Runs, RunsEncoder};
use super::values::{Values, ValuesEncoder};
use super::{SAMPLES, SeriesId, part};
use crate::error::Error;

/// Collects samples for one record.
#[derive(Debug, Default)]
pub(crate) struct SamplesEncoder {
    ids: RunsEncoder,
    times: RunsEncoder,
    values: ValuesEncoder,
}

impl SamplesEncoder {
    #[inline]
    pub(crate) fn push(&mut self, id: SeriesId, t: Timestamp, bits: u64) {
        self.ids.push(id.0 as i64);
        self.times.push(t);
        self.values.push(bits);
    }

    pub(crate) const fn count(&self) -> usize {
        self.values.count()
    }

    /// The record, behind what `out` holds; the encoder is empty again.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        out.push(SAMPLES);
        put_uvarint(out, self.count() as u64);
        let ids = self.ids.finish();
        let times = self.times.finish();
        put_uvarint(out, ids.len() as u64);
        put_uvarint(out, times.len() as u64);
        out.extend_from_slice(ids);
        out.extend_from_slice(times);
        self.values.finish(out);
        self.clear();
    }

    pub(crate) fn clear(&mut self) {
        self.ids.clear();
        self.times.clear();
        self.values.clear();
    }

    pub(crate) fn capacity(&self) -> usize {
        self.ids.capacity() + self.times.capacity() + self.values.capacity()
    }
}

/// One logged sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedSample {
    /// The series.
    pub id: SeriesId,
    /// When.
    pub t: Timestamp,
    /// The bits of the value, because NaN payloads carry meaning.
    pub bits: u64,
}

impl LoggedSample {
    /// The value as a number.
    pub const fn value(self) -> f64 {
        f64::from_bits(self.bits)
    }
}

/// The samples of one record, in the order they were logged.
#[derive(Debug, Clone)]
pub struct Samples<'a> {
    left: usize,
    ids: Runs<'a>,
    times: Runs<'a>,
    values: Values<'a>,
}

impl<'a> Samples<'a> {
    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, Error> {
        // Half a byte of class is the least that a sample takes.
        let left = reader.length(reader.remaining().saturating_mul(2), "number of samples")?;
        let ids = reader.length(reader.remaining(), "length of the ids")?;
        let times = reader.length(reader.remaining(), "length of the times")?;
        Ok(Self {
            left,
            ids: Runs::new(part(&mut reader, ids, "ids of samples")?),
            times: Runs::new(part(&mut reader, times, "times of samples")?),
            values: Values::decode(reader, left)?,
        })
    }

    /// How many samples are still to come.
    pub const fn len(&self) -> usize {
        self.left
    }

    /// Whether no sample is left.
    pub const fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// The next sample; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are damaged.
    #[inline]
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<LoggedSample>, Error> {
        if self.left == 0 {
            self.ids.finish()?;
            self.times.finish()?;
            self.values.finish()?;
            return Ok(None);
        }
        self.left -= 1;
        let id = SeriesId(self.ids.next()? as u64);
        let t = self.times.next()?;
        let bits = self.values.next()?;
        Ok(Some(LoggedSample { id, t, bits }))
    }
}
