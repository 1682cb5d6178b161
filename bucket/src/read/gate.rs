//! How many requests are at work at the same time.
//!
//! The others wait outside in the order in which they came. The owner measures how long; nothing here asks the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// A gate that lets so many through at once. Clones are the same gate.
#[derive(Debug, Clone)]
pub struct Gate(Arc<Door>);

#[derive(Debug)]
struct Door {
    most: u64,
    permits: Option<Arc<Semaphore>>,
    inside: AtomicU64,
    passed: AtomicU64,
}

/// A request that is inside; dropping it lets the next one in.
#[derive(Debug)]
pub struct Passage {
    door: Arc<Door>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Drop for Passage {
    fn drop(&mut self) {
        self.door.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    /// At most `most` at once; 0 is no bound.
    pub fn new(most: u64) -> Self {
        let permits = usize::try_from(most).unwrap_or(usize::MAX).min(Semaphore::MAX_PERMITS);
        let permits = (most > 0).then(|| Arc::new(Semaphore::new(permits)));
        Self(Arc::new(Door { most, permits, inside: AtomicU64::new(0), passed: AtomicU64::new(0) }))
    }

    /// Waits for its turn.
    pub async fn enter(&self) -> Passage {
        let permit = match &self.0.permits {
            // It is never closed, so there is always a permit.
            Some(permits) => Arc::clone(permits).acquire_owned().await.ok(),
            None => None,
        };
        self.0.inside.fetch_add(1, Ordering::Relaxed);
        self.0.passed.fetch_add(1, Ordering::Relaxed);
        Passage { door: Arc::clone(&self.0), _permit: permit }
    }

    /// The bound; 0 is none.
    pub fn most(&self) -> u64 {
        self.0.most
    }

    /// How many are inside now.
    pub fn inside(&self) -> u64 {
        self.0.inside.load(Ordering::Relaxed)
    }

    /// Whether nobody is inside or waits, and this is the only handle.
    pub fn is_idle(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// How many have been let in so far.
    pub fn passed(&self) -> u64 {
        self.0.passed.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_than_the_bound_are_inside_and_all_get_in() {
        let gate = Gate::new(3);
        let tasks: Vec<_> = (0..50)
            .map(|_| {
                let gate = gate.clone();
                tokio::spawn(async move {
                    let _passage = gate.enter().await;
                    let inside = gate.inside();
                    tokio::task::yield_now().await;
                    inside
                })
            })
            .collect();
        for task in tasks {
            assert!(task.await.unwrap() <= 3);
        }
        assert_eq!((gate.inside(), gate.passed(), gate.most()), (0, 50, 3));
    }

    #[tokio::test]
    async fn zero_is_no_bound() {
        let gate = Gate::new(0);
        let inside = [gate.enter().await, gate.enter().await];
        assert_eq!(gate.inside(), 2);
        drop(inside);
        assert_eq!(gate.inside(), 0);
    }
}
