//! What a store says about itself to those who may ask it.

use sarsen_block::{Labels, TimeRange};

/// The advertisement of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoreInfo {
    /// What kind of component it is: `store`, `receive`.
    pub(crate) component: &'static str,
    /// Whether it takes requests. One that does not is left out by queriers until it does.
    pub(crate) ready: bool,
    /// External labels under which it has series, each set once; a query that fits none of them does not come here.
    pub(crate) label_sets: Vec<Labels>,
    /// Times of which it has samples; `max` is as far away as can be if new ones keep coming. Without any: `min > max`.
    pub(crate) range: TimeRange,
    /// The same for each set of external labels, as stretches without a gap.
    pub(crate) tsdb_infos: Vec<(Labels, TimeRange)>,
    /// Times of which it has exemplars, if it keeps any.
    pub(crate) exemplars: Option<TimeRange>,
    /// Whether it is a database, or several, and tells how many series they have.
    pub(crate) statistics: bool,
}

impl StoreInfo {
    /// A store that has nothing.
    pub(crate) const fn empty(component: &'static str) -> Self {
        Self {
            component,
            ready: false,
            label_sets: Vec::new(),
            range: TimeRange::new(i64::MAX, i64::MIN),
            tsdb_infos: Vec::new(),
            exemplars: None,
            statistics: false,
        }
    }
}
