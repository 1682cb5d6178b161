//! Things that are dear to make and dear to keep, lent from a few that the process keeps idle.
//!
//! A thousand logs in one process each append for an instant every half minute; buffers kept for each would cost more
//! than what the logs hold. As many as can be in use at once are enough for all of them.

use parking_lot::Mutex;

/// How many idle things a pool keeps.
const KEPT: usize = 8;

/// A pool, meant to be a `static`. It makes nothing itself: who finds it empty makes a new thing and gives it back later.
#[derive(Debug)]
pub struct Pool<T>(Mutex<Vec<T>>);

impl<T> Pool<T> {
    /// An empty pool.
    #[expect(clippy::new_without_default, reason = "a default cannot stand in a static")]
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The thing given back last, if one is idle.
    pub fn lend(&self) -> Option<T> {
        self.0.lock().pop()
    }

    /// Keeps a thing for the next borrower, unless enough are idle; then it is dropped.
    pub fn give_back(&self, thing: T) {
        let mut idle = self.0.lock();
        if idle.len() < KEPT {
            idle.push(thing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_a_few_and_lends_the_last() {
        let pool = Pool::new();
        assert_eq!(pool.lend(), None);
        for thing in 0..20 {
            pool.give_back(thing);
        }
        let lent: Vec<_> = std::iter::from_fn(|| pool.lend()).collect();
        assert_eq!(lent, [7, 6, 5, 4, 3, 2, 1, 0]);
    }
}
