//! The notes that functions, operators and aggregations make, in Prometheus' words.
//!
//! Clients and test scripts compare these texts. What one is about is the caller's to say; here is only how it reads.

use super::{Note, Repaired, Severity};
use crate::func::clock::rfc3339;
use crate::number::{general, general_to};

/// What was done to histograms, as texts call it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation {
    Addition,
    Subtraction,
    Aggregation,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        }
    }
}

const MIXED: &str = "encountered a mix of histograms and floats for";
const FORCED: &str = "input to histogram_quantile needed to be fixed for monotonicity \
                      (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";

fn quoted(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    // Writing to a string does not fail.
    let _ = sarsen_block::quote(&mut out, text);
    out
}

fn of_metric(what: &str, metric: &[u8]) -> String {
    match metric {
        [] => what.to_owned(),
        metric => format!("{what} for metric name {}", quoted(metric)),
    }
}

fn warning(text: impl AsRef<str>) -> Note {
    Note::Text(Severity::Warning, format!("PromQL warning: {}", text.as_ref()))
}

fn info(text: impl AsRef<str>) -> Note {
    Note::Text(Severity::Info, format!("PromQL info: {}", text.as_ref()))
}

/// Of functions over windows and of histograms.
impl Note {
    pub(crate) fn invalid_quantile(q: f64) -> Self {
        warning(format!("quantile value should be between 0 and 1, got {}", general(q)))
    }

    pub(crate) fn mixed_floats_histograms(metric: &[u8]) -> Self {
        warning(format!("{MIXED} metric name {}", quoted(metric)))
    }

    pub(crate) fn native_not_counter(metric: &[u8]) -> Self {
        warning(format!("this native histogram metric is not a counter: {}", quoted(metric)))
    }

    pub(crate) fn native_not_gauge(metric: &[u8]) -> Self {
        warning(format!("this native histogram metric is not a gauge: {}", quoted(metric)))
    }

    pub(crate) fn mixed_exponential_custom(metric: &[u8]) -> Self {
        let what =
            "vector contains a mix of histograms with exponential and custom buckets schemas for metric name";
        warning(format!("{what} {}", quoted(metric)))
    }

    pub(crate) fn possible_non_counter(metric: &[u8]) -> Self {
        let what = "metric might not be a counter, name does not end in _total/_sum/_count/_bucket:";
        info(format!("{what} {}", quoted(metric)))
    }

    /// `found` is the value of the label `__type__`.
    pub(crate) fn possible_non_counter_label(metric: &[u8], found: &[u8]) -> Self {
        let what = "metric might not be a counter, __type__ label is not set to \"counter\" or \"histogram\"";
        info(format!("{what}, got {}: {}", quoted(found), quoted(metric)))
    }

    pub(crate) fn ignored_in_mixed_range(metric: &[u8]) -> Self {
        let what = "ignored histograms in a range containing both floats and histograms for metric name";
        info(format!("{what} {}", quoted(metric)))
    }

    pub(crate) fn reset_collision(operation: Operation) -> Self {
        warning(format!("conflicting counter resets during histogram {}", operation.name()))
    }

    pub(crate) fn mismatched_custom_buckets(operation: Operation) -> Self {
        info(format!("mismatched custom buckets were reconciled during {}", operation.name()))
    }

    pub(crate) fn start_time_overlap(metric: &[u8]) -> Self {
        Self::StartTimeOverlap { metric: quoted(metric), count: 1 }
    }

    pub(crate) fn sort_in_range_query() -> Self {
        warning("sort is ineffective for range queries since results are always ordered by labels")
    }
}

/// Of quantiles and fractions; `metric` is empty where the name is not to be told.
impl Note {
    pub(crate) fn bad_bucket_label(metric: &[u8], value: &[u8]) -> Self {
        let what = format!("bucket label \"le\" is missing or has a malformed value of {}", quoted(value));
        warning(of_metric(&what, metric))
    }

    pub(crate) fn mixed_classic_native(metric: &[u8]) -> Self {
        warning(of_metric("vector contains a mix of classic and native histograms", metric))
    }

    pub(crate) fn forced_monotonicity(metric: &[u8], repaired: Repaired) -> Self {
        Self::ForcedMonotonicity { text: format!("PromQL info: {}", of_metric(FORCED, metric)), repaired }
    }

    pub(crate) fn quantile_nan_result(metric: &[u8]) -> Self {
        info(of_metric("input to histogram_quantile has NaN observations, result is NaN", metric))
    }

    pub(crate) fn quantile_nan_skew(metric: &[u8]) -> Self {
        info(of_metric("input to histogram_quantile has NaN observations, result is skewed higher", metric))
    }

    pub(crate) fn fraction_nans(metric: &[u8]) -> Self {
        let what = "input to histogram_fraction has NaN observations, which are excluded from all fractions";
        info(of_metric(what, metric))
    }
}

/// Of aggregations and operators.
impl Note {
    pub(crate) fn invalid_ratio(ratio: f64, to: f64) -> Self {
        let what = "ratio value should be between -1 and 1";
        warning(format!("{what}, got {}, capping to {}", general(ratio), general(to)))
    }

    pub(crate) fn mixed_floats_histograms_aggregation() -> Self {
        warning(format!("{MIXED} aggregation"))
    }

    /// `aggregation` is its word.
    pub(crate) fn ignored_in_aggregation(aggregation: &str) -> Self {
        info(format!("ignored histogram in {aggregation} aggregation"))
    }

    /// Sides are `float` or `histogram`.
    pub(crate) fn incompatible_types(left: &str, operator: &str, right: &str) -> Self {
        let what = "incompatible sample types encountered for binary operator";
        info(format!("{what} {}: {left} {operator} {right}", quoted(operator.as_bytes())))
    }

    pub(crate) fn incompatible_bucket_layout(operator: &str) -> Self {
        warning(format!("incompatible bucket layout encountered for binary operator {operator}"))
    }
}

impl Note {
    /// What takes the place of a note for a moment.
    pub(super) const fn nothing() -> Self {
        Self::Text(Severity::Info, String::new())
    }

    /// How bad it is.
    pub const fn severity(&self) -> Severity {
        match self {
            Self::Text(severity, _) => *severity,
            Self::ForcedMonotonicity { .. } => Severity::Info,
            Self::StartTimeOverlap { .. } => Severity::Warning,
        }
    }

    /// By which it is remembered: the text without what gathers.
    pub(super) fn key(&self) -> String {
        match self {
            Self::Text(_, text) | Self::ForcedMonotonicity { text, .. } => text.clone(),
            Self::StartTimeOverlap { metric, .. } => overlap(metric),
        }
    }

    /// The text but for its position.
    pub fn full_text(&self) -> String {
        match self {
            Self::Text(_, text) => text.clone(),
            Self::ForcedMonotonicity { text, repaired } => format!(
                "{text}, from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
                general(repaired.lowest),
                general(repaired.highest),
                general_to(repaired.difference, 2),
                repaired.samples,
                // Whole seconds, rounded towards the epoch.
                rfc3339(repaired.first / 1000),
                rfc3339(repaired.last / 1000),
            ),
            Self::StartTimeOverlap { metric, count: 0 | 1 } => overlap(metric),
            Self::StartTimeOverlap { metric, count } => format!("{} ({count} occurrences)", overlap(metric)),
        }
    }
}

fn overlap(metric: &str) -> String {
    format!(
        "PromQL warning: sample has start time that overlaps with previous sample timestamp for metric {metric}"
    )
}
