//! What PromQL computes with native histograms, beside what `sarsen_block` knows of them: operators, sums and means, trims, text.
//!
//! All histograms here have float counts; a function that is handed one of integer counts leaves it as it is. Results equal those of
//! Prometheus' `FloatHistogram` to the last bit. Nothing here notes anything: what an operation found out about hints and bounds it tells
//! its caller, who knows the place in the query.
//!
//! | question | answer |
//! |---|---|
//! | `a + b`, `a - b` | [`add`], [`subtract`]: compacted; [`Combined`](sarsen_block::Combined) says what to note; [`Incompatible`]: no result |
//! | `h * x`, `h / x`, `-h` | [`multiply`], [`divide`], [`negate`] |
//! | `a == b`, `changes()` | [`equals`]: hints do not count |
//! | `h </ x`, `h >/ x` | [`trim`] |
//! | `sum`, `avg` and theirs over time | [`Sum`], [`Mean`]: `new`, `add`, `finish`, and what is to be noted |
//! | a label of `count_values` | [`text`] |
//! | how much it counts against the limit of samples | [`weight`] |
//! | buckets with bounds | [`Histogram::buckets`](sarsen_block::Histogram::buckets) |
//! | did the counter begin anew | [`began_anew`]; for a whole series at once [`resolve_resets`] |
//! | what `histogram_count` and the like need of a selector | [`keep_totals`] |

mod binary;
mod stats;
mod sum;
mod text;
mod trim;

pub(crate) use binary::{add, began_anew, divide, equals, multiply, negate, subtract, weight};
pub(crate) use stats::{keep_totals, resolve_resets};
pub(crate) use sum::{Mean, Sum, Told};
pub(crate) use text::text;
pub(crate) use trim::{Keep, fraction_below, trim};

/// Exponential and custom buckets do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Incompatible;

impl From<sarsen_block::Error> for Incompatible {
    fn from(_: sarsen_block::Error) -> Self {
        Self
    }
}

#[cfg(test)]
pub(crate) mod tests;
