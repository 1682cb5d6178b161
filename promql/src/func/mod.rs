//! The functions of the language: one table, and families by file.
//!
//! Functions over windows are asked for each series and step by [`range_function`], or, the most used ones on series of numbers, for all steps of
//! a series by [`sweep_function`]; those that make a number of a number by
//! [`map_function`]. What looks at several series at once has a room and a signature of its own.

mod absence;
mod changing;
pub(crate) mod clock;
pub(crate) mod elementary;
mod extended;
mod histogram;
mod info;
mod instant;
pub(crate) mod kahan;
mod label;
mod math;
mod natural;
pub(crate) mod notes;
mod order;
mod over_time;
pub(crate) mod pattern_sort;
pub(crate) mod quantile;
mod rate;
pub(crate) mod scalars;
pub(crate) mod start;
mod sweep;
mod table;
#[cfg(test)]
mod tests;
mod trend;

use crate::eval::{VectorFunction, Window};
use crate::value::Point;
pub(crate) use histogram::{histogram_function, interpolate_at};
pub(crate) use info::{InfoJoin, info};
pub(crate) use math::{MapFunction, keeps_nothing, map_function, scalar_function};
use notes::Notes;
pub(crate) use sweep::{Span, Sweep, SweepFunction, sweep_function};
pub use table::{Function, FunctionId, Repeat};

/// Makes a point of the window of one series, which holds at least one sample, and of the scalar arguments of the step in their
/// order; `None`: nothing at this step. The time of the point is the step's.
pub(crate) type RangeFunction = fn(&Window<'_>, &[f64], &mut Notes<'_>) -> Option<Point>;

/// The function of that kind, if it is one. `absent_over_time` is asked like `present_over_time`; the caller turns it round.
pub(crate) fn range_function(id: FunctionId) -> Option<RangeFunction> {
    use FunctionId as Id;
    Some(match id {
        Id::Rate => rate::rate,
        Id::Increase => rate::increase,
        Id::Delta => rate::delta,
        Id::Irate => instant::irate,
        Id::Idelta => instant::idelta,
        Id::Changes => changing::changes,
        Id::Resets => changing::resets,
        Id::Deriv => trend::deriv,
        Id::PredictLinear => trend::predict_linear,
        Id::DoubleExponentialSmoothing => trend::double_exponential_smoothing,
        Id::SumOverTime => over_time::sum,
        Id::AvgOverTime => over_time::avg,
        Id::CountOverTime => over_time::count,
        Id::PresentOverTime | Id::AbsentOverTime => over_time::present,
        Id::MinOverTime => over_time::min,
        Id::MaxOverTime => over_time::max,
        Id::FirstOverTime => over_time::first,
        Id::LastOverTime => over_time::last,
        Id::StddevOverTime => over_time::stddev,
        Id::StdvarOverTime => over_time::stdvar,
        Id::MadOverTime => over_time::mad,
        Id::QuantileOverTime => over_time::quantile_at,
        Id::TsOfFirstOverTime => over_time::ts_of_first,
        Id::TsOfLastOverTime => over_time::ts_of_last,
        Id::TsOfMinOverTime => over_time::ts_of_min,
        Id::TsOfMaxOverTime => over_time::ts_of_max,
        _ => return None,
    })
}

/// The function over a whole vector of that kind, if it is one. `absent_over_time` wants the vector of `present_over_time`; [`info()`] has a
/// signature of its own.
pub(crate) fn vector_function(id: FunctionId) -> Option<VectorFunction> {
    use FunctionId as Id;
    Some(match id {
        Id::Absent | Id::AbsentOverTime => absence::absent,
        Id::HistogramQuantile => histogram::vector::quantile,
        Id::HistogramQuantiles => histogram::vector::quantiles,
        Id::HistogramFraction => histogram::vector::fraction,
        Id::LabelReplace => label::label_replace,
        Id::LabelJoin => label::label_join,
        Id::Sort | Id::SortDesc => order::sort,
        Id::SortByLabel | Id::SortByLabelDesc => order::sort_by_label,
        Id::Scalar => scalars::scalar,
        Id::Vector => scalars::vector,
        _ => return None,
    })
}
