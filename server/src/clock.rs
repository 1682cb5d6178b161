//! The only room that asks for the time, and for chance.

#[cfg(feature = "objstore")]
use std::time::Duration;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use sarsen_block::Timestamp;

/// Milliseconds since 1970, as samples count them.
pub(crate) fn now() -> Timestamp {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
    }
}

/// A moment to measure from.
pub(crate) fn moment() -> Instant {
    Instant::now()
}

/// Four numbers nobody can foresee: the standard library keys its hash tables from the system's source of chance.
#[cfg(any(feature = "receive", feature = "compact", feature = "query"))]
pub(crate) fn seed() -> [u64; 4] {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    std::array::from_fn(|_| RandomState::new().build_hasher().finish())
}

/// Measures and waits for crates that may do neither by themselves.
#[cfg(feature = "objstore")]
#[derive(Debug)]
pub(crate) struct Clock(Instant);

#[cfg(feature = "objstore")]
impl Clock {
    /// A clock that counts from now.
    pub(crate) fn start() -> Self {
        Self(moment())
    }
}

#[cfg(feature = "objstore")]
impl sarsen_bucket::Timer for Clock {
    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    fn wait(&self, duration: Duration) -> sarsen_bucket::Wait<'_> {
        Box::pin(tokio::time::sleep(duration))
    }
}
