//! Intersection, union and difference of walks.
//!
//! Each operation is itself a walk and holds only its inputs, so that they nest and never build a list on the way.
//! Intersection leaps: whoever is behind seeks to the largest number seen, the shortest list first. Union keeps a heap
//! of its inputs by the number they stand on.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use super::{Postings, SeriesNo};

/// The numbers that all inputs have. No input at all gives nothing.
#[derive(Debug)]
pub struct Intersection<P> {
    walks: Vec<P>,
    ended: bool,
}

impl<P: Postings> Intersection<P> {
    /// The numbers that all of `walks` have.
    pub fn new(mut walks: Vec<P>) -> Self {
        walks.sort_by_key(Postings::len_hint);
        let ended = walks.is_empty();
        Self { walks, ended }
    }

    /// From a candidate on: every walk is moved to it until all stand on the same number.
    fn agree(&mut self, candidate: Option<SeriesNo>) -> Option<SeriesNo> {
        let Some(mut candidate) = candidate else {
            self.ended = true;
            return None;
        };
        let (mut agreed, mut at) = (1, 1 % self.walks.len());
        while agreed < self.walks.len() {
            let Some(no) = self.walks.get_mut(at)?.seek(candidate) else {
                self.ended = true;
                return None;
            };
            agreed = if no == candidate { agreed + 1 } else { 1 };
            candidate = no;
            at = (at + 1) % self.walks.len();
        }
        Some(candidate)
    }
}

impl<P: Postings> Postings for Intersection<P> {
    fn next(&mut self) -> Option<SeriesNo> {
        if self.ended {
            return None;
        }
        let candidate = self.walks.first_mut()?.next();
        self.agree(candidate)
    }

    fn seek(&mut self, least: SeriesNo) -> Option<SeriesNo> {
        if self.ended {
            return None;
        }
        let candidate = self.walks.first_mut()?.seek(least);
        self.agree(candidate)
    }

    fn len_hint(&self) -> usize {
        if self.ended { 0 } else { self.walks.first().map_or(0, Postings::len_hint) }
    }
}

/// The numbers that at least one input has, each once.
#[derive(Debug)]
pub struct Union<P> {
    walks: Vec<P>,
    /// The number each walk stands on, and which walk it is; smallest on top. Filled by the first move.
    heap: BinaryHeap<Reverse<(SeriesNo, usize)>>,
    begun: bool,
    current: Option<SeriesNo>,
}

impl<P: Postings> Union<P> {
    /// The numbers that at least one of `walks` has.
    pub const fn new(walks: Vec<P>) -> Self {
        Self { walks, heap: BinaryHeap::new(), begun: false, current: None }
    }

    /// The first move of all: `first` moves each walk.
    fn begin(&mut self, first: impl Fn(&mut P) -> Option<SeriesNo>) -> Option<SeriesNo> {
        self.begun = true;
        let stand = |(i, walk): (usize, &mut P)| first(walk).map(|no| Reverse((no, i)));
        self.heap = self.walks.iter_mut().enumerate().filter_map(stand).collect();
        self.stand()
    }

    /// Stands on the smallest number of the heap.
    fn stand(&mut self) -> Option<SeriesNo> {
        self.current = self.heap.peek().map(|&Reverse((no, _))| no);
        self.current
    }

    /// Moves on every walk that stands below `least`.
    fn lift(&mut self, least: SeriesNo) -> Option<SeriesNo> {
        while let Some(mut top) = self.heap.peek_mut() {
            let Reverse((no, i)) = *top;
            if no >= least {
                break;
            }
            match self.walks.get_mut(i).and_then(|walk| walk.seek(least)) {
                Some(no) => *top = Reverse((no, i)),
                None => {
                    PeekMut::pop(top);
                }
            }
        }
        self.stand()
    }
}

impl<P: Postings> Postings for Union<P> {
    fn next(&mut self) -> Option<SeriesNo> {
        if !self.begun {
            return self.begin(Postings::next);
        }
        match self.current?.0.checked_add(1) {
            Some(least) => self.lift(SeriesNo(least)),
            None => {
                self.heap.clear();
                self.stand()
            }
        }
    }

    fn seek(&mut self, least: SeriesNo) -> Option<SeriesNo> {
        if !self.begun {
            return self.begin(|walk| walk.seek(least));
        }
        match self.current? {
            current if current >= least => Some(current),
            _ => self.lift(least),
        }
    }

    fn len_hint(&self) -> usize {
        self.walks.iter().fold(0, |sum, walk| sum.saturating_add(walk.len_hint()))
    }
}

/// The numbers of one walk that another has not.
#[derive(Debug)]
pub struct Difference<A, B> {
    from: A,
    without: B,
}

impl<A: Postings, B: Postings> Difference<A, B> {
    /// The numbers of `from` that `without` has not.
    pub const fn new(from: A, without: B) -> Self {
        Self { from, without }
    }

    fn pass(&mut self, mut candidate: Option<SeriesNo>) -> Option<SeriesNo> {
        while let Some(no) = candidate {
            if self.without.seek(no) != Some(no) {
                break;
            }
            candidate = self.from.next();
        }
        candidate
    }
}

impl<A: Postings, B: Postings> Postings for Difference<A, B> {
    fn next(&mut self) -> Option<SeriesNo> {
        let candidate = self.from.next();
        self.pass(candidate)
    }

    fn seek(&mut self, least: SeriesNo) -> Option<SeriesNo> {
        let candidate = self.from.seek(least);
        self.pass(candidate)
    }

    fn len_hint(&self) -> usize {
        self.from.len_hint()
    }
}
