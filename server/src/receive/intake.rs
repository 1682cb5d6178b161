//! How much is taken at once: requests, bytes, threads; and the memory that one request after another uses.
//!
//! A request waits for its turn for a bounded time, then it is turned away to come back later. While it waits for the disk it
//! holds neither its buffers nor one of the few places for computing, nor a thread: so a slow disk makes large groups, not
//! long lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use sarsen_block::LabelsBuilder;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::options::IntakeOptions;
use crate::wire::remote_write::Scratch;

/// Requests whose samples are committed and wait for the disk, beside those that compute.
const WAITING: usize = 2048;
/// Buffers larger than this are given back to the system instead of kept.
const KEPT_BYTES: usize = 8 << 20;

/// The intake is full for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many write requests in work")]
pub(super) struct Full;

/// There are not enough bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shortage {
    /// Others have them now.
    Now(Full),
    /// There never will be.
    Always,
}

/// The bounds and the pool.
#[derive(Debug)]
pub(super) struct Intake {
    /// Everything that has been let in and not answered.
    admitted: Arc<Semaphore>,
    /// Decoding and committing.
    computing: Arc<Semaphore>,
    patience: Duration,
    /// Requests inside the gate of the limits file, whose width may change at any time.
    inside: AtomicU64,
    left: Notify,
    bytes: Arc<Bytes>,
    pool: Mutex<Vec<Memory>>,
    pool_size: usize,
}

/// A place inside the gate; free again when dropped.
#[derive(Debug)]
pub(super) struct Inside<'a>(&'a Intake);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
        self.0.left.notify_one();
    }
}

#[derive(Debug)]
struct Bytes {
    in_work: AtomicUsize,
    limit: usize,
}

/// Bytes that a request has claimed; given back when dropped.
#[derive(Debug)]
pub(super) struct Claim {
    bytes: Arc<Bytes>,
    claimed: usize,
}

/// What one request is read into.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The body as it came.
    pub(super) body: Vec<u8>,
    /// The body, decompressed.
    pub(super) decoded: Vec<u8>,
    pub(super) scratch: Scratch,
    pub(super) labels: LabelsBuilder,
}

impl Intake {
    pub(super) fn new(options: &IntakeOptions) -> Self {
        let threads = options.threads.max(1);
        Self {
            admitted: Arc::new(Semaphore::new(threads + WAITING)),
            computing: Arc::new(Semaphore::new(threads)),
            patience: options.patience,
            inside: AtomicU64::new(0),
            left: Notify::new(),
            bytes: Arc::new(Bytes { in_work: AtomicUsize::new(0), limit: options.bytes_in_work }),
            pool: Mutex::new(Vec::new()),
            pool_size: threads * 2,
        }
    }

    /// A place inside the gate, `width` places wide; 0 is as wide as it likes.
    pub(super) async fn enter(&self, width: u64) -> Result<Inside<'_>, Full> {
        let waited = tokio::time::timeout(self.patience, async {
            loop {
                let left = self.left.notified();
                let step = |inside: u64| (width == 0 || inside < width).then_some(inside + 1);
                if self.inside.fetch_update(Ordering::SeqCst, Ordering::SeqCst, step).is_ok() {
                    return Inside(self);
                }
                left.await;
            }
        });
        waited.await.map_err(|_| Full)
    }

    /// A place among the requests in work.
    pub(super) async fn admit(&self) -> Result<OwnedSemaphorePermit, Full> {
        self.turn(&self.admitted).await
    }

    /// A place among those that compute.
    pub(super) async fn compute(&self) -> Result<OwnedSemaphorePermit, Full> {
        self.turn(&self.computing).await
    }

    async fn turn(&self, line: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Full> {
        match tokio::time::timeout(self.patience, Arc::clone(line).acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Full),
        }
    }

    /// A claim on no bytes yet.
    pub(super) fn claim(&self) -> Claim {
        Claim { bytes: Arc::clone(&self.bytes), claimed: 0 }
    }

    /// Memory for a request, used before if possible.
    pub(super) fn memory(&self) -> Memory {
        self.pool.lock().pop().unwrap_or_default()
    }

    /// Takes memory back.
    pub(super) fn give_back(&self, mut memory: Memory) {
        let parts = [memory.body.capacity(), memory.decoded.capacity(), memory.scratch.capacity_bytes()];
        if parts.iter().any(|bytes| *bytes > KEPT_BYTES) {
            return;
        }
        memory.body.clear();
        let mut pool = self.pool.lock();
        if pool.len() < self.pool_size {
            pool.push(memory);
        }
    }
}

impl Claim {
    /// Raises the claim to `total` bytes in all, if they are free.
    pub(super) fn raise(&mut self, total: usize) -> Result<(), Shortage> {
        let more = total.saturating_sub(self.claimed);
        if more == 0 {
            return Ok(());
        }
        let limit = self.bytes.limit;
        if total > limit {
            return Err(Shortage::Always);
        }
        let fits = |now: usize| now.checked_add(more).filter(|sum| *sum <= limit);
        match self.bytes.in_work.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits) {
            Ok(_) => {
                self.claimed = total;
                Ok(())
            }
            Err(_) => Err(Shortage::Now(Full)),
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.bytes.in_work.fetch_sub(self.claimed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn bytes_and_places_come_back() {
        let options = IntakeOptions {
            bytes_in_work: 100,
            threads: 1,
            patience: Duration::ZERO,
            ..IntakeOptions::default()
        };
        let intake = Intake::new(&options);
        let mut first = intake.claim();
        first.raise(60).unwrap();
        first.raise(10).unwrap();
        let mut second = intake.claim();
        assert_eq!(second.raise(41), Err(Shortage::Now(Full)));
        assert_eq!(second.raise(101), Err(Shortage::Always));
        drop(first);
        second.raise(100).unwrap();

        let inside = intake.enter(1).await.unwrap();
        assert!(intake.enter(1).await.is_err());
        assert!(intake.enter(0).await.is_ok());
        drop(inside);
        assert!(intake.enter(1).await.is_ok());

        let place = intake.compute().await.unwrap();
        assert!(intake.compute().await.is_err());
        drop(place);
        assert!(intake.compute().await.is_ok());
    }

    #[test]
    fn memory_is_used_again_unless_it_is_huge() {
        let intake = Intake::new(&IntakeOptions::default());
        let mut memory = intake.memory();
        memory.body.extend_from_slice(&[1; 1000]);
        intake.give_back(memory);
        let mut memory = intake.memory();
        assert!(memory.body.is_empty() && memory.body.capacity() >= 1000);
        memory.decoded.resize(KEPT_BYTES + 1, 0);
        intake.give_back(memory);
        assert_eq!(intake.memory().decoded.capacity(), 0);
    }
}
