//! The heap of Go's `container/heap`: which of equal elements stays depends on how it is kept, so it is kept in the same way.

/// Whether an element comes before another one.
pub(super) type Before = fn(f64, f64) -> bool;

/// The smallest on top; NaN is smaller than everything.
pub(super) fn ascending(a: f64, b: f64) -> bool {
    a.is_nan() || a < b
}

/// The largest on top; NaN is larger than everything.
pub(super) fn descending(a: f64, b: f64) -> bool {
    a.is_nan() || a > b
}

/// Numbers, each with the series that it is of.
pub(super) type Heap = Vec<(f64, usize)>;

fn is_before(heap: &Heap, before: Before, a: usize, b: usize) -> bool {
    match (heap.get(a), heap.get(b)) {
        (Some((a, _)), Some((b, _))) => before(*a, *b),
        _ => false,
    }
}

/// Puts an element in.
pub(super) fn push(heap: &mut Heap, before: Before, element: (f64, usize)) {
    heap.push(element);
    let mut at = heap.len() - 1;
    while at > 0 {
        let parent = (at - 1) / 2;
        if !is_before(heap, before, at, parent) {
            break;
        }
        heap.swap(at, parent);
        at = parent;
    }
}

/// Puts an element in the place of the one on top.
pub(super) fn replace(heap: &mut Heap, before: Before, element: (f64, usize)) {
    let Some(top) = heap.first_mut() else { return };
    *top = element;
    let mut at = 0;
    loop {
        let left = 2 * at + 1;
        if left >= heap.len() {
            break;
        }
        let right = left + 1;
        let least = if right < heap.len() && is_before(heap, before, right, left) { right } else { left };
        if !is_before(heap, before, least, at) {
            break;
        }
        heap.swap(at, least);
        at = least;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_best_stay(values in prop::collection::vec(-5i8..5, 0..40), k in 1usize..6) {
            let mut heap = Heap::new();
            for (at, value) in values.iter().enumerate() {
                let value = f64::from(*value);
                if heap.len() < k {
                    push(&mut heap, ascending, (value, at));
                } else if heap.first().is_some_and(|(least, _)| *least < value) {
                    replace(&mut heap, ascending, (value, at));
                }
            }
            let mut kept: Vec<f64> = heap.iter().map(|(value, _)| *value).collect();
            kept.sort_by(f64::total_cmp);
            let mut all: Vec<f64> = values.iter().map(|value| f64::from(*value)).collect();
            all.sort_by(f64::total_cmp);
            prop_assert_eq!(&kept[..], &all[all.len().saturating_sub(k)..]);
        }
    }
}
