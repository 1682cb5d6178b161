//! A bound on bytes per second, kept by waiting.
//!
//! Every transfer takes at least as long as the bound allows for its bytes, and transfers that run at the same time queue for it. The
//! wait comes after the transfer, when its size is known, so one transfer may run at full speed; the average keeps the bound.
//! Behind [`NoTime`](crate::NoTime) nothing waits.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::observer::Timer;

/// The queue.
#[derive(Debug)]
pub(crate) struct Throttle {
    bytes_per_second: u64,
    /// When the bytes that have passed will have had their time.
    paid_until: Mutex<Duration>,
}

impl Throttle {
    /// At most this many bytes in a second; at least 1.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self { bytes_per_second: bytes_per_second.max(1), paid_until: Mutex::default() }
    }

    /// Waits for as long as `bytes` take.
    pub(crate) async fn passed(&self, bytes: u64, timer: &dyn Timer) {
        let now = timer.elapsed();
        let nanos = u128::from(bytes).saturating_mul(1_000_000_000) / u128::from(self.bytes_per_second);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let wait = {
            let mut paid_until = self.paid_until.lock().unwrap_or_else(PoisonError::into_inner);
            *paid_until = (*paid_until).max(now).saturating_add(cost);
            paid_until.saturating_sub(now)
        };
        timer.wait(wait).await;
    }
}
