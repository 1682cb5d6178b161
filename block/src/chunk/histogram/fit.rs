//! Whether a histogram can follow the last one of a chunk: the rules of Prometheus, in its order.
//!
//! A chunk holds one layout and no counter reset, and either gauges or counters. Whether the counters began anew is looked for as far as
//! it decides something; the header of a chunk tells what was found.

use super::ResetHeader;
use super::cell::{Cell, View};
use super::joint::{Joint, TooFar, join, rises};
use super::state::State;
use crate::histogram::{Histogram, ResetHint};

/// What must happen so that a sample can be appended.
#[derive(Debug)]
pub(super) enum Fit {
    /// It goes into the chunk, whose positive and negative buckets and those of the sample are first made the same where a joint
    /// layout says so.
    Yes([Option<Joint>; 2]),
    /// It goes into a new chunk; what was found out about the counters.
    No(ResetHeader),
}

/// Whether `histogram` with the counts `view` can follow `state` in a chunk with `header`.
pub(super) fn fit<C: Cell>(
    state: &State<C>,
    header: ResetHeader,
    histogram: &Histogram,
    view: &View<'_, C::Count>,
) -> Fit {
    if histogram.hint == ResetHint::Gauge {
        return fit_gauge(state, header, histogram);
    }
    if header == ResetHeader::Gauge {
        return Fit::No(ResetHeader::NotReset);
    }
    if histogram.hint == ResetHint::Reset {
        return Fit::No(ResetHeader::Reset);
    }
    if histogram.is_stale() {
        return Fit::Yes([None, None]);
    }
    if state.is_stale() {
        return Fit::No(ResetHeader::Unknown);
    }
    if C::falls(state.count.value(), view.count) {
        return Fit::No(ResetHeader::Reset);
    }
    if !same_scale(state, histogram) {
        return Fit::No(ResetHeader::Unknown);
    }
    if !same_bounds(state, histogram) || C::falls(state.zero.value(), view.zero) {
        return Fit::No(ResetHeader::Reset);
    }
    let Ok(joints) = join_both(state, histogram) else { return Fit::No(ResetHeader::Unknown) };
    let [positive, negative] = &joints;
    let rises = |joint: &Option<Joint>, cells: &[C], buckets| match joint {
        Some(joint) => joint.rises(cells, buckets),
        None => rises(cells, buckets),
    };
    if rises(positive, &state.positive, view.positive) && rises(negative, &state.negative, view.negative) {
        Fit::Yes(joints)
    } else {
        Fit::No(ResetHeader::Reset)
    }
}

fn fit_gauge<C: Cell>(state: &State<C>, header: ResetHeader, histogram: &Histogram) -> Fit {
    const NO: Fit = Fit::No(ResetHeader::Gauge);
    if header != ResetHeader::Gauge {
        return NO;
    }
    if histogram.is_stale() {
        return Fit::Yes([None, None]);
    }
    if state.is_stale() || !same_scale(state, histogram) || !same_bounds(state, histogram) {
        return NO;
    }
    join_both(state, histogram).map_or(NO, Fit::Yes)
}

fn join_both<C: Cell>(state: &State<C>, histogram: &Histogram) -> Result<[Option<Joint>; 2], TooFar> {
    Ok([
        join(&state.layout.positive, &histogram.positive_spans)?,
        join(&state.layout.negative, &histogram.negative_spans)?,
    ])
}

/// Whether the buckets have the same bounds, other than custom ones. A threshold that is not a number is never the same.
fn same_scale<C: Cell>(state: &State<C>, histogram: &Histogram) -> bool {
    state.layout.schema == histogram.schema && state.layout.zero_threshold == histogram.zero_threshold
}

/// Whether custom buckets, if they are such, have the same bounds.
fn same_bounds<C: Cell>(state: &State<C>, histogram: &Histogram) -> bool {
    !histogram.has_custom_buckets() || state.layout.custom == histogram.custom_values
}
