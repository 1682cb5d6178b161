//! What a role knows at this moment, for whoever asks: the page, the API, the metrics.
//!
//! Written by the role and by what listens to the compactor, read by requests; one lock round all of it, held only to
//! copy. Views are shared, not copied. A role that only reads leaves what is about work as it is: empty.

#![cfg_attr(
    not(feature = "compact"),
    expect(dead_code, reason = "a program that only reads has no work to tell of")
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sarsen_block::BlockId;
use sarsen_bucket::View;

/// A handle on what is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Board(Arc<Mutex<Known>>);

/// Everything that is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The whole bucket.
    pub(crate) global: Look,
    /// What the role works with: without what its filters take out.
    pub(crate) loaded: Look,
    /// Blocks that are left alone, by id.
    pub(crate) set_aside: BTreeMap<BlockId, Aside>,
    /// What is to be done, by stage, in the order of the stages.
    pub(crate) backlog: Vec<Waiting>,
    /// Work that has begun, by its kind and first block.
    pub(crate) running: BTreeMap<String, Running>,
    /// What the role does as a whole.
    pub(crate) state: State,
    /// Since when the store could not be asked, and what it said last.
    pub(crate) away: Option<(i64, String)>,
    /// When the last round came to its end, in milliseconds since 1970.
    pub(crate) last_round_ms: Option<i64>,
}

/// One of the views of the bucket. The last good one stays when a look fails.
#[derive(Debug, Clone, Default)]
pub(crate) struct Look {
    pub(crate) view: Arc<View>,
    /// When somebody looked last, in milliseconds since 1970; `None` before the first look.
    pub(crate) at_ms: Option<i64>,
    /// Why the last look failed.
    pub(crate) fault: Option<String>,
}

impl Look {
    /// A look has ended.
    pub(crate) fn looked(&mut self, at_ms: i64, found: Result<Arc<View>, String>) {
        self.at_ms = Some(at_ms);
        match found {
            Ok(view) => (self.view, self.fault) = (view, None),
            Err(why) => self.fault = Some(why),
        }
    }
}

/// A block that is left alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Aside {
    /// One word: that of its mark, `retried`, or `unfit`.
    pub(crate) reason: String,
    /// What was found, for people.
    pub(crate) why: String,
    /// Since when, in milliseconds since 1970.
    pub(crate) since_ms: i64,
    /// When it is tried again, in milliseconds since 1970; `None`: when somebody has changed something.
    pub(crate) again_ms: Option<i64>,
}

/// What waits at one stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) stage: &'static str,
    pub(crate) jobs: u64,
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
}

/// Work that has begun.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Running {
    /// What is done, and why: one line.
    pub(crate) what: String,
    pub(crate) group: String,
    pub(crate) since_ms: i64,
    /// Bytes to be read.
    pub(crate) bytes: u64,
    /// Bytes that were read.
    pub(crate) done: u64,
}

impl Running {
    /// How much of it is done, in hundredths.
    pub(crate) fn percent(&self) -> f64 {
        if self.bytes == 0 { 0.0 } else { (self.done as f64 / self.bytes as f64 * 100.0).min(100.0) }
    }
}

/// What the role does as a whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// It has not begun.
    #[default]
    Starting,
    /// Another compactor has the bucket.
    Standby {
        /// Who has it.
        holder: String,
    },
    /// A round is under way.
    Working,
    /// It answers requests.
    #[cfg(feature = "store")]
    Serving,
    /// It waits for the next round.
    Waiting {
        /// When that begins, in milliseconds since 1970.
        until_ms: i64,
    },
    /// It was told to stop.
    Stopping,
}

impl Board {
    /// Changes what is known.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Known) -> T) -> T {
        change(&mut self.0.lock())
    }

    /// What is known, as a copy.
    pub(crate) fn known(&self) -> Known {
        self.0.lock().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_look_keeps_what_was_seen() {
        let board = Board::default();
        let mut view = View::default();
        view.bad_marks.push(("x".to_owned(), "y".to_owned()));
        board.change(|known| known.global.looked(1, Ok(Arc::new(view))));
        board.change(|known| known.global.looked(2, Err("away".to_owned())));
        let look = board.known().global;
        assert_eq!(
            (look.at_ms, look.fault.as_deref(), look.view.bad_marks.len()),
            (Some(2), Some("away"), 1)
        );
    }
}
