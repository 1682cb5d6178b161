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

    /// Whether nothing became infinite or no number at all.
    #[inline]
    pub(crate) fn is_finite(self) -> bool {
        self.sum.is_finite() && self.lost.is_finite()
    }

    /// The sum with its compensation.
    #[inline]
    pub(crate) fn total(self) -> f64 {
        self.sum + self.lost
    }
}

/// How many sums are added up side by side.
pub(crate) const LANES: usize = 4;

/// Adds to each sum its own numbers, one after the other, and all sums at once, because each addition waits for the one before.
///
/// What an addition loses is found without asking which number is larger (Knuth's two-sum). Both ways find it exactly, so the bits are the same; only where
/// something does not stay finite they differ, and the result is of no use ([`Kahan::is_finite`]).
#[inline]
pub(crate) fn add_side_by_side(sums: [Kahan; LANES], numbers: [&[f64]; LANES]) -> [Kahan; LANES] {
    let [a, b, c, d] = numbers;
    let common = a.len().min(b.len()).min(c.len()).min(d.len());
    let ((a, a_rest), (b, b_rest)) = (a.split_at(common), b.split_at(common));
    let ((c, c_rest), (d, d_rest)) = (c.split_at(common), d.split_at(common));
    let [mut sum, mut lost] = [[0.0; LANES]; 2];
    for ((sum, lost), from) in sum.iter_mut().zip(&mut lost).zip(&sums) {
        (*sum, *lost) = (from.sum, from.lost);
    }
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        for ((sum, lost), x) in sum.iter_mut().zip(lost.iter_mut()).zip([a, b, c, d]) {
            let total = *sum + x;
            let added = total - *sum;
            *lost += (*sum - (total - added)) + (x - added);
            *sum = total;
        }
    }
    let mut sums = sums;
    for (kahan, (sum, lost)) in sums.iter_mut().zip(sum.into_iter().zip(lost)) {
        *kahan = Kahan { sum, lost };
    }
    for (kahan, rest) in sums.iter_mut().zip([a_rest, b_rest, c_rest, d_rest]) {
        rest.iter().for_each(|x| kahan.add(*x));
    }
    sums
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
