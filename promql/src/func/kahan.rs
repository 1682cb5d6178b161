//! Sums that keep what addition loses: Kahan's sum in Neumaier's variant, in Prometheus' order of operations (`util/kahansum`).

/// A running sum and its compensation.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Kahan {
    /// The sum as plain addition has it, nearly.
    pub(crate) sum: f64,
    /// What was lost.
    pub(crate) lost: f64,
}

impl Kahan {
    /// Starts from a value.
    pub(crate) const fn from(sum: f64) -> Self {
        Self { sum, lost: 0.0 }
    }

    /// Adds one value.
    #[inline]
    pub(crate) fn add(&mut self, x: f64) {
        let total = self.sum + x;
        if total.is_infinite() {
            self.lost = 0.0;
        } else if self.sum.abs() >= x.abs() {
            // The sum is the larger one: low digits of `x` were lost.
            self.lost += (self.sum - total) + x;
        } else {
            self.lost += (x - total) + self.sum;
        }
        self.sum = total;
    }

    /// The sum with its compensation.
    #[inline]
    pub(crate) fn total(self) -> f64 {
        self.sum + self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::Kahan;

    #[test]
    fn what_cancels_leaves_the_rest() {
        let mut sum = Kahan::default();
        for x in [1.0, 1e100, 1.0, -1e100] {
            sum.add(x);
        }
        assert_eq!(sum.total(), 2.0);
        for x in [f64::INFINITY, 1.0] {
            sum.add(x);
        }
        assert_eq!(sum.total(), f64::INFINITY);
    }
}
