//! Two histograms become one: whatever their zero buckets, schemas and custom bounds are.
//!
//! One algorithm for both kinds of sums, that of plain floats and that which keeps what rounding takes away. Which layout comes out is
//! Prometheus'; see `side` for new buckets, `zero` for zero buckets of unequal width.

use super::bounds::{lies_within, upper_bound};
use super::reduce::reduce;
use super::side::{Count, Side, numbered};
use super::sum::Compensated;
use super::zero::zero_bucket_of;
use super::{Counts, Histogram, ResetHint, Span};
use crate::error::Error;

/// The float counts of a histogram, borrowed.
#[derive(Clone, Copy)]
pub(super) struct Floats<'a> {
    pub(super) count: f64,
    pub(super) zero: f64,
    pub(super) positive: &'a [f64],
    pub(super) negative: &'a [f64],
}

impl Histogram {
    pub(super) fn floats(&self) -> Result<Floats<'_>, Error> {
        match &self.counts {
            Counts::Float { count, zero, positive, negative } => {
                Ok(Floats { count: *count, zero: *zero, positive, negative })
            }
            Counts::Integer { .. } => Err(integers()),
        }
    }
}

#[cold]
pub(super) fn integers() -> Error {
    Error::invalid("histogram", "only histograms of float counts are computed with")
}

/// What two histograms of one kind told each other when they became one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Combined {
    /// The hint of one said that counters began anew, that of the other that they went on.
    pub reset_collision: bool,
    /// Both had custom buckets with different bounds; those that both had were kept.
    pub bounds_reconciled: bool,
}

/// A histogram that others are added to.
#[derive(Debug, Clone)]
pub(super) struct Open<C> {
    /// Layout and hint; counts and sum are beside it.
    pub(super) shape: Histogram,
    pub(super) count: C,
    pub(super) sum: C,
    pub(super) zero: C,
    pub(super) positive: Vec<C>,
    pub(super) negative: Vec<C>,
}

impl Open<f64> {
    /// What `histogram` holds; an empty one is left.
    pub(super) fn take(histogram: &mut Histogram) -> Result<Self, Error> {
        if !histogram.is_float() {
            return Err(integers());
        }
        let mut shape = std::mem::replace(histogram, Histogram::stale(true));
        let Counts::Float { count, zero, positive, negative } = &mut shape.counts else {
            return Err(integers());
        };
        let (count, zero) = (*count, *zero);
        let (positive, negative) = (std::mem::take(positive), std::mem::take(negative));
        Ok(Self { count, zero, sum: shape.sum, positive, negative, shape })
    }
}

impl<C: Count> Open<C> {
    /// A copy that can be added to.
    pub(super) fn new(histogram: &Histogram) -> Result<Self, Error> {
        let Floats { count, zero, positive, negative } = histogram.floats()?;
        let open = |buckets: &[f64]| buckets.iter().map(|&count| C::from(count)).collect();
        let (positive, negative) = (open(positive), open(negative));
        let shape = Histogram {
            positive_spans: histogram.positive_spans.clone(),
            negative_spans: histogram.negative_spans.clone(),
            custom_values: histogram.custom_values.clone(),
            counts: Counts::Float { count: 0.0, zero: 0.0, positive: Vec::new(), negative: Vec::new() },
            ..*histogram
        };
        let (count, sum, zero) = (count.into(), histogram.sum.into(), zero.into());
        Ok(Self { shape, count, sum, zero, positive, negative })
    }

    /// Changes every number.
    pub(super) fn each(&mut self, change: impl Fn(C) -> C) {
        let Self { count, sum, zero, positive, negative, .. } = self;
        let buckets = positive.iter_mut().chain(negative);
        [count, sum, zero].into_iter().chain(buckets).for_each(|number| *number = change(*number));
    }

    /// Whether every number is like that.
    pub(super) fn all(&self, is: impl Fn(&C) -> bool) -> bool {
        let Self { count, sum, zero, positive, negative, .. } = self;
        [count, sum, zero].into_iter().chain(positive).chain(negative).all(is)
    }

    /// Adds `sign` times `other`.
    pub(super) fn combine(&mut self, other: &Histogram, sign: f64) -> Result<Combined, Error> {
        let added = other.floats()?;
        let custom = self.shape.has_custom_buckets();
        if custom != other.has_custom_buckets() {
            return Err(Error::invalid("histogram", "exponential and custom buckets do not add up"));
        }
        let reset_collision = self.adjust_hint(other.hint);
        if !custom {
            let zero = self.match_zero_bucket(other, added);
            self.zero.add(C::from(zero.times(sign)));
        }
        self.count.add(C::from(sign * added.count));
        self.sum.add(C::from(sign * other.sum));
        let bounds_reconciled = custom && self.shape.custom_values != other.custom_values;
        if bounds_reconciled {
            self.add_with_other_bounds(other, added, sign);
        } else {
            self.add_buckets(other, added, sign);
        }
        Ok(Combined { reset_collision, bounds_reconciled })
    }

    /// The hint of a sum; tells whether one began anew and the other went on.
    fn adjust_hint(&mut self, other: ResetHint) -> bool {
        let own = self.shape.hint;
        self.shape.hint = match (own, other) {
            (own, other) if own == other => own,
            (ResetHint::Gauge, _) | (_, ResetHint::Gauge) => ResetHint::Gauge,
            _ => ResetHint::Unknown,
        };
        matches!(
            (own, other),
            (ResetHint::Reset, ResetHint::NotReset) | (ResetHint::NotReset, ResetHint::Reset)
        )
    }

