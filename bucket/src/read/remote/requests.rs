//! Ranged reads that do not wait for the slowest: a late one is asked again, and whichever answer comes first counts.
//!
//! What is late follows from what reads take: a multiple of the running mean, never less than a bound. A store that is slow as a whole is not
//! asked twice as much: every read earns a part of a second one, and what was earned is soon spent. Time is the bucket's timer.

use std::ops::Range;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use futures_util::{StreamExt, TryStreamExt};

use crate::bucket::Bucket;
use crate::error::Error;
use crate::ranges::Stretches;

/// When a read is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HedgeOptions {
    /// No read is late before this.
    pub least: Duration,
    /// A read is late when it takes so many times what reads take on the average.
    pub times: u32,
    /// At most one in so many reads is asked again, over time.
    pub one_in: u32,
}

impl Default for HedgeOptions {
    fn default() -> Self {
        Self { least: Duration::from_millis(50), times: 3, one_in: 10 }
    }
}

/// How many second reads can be saved up.
const MOST_EARNED: u32 = 10;
/// A read of so many bytes may take twice as long as one of none.
const BYTES_PER_LATENCY: u64 = 1 << 20;
/// The last read is one in so many in the running mean.
const MEMORY: u32 = 16;

/// What reads took lately.
#[derive(Debug)]
pub(super) struct Hedge {
    options: HedgeOptions,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    mean: Duration,
    /// Second reads that were earned, times `one_in`.
    earned: u32,
}

impl Hedge {
    pub(super) fn new(options: HedgeOptions) -> Self {
        let one_in = options.one_in.max(1);
        let state = State { mean: Duration::ZERO, earned: one_in };
        Self { options: HedgeOptions { one_in, ..options }, state: Mutex::new(state) }
    }

    fn scaled(took: Duration, bytes: u64) -> Duration {
        let parts = 1.0 + bytes as f64 / BYTES_PER_LATENCY as f64;
        took.div_f64(parts)
    }

    /// How long a read of so many bytes may take.
    fn patience(&self, bytes: u64) -> Duration {
        let mean = self.state.lock().unwrap_or_else(PoisonError::into_inner).mean;
        let parts = 1.0 + bytes as f64 / BYTES_PER_LATENCY as f64;
        (mean * self.options.times).mul_f64(parts).max(self.options.least)
    }

    fn ended(&self, took: Duration, bytes: u64) {
        let took = Self::scaled(took, bytes);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.mean = if state.mean.is_zero() { took } else { (state.mean * (MEMORY - 1) + took) / MEMORY };
        state.earned = (state.earned + 1).min(self.options.one_in.saturating_mul(MOST_EARNED));
    }

    /// Whether a read may be asked again, which is then counted.
    fn spend(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let left = state.earned.checked_sub(self.options.one_in);
        state.earned = left.unwrap_or(state.earned);
        left.is_some()
    }
}

/// The bytes of `range`, asked for again if they are late.
pub(super) async fn get(
    bucket: &Bucket,
    hedge: Option<&Hedge>,
    name: &str,
    range: Range<u64>,
) -> Result<Bytes, Error> {
    let Some(hedge) = hedge else { return bucket.get_range(name, range).await };
    let bytes = range.end.saturating_sub(range.start);
    let start = bucket.elapsed();
    let first = pin!(bucket.get_range(name, range.clone()));
    let late = bucket.timer().wait(hedge.patience(bytes));
    let result = match select(first, late).await {
        Either::Left((result, _)) => result,
        Either::Right(((), first)) if !hedge.spend() => first.await,
        Either::Right(((), first)) => {
            let second = pin!(bucket.get_range(name, range));
            match select(first, second).await {
                Either::Left((Ok(bytes), _)) | Either::Right((Ok(bytes), _)) => Ok(bytes),
                Either::Left((Err(_), second)) => second.await,
                Either::Right((Err(_), first)) => first.await,
            }
        }
    };
    if result.is_ok() {
        hedge.ended(bucket.elapsed().saturating_sub(start), bytes);
    }
    result
}

/// Fetches these ranges of an object as they are: in order, without overlap.
pub(super) async fn get_each(
    bucket: &Bucket,
    hedge: Option<&Hedge>,
    name: &str,
    ranges: Vec<Range<u64>>,
    in_flight: usize,
) -> Result<Stretches, Error> {
    if let [only] = ranges.as_slice() {
        let bytes = vec![get(bucket, hedge, name, only.clone()).await?];
        return Ok(Stretches { ranges, bytes });
    }
    let requests = ranges.clone().into_iter().map(|range| get(bucket, hedge, name, range));
    let bytes = futures_util::stream::iter(requests).buffered(in_flight.max(1)).try_collect().await?;
    Ok(Stretches { ranges, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_read_in_ten_is_asked_again_and_what_is_late_follows_from_the_others() {
        let hedge = Hedge::new(HedgeOptions::default());
        assert_eq!(hedge.patience(0), Duration::from_millis(50));
        assert!(hedge.spend() && !hedge.spend(), "there is one to begin with");
        (0..1000).for_each(|_| hedge.ended(Duration::from_millis(100), 0));
        let mean = hedge.patience(0).as_millis();
        assert!((290..=300).contains(&mean), "{mean} ms");
        assert_eq!(hedge.patience(1 << 20), hedge.patience(0) * 2);
        assert_eq!((0..100).filter(|_| hedge.spend()).count(), 10, "no more is saved up");
        (0..25).for_each(|_| hedge.ended(Duration::from_millis(100), 0));
        assert_eq!((0..100).filter(|_| hedge.spend()).count(), 2);
    }
}
