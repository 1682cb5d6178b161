//! What a function over a window sees of one series at one step.

use sarsen_block::{Histogram, Timestamp};

use crate::ast::Extension;

/// Samples of one series with `from < t <= to`, stale markers left out. Numbers and histograms stand apart, each by rising time.
/// With `anchored` and `smoothed` there is more on either side, and the function looks at the bounds itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window<'a> {
    /// Times of the numbers.
    pub(crate) times: &'a [Timestamp],
    /// The numbers.
    pub(crate) floats: &'a [f64],
    /// Their start timestamps; empty if not known or not wanted.
    pub(crate) starts: &'a [Timestamp],
    /// Times of the histograms.
    pub(crate) histogram_times: &'a [Timestamp],
    /// The histograms, as floats.
    pub(crate) histograms: &'a [Histogram],
    /// Their start timestamps; empty if not known or not wanted.
    pub(crate) histogram_starts: &'a [Timestamp],
    /// Where the window begins (not in it): evaluation time without offset, less the range.
    pub(crate) from: Timestamp,
    /// Where it ends (in it).
    pub(crate) to: Timestamp,
    /// The time of the step itself, offset and `@` not applied.
    pub(crate) at: Timestamp,
    /// Whether and how the window was filled beyond its bounds.
    pub(crate) extension: Option<Extension>,
}

impl Window<'_> {
    /// From where to where it is.
    pub(crate) const fn bounds(&self) -> Bounds {
        Bounds { from: self.from, to: self.to }
    }
}

/// From where (not in it) to where (in it) a window is, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Where it begins.
    pub(crate) from: Timestamp,
    /// Where it ends.
    pub(crate) to: Timestamp,
}
