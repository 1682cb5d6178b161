//! A binary heap that orders equals as Go's `container/heap` does.
//!
//! Which of two values for one time a compaction of Prometheus keeps, and which of two chunks with the same times comes first,
//! depends on how its heap moves things that are equal. The same moves are made here: a new thing rises while it is less
//! than its parent; the first leaves, the last takes its place and sinks below the lesser child while that is less.

/// Things, the least first by `less`.
#[derive(Debug)]
pub(crate) struct Heap<T, L> {
    things: Vec<T>,
    less: L,
}

impl<T, L: Fn(&T, &T) -> bool> Heap<T, L> {
    pub(crate) const fn new(less: L) -> Self {
        Self { things: Vec::new(), less }
    }

    /// All things in the order in which they lie, which decides how equals come out.
    #[inline]
    pub(crate) fn things(&self) -> &[T] {
        &self.things
    }

    /// The same, to be changed in a way that leaves the least first.
    #[inline]
    pub(crate) fn things_mut(&mut self) -> &mut [T] {
        &mut self.things
    }

    #[inline]
    pub(crate) fn first(&self) -> Option<&T> {
        self.things.first()
    }

    #[inline]
    fn less(&self, i: usize, j: usize) -> bool {
        matches!((self.things.get(i), self.things.get(j)), (Some(a), Some(b)) if (self.less)(a, b))
    }

    #[inline]
    pub(crate) fn push(&mut self, thing: T) {
        self.things.push(thing);
        let mut child = self.things.len() - 1;
        while child > 0 {
            let parent = (child - 1) / 2;
            if !self.less(child, parent) {
                return;
            }
            self.things.swap(child, parent);
            child = parent;
        }
    }

    #[inline]
    pub(crate) fn pop(&mut self) -> Option<T> {
        if self.things.is_empty() {
            return None;
        }
        let first = self.things.swap_remove(0);
        let mut parent = 0;
        loop {
            let (left, right) = (2 * parent + 1, 2 * parent + 2);
            let child = if self.less(right, left) { right } else { left };
            if !self.less(child, parent) {
                return Some(first);
            }
            self.things.swap(child, parent);
            parent = child;
        }
    }
}
