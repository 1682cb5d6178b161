//! How far a long tool has come: one line on standard error that is written over, if that is a terminal.
//!
//! The line is drawn when bytes have moved, at most ten times a second, and cleared before anything else is printed. Where standard
//! error is no terminal nothing is shown at all.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sarsen_bucket::{BucketObserver, Operation};

use crate::clock::moment;

/// Time between two drawings.
const PAUSE: Duration = Duration::from_millis(100);
/// Places of the bar.
const PLACES: u64 = 24;

/// A bar that hears what a bucket moves.
#[derive(Debug)]
pub(super) struct Progress {
    what: &'static str,
    shown: bool,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes to move in all; 0: not known.
    total: u64,
    moved: u64,
    /// What is being worked on.
    at: String,
    drawn: Option<Duration>,
}

impl Progress {
    /// A bar for a tool that does `what`.
    pub(super) fn new(what: &'static str) -> Arc<Self> {
        let shown = std::io::stderr().is_terminal();
        Arc::new(Self { what, shown, start: moment(), state: Mutex::default() })
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        if !self.shown {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut state);
        let elapsed = self.start.elapsed();
        if state.drawn.is_none_or(|drawn| elapsed.saturating_sub(drawn) >= PAUSE) {
            state.drawn = Some(elapsed);
            // What cannot be shown is not worth a failure.
            let _ = write!(std::io::stderr(), "\r{}\x1b[K", line(self.what, &state, elapsed));
        }
    }

    /// So many bytes more are to be moved.
    pub(super) fn expect(&self, bytes: u64) {
        self.change(|state| state.total += bytes);
    }

    /// What is being worked on now.
    pub(super) fn at(&self, what: &str) {
        self.change(|state| what.clone_into(&mut state.at));
    }

    /// Makes room for a line of output; the bar comes back with the next bytes.
    pub(super) fn clear(&self) {
        if self.shown {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).drawn = None;
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    /// The same, at the end.
    pub(super) fn end(&self) {
        self.clear();
    }
}

impl BucketObserver for Progress {
    fn moved(&self, _operation: Operation, bytes: u64) {
        self.change(|state| state.moved += bytes);
    }
}

/// `copy [######..................]  25%  1.0 GiB of 4.0 GiB, 100.0 MiB/s, 31s left  01ARZ3...`
fn line(what: &str, state: &State, elapsed: Duration) -> String {
    let moved = size(state.moved);
    let per_second = state.moved.checked_div(elapsed.as_secs()).unwrap_or(state.moved);
    let State { total, at, .. } = state;
    if *total == 0 {
        return format!("{what} {moved}, {}/s  {at}", size(per_second));
    }
    // Tries that failed have moved bytes too.
    let done = state.moved.min(*total);
    let share = |of: u64| u64::try_from(u128::from(done) * u128::from(of) / u128::from(*total)).unwrap_or(of);
    let filled = share(PLACES);
    let bar: String = (0..PLACES).map(|place| if place < filled { '#' } else { '.' }).collect();
    let left = match (total - done).checked_div(per_second) {
        Some(seconds) if elapsed.as_secs() > 0 => format!(", {} left", duration(seconds)),
        _ => String::new(),
    };
    let (percent, rate) = (share(100), size(per_second));
    format!("{what} [{bar}] {percent:3}%  {moved} of {}, {rate}/s{left}  {at}", size(*total))
}

fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{value:.1} {unit}") };
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

fn duration(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{}s", seconds % 60),
        (hours, minutes) => format!("{hours}h{minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(total: u64, moved: u64) -> State {
        State { total, moved, at: "01ARZ".to_owned(), drawn: None }
    }

    #[test]
    fn a_bar_says_how_far_how_fast_and_how_long() {
        let ten = Duration::from_secs(10);
        assert_eq!(
            line("copy", &state(4 << 30, 1 << 30), ten),
            "copy [######..................]  25%  1.0 GiB of 4.0 GiB, 102.4 MiB/s, 30s left  01ARZ"
        );
        assert_eq!(line("verify", &state(0, 5000), ten), "verify 4.9 KiB, 500 B/s  01ARZ");
        let over = line("copy", &state(1000, 5000), ten);
        assert!(over.contains("100%") && over.contains("0s left"), "{over}");
        let begun = line("copy", &state(1000, 0), Duration::ZERO);
        assert!(begun.contains("  0%") && !begun.contains("left"), "{begun}");
    }

    #[test]
    fn durations() {
        assert_eq!([5, 65, 3665].map(duration), ["5s", "1m5s", "1h1m"]);
        assert_eq!(size(3 << 40), "3.0 TiB");
    }
}
