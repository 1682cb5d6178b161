//! Samples of any kind in the order they were appended: ids, times, start times, kinds and floats as columns, histograms
//! one behind the other.
//!
//! Two kinds of record have this body: samples that go behind the newest of their series, and late ones, which a reader
//! must not pass over because the series has newer samples. Floats without a start time have a record of their own
//! ([`Samples`](super::Samples)), which is a byte or two shorter and faster.

use sarsen_block::codec::{Reader, put_uvarint};
use sarsen_block::{Histogram, Timestamp, Value};

use super::histogram::{self, LoggedHistogram};
use super::runs::{Runs, RunsEncoder};
use super::values::{Values, ValuesEncoder};
use super::{SeriesId, part};
use crate::error::Error;

const FLOAT: i64 = 0;
const HISTOGRAM: i64 = 1;

/// Collects samples of any kind for one record.
#[derive(Debug, Default)]
pub(crate) struct RowsEncoder {
    count: usize,
    ids: RunsEncoder,
    times: RunsEncoder,
    starts: RunsEncoder,
    kinds: RunsEncoder,
    floats: ValuesEncoder,
    histograms: Vec<u8>,
    one: Vec<u8>,
    floats_of_one: ValuesEncoder,
}

impl RowsEncoder {
    pub(crate) fn push_float(&mut self, id: SeriesId, t: Timestamp, start: Timestamp, bits: u64) {
        self.push_head(id, t, start, FLOAT);
        self.floats.push(bits);
    }

    pub(crate) fn push_histogram(&mut self, id: SeriesId, t: Timestamp, start: Timestamp, value: &Histogram) {
        self.push_head(id, t, start, HISTOGRAM);
        self.one.clear();
        histogram::encode(value, &mut self.floats_of_one, &mut self.one);
        put_uvarint(&mut self.histograms, self.one.len() as u64);
        self.histograms.extend_from_slice(&self.one);
    }

    pub(crate) fn push(&mut self, id: SeriesId, t: Timestamp, start: Timestamp, value: &Value) {
        match value {
            Value::Float(value) => self.push_float(id, t, start, value.to_bits()),
            Value::Histogram(value) => self.push_histogram(id, t, start, value),
        }
    }

    fn push_head(&mut self, id: SeriesId, t: Timestamp, start: Timestamp, kind: i64) {
        self.count += 1;
        self.ids.push(id.0 as i64);
        self.times.push(t);
        self.starts.push(start);
        self.kinds.push(kind);
    }

    pub(crate) const fn count(&self) -> usize {
        self.count
    }

    /// Bytes of the histograms so far; the columns are bounded by the count.
    pub(crate) const fn bytes(&self) -> usize {
        self.histograms.len()
    }

    /// The record, behind what `out` holds; the encoder is empty again.
    pub(crate) fn finish(&mut self, kind: u8, out: &mut Vec<u8>) {
        out.push(kind);
        put_uvarint(out, self.count as u64);
        put_uvarint(out, self.floats.count() as u64);
        let columns = [self.ids.finish(), self.times.finish(), self.starts.finish(), self.kinds.finish()];
        for column in columns {
            put_uvarint(out, column.len() as u64);
        }
        put_uvarint(out, self.histograms.len() as u64);
        for column in columns {
            out.extend_from_slice(column);
        }
        out.extend_from_slice(&self.histograms);
        self.floats.finish(out);
        self.clear();
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.ids.clear();
        self.times.clear();
        self.starts.clear();
        self.kinds.clear();
        self.floats.clear();
        self.histograms.clear();
    }

    pub(crate) fn capacity(&self) -> usize {
        self.ids.capacity()
            + self.times.capacity()
            + self.starts.capacity()
            + self.kinds.capacity()
            + self.floats.capacity()
            + self.histograms.capacity()
            + self.one.capacity()
            + self.floats_of_one.capacity()
    }
}

/// What was logged of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoggedValue<'a> {
    /// The bits of a float, because NaN payloads carry meaning.
    Float(u64),
    /// A histogram, not yet decoded.
    Histogram(LoggedHistogram<'a>),
}

impl LoggedValue<'_> {
    /// The value.
    ///
    /// # Errors
    /// [`Error::Record`] if it is a histogram and its bytes are damaged.
    pub fn decode(self) -> Result<Value, Error> {
        Ok(match self {
            Self::Float(bits) => Value::Float(f64::from_bits(bits)),
            Self::Histogram(histogram) => Value::Histogram(Box::new(histogram.decode()?)),
        })
    }
}

/// One logged sample of any kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoggedRow<'a> {
    /// The series.
    pub id: SeriesId,
    /// When.
    pub t: Timestamp,
    /// When the counter behind it began; 0 if that is not known.
    pub start: Timestamp,
    /// What.
    pub value: LoggedValue<'a>,
}

/// The samples of one record, in the order they were logged.
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    left: usize,
    ids: Runs<'a>,
    times: Runs<'a>,
    starts: Runs<'a>,
    kinds: Runs<'a>,
    floats_left: usize,
    floats: Values<'a>,
    histograms: Reader<'a>,
}

impl<'a> Rows<'a> {
    pub(crate) fn decode(mut reader: Reader<'a>) -> Result<Self, Error> {
        // A float takes at least half a byte, a histogram more.
        let limit = reader.remaining().saturating_mul(2);
        let left = reader.length(limit, "number of samples")?;
        let floats_left = reader.length(left, "number of floats")?;
        let mut lengths = [0; 5];
        for length in &mut lengths {
            *length = reader.length(reader.remaining(), "length of a column")?;
        }
        let [ids, times, starts, kinds, histograms] = lengths;
        Ok(Self {
            left,
            ids: Runs::new(part(&mut reader, ids, "ids of samples")?),
            times: Runs::new(part(&mut reader, times, "times of samples")?),
            starts: Runs::new(part(&mut reader, starts, "start times of samples")?),
            kinds: Runs::new(part(&mut reader, kinds, "kinds of samples")?),
            histograms: part(&mut reader, histograms, "histograms")?,
            floats_left,
            floats: Values::decode(reader, floats_left)?,
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
    #[expect(clippy::should_implement_trait, reason = "each step may fail, as in block's iterators")]
    pub fn next(&mut self) -> Result<Option<LoggedRow<'a>>, Error> {
        if self.left == 0 {
            for column in [&self.ids, &self.times, &self.starts, &self.kinds] {
                column.finish()?;
            }
            self.floats.finish()?;
            self.histograms.finish()?;
            if self.floats_left > 0 {
                return Err(self.histograms.corrupt("floats without a sample").into());
            }
            return Ok(None);
        }
        self.left -= 1;
        let id = SeriesId(self.ids.next()? as u64);
        let t = self.times.next()?;
        let start = self.starts.next()?;
        let value = match self.kinds.next()? {
            FLOAT if self.floats_left > 0 => {
                self.floats_left -= 1;
                LoggedValue::Float(self.floats.next()?)
            }
            HISTOGRAM => LoggedValue::Histogram(LoggedHistogram::new(self.histograms.str("histogram")?)),
            kind => {
                return Err(self.histograms.corrupt(format!("no value for a sample of kind {kind}")).into());
            }
        };
        Ok(Some(LoggedRow { id, t, start, value }))
    }
}
