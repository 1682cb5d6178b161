//! What happened in a database, told per batch or per operation, never per sample.
//!
//! An observer is called on the thread that did the work, sometimes under the commit lock: it counts and returns. It cannot
//! answer back and must not call the database.

use crate::outcome::Committed;
use crate::report::{CutReport, OpenReport, SetAside};

/// Listens to a database. All methods do nothing by default.
pub trait TsdbObserver: Send + Sync {
    /// A batch was judged, logged and applied; it is not on disk yet.
    fn committed(&self, outcome: &Committed) {
        let _ = outcome;
    }

    /// A batch could not be logged.
    fn commit_failed(&self) {}

    /// The database was opened and its log replayed.
    fn opened(&self, report: &OpenReport) {
        let _ = report;
    }

    /// A range of the head is about to be written as a block.
    fn cut_started(&self) {}

    /// A range of the head has become a block, or was empty.
    fn cut(&self, report: &CutReport) {
        let _ = report;
    }

    /// Cutting a range failed; the head still has it.
    fn cut_failed(&self) {}

    /// Series without samples were forgotten.
    fn forgotten(&self, series: u64) {
        let _ = series;
    }

    /// The log was shortened behind a cut.
    fn log_truncated(&self) {}

    /// Shortening the log failed; it is longer than needed and will be shortened by a later cut.
    fn log_truncation_failed(&self) {}

    /// A local block cannot be read and was set aside.
    fn block_set_aside(&self, what: &SetAside) {
        let _ = what;
    }
}