    /// Widens the own zero bucket until it is that of `other`, and tells what that one then holds.
    fn match_zero_bucket(&mut self, other: &Histogram, added: Floats<'_>) -> Compensated {
        let mut zero = Compensated::from(added.zero);
        let mut width = other.zero_threshold;
        // What is not a number is never matched.
        while !width.is_nan() && !self.shape.zero_threshold.is_nan() && width != self.shape.zero_threshold {
            if width < self.shape.zero_threshold {
                let sides = (added.positive, added.negative);
                (zero, width) = zero_bucket_of(other, added.zero, sides, self.shape.zero_threshold);
            }
            if width > self.shape.zero_threshold {
                let (own, widened) =
                    zero_bucket_of(&self.shape, self.zero, (&self.positive, &self.negative), width);
                (self.zero, self.shape.zero_threshold) = (C::from(own), widened);
                self.empty_within_zero();
            }
        }
        zero
    }

    /// Leaves out the buckets that the zero bucket now holds, and empty ones.
    fn empty_within_zero(&mut self) {
        let (schema, width) = (self.shape.schema, self.shape.zero_threshold);
        for mut side in self.sides() {
            let within = numbered(side.spans, side.buckets)
                .take_while(|&(number, _)| upper_bound(number - 1, schema) < width)
                .count();
            side.buckets.iter_mut().take(within).for_each(|bucket| *bucket = C::from(0.0));
            side.compact();
        }
    }

    pub(super) fn sides(&mut self) -> [Side<'_, C>; 2] {
        [
            Side { spans: &mut self.shape.positive_spans, buckets: &mut self.positive },
            Side { spans: &mut self.shape.negative_spans, buckets: &mut self.negative },
        ]
    }

    /// Adds buckets of the same kind, in the lower one of both schemas.
    fn add_buckets(&mut self, other: &Histogram, added: Floats<'_>, sign: f64) {
        let custom = self.shape.has_custom_buckets();
        if !custom && other.schema > self.shape.schema {
            let steps = (other.schema - self.shape.schema).min(31) as u32;
            let lowered = |spans: &[Span], buckets: &[f64]| {
                let mut counts = buckets.iter().map(|&count| C::from(count)).collect();
                let spans = reduce(spans, &mut counts, steps, Count::plus);
                (spans, counts)
            };
            let positive = lowered(&other.positive_spans, added.positive);
            let negative = lowered(&other.negative_spans, added.negative);
            self.add_sides([(&positive.0, &positive.1), (&negative.0, &negative.1)], |count| {
                count.times(sign)
            });
            return;
        }
        if !custom && other.schema < self.shape.schema {
            let steps = (self.shape.schema - other.schema).min(31) as u32;
            for side in self.sides() {
                *side.spans = reduce(side.spans, side.buckets, steps, Count::plus);
            }
            self.shape.schema = other.schema;
        }
        let sides = [(&*other.positive_spans, added.positive), (&*other.negative_spans, added.negative)];
        self.add_sides(sides, |count| C::from(sign * count));
    }

    fn add_sides<T: Copy>(&mut self, others: [(&[Span], &[T]); 2], signed: impl Fn(T) -> C + Copy) {
        let (schema, threshold) = (self.shape.schema, self.shape.zero_threshold);
        let within = |number| lies_within(number, schema, threshold);
        for (mut side, (spans, counts)) in self.sides().into_iter().zip(others) {
            let all = spans.first().is_none_or(|first| !within(first.offset.into()));
            if all && *side.spans == spans && side.buckets.len() == counts.len() {
                side.buckets.iter_mut().zip(counts).for_each(|(own, &more)| own.add(signed(more)));
            } else {
                let counted = numbered(spans, counts).skip_while(|&(number, _)| within(number));
                side.add(counted.map(|(number, count)| (number, signed(count))));
            }
        }
    }

    /// Adds custom buckets with other bounds: what lies between two bounds that both have comes into one bucket.
    fn add_with_other_bounds(&mut self, other: &Histogram, added: Floats<'_>, sign: f64) {
        let shared = shared_bounds(&self.shape.custom_values, &other.custom_values);
        let mut sums = vec![C::from(0.0); shared.len() + 1];
        let own = numbered(&self.shape.positive_spans, &self.positive);
        sum_between(&shared, own, &self.shape.custom_values, &mut sums);
        let more = numbered(&other.positive_spans, added.positive);
        sum_between(
            &shared,
            more.map(|(n, count)| (n, C::from(sign * count))),
            &other.custom_values,
            &mut sums,
        );
        self.shape.positive_spans = vec![Span { offset: 0, length: sums.len() as u32 }];
        self.positive = sums;
        Side { spans: &mut self.shape.positive_spans, buckets: &mut self.positive }.compact();
        self.shape.custom_values = shared;
    }
}

/// The bounds that both have; both rise.
pub(super) fn shared_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut others = b.iter().copied().peekable();
    let shared = a.iter().copied().filter(|bound| {
        while others.next_if(|other| other < bound).is_some() {}
        others.peek() == Some(bound)
    });
    shared.collect()
}

/// Adds the `buckets` with their own `bounds` to the sums of the buckets with the `shared` ones.
pub(super) fn sum_between<C: Count>(
    shared: &[f64],
    buckets: impl Iterator<Item = (i64, C)>,
    bounds: &[f64],
    sums: &mut [C],
) {
    for (number, count) in buckets {
        let bound = usize::try_from(number).ok().and_then(|number| bounds.get(number));
        // The last bucket has no bound.
        let into = bound.map_or(shared.len(), |bound| shared.partition_point(|shared| shared < bound));
        if let Some(sum) = sums.get_mut(into) {
            sum.add(count);
        }
    }
}
