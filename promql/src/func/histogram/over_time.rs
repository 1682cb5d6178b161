//! `sum_over_time` and `avg_over_time` of histograms.

use sarsen_block::Histogram;

use crate::annotations::{Note, Operation};
use crate::func::notes::{Notes, Spot};
use crate::histogram::{Incompatible, Mean, Sum, Told};

/// The sum of a window of histograms, which holds at least one.
pub(crate) fn sum(histograms: &[Histogram], notes: &mut Notes<'_>) -> Option<Histogram> {
    let (first, others) = histograms.split_first()?;
    let all = Sum::new(first).and_then(|mut sum| {
        others.iter().try_for_each(|histogram| sum.add(histogram))?;
        Ok((sum.told(), sum.finish()))
    });
    noted(all, notes)
}

/// The mean of a window of histograms, which holds at least one.
pub(crate) fn mean(histograms: &[Histogram], notes: &mut Notes<'_>) -> Option<Histogram> {
    let (first, others) = histograms.split_first()?;
    let all = Mean::new(first).and_then(|mut mean| {
        others.iter().try_for_each(|histogram| mean.add(histogram))?;
        Ok((mean.told(), mean.finish()))
    });
    noted(all, notes)
}

fn noted(all: Result<(Told, Histogram), Incompatible>, notes: &mut Notes<'_>) -> Option<Histogram> {
    const ARGUMENT: Spot = Spot::Argument(0);
    let Ok((told, histogram)) = all else {
        notes.of_metric(Note::mixed_exponential_custom, ARGUMENT);
        return None;
    };
    if told.reset_collision() {
        notes.add(Note::reset_collision(Operation::Aggregation), ARGUMENT);
    }
    if told.bounds_reconciled {
        notes.add(Note::mismatched_custom_buckets(Operation::Aggregation), ARGUMENT);
    }
    Some(histogram)
}
