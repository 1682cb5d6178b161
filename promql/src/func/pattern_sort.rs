//! Sorts in the very order in which Go's `sort.Sort` and `slices.SortFunc` do, ties and all.
//!
//! Equal values are frequent (`sort(up)`), and Prometheus' answers then depend on what its unstable sort does with them; besides, its orders are
//! not always consistent (NaN, natural order), which Rust's own sorts may refuse with a panic. The algorithm is the published
//! pattern-defeating quicksort (Orson Peters, 2021) with Go's constants, its choice of pivots and its reproducible shuffling.

/// Up to so many elements are sorted by insertion.
const MAX_INSERTION: usize = 12;
/// From so many on the pivot is a median of medians, and elements are moved far.
const LONG: usize = 50;

/// Sorts by `less`, which need not be consistent.
pub(crate) fn sort_like_go<T>(values: &mut [T], less: impl Fn(&T, &T) -> bool) {
    let end = values.len();
    let limit = usize::BITS - end.leading_zeros();
    Sorter { values, less }.quick(0, end, limit);
}

struct Sorter<'a, T, L> {
    values: &'a mut [T],
    less: L,
}

/// What the choice of a pivot showed of the order.
#[derive(PartialEq, Eq)]
enum Seen {
    Rising,
    Falling,
    Neither,
}

