//! What start timestamps tell: whether a counter began anew between two samples.

use sarsen_block::Timestamp;

/// Whether the sample `after` began anew; both are start timestamp (0: not known) and time.
pub(crate) const fn began_anew(before: (Timestamp, Timestamp), after: (Timestamp, Timestamp)) -> bool {
    let ((before_start, before), (start, after)) = (before, after);
    // A start at the sample itself is how OpenTelemetry says that it is not known; one behind it is nonsense.
    if start == 0 || start >= after || start < before {
        return false;
    }
    if start > before {
        return true;
    }
    // It began with the sample before. So do deltas; but so does also a counter whose real start is not known.
    before_start != 0 && before_start < before
}

/// Whether a sample with `start` overlaps with the one before it.
pub(crate) const fn overlaps(before_start: Timestamp, before: Timestamp, start: Timestamp) -> bool {
    start != 0 && start < before && start != before_start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_a_counter_began() {
        assert!(!began_anew((0, 10), (0, 20)));
        assert!(!began_anew((5, 10), (5, 20)));
        assert!(began_anew((5, 10), (12, 20)));
        assert!(!began_anew((5, 10), (20, 20)) && !began_anew((5, 10), (25, 20)));
        assert!(began_anew((5, 10), (10, 20)));
        assert!(
            !began_anew((0, 10), (10, 20))
                && !began_anew((10, 10), (10, 20))
                && !began_anew((11, 10), (10, 20))
        );
        assert!(overlaps(5, 10, 6) && !overlaps(5, 10, 5) && !overlaps(5, 10, 10) && !overlaps(5, 10, 0));
    }
}
