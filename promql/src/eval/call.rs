//! What a function over a whole vector sees: all series over all steps, and its other arguments.

use sarsen_block::Matcher;

use crate::ast::Place;
use crate::{Annotations, Error, FunctionId};

use super::column::{Column, Grid};

/// A call of a function that looks at several series at once (`sort`, `absent`, `label_replace`, `histogram_quantile`, ...).
#[derive(Debug)]
pub(crate) struct VectorCall<'a> {
    /// Which function.
    pub(crate) function: FunctionId,
    /// The times of evaluation.
    pub(crate) grid: Grid,
    /// The series of the vector argument, to be taken out; empty if the argument is left out.
    pub(crate) vector: Vec<Column>,
    /// Each scalar argument: a number for each step.
    pub(crate) scalars: Vec<Vec<f64>>,
    /// Each text argument.
    pub(crate) texts: Vec<Vec<u8>>,
    /// Where the call stands.
    pub(crate) place: Place,
    /// Where each argument stands.
    pub(crate) arguments: &'a [Place],
    /// Matchers of the selector, if the vector argument is one and nothing else.
    pub(crate) matchers: Option<&'a [Matcher]>,
    /// Whether names go at the end of the query only: then set [`Column::drop_name`], else take name, type and unit out of the labels.
    pub(crate) delayed: bool,
    /// What is noted.
    pub(crate) notes: &'a mut Annotations,
}

/// A function over a whole vector. The engine sees to it that no two series of the result have the same labels at the same step,
/// and counts samples.
pub(crate) type VectorFunction = fn(&mut VectorCall<'_>) -> Result<Vec<Column>, Error>;
