//! Native histograms in chunks: integer and float, with and without start timestamps.
//!
//! The format is drawn in `FORMAT.md`. A chunk has one layout of buckets, that of its first sample; a sample with buckets that the
//! chunk does not know has the chunk written anew in the joint layout. A counter that began anew, another scale or other custom
//! bounds need a new chunk, whose header tells what was found out. All of it is what Prometheus' appenders do, so that the
//! same samples give the same bytes.
//!
//! The rooms: `cell` (a number that changes), `layout`, `starts`; `state` (a sample behind the others), `joint` and `fit`
//! (may it come behind them), `open` (a chunk being written), `iter` (one being read).

mod cell;
mod fit;
mod iter;
mod joint;
mod layout;
mod open;
mod starts;
mod state;

use cell::{Delta, Window};
use iter::Walk;
use open::{Given, Open, Went};
use starts::Starts;

use crate::chunk::{Chunk, Encoding};
use crate::error::Error;
use crate::histogram::{Histogram, ResetHint};
use crate::time::Timestamp;

pub use iter::HistogramIter;

/// Bytes at the head of a chunk.
const HEADER_LEN: usize = 3;

/// The most samples of a chunk with start timestamps, whose header has 14 bits for the count.
const MOST_WITH_STARTS: u16 = 0x3FFF;

/// What the header of a histogram chunk says about the counters between the chunk before and its first sample. The number is the
/// upper two bits of a byte of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum ResetHeader {
    /// Nothing.
    #[default]
    Unknown = 0,
    /// They went on.
    NotReset = 1,
    /// They began anew.
    Reset = 2,
    /// The chunk holds gauges.
    Gauge = 3,
}

impl ResetHeader {
    /// From the upper two bits of `byte`.
    const fn from_byte(byte: u8) -> Self {
        match byte >> 6 {
            0 => Self::Unknown,
            1 => Self::NotReset,
            2 => Self::Reset,
            _ => Self::Gauge,
        }
    }
}

/// One of integer or of float counts.
#[derive(Debug, Clone)]
enum Kind<I, F> {
    Integer(I),
    Float(F),
}

/// What became of a sample.
#[derive(Debug, Clone)]
pub enum Appended {
    /// It lies behind the others.
    Appended,
    /// It lies behind the others, and these were written anew for its buckets: the bytes of the chunk are others now.
    Recoded,
    /// It is the first of this new chunk. The chunk that was appended to is finished as it was.
    NewChunk(Box<HistogramChunk>),
}

/// A histogram chunk that is being written, its bytes inside.
///
/// ```
/// use sarsen_block::{Appended, Counts, Histogram, HistogramChunk, Span};
///
/// let mut histogram = Histogram {
///     sum: 4.5,
///     positive_spans: vec![Span { offset: 0, length: 2 }],
///     counts: Counts::Integer { count: 3, zero: 0, positive: vec![1, 1], negative: vec![] },
///     ..Histogram::default()
/// };
/// let mut chunk = HistogramChunk::begin(false, false);
/// assert!(matches!(chunk.append(None, 1000, 0, &histogram)?, Appended::Appended));
/// histogram.counts = Counts::Integer { count: 2, zero: 0, positive: vec![1, 0], negative: vec![] };
/// let Appended::NewChunk(next) = chunk.append(None, 2000, 0, &histogram)? else { panic!("a counter reset") };
/// assert_eq!((chunk.num_samples(), next.num_samples()), (1, 1));
/// # Ok::<(), sarsen_block::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct HistogramChunk {
    starts: bool,
    kind: Kind<Option<Open<Delta>>, Option<Open<Window>>>,
}

/// Does the same with the open chunk of either kind: `$some` if there are samples, else `$none`.
macro_rules! either {
    ($self:expr, $open:ident => $some:expr, $none:expr) => {
        match &$self.kind {
            Kind::Integer(Some($open)) => $some,
            Kind::Float(Some($open)) => $some,
            Kind::Integer(None) | Kind::Float(None) => $none,
        }
    };
}

impl HistogramChunk {
    /// An empty chunk, for integer or float histograms, with or without start timestamps.
    pub const fn begin(with_starts: bool, is_float: bool) -> Self {
        let kind = if is_float { Kind::Float(None) } else { Kind::Integer(None) };
        Self { starts: with_starts, kind }
    }

