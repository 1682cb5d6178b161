//! `sort`, `sort_desc`, `sort_by_label` and `sort_by_label_desc`: the order of the series of an instant query.
//!
//! Over a range there is no order to choose, since series are shown by their labels; that is noted.

use sarsen_block::Labels;

use super::FunctionId;
use super::natural::precedes;
use super::pattern_sort::sort_like_go;
use crate::Error;
use crate::annotations::Note;
use crate::eval::{Column, VectorCall};

pub(super) fn sort(call: &mut VectorCall<'_>) -> Result<Vec<Column>, Error> {
    let columns = std::mem::take(&mut call.vector);
    let mut columns: Vec<_> =
        columns.into_iter().map(Column::without_histograms).filter(|column| !column.is_empty()).collect();
    if note_range(call) {
        return Ok(columns);
    }
    // NaN comes last either way: the opposite order with NaN first, turned round.
    let before: fn(f64, f64) -> bool = match call.function {
        FunctionId::SortDesc => |a, b| a < b,
        _ => |a, b| a > b,
    };
    let value = |column: &Column| column.float(0).unwrap_or(f64::NAN);
    sort_like_go(&mut columns, |a, b| value(b).is_nan() || before(value(b), value(a)));
    Ok(columns)
}

pub(super) fn sort_by_label(call: &mut VectorCall<'_>) -> Result<Vec<Column>, Error> {
    let mut columns = std::mem::take(&mut call.vector);
    if note_range(call) {
        return Ok(columns);
    }
    let descending = call.function == FunctionId::SortByLabelDesc;
    let names = &call.texts;
    sort_like_go(&mut columns, |a, b| by_labels(&a.labels, &b.labels, names, descending));
    Ok(columns)
}

fn note_range(call: &mut VectorCall<'_>) -> bool {
    let is_range = !call.grid.is_instant();
    if is_range {
        call.notes.add(Note::sort_in_range_query(), call.place);
    }
    is_range
}

/// Whether `a` comes before `b`. Natural order is not symmetric (`01` and `1` each precede the other), hence the asking in this very way.
fn by_labels(a: &Labels, b: &Labels, names: &[Vec<u8>], descending: bool) -> bool {
    for name in names {
        let (a, b) = (a.get(name).unwrap_or_default(), b.get(name).unwrap_or_default());
        if a != b {
            return precedes(a, b) != descending;
        }
    }
    if descending { b < a } else { a < b }
}
