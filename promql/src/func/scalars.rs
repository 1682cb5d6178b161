//! `scalar`, `vector` and `time`: between vectors and numbers.

use std::sync::Arc;

use sarsen_block::Labels;

use crate::Error;
use crate::eval::{Column, Grid, VectorCall};

/// The number of the only series that has one; NaN if none or several have.
pub(super) fn scalar(call: &mut VectorCall<'_>) -> Result<Vec<Column>, Error> {
    let mut values: Vec<(f64, bool)> = vec![(f64::NAN, false); call.grid.steps()];
    for column in std::mem::take(&mut call.vector) {
        for (step, value) in column.iter_floats() {
            if let Some((float, found)) = values.get_mut(step) {
                *float = if *found { f64::NAN } else { value };
                *found = true;
            }
        }
    }
    let floats = values.into_iter().map(|(float, _)| float).collect();
    Ok(vec![Column::dense(Arc::new(Labels::default()), floats)])
}

/// A series without labels.
pub(super) fn vector(call: &mut VectorCall<'_>) -> Result<Vec<Column>, Error> {
    let floats = call.scalars.first_mut().map(std::mem::take).unwrap_or_default();
    Ok(vec![Column::dense(Arc::new(Labels::default()), floats)])
}

/// The seconds of each step.
pub(crate) fn time(grid: Grid) -> Vec<f64> {
    (0..grid.steps()).map(|step| grid.at(step) as f64 / 1000.0).collect()
}

/// What functions of dates take that are called without an argument: whole seconds of each step.
pub(crate) fn whole_seconds(grid: Grid) -> Vec<f64> {
    (0..grid.steps()).map(|step| (grid.at(step) / 1000) as f64).collect()
}