    /// The chunk that was left as `chunk`, so that appending goes on as Prometheus goes on with a chunk that it has read: floats
    /// for which no window was written yet get one of all 64 bits, which later ones keep.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the chunk cannot be read to its end; [`Error::Invalid`] if it is not one of histograms.
    pub fn resume(chunk: &Chunk) -> Result<Self, Error> {
        let mut resumed = Self::restore(chunk)?;
        match &mut resumed.kind {
            Kind::Integer(Some(open)) => open.state.take_up(),
            Kind::Float(Some(open)) => open.state.take_up(),
            Kind::Integer(None) | Kind::Float(None) => {}
        }
        Ok(resumed)
    }

    /// The chunk that was left as `chunk`, so that appending goes on as if it had never been left: the same samples give the same
    /// bytes. For what is set aside over a restart.
    ///
    /// # Errors
    /// As [`resume`](Self::resume).
    pub fn restore(chunk: &Chunk) -> Result<Self, Error> {
        let (is_float, starts) = kind_of(chunk.encoding)?;
        let kind = if is_float {
            let mut walk = Walk::<Window>::new(&chunk.data, starts)?;
            while walk.next()?.is_some() {}
            Kind::Float(Open::restore(walk))
        } else {
            let mut walk = Walk::<Delta>::new(&chunk.data, starts)?;
            while walk.next()?.is_some() {}
            Kind::Integer(Open::restore(walk))
        };
        Ok(Self { starts, kind })
    }

    /// Appends a histogram whose counter began at `start` (0 if that is not known; a chunk without start timestamps drops it).
    /// `previous` counts only for the first sample of an empty chunk: the finished chunk of the same series before this one, if
    /// it was cut for its size or for the time, so that the header can say whether the counters went on.
    ///
    /// # Errors
    /// [`Error::Invalid`], and nothing is changed, for a histogram that is of the other kind, has other than the promised number of
    /// buckets, or a schema above 8 (see [`Histogram::check`]).
    pub fn append(
        &mut self,
        previous: Option<&Self>,
        t: Timestamp,
        start: Timestamp,
        histogram: &Histogram,
    ) -> Result<Appended, Error> {
        let went = self.append_with(previous, Given { t, start, histogram }, false)?;
        // Nothing is refused where a new chunk may begin.
        Ok(went.unwrap_or(Appended::Appended))
    }

    /// Appends a histogram if it fits into the chunk as that is. `false`, and nothing is changed, if it would have to be written
    /// anew or a new one be begun. Arguments as for [`append`](Self::append).
    ///
    /// # Errors
    /// As [`append`](Self::append).
    pub fn append_only(
        &mut self,
        previous: Option<&Self>,
        t: Timestamp,
        start: Timestamp,
        histogram: &Histogram,
    ) -> Result<bool, Error> {
        Ok(self.append_with(previous, Given { t, start, histogram }, true)?.is_some())
    }

    fn append_with(
        &mut self,
        previous: Option<&Self>,
        given: Given<'_>,
        only: bool,
    ) -> Result<Option<Appended>, Error> {
        let starts = self.starts;
        let previous = previous.map(|previous| &previous.kind);
        Ok(match &mut self.kind {
            Kind::Integer(Some(open)) => {
                told(open.append(given, only)?, |open| Self { starts, kind: Kind::Integer(Some(open)) })
            }
            Kind::Float(Some(open)) => {
                told(open.append(given, only)?, |open| Self { starts, kind: Kind::Float(Some(open)) })
            }
            Kind::Integer(none) => {
                let found = match previous {
                    Some(Kind::Integer(Some(open))) => Some(open.header_of_next(given.histogram)?),
                    _ => None,
                };
                *none = Some(Open::begin(given, starts, header_of_first(given.histogram, found))?);
                Some(Appended::Appended)
            }
            Kind::Float(none) => {
                let found = match previous {
                    Some(Kind::Float(Some(open))) => Some(open.header_of_next(given.histogram)?),
                    _ => None,
                };
                *none = Some(Open::begin(given, starts, header_of_first(given.histogram, found))?);
                Some(Appended::Appended)
            }
        })
    }

    /// How the bytes are to be read.
    pub const fn encoding(&self) -> Encoding {
        match (&self.kind, self.starts) {
            (Kind::Integer(_), false) => Encoding::Histogram,
            (Kind::Integer(_), true) => Encoding::HistogramSt,
            (Kind::Float(_), false) => Encoding::FloatHistogram,
            (Kind::Float(_), true) => Encoding::FloatHistogramSt,
        }
    }

