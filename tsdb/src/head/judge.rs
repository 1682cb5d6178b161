//! Whether a sample is taken, and as what: Prometheus' rules, without any storage.
//!
//! A sample is judged by the bounds that held before its batch and by the newest sample of its series. Values are told apart by their
//! bits; histograms by a digest of what they count, in which the hint and buckets that are empty play no part, so that a histogram
//! sent twice is the same although the chunk has given it more empty buckets meanwhile.

use sarsen_block::{Counts, Histogram, STALE_NAN_BITS, Span, Timestamp};

use crate::outcome::Reason;

/// What a series stores at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Float,
    /// A histogram with whole counts.
    Integer,
    /// A histogram with float counts.
    FloatHistogram,
}

impl Kind {
    pub(super) const fn of(histogram: &Histogram) -> Self {
        if histogram.is_float() { Self::FloatHistogram } else { Self::Integer }
    }
}

/// The newest sample of a series; `t` is `Timestamp::MIN` if there is none.
#[derive(Debug, Clone, Copy)]
pub(super) struct Newest {
    pub(super) t: Timestamp,
    /// Of the float, or the digest of the histogram.
    pub(super) bits: u64,
    pub(super) kind: Kind,
    pub(super) is_any: bool,
}

impl Newest {
    pub(super) const NONE: Self = Self { t: Timestamp::MIN, bits: 0, kind: Kind::Float, is_any: false };

    #[inline]
    pub(super) const fn float(t: Timestamp, bits: u64) -> Self {
        Self { t, bits, kind: Kind::Float, is_any: true }
    }

    /// Whether a float stale marker has to become a stale histogram behind this one.
    #[inline]
    pub(super) fn turns(self, kind: Kind, bits: u64) -> bool {
        self.kind != Kind::Float && kind == Kind::Float && bits == STALE_NAN_BITS
    }

    /// Whether a sample at the same time is the same sample.
    fn is(self, kind: Kind, bits: u64) -> bool {
        if self.turns(kind, bits) {
            return self.bits == STALE_DIGEST;
        }
        self.kind == kind && self.bits == bits
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Behind the newest of its series.
    Good,
    /// Among older ones, inside the window.
    Late,
    Duplicate,
    Refused(Reason),
}

/// What a batch may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Nothing older is in order.
    pub(super) oldest: Timestamp,
    /// Nothing older is late; `None` if there is no window for late samples.
    pub(super) late: Option<Timestamp>,
    /// Nothing newer is taken.
    pub(super) max: Timestamp,
}

impl Bounds {
    #[inline]
    pub(super) fn judge(&self, newest: Newest, t: Timestamp, kind: Kind, bits: u64) -> Verdict {
        if t > self.max {
            return Verdict::Refused(Reason::TooFarInFuture);
        }
        if t >= self.oldest {
            if t > newest.t || !newest.is_any {
                return Verdict::Good;
            }
            if t == newest.t {
                let same = newest.is(kind, bits);
                return if same { Verdict::Duplicate } else { Verdict::Refused(Reason::DuplicateValue) };
            }
        }
        match self.late {
            Some(late) if t >= late => Verdict::Late,
            Some(_) => Verdict::Refused(Reason::TooOld),
            None if t < self.oldest => Verdict::Refused(Reason::OutOfBounds),
            None => Verdict::Refused(Reason::OutOfOrder),
        }
    }

    /// Whether `t` is refused before anybody looks at what a histogram counts.
    pub(super) const fn is_outside(&self, t: Timestamp) -> bool {
        t > self.max || (self.late.is_none() && t < self.oldest)
    }
}

/// Digest of all stale markers.
pub(super) const STALE_DIGEST: u64 = STALE_NAN_BITS;

/// By what histograms of one kind at one time are told apart.
pub(super) fn digest(histogram: &Histogram) -> u64 {
    if histogram.is_stale() {
        return STALE_DIGEST;
    }
    let mut digest = Digest(0x5172_656E);
    digest.add(u64::from(histogram.schema as u32));
    digest.add(histogram.zero_threshold.to_bits());
    digest.add(histogram.sum.to_bits());
    if histogram.has_custom_buckets() {
        histogram.custom_values.iter().for_each(|bound| digest.add(bound.to_bits()));
    }
    let (plus, minus) = (&histogram.positive_spans, &histogram.negative_spans);
    match &histogram.counts {
        Counts::Integer { count, zero, positive, negative } => {
            digest.add(*count);
            digest.add(*zero);
            for (spans, buckets) in [(plus, positive), (minus, negative)] {
                let mut sum = 0i64;
                let absolute = buckets.iter().map(|difference| {
                    sum = sum.wrapping_add(*difference);
                    sum as u64
                });
                digest.add_buckets(spans, absolute);
            }
        }
        Counts::Float { count, zero, positive, negative } => {
            digest.add(count.to_bits());
            digest.add(zero.to_bits());
            for (spans, buckets) in [(plus, positive), (minus, negative)] {
                digest.add_buckets(spans, buckets.iter().map(|count| count.to_bits()));
            }
        }
    }
    digest.0
}

struct Digest(u64);

