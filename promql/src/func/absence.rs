//! `absent` and `absent_over_time`: one series where there is none.

use std::collections::BTreeMap;
use std::sync::Arc;

use sarsen_block::{Labels, LabelsBuilder, METRIC_NAME, MatchOp, Matcher};

use crate::Error;
use crate::eval::{Column, ColumnBuilder, VectorCall};

/// 1 at each step at which the vector is empty. For `absent_over_time` the vector is that of `present_over_time`.
pub(super) fn absent(call: &mut VectorCall<'_>) -> Result<Vec<Column>, Error> {
    let steps = call.grid.steps();
    let mut seen = vec![false; steps];
    for column in std::mem::take(&mut call.vector) {
        let floats = column.iter_floats().map(|(step, _)| step);
        let histograms = column.histograms.iter().map(|(step, _)| *step as usize);
        for step in floats.chain(histograms) {
            if let Some(seen) = seen.get_mut(step) {
                *seen = true;
            }
        }
    }
    let mut column = ColumnBuilder::new(steps);
    for (step, _) in seen.iter().enumerate().filter(|(_, seen)| !**seen) {
        column.float(step, 1.0);
    }
    if column.is_empty() {
        return Ok(Vec::new());
    }
    let labels = labels_of(call.matchers.unwrap_or_default())?;
    Ok(vec![column.finish(Arc::new(labels), false)])
}

/// The labels that a series would have, as Prometheus guesses them: of each name whose one matcher is an `=`.
fn labels_of(matchers: &[Matcher]) -> Result<Labels, Error> {
    let mut found: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
    for matcher in matchers.iter().filter(|matcher| matcher.name() != METRIC_NAME) {
        let value = (matcher.op() == MatchOp::Equal).then_some(matcher.value());
        found.entry(matcher.name()).and_modify(|value| *value = None).or_insert(value);
    }
    let mut builder = LabelsBuilder::new();
    for (name, value) in found {
        builder.push(name, value.unwrap_or_default());
    }
    builder.build().map_err(|error| Error::Execution(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_guessed_from_matchers() {
        let matcher = |op, name, value| Matcher::new(op, name, value).unwrap();
        let cases: [(&[_], &[_]); 5] = [
            (&[(MatchOp::Equal, "job", "a"), (MatchOp::Equal, "__name__", "up")], &[("job", "a")]),
            (
                &[(MatchOp::Equal, "job", "a"), (MatchOp::Equal, "job", "b"), (MatchOp::Equal, "x", "y")],
                &[("x", "y")],
            ),
            (&[(MatchOp::Equal, "job", "a"), (MatchOp::NotEqual, "job", "b")], &[]),
            (&[(MatchOp::Regex, "job", "a|b"), (MatchOp::Equal, "job", "b")], &[]),
            (&[(MatchOp::Equal, "job", "")], &[]),
        ];
        for (matchers, expected) in cases {
            let matchers: Vec<_> =
                matchers.iter().map(|(op, name, value)| matcher(*op, *name, *value)).collect();
            assert_eq!(labels_of(&matchers).unwrap(), Labels::from_pairs(expected.iter().copied()).unwrap());
        }
    }
}