    /// How many samples were appended.
    pub const fn num_samples(&self) -> u16 {
        either!(self, open => open.count, 0)
    }

    /// Time of the last sample; 0 before the first.
    pub const fn last_time(&self) -> Timestamp {
        either!(self, open => open.state.time, 0)
    }

    /// The last sample, as reading the chunk would give it, but with the buckets that it was appended with if the chunk has
    /// them; `None` before the first.
    pub fn last(&self) -> Option<Histogram> {
        let hint = match self.header() {
            ResetHeader::Gauge => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        };
        either!(self, open => Some(open.state.histogram(hint)), None)
    }

    /// What the header says about the counters.
    pub const fn header(&self) -> ResetHeader {
        either!(self, open => open.header, ResetHeader::Unknown)
    }

    /// Length of [`to_bytes`](Self::to_bytes).
    pub fn len(&self) -> usize {
        either!(self, open => open.len(), HEADER_LEN)
    }

    /// Whether no sample was appended yet.
    pub const fn is_empty(&self) -> bool {
        self.num_samples() == 0
    }

    /// The chunk as it is now, header and stream. Appending can go on afterwards.
    pub fn to_bytes(&self) -> Vec<u8> {
        let empty = || head(0, ResetHeader::Unknown, self.starts.then_some(0)).to_vec();
        either!(self, open => open.to_bytes(), empty())
    }

    /// The chunk as it is now.
    pub fn to_chunk(&self) -> Chunk {
        Chunk { encoding: self.encoding(), data: self.to_bytes().into() }
    }
}

/// What the caller is told of where a sample went; `None` if it went nowhere.
fn told<C>(went: Went<C>, wrap: impl FnOnce(Open<C>) -> HistogramChunk) -> Option<Appended> {
    Some(match went {
        Went::In => Appended::Appended,
        Went::Recoded => Appended::Recoded,
        Went::Next(open) => Appended::NewChunk(Box::new(wrap(*open))),
        Went::Nowhere => return None,
    })
}

/// The header of a chunk that begins with `histogram`, when comparing it with the chunk before gave `found`. That the counters went on is
/// not believed without a comparison.
fn header_of_first(histogram: &Histogram, found: Option<ResetHeader>) -> ResetHeader {
    match histogram.hint {
        ResetHint::Gauge => ResetHeader::Gauge,
        ResetHint::Reset => ResetHeader::Reset,
        ResetHint::Unknown | ResetHint::NotReset => found.unwrap_or_default(),
    }
}

/// Whether chunks of `encoding` hold float counts, and whether they hold start timestamps.
fn kind_of(encoding: Encoding) -> Result<(bool, bool), Error> {
    match encoding {
        Encoding::Histogram => Ok((false, false)),
        Encoding::FloatHistogram => Ok((true, false)),
        Encoding::HistogramSt => Ok((false, true)),
        Encoding::FloatHistogramSt => Ok((true, true)),
        other => Err(Error::invalid("chunk", format!("encoding {other:?} is not one of histograms"))),
    }
}

/// The header of a chunk. With start timestamps, `starts` is their byte.
const fn head(count: u16, header: ResetHeader, starts: Option<u8>) -> [u8; HEADER_LEN] {
    let reset = (header as u8) << 6;
    let [high, low] = count.to_be_bytes();
    match starts {
        None => [high, low, reset],
        Some(starts) => [high | reset, low, starts],
    }
}

/// What the header of `chunk` says: about the counters, how many samples there are, about start timestamps.
fn read_head(chunk: &[u8], with_starts: bool) -> Result<(ResetHeader, u16, Option<Starts>), Error> {
    let Some(&[high, low, third]) = chunk.first_chunk::<HEADER_LEN>() else {
        return Err(Error::corrupt("histogram chunk", 0, "the header is cut off"));
    };
    let count = u16::from_be_bytes([high, low]);
    Ok(if with_starts {
        (ResetHeader::from_byte(high), count & MOST_WITH_STARTS, Some(Starts::from_byte(third)))
    } else {
        (ResetHeader::from_byte(third), count, None)
    })
}

impl Chunk {
    /// What the header of a histogram chunk says about the counters; `None` for other chunks and if the header is cut off.
    pub fn reset_header(&self) -> Option<ResetHeader> {
        let (_, starts) = kind_of(self.encoding).ok()?;
        Some(read_head(&self.data, starts).ok()?.0)
    }
}

#[cfg(test)]
mod tests;
