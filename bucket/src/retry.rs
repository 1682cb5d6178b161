//! Tries again, with a bound.
//!
//! The client of S3 already repeats single requests and resumes broken bodies; this bound is for whole operations on top of
//! it, and for stores without such a client. Waiting is the timer's. A refusal (no rights, no such object) is not repeated.

use std::future::Future;
use std::time::Duration;

use crate::error::Error;
use crate::observer::Timer;

/// How often an operation is tried, and how long is waited in between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all; at least one is made.
    pub tries: u32,
    /// Wait before the second try; doubled before each further one.
    pub first_wait: Duration,
    /// Longest wait.
    pub longest_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 3, first_wait: Duration::from_millis(200), longest_wait: Duration::from_secs(5) }
    }
}

impl Retry {
    /// One try only.
    pub const NEVER: Self = Self { tries: 1, first_wait: Duration::ZERO, longest_wait: Duration::ZERO };

    /// The wait after `failures` failed tries.
    fn wait(&self, failures: u32) -> Duration {
        let doubled =
            self.first_wait.saturating_mul(1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX));
        doubled.min(self.longest_wait)
    }

    /// Calls `attempt` until it succeeds, fails for good, or the tries are used up; and how many repetitions there were.
    pub(crate) async fn run<T, F>(
        &self,
        timer: &dyn Timer,
        mut attempt: impl FnMut() -> F,
    ) -> (Result<T, Error>, u32)
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let mut failures = 0;
        loop {
            let result = attempt().await;
            match result {
                Err(error) if error.is_passing() && failures + 1 < self.tries => {
                    failures += 1;
                    timer.wait(self.wait(failures)).await;
                }
                result => return (result, failures),
            }
        }
    }
}
