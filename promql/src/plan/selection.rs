//! What must be fetched for one selector.

use sarsen_block::{Matcher, TimeRange};

/// What a storage may want to know of the use of what it finds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hint {
    /// The nearest function or aggregation round the selector; empty if there is none, or if an operator stands between.
    pub function: &'static str,
    /// The window, in milliseconds; 0 for instant selectors.
    pub range_ms: i64,
    /// The step of the grid on which it is evaluated, in milliseconds; 0 for one time.
    pub step_ms: i64,
    /// Labels of the aggregation directly round it.
    pub grouping: Vec<Vec<u8>>,
    /// Whether these are the labels that are kept (`by`); else they are left out.
    pub by: bool,
}

/// What must be fetched for one selector.
#[derive(Debug, Clone)]
pub struct Selection {
    /// All of them must hold.
    pub matchers: Vec<Matcher>,
    /// Closed on both sides: everything that any step may look at.
    pub range: TimeRange,
    /// What for.
    pub hint: Hint,
}