impl<T, L: Fn(&T, &T) -> bool> Sorter<'_, T, L> {
    fn less(&self, a: usize, b: usize) -> bool {
        match (self.values.get(a), self.values.get(b)) {
            (Some(a), Some(b)) => (self.less)(a, b),
            _ => false,
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.values.swap(a, b);
    }

    fn quick(&mut self, mut start: usize, mut end: usize, mut limit: u32) {
        let (mut balanced, mut ordered) = (true, true);
        loop {
            let length = end - start;
            if length <= MAX_INSERTION {
                return self.insertion(start, end);
            }
            if limit == 0 {
                return self.heap(start, end);
            }
            if !balanced {
                self.shuffle(start, end);
                limit -= 1;
            }
            let (mut pivot, mut seen) = self.pivot(start, end);
            if seen == Seen::Falling {
                self.values.get_mut(start..end).unwrap_or_default().reverse();
                pivot = end - 1 - (pivot - start);
                seen = Seen::Rising;
            }
            if balanced && ordered && seen == Seen::Rising && self.nearly_sorted(start, end) {
                return;
            }
            // Nothing here is less than what stands before: many are equal to the pivot, and need not be looked at again.
            if start > 0 && !self.less(start - 1, pivot) {
                start = self.split_equal(start, end, pivot);
                continue;
            }
            let (middle, was_split) = self.split(start, end, pivot);
            ordered = was_split;
            let (left, right) = (middle - start, end - middle);
            balanced = left.min(right) >= length / 8;
            if left < right {
                self.quick(start, middle, limit);
                start = middle + 1;
            } else {
                self.quick(middle + 1, end, limit);
                end = middle;
            }
        }
    }

    fn insertion(&mut self, start: usize, end: usize) {
        for i in start + 1..end {
            self.sink(i, start);
        }
    }

    /// Moves an element down to `lowest` while it is less than the one before.
    fn sink(&mut self, from: usize, lowest: usize) {
        let mut at = from;
        while at > lowest && self.less(at, at - 1) {
            self.swap(at, at - 1);
            at -= 1;
        }
    }

    fn heap(&mut self, start: usize, end: usize) {
        let length = end - start;
        for root in (0..=(length - 1) / 2).rev() {
            self.sift(root, length, start);
        }
        for last in (0..length).rev() {
            self.swap(start, start + last);
            self.sift(0, last, start);
        }
    }

    fn sift(&mut self, mut root: usize, length: usize, start: usize) {
        loop {
            let mut child = 2 * root + 1;
            if child >= length {
                return;
            }
            if child + 1 < length && self.less(start + child, start + child + 1) {
                child += 1;
            }
            if !self.less(start + root, start + child) {
                return;
            }
            self.swap(start + root, start + child);
            root = child;
        }
    }

    /// The place of the pivot behind which nothing is less, and whether nothing had to be moved.
    fn split(&mut self, start: usize, end: usize, pivot: usize) -> (usize, bool) {
        self.swap(start, pivot);
        let (mut low, mut high) = (start + 1, end - 1);
        let mut moved = false;
        loop {
            while low <= high && self.less(low, start) {
                low += 1;
            }
            while low <= high && !self.less(high, start) {
                high -= 1;
            }
            if low > high {
                self.swap(high, start);
                return (high, !moved);
            }
            self.swap(low, high);
            moved = true;
            (low, high) = (low + 1, high - 1);
        }
    }

    /// Where the elements begin that are more than the pivot.
    fn split_equal(&mut self, start: usize, end: usize, pivot: usize) -> usize {
        self.swap(start, pivot);
        let (mut low, mut high) = (start + 1, end - 1);
        loop {
            while low <= high && !self.less(start, low) {
                low += 1;
            }
            while low <= high && self.less(start, high) {
                high -= 1;
            }
            if low > high {
                return low;
            }
            self.swap(low, high);
            (low, high) = (low + 1, high - 1);
        }
    }

    /// Mends a few pairs; whether everything is sorted then.
    fn nearly_sorted(&mut self, start: usize, end: usize) -> bool {
        let mut at = start + 1;
        for _ in 0..5 {
            while at < end && !self.less(at, at - 1) {
                at += 1;
            }
            if at == end {
                return true;
            }
            if end - start < LONG {
                return false;
            }
            self.swap(at, at - 1);
            if at - start >= 2 {
                // Down to the very first element of the whole slice, as Go has it; what stands before `start` is not more.
                self.sink(at - 1, 0);
            }
            let mut up = at + 1;
            while end - at >= 2 && up < end && self.less(up, up - 1) {
                self.swap(up, up - 1);
                up += 1;
            }
        }
        false
    }

    /// Swaps some elements of the middle with others, so that no pattern lasts.
    fn shuffle(&mut self, start: usize, end: usize) {
        let length = end - start;
        if length < 8 {
            return;
        }
        let mut random = length as u64;
        let mask = (1usize << (usize::BITS - length.leading_zeros())) - 1;
        let middle = start + length / 4 * 2;
        for at in middle - 1..=middle + 1 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let other = random as usize & mask;
            let other = if other >= length { other - length } else { other };
            self.swap(at, start + other);
        }
    }

    fn pivot(&self, start: usize, end: usize) -> (usize, Seen) {
        let length = end - start;
        let quarter = length / 4;
        let mut swaps = 0;
        let mut places = [start + quarter, start + quarter * 2, start + quarter * 3];
        if length >= LONG {
            for place in &mut places {
                *place = self.median([*place - 1, *place, *place + 1], &mut swaps);
            }
        }
        let pivot = self.median(places, &mut swaps);
        match swaps {
            0 => (pivot, Seen::Rising),
            12 => (pivot, Seen::Falling),
            _ => (pivot, Seen::Neither),
        }
    }

    fn median(&self, [mut a, mut b, mut c]: [usize; 3], swaps: &mut u32) -> usize {
        let mut order = |low: &mut usize, high: &mut usize| {
            if self.less(*high, *low) {
                *swaps += 1;
                std::mem::swap(low, high);
            }
        };
        order(&mut a, &mut b);
        order(&mut b, &mut c);
        order(&mut a, &mut b);
        b
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A sequence of numbers that anybody can make: keys below `keys`, each with its place.
    fn made(length: u32, keys: u32) -> Vec<(u32, u32)> {
        let mut state = length;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % keys
        };
        (0..length).map(|at| (next(), at)).collect()
    }

    fn checksum(length: u32, keys: u32) -> u32 {
        let mut values = made(length, keys);
        sort_like_go(&mut values, |a, b| a.0 < b.0);
        assert!(values.is_sorted_by_key(|value| value.0));
        values.iter().fold(17, |sum: u32, (_, at)| sum.wrapping_mul(31).wrapping_add(*at))
    }

    #[test]
    fn ties_come_in_the_order_of_go() {
        // Length, number of different keys, and the checksum that Go 1.26 gives with `slices.SortFunc`.
        for (length, keys, expected) in GO {
            assert_eq!(checksum(length, keys), expected, "{length} elements with {keys} keys");
        }
    }

    const GO: [(u32, u32, u32); 14] = [
        (5, 2, 488_635_827),
        (12, 3, 3_214_482_511),
        (13, 3, 142_908_007),
        (30, 2, 1_856_231_046),
        (49, 5, 456_601_597),
        (50, 5, 202_298_982),
        (51, 1, 3_274_675_080),
        (100, 3, 264_409_005),
        (100, 1000, 2_900_559_615),
        (500, 4, 3_497_619_583),
        (500, 500, 2_813_596_009),
        (3000, 7, 650_583_471),
        (3000, 100_000, 2_276_484_013),
        (20_000, 50, 2_072_864_899),
    ];

    proptest! {
        #[test]
        fn whatever_the_order_says_nothing_is_lost(values in prop::collection::vec(0u8..40, 0..300), odd in 1u8..9) {
            let mut sorted = values.clone();
            sort_like_go(&mut sorted, |a, b| a < b);
            let mut expected = values.clone();
            expected.sort_unstable();
            prop_assert_eq!(&sorted, &expected);
            // Not an order at all.
            let mut mixed = values;
            sort_like_go(&mut mixed, |a, b| a % odd == 0 || a < b);
            mixed.sort_unstable();
            prop_assert_eq!(mixed, expected);
        }
    }
}
