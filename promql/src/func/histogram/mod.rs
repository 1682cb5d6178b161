//! Functions of histograms, native and classic.
//!
//! | functions | where |
//! |---|---|
//! | `histogram_count`, `_sum`, `_avg`, `_stddev`, `_stdvar`: a number of each histogram | [`histogram_function`] |
//! | `histogram_quantile`, `_quantiles`, `_fraction`: over a whole vector, since a classic histogram is several series | [`vector`] |
//! | `rate` and its family over a window of histograms | [`rate`], with `anchored` and `smoothed` [`extended`] |
//! | `sum_over_time`, `avg_over_time` over a window of histograms | [`over_time`] |

mod classic;
pub(super) mod extended;
mod moments;
mod native;
pub(super) mod over_time;
pub(super) mod rate;
pub(super) mod vector;

pub(crate) use extended::interpolate_at;
pub(crate) use moments::histogram_function;
pub(super) use rate::{Stamped, instant};

#[cfg(test)]
mod tests;
