//! A sorted walk over series numbers, with seek.
//!
//! A postings list says which series carry a label. Lists are read through a walk ([`Postings`]) that only moves
//! forward, so that a list in memory ([`ListWalk`]), a list as it lies in an index ([`EncodedWalk`]) and the result of
//! a set operation look alike. Numbers rise strictly; a list that breaks this (which a checksum cannot see) gives wrong
//! answers, never a panic: [`verify`](crate::verify) is who looks for it.

mod encode;
mod gather;
mod select;
mod set;

pub use encode::EncodedWalk;
pub use select::{PostingsSource, join_postings, select_postings};
pub use set::{Difference, Intersection, Union};

pub(crate) use encode::decode_postings;

/// The number of a series in one block or one head. In an index it is the offset of the series' entry divided by 16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct SeriesNo(pub u32);

/// A walk over rising series numbers. It begins before the first one.
pub trait Postings {
    /// Moves to the next number and gives it; `None` at the end, and for ever after.
    fn next(&mut self) -> Option<SeriesNo>;

    /// Moves to the first number that is at least `least` and gives it. Stays where it stands if that number is
    /// already large enough; never moves back.
    fn seek(&mut self, least: SeriesNo) -> Option<SeriesNo>;

    /// At most how many numbers are still to come. A guess for ordering work, not a promise.
    fn len_hint(&self) -> usize;

    /// All numbers that are still to come.
    fn collect_all(mut self) -> Vec<SeriesNo>
    where
        Self: Sized,
    {
        let mut all = Vec::with_capacity(self.len_hint().min(1 << 16));
        while let Some(no) = self.next() {
            all.push(no);
        }
        all
    }
}

impl<P: Postings + ?Sized> Postings for Box<P> {
    fn next(&mut self) -> Option<SeriesNo> {
        (**self).next()
    }

    fn seek(&mut self, least: SeriesNo) -> Option<SeriesNo> {
        (**self).seek(least)
    }

    fn len_hint(&self) -> usize {
        (**self).len_hint()
    }
}

/// The walk over a sorted list in memory: a slice, a `Vec`, an `Arc<[SeriesNo]>`.
#[derive(Debug, Clone)]
pub struct ListWalk<T> {
    list: T,
    /// How many numbers lie behind; the walk stands on the last of them.
    passed: usize,
}

impl<T: AsRef<[SeriesNo]>> ListWalk<T> {
    /// The walk over `list`, which must rise strictly.
    pub const fn new(list: T) -> Self {
        Self { list, passed: 0 }
    }
}

impl<T: AsRef<[SeriesNo]>> Postings for ListWalk<T> {
    fn next(&mut self) -> Option<SeriesNo> {
        let no = self.list.as_ref().get(self.passed).copied();
        // Past the end the walk has no place to stand on, so that `seek` gives `None` as well.
        self.passed = (self.passed + 1).min(self.list.as_ref().len() + 1);
        no
    }

    fn seek(&mut self, least: SeriesNo) -> Option<SeriesNo> {
        let list = self.list.as_ref();
        let at = gallop(list.len(), self.passed.saturating_sub(1), least, |i| list.get(i).copied());
        self.passed = at + 1;
        list.get(at).copied()
    }

    fn len_hint(&self) -> usize {
        self.list.as_ref().len().saturating_sub(self.passed)
    }
}

/// The first index from `from` on whose number is at least `least`; `len` if there is none. Looks 1, 2, 4, ... ahead
/// and then halves, so that short steps cost little and long ones a logarithm.
fn gallop(len: usize, from: usize, least: SeriesNo, get: impl Fn(usize) -> Option<SeriesNo>) -> usize {
    let below = |i: usize| get(i).is_some_and(|no| no < least);
    if from >= len || !below(from) {
        return from.min(len);
    }
    let (mut low, mut step) = (from, 1);
    while low + step < len && below(low + step) {
        low += step;
        step *= 2;
    }
    // The number at `low` is too small, the one at `high` is large enough or past the end.
    let mut high = (low + step).min(len);
    while low + 1 < high {
        let middle = low + (high - low) / 2;
        if below(middle) {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests;
