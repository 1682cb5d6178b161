//! From a label to the series that have it, growing.
//!
//! Series numbers only rise, so a list is the differences of its numbers as varints: about a byte a series for the labels
//! that many series share. A list is decoded into numbers when a query asks, and written anew when series are forgotten.
//! Beside the lists stands, for every name, which labels carry it: that is where matchers look for values.

use std::collections::BTreeMap;

use sarsen_block::SeriesNo;
use smallvec::SmallVec;

use super::symbols::LabelNo;

/// Differences up to this many bytes lie in the list itself.
const INLINE: usize = 16;

#[derive(Debug, Default)]
struct List {
    bytes: SmallVec<[u8; INLINE]>,
    count: u32,
    last: u32,
}

impl List {
    fn push(&mut self, series: SeriesNo) {
        let mut difference = series.0.wrapping_sub(self.last);
        if self.bytes.len() + 5 > self.bytes.capacity() {
            self.bytes.reserve_exact((self.bytes.len() / 8).max(16));
        }
        while difference >= 0x80 {
            self.bytes.push(difference as u8 | 0x80);
            difference >>= 7;
        }
        self.bytes.push(difference as u8);
        self.last = series.0;
        self.count += 1;
    }

    fn iter(&self) -> ListIter<'_> {
        ListIter { bytes: &self.bytes, last: 0 }
    }
}

/// The series of a list, rising.
struct ListIter<'a> {
    bytes: &'a [u8],
    last: u32,
}

impl Iterator for ListIter<'_> {
    type Item = SeriesNo;

    fn next(&mut self) -> Option<SeriesNo> {
        let (mut difference, mut shift) = (0u32, 0u32);
        loop {
            let (&byte, rest) = self.bytes.split_first()?;
            self.bytes = rest;
            difference |= u32::from(byte & 0x7F).checked_shl(shift).unwrap_or_default();
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        self.last = self.last.wrapping_add(difference);
        Some(SeriesNo(self.last))
    }
}

/// All lists of a head.
#[derive(Debug, Default)]
pub(super) struct MemPostings {
    /// By label number.
    lists: Vec<List>,
    /// By name, the labels that carry it, in no order.
    names: BTreeMap<Box<[u8]>, Vec<LabelNo>>,
    /// By label number: where the label stands under its name.
    stands_at: Vec<u32>,
}

impl MemPostings {
    /// Says that a label has come to life, under its name.
    pub(super) fn add_label(&mut self, no: LabelNo, name: &[u8]) {
        let index = no.0 as usize;
        if index >= self.lists.len() {
            self.lists.resize_with(index + 1, List::default);
            self.stands_at.resize(index + 1, 0);
        }
        if !self.names.contains_key(name) {
            self.names.insert(name.into(), Vec::new());
        }
        if let (Some(labels), Some(at)) = (self.names.get_mut(name), self.stands_at.get_mut(index)) {
            *at = labels.len() as u32;
            labels.push(no);
        }
    }

    /// Says that a series, with a number larger than all before, has a label.
    #[inline]
    pub(super) fn add(&mut self, no: LabelNo, series: SeriesNo) {
        if let Some(list) = self.lists.get_mut(no.0 as usize) {
            if list.count > 0 && series.0 <= list.last {
                list.insert(series);
            } else {
                list.push(series);
            }
        }
    }

    /// How many series have a label.
    pub(super) fn count(&self, no: LabelNo) -> usize {
        self.lists.get(no.0 as usize).map_or(0, |list| list.count as usize)
    }

    /// The series that have a label, rising.
    pub(super) fn series(&self, no: LabelNo) -> Vec<SeriesNo> {
        let mut series = Vec::with_capacity(self.count(no));
        series.extend(self.lists.get(no.0 as usize).into_iter().flat_map(List::iter));
        series
    }

