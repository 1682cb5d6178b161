//! The union of many lists at once.
//!
//! A heap of walks costs a logarithm for each number and pays where most numbers are passed over. Where all are wanted, as for a
//! matcher that accepts thousands of values, it is cheaper to write them all down: as bits if they lie close together,
//! which they do within a block or a head, and otherwise by sorting.

use super::{Postings, SeriesNo};

/// The numbers that at least one of `walks` has, rising.
pub(super) fn gather<P: Postings>(walks: Vec<P>) -> Vec<SeriesNo> {
    let expected = walks.iter().fold(0, |sum: usize, walk| sum.saturating_add(walk.len_hint()));
    let mut all = Vec::with_capacity(expected.min(1 << 22));
    for mut walk in walks {
        while let Some(no) = walk.next() {
            all.push(no);
        }
    }
    if all.is_sorted_by(|a, b| a < b) {
        return all;
    }
    let (least, most) = all.iter().fold((u32::MAX, 0), |(least, most), no| (least.min(no.0), most.max(no.0)));
    let words = (most.saturating_sub(least) / 64) as usize + 1;
    if words <= all.len() {
        by_bits(&mut all, least, words);
    } else {
        all.sort_unstable();
        all.dedup();
    }
    all
}

/// Sorts and joins numbers of which `least` is the least, by way of so many words of bits.
fn by_bits(all: &mut Vec<SeriesNo>, least: u32, words: usize) {
    let mut bits = vec![0u64; words];
    for no in all.iter() {
        let at = no.0 - least;
        if let Some(word) = bits.get_mut(at as usize / 64) {
            *word |= 1 << (at % 64);
        }
    }
    all.clear();
    for (at, mut word) in (0u32..).zip(bits) {
        while word != 0 {
            all.push(SeriesNo(least + at * 64 + word.trailing_zeros()));
            word &= word - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::postings::ListWalk;

    proptest! {
        #[test]
        fn all_numbers_come_once(
            lists in proptest::collection::vec(proptest::collection::btree_set(any::<u32>(), 0..40), 0..20),
            spread in 0..32u32,
            from_top in any::<bool>(),
        ) {
            let place = |no: u32| SeriesNo(if from_top { u32::MAX - (no >> spread) } else { no >> spread });
            let lists: Vec<BTreeSet<SeriesNo>> =
                lists.into_iter().map(|list| list.into_iter().map(place).collect()).collect();
            let walks = lists.iter().map(|list| ListWalk::new(list.iter().copied().collect::<Vec<_>>())).collect();
            let expected: BTreeSet<SeriesNo> = lists.into_iter().flatten().collect();
            prop_assert_eq!(gather(walks), expected.into_iter().collect::<Vec<_>>());
        }
    }
}
