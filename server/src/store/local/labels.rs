//! Names and values of labels over all tenants.
//!
//! External labels count as labels of every series: their names are told where there is any other, their values where a
//! series matches, or where nothing but time is asked.

use std::collections::BTreeSet;

use bytes::Bytes;
use sarsen_tsdb::Arrangement;

use super::lacking;
use super::parts::{Choice, Part, Span};
use crate::store::{Frame, LabelsAnswer, LabelsQuery, StoreError};

/// Names of labels.
pub(super) fn names(choice: Choice, query: &LabelsQuery) -> Result<LabelsAnswer, StoreError> {
    gather(choice, query, |part, span| {
        let mut names = part.querier(span).label_names(&part.matchers)?;
        if !names.is_empty() {
            let external = part.labels.iter().map(|(name, _)| Bytes::copy_from_slice(name));
            names.extend(external.filter(|name| !query.without.contains(name)));
        }
        Ok(names)
    })
}

/// Values of one label.
pub(super) fn values(choice: Choice, name: &Bytes, query: &LabelsQuery) -> Result<LabelsAnswer, StoreError> {
    if query.without.contains(name) {
        return Ok(LabelsAnswer::default());
    }
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    gather(choice, query, |part, span| {
        let querier = part.querier(span);
        if let Some(value) = part.labels.get(name) {
            let wanted = Arrangement { matchers: &part.matchers, ..Arrangement::default() };
            let has_any = part.matchers.is_empty() || !querier.arrange(&wanted)?.is_empty();
            return Ok(if has_any { vec![Bytes::copy_from_slice(value)] } else { Vec::new() });
        }
        match limit {
            0 => querier.label_values(name, &part.matchers),
            limit => querier.some_label_values(name, &part.matchers, limit),
        }
    })
}

/// What all tenants say, sorted, up to the limit.
fn gather(
    choice: Choice,
    query: &LabelsQuery,
    of: impl Fn(&Part, Span) -> Result<Vec<Bytes>, sarsen_tsdb::Error>,
) -> Result<LabelsAnswer, StoreError> {
    let span = choice.span();
    let (mut found, mut warnings) = (BTreeSet::new(), Vec::new());
    let mut warn = |text: String| match lacking(text, query.abort)? {
        Frame::Warning(text) => {
            warnings.push(text);
            Ok::<_, StoreError>(())
        }
        Frame::Series(_) | Frame::Hints(_) => Ok(()),
    };
    for (tenant, why) in choice.shut {
        warn(format!("the database of tenant {tenant} cannot be read now: {why}"))?;
    }
    for part in choice.parts {
        match of(&part, span) {
            Ok(values) => found.extend(values),
            Err(error) => warn(format!("labels of tenant {}: {error}", part.name))?,
        }
    }
    let limit =
        if query.limit == 0 { usize::MAX } else { usize::try_from(query.limit).unwrap_or(usize::MAX) };
    Ok(LabelsAnswer { values: found.into_iter().take(limit).collect(), warnings, blocks: None })
}