    /// All names, rising.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.names.keys().map(|name| &**name)
    }

    /// The labels that carry a name, in no order.
    pub(super) fn labels_of(&self, name: &[u8]) -> &[LabelNo] {
        self.names.get(name).map_or(&[], |labels| labels)
    }

    /// Takes series (rising) out of the list of one label; how many are left.
    pub(super) fn forget(&mut self, no: LabelNo, dead: &[SeriesNo]) -> usize {
        let Some(list) = self.lists.get_mut(no.0 as usize) else { return 0 };
        let mut kept = List::default();
        let mut dead = dead.iter().peekable();
        for series in list.iter() {
            while dead.next_if(|&&gone| gone < series).is_some() {}
            if dead.peek() != Some(&&series) {
                kept.push(series);
            }
        }
        if kept.bytes.spilled() {
            kept.bytes.shrink_to_fit();
        }
        *list = kept;
        list.count as usize
    }

    /// Forgets a label that no series has any more, under its name.
    pub(super) fn forget_label(&mut self, name: &[u8], label: LabelNo) {
        let Some(labels) = self.names.get_mut(name) else { return };
        let at = self.stands_at.get(label.0 as usize).map_or(usize::MAX, |&at| at as usize);
        if labels.get(at) != Some(&label) {
            return;
        }
        labels.swap_remove(at);
        if let Some(moved) = labels.get(at)
            && let Some(stands_at) = self.stands_at.get_mut(moved.0 as usize)
        {
            *stands_at = at as u32;
        }
        if labels.is_empty() {
            self.names.remove(name);
        } else if labels.capacity() > 4 * labels.len() {
            labels.shrink_to(2 * labels.len());
        }
    }

    /// Bytes held.
    pub(super) fn held(&self) -> u64 {
        let spilled: usize =
            self.lists.iter().filter(|list| list.bytes.spilled()).map(|list| list.bytes.capacity()).sum();
        let names: usize = self
            .names
            .iter()
            .map(|(name, labels)| name.len() + 40 + labels.capacity() * size_of::<LabelNo>())
            .sum();
        let by_label =
            self.lists.capacity() * size_of::<List>() + self.stands_at.capacity() * size_of::<u32>();
        (by_label + spilled + names) as u64
    }
}

impl List {
    /// Replay may bring series back in another order than that of their births.
    #[cold]
    fn insert(&mut self, series: SeriesNo) {
        let mut all: Vec<SeriesNo> = self.iter().collect();
        if let Err(at) = all.binary_search(&series) {
            all.insert(at, series);
        }
        *self = Self::default();
        for no in all {
            self.push(no);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_list_is_a_set(numbers in prop::collection::vec(any::<u32>(), 0..200), dead in prop::collection::vec(0usize..200, 0..50)) {
            let mut postings = MemPostings::default();
            let label = LabelNo(3);
            postings.add_label(label, b"job");
            for &no in &numbers {
                postings.add(label, SeriesNo(no));
            }
            let mut set: BTreeSet<SeriesNo> = numbers.iter().copied().map(SeriesNo).collect();
            prop_assert_eq!(postings.series(label), set.iter().copied().collect::<Vec<_>>());
            let dead: BTreeSet<SeriesNo> =
                dead.iter().filter_map(|&i| numbers.get(i)).copied().chain([1, 2]).map(SeriesNo).collect();
            set.retain(|no| !dead.contains(no));
            let dead: Vec<SeriesNo> = dead.into_iter().collect();
            prop_assert_eq!(postings.forget(label, &dead), set.len());
            prop_assert_eq!(postings.series(label), set.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn names_know_their_labels() {
        let mut postings = MemPostings::default();
        for (no, name) in [(0, &b"job"[..]), (1, b"a"), (2, b"job")] {
            postings.add_label(LabelNo(no), name);
        }
        assert_eq!(postings.labels_of(b"job"), [LabelNo(0), LabelNo(2)]);
        postings.forget_label(b"job", LabelNo(0));
        postings.forget_label(b"a", LabelNo(1));
        assert_eq!(postings.names().collect::<Vec<_>>(), [b"job"]);
        assert_eq!(postings.labels_of(b"job"), [LabelNo(2)]);
        assert!(postings.labels_of(b"a").is_empty());
    }
}
