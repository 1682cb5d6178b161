//! The one table of functions: names, arguments, results. Sorted by name.

use crate::ast::ValueType::{self, Matrix, Scalar, String, Vector};

/// Which function; each is its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is its name")]
pub enum FunctionId {
    Abs,
    Absent,
    AbsentOverTime,
    Acos,
    Acosh,
    Asin,
    Asinh,
    Atan,
    Atanh,
    AvgOverTime,
    Ceil,
    Changes,
    Clamp,
    ClampMax,
    ClampMin,
    Cos,
    Cosh,
    CountOverTime,
    DayOfMonth,
    DayOfWeek,
    DayOfYear,
    DaysInMonth,
    Deg,
    Delta,
    Deriv,
    DoubleExponentialSmoothing,
    End,
    Exp,
    FirstOverTime,
    Floor,
    HistogramAvg,
    HistogramCount,
    HistogramFraction,
    HistogramQuantile,
    HistogramQuantiles,
    HistogramStddev,
    HistogramStdvar,
    HistogramSum,
    Hour,
    Idelta,
    Increase,
    Info,
    Irate,
    LabelJoin,
    LabelReplace,
    LastOverTime,
    Ln,
    Log10,
    Log2,
    MadOverTime,
    MaxOf,
    MaxOverTime,
    MinOf,
    MinOverTime,
    Minute,
    Month,
    Pi,
    PredictLinear,
    PresentOverTime,
    QuantileOverTime,
    Rad,
    Range,
    Rate,
    Resets,
    Round,
    Scalar,
    Sgn,
    Sin,
    Sinh,
    Sort,
    SortByLabel,
    SortByLabelDesc,
    SortDesc,
    Sqrt,
    Start,
    StartTimestamp,
    StddevOverTime,
    StdvarOverTime,
    Step,
    SumOverTime,
    Tan,
    Tanh,
    Time,
    Timestamp,
    TsOfFirstOverTime,
    TsOfLastOverTime,
    TsOfMaxOverTime,
    TsOfMinOverTime,
    Vector,
    Year,
}

/// How often the last argument may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Once.
    Once,
    /// It may be left out, or stand up to so many times in all.
    UpTo(usize),
    /// It may be left out, or stand as often as one likes.
    Any,
}

/// A function of the language.
#[derive(Debug)]
pub struct Function {
    /// Which.
    pub id: FunctionId,
    /// As written.
    pub name: &'static str,
    /// Types of its arguments.
    pub arguments: &'static [ValueType],
    /// How often the last of them may stand.
    pub repeat: Repeat,
    /// What it answers.
    pub returns: ValueType,
    /// Whether it needs the switch for experimental functions.
    pub experimental: bool,
}

impl Function {
    /// The function of that name; names of functions are written in lower case.
    pub fn named(name: &str) -> Option<&'static Self> {
        FUNCTIONS.binary_search_by(|function| function.name.cmp(name)).ok().and_then(|at| FUNCTIONS.get(at))
    }

    /// All of them, by name.
    pub const fn all() -> &'static [Self] {
        FUNCTIONS
    }
}

const fn row(
    id: FunctionId,
    name: &'static str,
    arguments: &'static [ValueType],
    repeat: Repeat,
    returns: ValueType,
) -> Function {
    Function { id, name, arguments, repeat, returns, experimental: false }
}

const fn experimental(function: Function) -> Function {
    Function { experimental: true, ..function }
}

