//! Whether a server is worth asking.
//!
//! A server that failed too often is left alone for a while; then single calls try it again, and when enough of them went well it
//! is asked as before. Pure: time comes in.

use std::time::Duration;

/// When a server is left alone, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerOptions {
    /// So many calls must go well before a server that was left alone is asked as before.
    pub half_open_max_requests: u32,
    /// How long it is left alone.
    pub open_duration: Duration,
    /// The share of failures counts from this many calls on.
    pub min_requests: u32,
    /// So many failures one after the other are too many.
    pub consecutive_failures: u32,
    /// Such a share of failures is too large: 0.05 is one in twenty.
    pub failure_percent: f64,
}

impl Default for BreakerOptions {
    /// Thanos' numbers, but a share of failures never counts: single slow answers are no reason.
    fn default() -> Self {
        Self {
            half_open_max_requests: 10,
            open_duration: Duration::from_secs(5),
            min_requests: 50,
            consecutive_failures: 5,
            failure_percent: 1.0,
        }
    }
}

/// Calls are counted for this long, and then anew.
const WINDOW: Duration = Duration::from_secs(10);

/// What is known about a server.
#[derive(Debug)]
pub(super) struct Breaker {
    options: BreakerOptions,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed { since: Duration, calls: u32, failures: u32, in_a_row: u32 },
    Open { until: Duration },
    HalfOpen { trying: bool, succeeded: u32 },
}

impl Breaker {
    pub(super) const fn new(options: BreakerOptions) -> Self {
        Self { options, state: closed(Duration::ZERO) }
    }

    /// Whether a call may be made now. If so, its end must be told.
    pub(super) fn allows(&mut self, now: Duration) -> bool {
        match &mut self.state {
            State::Closed { .. } => true,
            State::Open { until } if now < *until => false,
            State::Open { .. } => {
                self.state = State::HalfOpen { trying: true, succeeded: 0 };
                true
            }
            State::HalfOpen { trying, .. } => !std::mem::replace(trying, true),
        }
    }

    /// A call that was allowed has ended.
    pub(super) fn ended(&mut self, well: bool, now: Duration) {
        let open = State::Open { until: now.saturating_add(self.options.open_duration) };
        match &mut self.state {
            State::Closed { since, calls, failures, in_a_row } => {
                if now.saturating_sub(*since) >= WINDOW {
                    (*since, *calls, *failures) = (now, 0, 0);
                }
                *calls += 1;
                if well {
                    *in_a_row = 0;
                    return;
                }
                *failures += 1;
                *in_a_row += 1;
                let share = f64::from(*failures) / f64::from(*calls);
                let many = *calls >= self.options.min_requests && share >= self.options.failure_percent;
                if many || *in_a_row >= self.options.consecutive_failures.max(1) {
                    self.state = open;
                }
            }
            State::HalfOpen { trying, succeeded } => {
                *trying = false;
                *succeeded += 1;
                if !well {
                    self.state = open;
                } else if *succeeded >= self.options.half_open_max_requests.max(1) {
                    self.state = closed(now);
                }
            }
            // It was under way when others failed.
            State::Open { .. } => {}
        }
    }
}

const fn closed(since: Duration) -> State {
    State::Closed { since, calls: 0, failures: 0, in_a_row: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPTIONS: BreakerOptions = BreakerOptions {
        half_open_max_requests: 2,
        open_duration: Duration::from_secs(5),
        min_requests: 10,
        consecutive_failures: 3,
        failure_percent: 0.5,
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn failures_in_a_row_open_it_and_calls_that_go_well_close_it() {
        let mut breaker = Breaker::new(OPTIONS);
        for _ in 0..2 {
            assert!(breaker.allows(at(0)));
            breaker.ended(false, at(0));
        }
        breaker.ended(true, at(0));
        for _ in 0..3 {
            assert!(breaker.allows(at(1)));
            breaker.ended(false, at(1));
        }
        assert!(!breaker.allows(at(5)));
        assert!(breaker.allows(at(6)), "it is tried again");
        assert!(!breaker.allows(at(6)), "by one at a time");
        breaker.ended(false, at(6));
        assert!(!breaker.allows(at(10)));
        for _ in 0..2 {
            assert!(breaker.allows(at(11)));
            breaker.ended(true, at(11));
        }
        assert!(breaker.allows(at(11)) && breaker.allows(at(11)));
    }

    #[test]
    fn a_large_share_of_failures_opens_it() {
        let mut breaker = Breaker::new(OPTIONS);
        for call in 0..9 {
            breaker.ended(call % 2 == 0, at(0));
        }
        assert!(breaker.allows(at(0)));
        breaker.ended(false, at(0));
        assert!(!breaker.allows(at(0)));
        // Calls of another time do not count.
        let mut breaker = Breaker::new(OPTIONS);
        for call in 0..20 {
            breaker.ended(call % 2 == 0, at(call * 10));
        }
        assert!(breaker.allows(at(200)));
    }
}
