//! What we log: births of series, samples of every kind, deletions, exemplars, metadata.
//!
//! A record is a kind byte and a body whose form the kind alone decides; a changed form gets a new kind, and a kind
//! that this version does not know is reported as such. Bodies are columns: numbers of one sort lie together, so that
//! they can be coded against each other. `FORMAT.md` draws them.
//!
//! Reading is safe on any bytes: counts are held against the bytes that are there, nothing is allocated for what is
//! only announced, and bytes left over are an error.

pub(crate) mod births;
mod histogram;
pub(crate) mod notes;
pub(crate) mod rows;
mod runs;
pub(crate) mod samples;
mod values;

use std::fmt;

use sarsen_block::codec::Reader;

use crate::error::Error;

pub use births::Births;
pub use histogram::LoggedHistogram;
pub use notes::{Deletions, Exemplars, LoggedDeletion, LoggedExemplar, LoggedMetadata, Metadata};
pub use rows::{LoggedRow, LoggedValue, Rows};
pub use samples::{LoggedSample, Samples};

/// Kind byte of a record of births.
pub(crate) const BIRTHS: u8 = 1;
/// Kind byte of a record of float samples.
pub(crate) const SAMPLES: u8 = 2;
/// Kind byte of a record of samples of any kind.
pub(crate) const ROWS: u8 = 3;
/// Kind byte of a record of late samples of any kind.
pub(crate) const LATE: u8 = 4;
/// Kind byte of a record of deletions.
pub(crate) const DELETIONS: u8 = 5;
/// Kind byte of a record of exemplars.
pub(crate) const EXEMPLARS: u8 = 6;
/// Kind byte of a record of metadata.
pub(crate) const METADATA: u8 = 7;
/// Kind byte of a record whose body is its owner's; in checkpoints only.
pub(crate) const STATE: u8 = 64;

/// The number of a series in its log: given at birth, never given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SeriesId(pub u64);

impl fmt::Display for SeriesId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One record, not yet read further than its counts.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Record<'a> {
    /// New series: number and labels.
    Births(Births<'a>),
    /// Float samples of known series, without start times.
    Samples(Samples<'a>),
    /// Samples of any kind: histograms, floats with start times, and floats that lay between them.
    Rows(Rows<'a>),
    /// Samples of any kind that were older than the newest of their series when they came.
    Late(Rows<'a>),
    /// Ranges of known series that are not to be read any more.
    Deletions(Deletions<'a>),
    /// Exemplars of known series.
    Exemplars(Exemplars<'a>),
    /// What known series mean.
    Metadata(Metadata<'a>),
    /// What the owner of the log wrote into a checkpoint, in a form of its own.
    State(&'a [u8]),
}

impl<'a> Record<'a> {
    /// Reads the head of the record in `bytes`.
    ///
    /// # Errors
    /// [`Error::Record`] if the bytes are no record, [`Error::Unsupported`] if they are one of a later version.
    pub fn decode(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new("record", bytes);
        match reader.u8("kind")? {
            BIRTHS => Ok(Self::Births(Births::decode(reader)?)),
            SAMPLES => Ok(Self::Samples(Samples::decode(reader)?)),
            ROWS => Ok(Self::Rows(Rows::decode(reader)?)),
            LATE => Ok(Self::Late(Rows::decode(reader)?)),
            DELETIONS => Ok(Self::Deletions(Deletions::decode(reader)?)),
            EXEMPLARS => Ok(Self::Exemplars(Exemplars::decode(reader)?)),
            METADATA => Ok(Self::Metadata(Metadata::decode(reader)?)),
            STATE => Ok(Self::State(bytes.get(1..).unwrap_or_default())),
            0 => Err(reader.corrupt("kind 0 is never written").into()),
            kind => Err(Error::Unsupported {
                object: "a record of the log".to_owned(),
                what: "kind",
                found: u64::from(kind),
            }),
        }
    }
}

/// The first `length` bytes that `reader` has left, as a reader of their own.
fn part<'a>(reader: &mut Reader<'a>, length: usize, what: &'static str) -> Result<Reader<'a>, Error> {
    Ok(Reader::new(what, reader.take(length, what)?))
}

#[cfg(test)]
mod tests;