impl Digest {
    fn add(&mut self, word: u64) {
        let mixed = (self.0.rotate_left(23) ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = mixed ^ (mixed >> 29);
    }

    /// Buckets that are not empty, with their numbers.
    fn add_buckets(&mut self, spans: &[Span], mut buckets: impl Iterator<Item = u64>) {
        self.add(u64::MAX);
        let mut number = 0i64;
        for span in spans {
            number = number.wrapping_add(i64::from(span.offset));
            for _ in 0..span.length {
                let Some(bits) = buckets.next() else { return };
                if bits != 0 {
                    self.add(number as u64);
                    self.add(bits);
                }
                number = number.wrapping_add(1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_block::ResetHint;

    const FLOAT: Kind = Kind::Float;

    fn newest(t: Timestamp, v: f64) -> Newest {
        Newest::float(t, v.to_bits())
    }

    fn refused(reason: Reason) -> Verdict {
        Verdict::Refused(reason)
    }

    #[test]
    fn without_a_window_late_is_refused() {
        let bounds = Bounds { oldest: 100, late: None, max: 1000 };
        let judge = |newest, t, v: f64| bounds.judge(newest, t, FLOAT, v.to_bits());
        assert_eq!(judge(Newest::NONE, 100, 1.0), Verdict::Good);
        assert_eq!(judge(Newest::NONE, 99, 1.0), refused(Reason::OutOfBounds));
        assert_eq!(judge(newest(200, 1.0), 201, 1.0), Verdict::Good);
        assert_eq!(judge(newest(200, 1.0), 200, 1.0), Verdict::Duplicate);
        assert_eq!(judge(newest(200, 0.0), 200, -0.0), refused(Reason::DuplicateValue));
        assert_eq!(judge(newest(200, 1.0), 199, 1.0), refused(Reason::OutOfOrder));
        assert_eq!(judge(newest(200, 1.0), 99, 1.0), refused(Reason::OutOfBounds));
        assert_eq!(judge(newest(200, 1.0), 1000, 1.0), Verdict::Good);
        assert_eq!(judge(newest(200, 1.0), 1001, 1.0), refused(Reason::TooFarInFuture));
    }

    #[test]
    fn with_a_window_late_is_taken_as_far_as_it_reaches() {
        for late in [50, 150] {
            let bounds = Bounds { oldest: 100, late: Some(late), max: 1000 };
            let judge = |newest, t| bounds.judge(newest, t, FLOAT, 0);
            assert_eq!(judge(Newest::NONE, 100), Verdict::Good, "in order however narrow the window is");
            assert_eq!(judge(newest(200, 1.0), 200), refused(Reason::DuplicateValue));
            assert_eq!(judge(newest(200, 1.0), late), Verdict::Late);
            assert_eq!(judge(newest(200, 1.0), late - 1), refused(Reason::TooOld));
            assert_eq!(judge(newest(20, 1.0), 99) == Verdict::Late, late == 50, "newer, but out of bounds");
            assert_eq!(
                judge(newest(20, 1.0), 20),
                refused(Reason::TooOld),
                "out of bounds, even if it is there"
            );
        }
    }

    fn histogram(spans: &[(i32, u32)], buckets: &[i64]) -> Histogram {
        let spans = spans.iter().map(|&(offset, length)| Span { offset, length }).collect();
        let counts = Counts::Integer { count: 5, zero: 1, positive: buckets.to_vec(), negative: Vec::new() };
        Histogram { schema: 3, sum: 2.5, positive_spans: spans, counts, ..Histogram::stale(false) }
    }

    #[test]
    fn histograms_are_the_same_by_what_they_count() {
        let plain = histogram(&[(2, 2)], &[3, -2]);
        let same = [
            histogram(&[(2, 1), (0, 1)], &[3, -2]),
            histogram(&[(1, 0), (1, 2)], &[3, -2]),
            histogram(&[(1, 4)], &[0, 3, -2, -1]),
            Histogram { hint: ResetHint::Gauge, ..plain.clone() },
        ];
        for other in &same {
            assert_eq!(digest(&plain), digest(other), "{other:?}");
        }
        let different = [
            histogram(&[(1, 2)], &[3, -2]),
            histogram(&[(2, 2)], &[3, -1]),
            Histogram { sum: 2.0, ..plain.clone() },
            Histogram { schema: 2, ..plain.clone() },
            Histogram { zero_threshold: 0.5, ..plain.clone() },
            Histogram {
                positive_spans: Vec::new(),
                negative_spans: plain.positive_spans.clone(),
                ..plain.clone()
            },
            Histogram::stale(false),
        ];
        for other in &different {
            assert_ne!(digest(&plain), digest(other), "{other:?}");
        }
    }

    #[test]
    fn a_stale_float_is_a_stale_histogram_behind_one() {
        let bounds = Bounds { oldest: 0, late: None, max: 1000 };
        let stale = Newest { t: 10, bits: STALE_DIGEST, kind: Kind::Integer, is_any: true };
        assert_eq!(bounds.judge(stale, 10, FLOAT, STALE_NAN_BITS), Verdict::Duplicate);
        assert_eq!(
            bounds.judge(stale, 10, Kind::FloatHistogram, STALE_DIGEST),
            refused(Reason::DuplicateValue)
        );
        let other = Newest { bits: 7, ..stale };
        assert_eq!(bounds.judge(other, 10, FLOAT, STALE_NAN_BITS), refused(Reason::DuplicateValue));
        assert_eq!(
            bounds.judge(other, 10, FLOAT, 7),
            refused(Reason::DuplicateValue),
            "a digest is no float"
        );
    }
}
