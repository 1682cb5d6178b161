//! The buckets of one sign, absolute: adding those of another histogram, and leaving the empty ones out.
//!
//! Which layout comes out decides over bytes where histograms are aggregated, so it is Prometheus': a bucket that is not there yet
//! lengthens the span that ends before it, else the one that begins behind it, else it gets a span of its own; spans that come to touch
//! stay two.

use super::Span;
use super::sum::Compensated;

/// What a bucket holds.
pub(super) trait Count: Copy + From<f64> + From<Compensated> + Into<Compensated> {
    /// Adds what another bucket holds.
    fn add(&mut self, other: Self);

    /// Both together.
    fn plus(mut self, other: Self) -> Self {
        self.add(other);
        self
    }

    /// So many times as much.
    fn times(self, factor: f64) -> Self;

    /// Whether it holds nothing.
    fn is_empty(&self) -> bool;
}

impl Count for f64 {
    fn add(&mut self, other: Self) {
        *self += other;
    }

    fn times(self, factor: f64) -> Self {
        self * factor
    }

    fn is_empty(&self) -> bool {
        *self == 0.0
    }
}

/// Spans and their buckets, to be changed.
pub(super) struct Side<'a, C> {
    pub(super) spans: &'a mut Vec<Span>,
    pub(super) buckets: &'a mut Vec<C>,
}

/// The numbers and counts of the buckets in `spans`, as far as there are counts.
pub(super) fn numbered<'a, C: Copy>(
    spans: &'a [Span],
    buckets: &'a [C],
) -> impl Iterator<Item = (i64, C)> + 'a {
    let mut next = 0i64;
    let numbers = spans.iter().flat_map(move |span| {
        let first = next.wrapping_add(i64::from(span.offset));
        next = first.wrapping_add(i64::from(span.length));
        first..next
    });
    numbers.zip(buckets.iter().copied())
}

/// The same from the last bucket down.
pub(super) fn numbered_down<'a, C: Copy>(
    spans: &'a [Span],
    buckets: &'a [C],
) -> impl Iterator<Item = (i64, C)> + 'a {
    let mut end = spans.iter().map(|span| i64::from(span.offset) + i64::from(span.length)).sum::<i64>();
    let numbers = spans.iter().rev().flat_map(move |span| {
        let (first, behind) = (end - i64::from(span.length), end);
        end = first - i64::from(span.offset);
        (first..behind).rev()
    });
    numbers.zip(buckets.iter().rev().copied())
}

/// A span that a walk stands at.
#[derive(Debug, Clone, Copy)]
struct Place {
    span: usize,
    /// Number of the span's first bucket.
    first: i64,
    /// Where its count lies.
    at: usize,
}

impl<C: Count> Side<'_, C> {
    /// Adds `others`, whose numbers rise.
    pub(super) fn add(&mut self, others: impl Iterator<Item = (i64, C)>) {
        let mut place = None;
        for (number, count) in others {
            if self.spans.first().is_none_or(|first| i64::from(first.offset) > number) {
                self.add_before(number, count);
                place = None;
                continue;
            }
            let start = Place { span: 0, first: self.spans.first().map_or(0, |s| s.offset.into()), at: 0 };
            place = Some(self.add_from(place.unwrap_or(start), number, count));
        }
    }

    /// Adds a bucket that lies before all others.
    fn add_before(&mut self, number: i64, count: C) {
        self.buckets.insert(0, count);
        let offset = number as i32;
        if let Some(first) = self.spans.first_mut() {
            if i64::from(first.offset) == number + 1 {
                (first.offset, first.length) = (offset, first.length.wrapping_add(1));
                return;
            }
            first.offset = first.offset.wrapping_sub(offset).wrapping_sub(1);
        }
        self.spans.insert(0, Span { offset, length: 1 });
    }

    /// Adds a bucket that does not lie before `place`, and tells the span in or behind which it came to lie.
    fn add_from(&mut self, mut place: Place, number: i64, count: C) -> Place {
        let mut length = self.spans.get(place.span).map_or(0, |span| span.length);
        while let Some(next) = self.spans.get(place.span + 1) {
            let first = place.first + i64::from(length) + i64::from(next.offset);
            if first > number {
                break;
            }
            place = Place { span: place.span + 1, first, at: place.at.saturating_add(length as usize) };
            length = next.length;
        }
        let into = number - place.first;
        if into < i64::from(length) {
            if let Some(bucket) = self.buckets.get_mut(place.at.saturating_add(into as usize)) {
                bucket.add(count);
            }
            return place;
        }
        let behind = place.at.saturating_add(length as usize).min(self.buckets.len());
        self.buckets.insert(behind, count);
        self.widen(place, (into - i64::from(length)) as i32);
        place
    }

    /// Makes room in the layout for a bucket that lies `gap` behind the span at `place`, before the next one.
    fn widen(&mut self, place: Place, gap: i32) {
        let (span, next) = (place.span, place.span + 1);
        if gap == 0 {
            if let Some(span) = self.spans.get_mut(span) {
                span.length = span.length.wrapping_add(1);
            }
            if let Some(next) = self.spans.get_mut(next) {
                next.offset = next.offset.wrapping_sub(1);
            }
            return;
        }
        if let Some(next) = self.spans.get_mut(next) {
            if gap == next.offset.wrapping_sub(1) {
                (next.offset, next.length) = (gap, next.length.wrapping_add(1));
                return;
            }
            next.offset = next.offset.wrapping_sub(gap).wrapping_sub(1);
        }
        self.spans.insert(next.min(self.spans.len()), Span { offset: gap, length: 1 });
    }

    /// Leaves out empty buckets; what touches comes to lie in one span.
    pub(super) fn compact(&mut self) {
        let compact = self.spans.iter().all(|span| span.length > 0)
            && self.spans.iter().skip(1).all(|span| span.offset > 0)
            && !self.buckets.iter().any(C::is_empty);
        if compact {
            return;
        }
        let kept: Vec<_> =
            numbered(self.spans, self.buckets).filter(|(_, count)| !count.is_empty()).collect();
        self.spans.clear();
        self.buckets.clear();
        let mut next = 0i64;
        for (number, count) in kept {
            match self.spans.last_mut() {
                Some(last) if number == next => last.length = last.length.wrapping_add(1),
                _ => self.spans.push(Span { offset: (number - next) as i32, length: 1 }),
            }
            self.buckets.push(count);
            next = number + 1;
        }
    }
}
