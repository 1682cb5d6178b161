//! Series that came to have the same labels become one, if no step holds both.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use sarsen_block::Labels;

use super::column::{Column, ColumnBuilder};
use super::pipeline::same_labelset;
use crate::Error;

/// The same series, those with the same labels merged into the first of them.
///
/// # Errors
/// [`Error::Execution`] if two of them hold something at the same step.
pub(super) fn same_labels(columns: Vec<Column>, steps: usize) -> Result<Vec<Column>, Error> {
    if !has_same_labels(&columns) {
        return Ok(columns);
    }
    let mut places: HashMap<Arc<Labels>, usize, foldhash::fast::RandomState> = HashMap::default();
    let mut merged: Vec<Column> = Vec::new();
    for column in columns {
        match places.entry(Arc::clone(&column.labels)) {
            Entry::Vacant(entry) => {
                entry.insert(merged.len());
                merged.push(column);
            }
            Entry::Occupied(entry) => {
                if let Some(first) = merged.get_mut(*entry.get()) {
                    *first = joined(first, &column, steps)?;
                }
            }
        }
    }
    Ok(merged)
}

/// Whether two series have the same labels.
pub(super) fn has_same_labels(columns: &[Column]) -> bool {
    let mut seen: hashbrown::HashSet<&Labels, foldhash::fast::RandomState> = hashbrown::HashSet::default();
    columns.len() > 1 && !columns.iter().all(|column| seen.insert(&column.labels))
}

fn joined(a: &Column, b: &Column, steps: usize) -> Result<Column, Error> {
    let mut column = ColumnBuilder::new(steps);
    for step in 0..steps {
        match (a.cell(step), b.cell(step)) {
            (Some(_), Some(_)) => return Err(same_labelset()),
            (Some(cell), None) | (None, Some(cell)) => column.cell(step, cell),
            (None, None) => {}
        }
    }
    Ok(column.finish(Arc::clone(&a.labels), a.drop_name))
}
