//! Series that came to have the same labels become one, if no step holds both.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use sarsen_block::Labels;

use super::column::{Column, ColumnBuilder};
use super::pipeline::same_labelset;
use crate::Error;

/// When two series with the same labels do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clash {
    /// Both hold something at the same step.
    Any,
    /// Both hold a number, or both a histogram: where Prometheus merges series, it looks at them apart, so that a step may come to hold both.
    SameKind,
}

/// The same series, those with the same labels merged into the first of them.
///
/// # Errors
/// [`Error::Execution`] if two of them clash.
pub(super) fn same_labels(columns: Vec<Column>, steps: usize, clash: Clash) -> Result<Vec<Column>, Error> {
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
                    *first = joined(first, &column, steps, clash)?;
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

fn joined(a: &Column, b: &Column, steps: usize, clash: Clash) -> Result<Column, Error> {
    let mut column = ColumnBuilder::new(steps);
    for step in 0..steps {
        if clash == Clash::Any && a.cell(step).is_some() && b.cell(step).is_some() {
            return Err(same_labelset());
        }
        match (a.float(step), b.float(step)) {
            (Some(_), Some(_)) => return Err(same_labelset()),
            (Some(value), None) | (None, Some(value)) => column.float(step, value),
            (None, None) => {}
        }
        match (a.histogram(step), b.histogram(step)) {
            (Some(_), Some(_)) => return Err(same_labelset()),
            (Some(one), None) | (None, Some(one)) => column.histogram(step, Arc::clone(one)),
            (None, None) => {}
        }
    }
    Ok(column.finish(Arc::clone(&a.labels), a.drop_name))
}

#[cfg(test)]
mod tests {
    use sarsen_block::Histogram;

    use super::*;

    #[test]
    fn what_clashes() {
        let labels = Arc::new(Labels::from_pairs([("a", "b")]).unwrap());
        let mut number = ColumnBuilder::new(2);
        number.float(0, 1.0);
        let mut histogram = ColumnBuilder::new(2);
        histogram.histogram(0, Arc::new(Histogram::default()));
        histogram.histogram(1, Arc::new(Histogram::default()));
        let columns = [number, histogram].map(|column| column.finish(Arc::clone(&labels), false));
        assert!(same_labels(columns.to_vec(), 2, Clash::Any).is_err());
        let merged = same_labels(columns.to_vec(), 2, Clash::SameKind).unwrap();
        assert_eq!((merged.len(), merged[0].float(0), merged[0].float(1)), (1, Some(1.0), None));
        assert!(merged[0].histogram(0).is_some() && merged[0].histogram(1).is_some());
        let twice = vec![columns[0].clone(), columns[0].clone()];
        assert!(same_labels(twice, 2, Clash::SameKind).is_err());
    }
}
