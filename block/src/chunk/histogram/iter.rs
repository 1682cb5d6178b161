//! The samples of a histogram chunk, one by one.
//!
//! A chunk is believed as far as its header's count; what lies behind the last sample is not looked at. Nothing is reserved for a
//! damaged layout that the bytes could not hold.

use super::cell::{Cell, Delta, Window};
use super::starts::Starts;
use super::state::State;
use super::{HEADER_LEN, Kind, ResetHeader};
use crate::bits::BitReader;
use crate::chunk::Encoding;
use crate::error::Error;
use crate::histogram::{MAX_SCHEMA, ResetHint};
use crate::sample::{Sample, Value};
use crate::time::Timestamp;

/// The samples of a chunk with cells of one kind.
#[derive(Debug, Clone)]
pub(super) struct Walk<'a, C> {
    bits: BitReader<'a>,
    header: ResetHeader,
    starts: Option<Starts>,
    /// The last sample that was read; `None` before the first.
    state: Option<State<C>>,
    total: u16,
    read: u16,
    broken: bool,
}

impl<'a, C: Cell> Walk<'a, C> {
    /// Reads `chunk`, header and stream.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the header is cut off.
    pub(super) fn new(chunk: &'a [u8], with_starts: bool) -> Result<Self, Error> {
        let (header, total, starts) = super::read_head(chunk, with_starts)?;
        let bits = BitReader::new(chunk, HEADER_LEN);
        Ok(Self { bits, header, starts, state: None, total, read: 0, broken: false })
    }

    /// The next sample, `None` behind the last one.
    pub(super) fn next(&mut self) -> Result<Option<&State<C>>, Error> {
        if self.read == self.total || self.broken {
            return Ok(None);
        }
        let sound = match &mut self.state {
            Some(state) => state.read(&mut self.bits, self.read).ok_or("it cannot be read"),
            none => State::read_first(&mut self.bits, self.starts).map(|state| *none = Some(state)),
        };
        if let Err(what) = sound {
            self.broken = true;
            let what = format!("sample {} of {}: {what}", u32::from(self.read) + 1, self.total);
            return Err(Error::corrupt("histogram chunk", self.bits.position() as u64 / 8, what));
        }
        self.read += 1;
        Ok(self.state.as_ref())
    }

    /// The sample last read, as its chunk tells it.
    fn sample(&self) -> Option<Sample> {
        let state = self.state.as_ref()?;
        let hint = match (self.header, self.read) {
            (ResetHeader::Gauge, _) => ResetHint::Gauge,
            // As Prometheus: the chunk before this one may be gone or another by now.
            (_, 0 | 1) => ResetHint::Unknown,
            _ => ResetHint::NotReset,
        };
        let mut histogram = state.histogram(hint);
        if histogram.schema > MAX_SCHEMA {
            histogram.reduce_resolution(MAX_SCHEMA);
        }
        let value = Value::Histogram(Box::new(histogram));
        Some(Sample { t: state.time, start: state.start(), value })
    }

    /// The bits behind the last sample, the header, how many samples there are, and the last of them.
    pub(super) fn into_parts(self) -> (BitReader<'a>, ResetHeader, u16, Option<State<C>>) {
        (self.bits, self.header, self.total, self.state)
    }
}

/// The samples of a histogram chunk of any kind, one by one.
///
/// The first sample of a chunk has the hint [`ResetHint::Unknown`] whatever the header says, later ones have [`ResetHint::NotReset`], those of
/// a gauge chunk [`ResetHint::Gauge`]; a stale marker has [`ResetHint::Unknown`] and nothing but its sum. Histograms of more than schema 8 come
/// out with schema 8.
#[derive(Debug, Clone)]
pub struct HistogramIter<'a>(Kind<Box<Walk<'a, Delta>>, Box<Walk<'a, Window>>>);

impl<'a> HistogramIter<'a> {
    /// Reads `chunk`: header and stream, without encoding byte and checksum.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the header is cut off; [`Error::Invalid`] if `encoding` is not one of histograms.
    pub fn new(chunk: &'a [u8], encoding: Encoding) -> Result<Self, Error> {
        let (is_float, starts) = super::kind_of(encoding)?;
        Ok(Self(if is_float {
            Kind::Float(Box::new(Walk::new(chunk, starts)?))
        } else {
            Kind::Integer(Box::new(Walk::new(chunk, starts)?))
        }))
    }

    /// Goes to the next sample and tells its time, `None` behind the last one. Much cheaper than [`next`](Self::next) for samples
    /// that are only passed over.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the bytes end or make no sense before the promised count; then the rest is not read.
    pub fn advance(&mut self) -> Result<Option<Timestamp>, Error> {
        Ok(match &mut self.0 {
            Kind::Integer(walk) => walk.next()?.map(|state| state.time),
            Kind::Float(walk) => walk.next()?.map(|state| state.time),
        })
    }

    /// The sample at which [`advance`](Self::advance) stands; `None` before the first. Behind the end it stays at the last.
    pub fn sample(&self) -> Option<Sample> {
        match &self.0 {
            Kind::Integer(walk) => walk.sample(),
            Kind::Float(walk) => walk.sample(),
        }
    }

    /// The next sample, `None` behind the last one.
    ///
    /// # Errors
    /// As [`advance`](Self::advance).
    #[expect(clippy::should_implement_trait, reason = "the shape of SampleIter: a step may fail")]
    pub fn next(&mut self) -> Result<Option<Sample>, Error> {
        Ok(match self.advance()? {
            Some(_) => self.sample(),
            None => None,
        })
    }
}
