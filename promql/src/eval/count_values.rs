//! `count_values`: how many series of a group have which value.

use std::sync::Arc;

use hashbrown::HashMap;
use sarsen_block::Labels;

use super::column::{Cell, Column};
use super::group::Groups;
use super::names::with;
use crate::ast::Grouping;
use crate::histogram::text;
use crate::number::plain;

/// A series for each group and value, in the order in which they came up.
pub(super) fn count_values(
    columns: &[Column],
    grouping: &Grouping,
    label: &[u8],
    steps: usize,
) -> Vec<Column> {
    let mut grouping = grouping.clone();
    if !grouping.without && !grouping.labels.iter().any(|other| other == label) {
        grouping.labels.push(label.to_vec());
    }
    let mut groups = Groups::new(&grouping);
    let mut counts: Vec<Vec<f64>> = Vec::new();
    for column in columns {
        // The same value comes again and again: its group is looked up once for each series.
        let mut known: HashMap<u64, usize, foldhash::fast::RandomState> = HashMap::default();
        for step in 0..steps {
            let Some(cell) = column.cell(step) else { continue };
            let mut number = |value: &str| {
                let labels = with(column.labels.as_ref().as_ref(), label, value.as_bytes());
                groups.number(labels.as_ref())
            };
            let group = match cell {
                Cell::Float(value) => *known.entry(value.to_bits()).or_insert_with(|| number(&plain(value))),
                Cell::Histogram(histogram) => number(&text(histogram)),
            };
            if counts.len() <= group {
                counts.resize_with(group + 1, Vec::new);
            }
            if let Some(counts) = counts.get_mut(group) {
                counts.resize(steps, 0.0);
                if let Some(count) = counts.get_mut(step) {
                    *count += 1.0;
                }
            }
        }
    }
    groups.into_labels().into_iter().zip(counts).map(|(labels, counts)| counted(labels, counts)).collect()
}

fn counted(labels: Arc<Labels>, counts: Vec<f64>) -> Column {
    let mut column = Column::dense(labels, counts);
    let counts = column.floats.clone();
    super::stage::keep(&mut column, |step, _| counts.get(step).is_some_and(|count| *count > 0.0));
    column
}
