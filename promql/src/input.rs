//! What a caller hands in: for each selection the series that it found.
//!
//! Series come one by one, in the order of their labels, and are decoded by whoever evaluates them, perhaps on another thread: so no more
//! of them are in memory than are worked on.

use std::fmt;

use sarsen_block::{Histogram, Labels, Timestamp};

use crate::Error;

/// Decoded samples of one series, as columns. Numbers and histograms stand apart, each by rising time; stale markers are in.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    /// Times of the numbers, in milliseconds.
    pub times: Vec<Timestamp>,
    /// The numbers.
    pub floats: Vec<f64>,
    /// Start timestamps of the numbers, 0 where not known; empty if none is known.
    pub starts: Vec<Timestamp>,
    /// Times of the histograms.
    pub histogram_times: Vec<Timestamp>,
    /// The histograms, as floats.
    pub histograms: Vec<Histogram>,
    /// Start timestamps of the histograms, 0 where not known; empty if none is known.
    pub histogram_starts: Vec<Timestamp>,
}

impl Samples {
    /// Forgets everything and keeps the room.
    pub fn clear(&mut self) {
        self.times.clear();
        self.floats.clear();
        self.starts.clear();
        self.histogram_times.clear();
        self.histograms.clear();
        self.histogram_starts.clear();
    }
}

/// The encoded samples of one series.
pub trait SeriesData: fmt::Debug + Send + Sync {
    /// Decodes all samples within the range of the selection into `samples`, which is empty. Samples outside of it may be among them.
    /// May be called again.
    ///
    /// # Errors
    /// [`Error::Data`] if they cannot be read.
    fn read(&self, samples: &mut Samples) -> Result<(), Error>;
}

/// A series that was found.
#[derive(Debug)]
pub struct InputSeries {
    /// Its labels.
    pub labels: Labels,
    /// Its samples.
    pub data: Box<dyn SeriesData>,
}

/// The series that a selection found, each once, by rising labels.
pub trait SeriesSet: Send {
    /// The next one.
    ///
    /// # Errors
    /// [`Error::Data`] if the rest cannot be had.
    fn next(&mut self) -> Result<Option<InputSeries>, Error>;
}
