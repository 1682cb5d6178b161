//! Which group of an aggregation a series belongs to.
//!
//! The labels that make a group are copied into one buffer and looked up there; only the first series of a group makes labels of them.

use std::sync::Arc;

use hashbrown::HashMap;
use sarsen_block::{Labels, LabelsRef, METRIC_NAME};

use super::names::put_filtered;
use crate::ast::Grouping;

/// The groups so far.
#[derive(Debug)]
pub(super) struct Groups<'a> {
    grouping: &'a Grouping,
    numbers: HashMap<Vec<u8>, usize, foldhash::fast::RandomState>,
    labels: Vec<Arc<Labels>>,
    key: Vec<u8>,
}

impl<'a> Groups<'a> {
    pub(super) fn new(grouping: &'a Grouping) -> Self {
        Self { grouping, numbers: HashMap::default(), labels: Vec::new(), key: Vec::new() }
    }

    /// The number of the group of a series, counted from 0 in the order in which they came up.
    pub(super) fn number(&mut self, labels: LabelsRef<'_>) -> usize {
        self.key.clear();
        let Grouping { without, labels: names } = self.grouping;
        if *without {
            put_filtered(&mut self.key, labels, |name| name != METRIC_NAME && !holds(names, name));
        } else if !names.is_empty() {
            put_filtered(&mut self.key, labels, |name| holds(names, name));
        }
        let next = self.labels.len();
        let number = *self.numbers.entry_ref(self.key.as_slice()).or_insert(next);
        if number == next {
            self.labels.push(Arc::new(LabelsRef::trusted(&self.key).to_owned()));
        }
        number
    }

    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.labels.len()
    }

    /// The labels of all groups.
    pub(super) fn into_labels(self) -> Vec<Arc<Labels>> {
        self.labels
    }
}

fn holds(names: &[Vec<u8>], name: &[u8]) -> bool {
    names.iter().any(|other| other == name)
}