static FUNCTIONS: &[Function] = {
    use FunctionId as Id;
    use Repeat::{Any, Once, UpTo};
    &[
        row(Id::Abs, "abs", &[Vector], Once, Vector),
        row(Id::Absent, "absent", &[Vector], Once, Vector),
        row(Id::AbsentOverTime, "absent_over_time", &[Matrix], Once, Vector),
        row(Id::Acos, "acos", &[Vector], Once, Vector),
        row(Id::Acosh, "acosh", &[Vector], Once, Vector),
        row(Id::Asin, "asin", &[Vector], Once, Vector),
        row(Id::Asinh, "asinh", &[Vector], Once, Vector),
        row(Id::Atan, "atan", &[Vector], Once, Vector),
        row(Id::Atanh, "atanh", &[Vector], Once, Vector),
        row(Id::AvgOverTime, "avg_over_time", &[Matrix], Once, Vector),
        row(Id::Ceil, "ceil", &[Vector], Once, Vector),
        row(Id::Changes, "changes", &[Matrix], Once, Vector),
        row(Id::Clamp, "clamp", &[Vector, Scalar, Scalar], Once, Vector),
        row(Id::ClampMax, "clamp_max", &[Vector, Scalar], Once, Vector),
        row(Id::ClampMin, "clamp_min", &[Vector, Scalar], Once, Vector),
        row(Id::Cos, "cos", &[Vector], Once, Vector),
        row(Id::Cosh, "cosh", &[Vector], Once, Vector),
        row(Id::CountOverTime, "count_over_time", &[Matrix], Once, Vector),
        row(Id::DayOfMonth, "day_of_month", &[Vector], UpTo(1), Vector),
        row(Id::DayOfWeek, "day_of_week", &[Vector], UpTo(1), Vector),
        row(Id::DayOfYear, "day_of_year", &[Vector], UpTo(1), Vector),
        row(Id::DaysInMonth, "days_in_month", &[Vector], UpTo(1), Vector),
        row(Id::Deg, "deg", &[Vector], Once, Vector),
        row(Id::Delta, "delta", &[Matrix], Once, Vector),
        row(Id::Deriv, "deriv", &[Matrix], Once, Vector),
        experimental(row(
            Id::DoubleExponentialSmoothing,
            "double_exponential_smoothing",
            &[Matrix, Scalar, Scalar],
            Once,
            Vector,
        )),
        experimental(row(Id::End, "end", &[], Once, Scalar)),
        row(Id::Exp, "exp", &[Vector], Once, Vector),
        row(Id::FirstOverTime, "first_over_time", &[Matrix], Once, Vector),
        row(Id::Floor, "floor", &[Vector], Once, Vector),
        row(Id::HistogramAvg, "histogram_avg", &[Vector], Once, Vector),
        row(Id::HistogramCount, "histogram_count", &[Vector], Once, Vector),
        row(Id::HistogramFraction, "histogram_fraction", &[Scalar, Scalar, Vector], Once, Vector),
        row(Id::HistogramQuantile, "histogram_quantile", &[Scalar, Vector], Once, Vector),
        experimental(row(
            Id::HistogramQuantiles,
            "histogram_quantiles",
            &[Vector, String, Scalar, Scalar],
            UpTo(9),
            Vector,
        )),
        row(Id::HistogramStddev, "histogram_stddev", &[Vector], Once, Vector),
        row(Id::HistogramStdvar, "histogram_stdvar", &[Vector], Once, Vector),
        row(Id::HistogramSum, "histogram_sum", &[Vector], Once, Vector),
        row(Id::Hour, "hour", &[Vector], UpTo(1), Vector),
        row(Id::Idelta, "idelta", &[Matrix], Once, Vector),
        row(Id::Increase, "increase", &[Matrix], Once, Vector),
        experimental(row(Id::Info, "info", &[Vector, Vector], UpTo(1), Vector)),
        row(Id::Irate, "irate", &[Matrix], Once, Vector),
        row(Id::LabelJoin, "label_join", &[Vector, String, String, String], Any, Vector),
        row(Id::LabelReplace, "label_replace", &[Vector, String, String, String, String], Once, Vector),
        row(Id::LastOverTime, "last_over_time", &[Matrix], Once, Vector),
        row(Id::Ln, "ln", &[Vector], Once, Vector),
        row(Id::Log10, "log10", &[Vector], Once, Vector),
        row(Id::Log2, "log2", &[Vector], Once, Vector),
        experimental(row(Id::MadOverTime, "mad_over_time", &[Matrix], Once, Vector)),
        experimental(row(Id::MaxOf, "max_of", &[Scalar, Scalar], Once, Scalar)),
        row(Id::MaxOverTime, "max_over_time", &[Matrix], Once, Vector),
        experimental(row(Id::MinOf, "min_of", &[Scalar, Scalar], Once, Scalar)),
        row(Id::MinOverTime, "min_over_time", &[Matrix], Once, Vector),
        row(Id::Minute, "minute", &[Vector], UpTo(1), Vector),
        row(Id::Month, "month", &[Vector], UpTo(1), Vector),
        row(Id::Pi, "pi", &[], Once, Scalar),
        row(Id::PredictLinear, "predict_linear", &[Matrix, Scalar], Once, Vector),
        row(Id::PresentOverTime, "present_over_time", &[Matrix], Once, Vector),
        row(Id::QuantileOverTime, "quantile_over_time", &[Scalar, Matrix], Once, Vector),
        row(Id::Rad, "rad", &[Vector], Once, Vector),
        experimental(row(Id::Range, "range", &[], Once, Scalar)),
        row(Id::Rate, "rate", &[Matrix], Once, Vector),
        row(Id::Resets, "resets", &[Matrix], Once, Vector),
        row(Id::Round, "round", &[Vector, Scalar], UpTo(1), Vector),
        row(Id::Scalar, "scalar", &[Vector], Once, Scalar),
        row(Id::Sgn, "sgn", &[Vector], Once, Vector),
        row(Id::Sin, "sin", &[Vector], Once, Vector),
        row(Id::Sinh, "sinh", &[Vector], Once, Vector),
        row(Id::Sort, "sort", &[Vector], Once, Vector),
        experimental(row(Id::SortByLabel, "sort_by_label", &[Vector, String], Any, Vector)),
        experimental(row(Id::SortByLabelDesc, "sort_by_label_desc", &[Vector, String], Any, Vector)),
        row(Id::SortDesc, "sort_desc", &[Vector], Once, Vector),
        row(Id::Sqrt, "sqrt", &[Vector], Once, Vector),
        experimental(row(Id::Start, "start", &[], Once, Scalar)),
        experimental(row(Id::StartTimestamp, "start_timestamp", &[Vector], Once, Vector)),
        row(Id::StddevOverTime, "stddev_over_time", &[Matrix], Once, Vector),
        row(Id::StdvarOverTime, "stdvar_over_time", &[Matrix], Once, Vector),
        experimental(row(Id::Step, "step", &[], Once, Scalar)),
        row(Id::SumOverTime, "sum_over_time", &[Matrix], Once, Vector),
        row(Id::Tan, "tan", &[Vector], Once, Vector),
        row(Id::Tanh, "tanh", &[Vector], Once, Vector),
        row(Id::Time, "time", &[], Once, Scalar),
        row(Id::Timestamp, "timestamp", &[Vector], Once, Vector),
        experimental(row(Id::TsOfFirstOverTime, "ts_of_first_over_time", &[Matrix], Once, Vector)),
        experimental(row(Id::TsOfLastOverTime, "ts_of_last_over_time", &[Matrix], Once, Vector)),
        experimental(row(Id::TsOfMaxOverTime, "ts_of_max_over_time", &[Matrix], Once, Vector)),
        experimental(row(Id::TsOfMinOverTime, "ts_of_min_over_time", &[Matrix], Once, Vector)),
        row(Id::Vector, "vector", &[Scalar], Once, Vector),
        row(Id::Year, "year", &[Vector], UpTo(1), Vector),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_finds_every_name() {
        assert!(FUNCTIONS.is_sorted_by(|a, b| a.name < b.name));
        for function in FUNCTIONS {
            assert_eq!(Function::named(function.name).map(|found| found.id), Some(function.id));
        }
        assert!(Function::named("RATE").is_none());
    }
}
