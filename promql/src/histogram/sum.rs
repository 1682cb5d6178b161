//! Sums and means of many histograms, as `sum`, `avg`, `sum_over_time` and `avg_over_time` need them.
//!
//! The order of operations is Prometheus': numbers with compensation; a mean is the sum divided at the end, but once the sum would become
//! infinite it is carried on as a mean.

use sarsen_block::{Counts, Histogram, HistogramSum, ResetHint};

use super::Incompatible;

/// What is to be noted about histograms that were added up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Told {
    began_anew: bool,
    went_on: bool,
    /// Custom buckets with different bounds were brought together.
    pub(crate) bounds_reconciled: bool,
}

impl Told {
    fn see(&mut self, hint: ResetHint) {
        self.began_anew |= hint == ResetHint::Reset;
        self.went_on |= hint == ResetHint::NotReset;
    }

    /// The hints of some said that counters began anew, those of others that they went on.
    pub(crate) const fn reset_collision(self) -> bool {
        self.began_anew && self.went_on
    }
}

/// A sum of histograms.
#[derive(Debug, Clone)]
pub(crate) struct Sum {
    sum: HistogramSum,
    told: Told,
}

impl Sum {
    /// A sum of one.
    ///
    /// # Errors
    /// [`Incompatible`] for integer counts.
    pub(crate) fn new(first: &Histogram) -> Result<Self, Incompatible> {
        let mut told = Told::default();
        told.see(first.hint);
        Ok(Self { sum: HistogramSum::new(first)?, told })
    }

    /// Adds another.
    ///
    /// # Errors
    /// [`Incompatible`] if only one of the two has custom buckets.
    pub(crate) fn add(&mut self, histogram: &Histogram) -> Result<(), Incompatible> {
        self.told.see(histogram.hint);
        self.told.bounds_reconciled |= self.sum.add(histogram)?.bounds_reconciled;
        Ok(())
    }

    /// What is to be noted so far.
    pub(crate) const fn told(&self) -> Told {
        self.told
    }

    /// The sum, not compacted.
    pub(crate) fn finish(self) -> Histogram {
        self.sum.into_histogram()
    }
}

/// Below this a sum of two does not become infinite, however many buckets come together in one.
const FAR_FROM_INFINITE: f64 = 1e290;

/// A mean of histograms.
#[derive(Debug, Clone)]
pub(crate) struct Mean {
    /// The sum, or, if `is_mean`, the mean so far.
    sum: HistogramSum,
    count: f64,
    is_mean: bool,
    told: Told,
}

impl Mean {
    /// A mean of one.
    ///
    /// # Errors
    /// [`Incompatible`] for integer counts.
    pub(crate) fn new(first: &Histogram) -> Result<Self, Incompatible> {
        let Sum { sum, told } = Sum::new(first)?;
        Ok(Self { sum, count: 1.0, is_mean: false, told })
    }

    /// Takes another in.
    ///
    /// # Errors
    /// [`Incompatible`] if only one of the two has custom buckets.
    pub(crate) fn add(&mut self, histogram: &Histogram) -> Result<(), Incompatible> {
        self.told.see(histogram.hint);
        self.count += 1.0;
        if !self.is_mean {
            if self.add_to_sum(histogram)? {
                return Ok(());
            }
            self.is_mean = true;
            self.sum.divide(self.count - 1.0);
        }
        self.sum.multiply((self.count - 1.0) / self.count);
        let mut part = histogram.clone();
        part.divide(self.count)?;
        self.told.bounds_reconciled |= self.sum.add(&part)?.bounds_reconciled;
        Ok(())
    }

    /// Adds to the sum, unless that makes a number infinite; tells whether it was added.
    fn add_to_sum(&mut self, histogram: &Histogram) -> Result<bool, Incompatible> {
        if self.sum.is_within(FAR_FROM_INFINITE) && is_within(histogram, FAR_FROM_INFINITE) {
            self.told.bounds_reconciled |= self.sum.add(histogram)?.bounds_reconciled;
            return Ok(true);
        }
        let mut sum = self.sum.clone();
        self.told.bounds_reconciled |= sum.add(histogram)?.bounds_reconciled;
        let fits = !sum.has_overflow();
        if fits {
            self.sum = sum;
        }
        Ok(fits)
    }

    /// What is to be noted so far.
    pub(crate) const fn told(&self) -> Told {
        self.told
    }

    /// The mean, not compacted.
    pub(crate) fn finish(mut self) -> Histogram {
        if !self.is_mean {
            self.sum.divide(self.count);
        }
        self.sum.into_histogram()
    }
}

/// Whether all numbers are at most `limit` from zero.
fn is_within(histogram: &Histogram, limit: f64) -> bool {
    let Counts::Float { count, zero, positive, negative } = &histogram.counts else { return true };
    let mut numbers = [count, zero, &histogram.sum].into_iter().chain(positive).chain(negative);
    numbers.all(|number| number.abs() <= limit)
}
