//! Names and values of labels.
//!
//! Without a condition on series they come from the headers of the blocks; with one from the labels of the series that match. Every
//! resolution is asked. What Thanos gives without conditions is given: names that replica labels hide are left out of external labels
//! only.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use sarsen_block::{BlockId, METRIC_NAME, MatchOp, Matcher, TimeRange};

use super::Gateway;
use super::merge::first_of;
use super::request::{Asking, Request, Terms, Trouble};
use super::shelf::{Asked, Shelf};
use super::source::Select;
use crate::store::{LabelsAnswer, LabelsQuery, OutgoingLabels, StoreError};

/// The names of labels.
pub(super) async fn names(gateway: &Gateway, query: &LabelsQuery) -> Result<LabelsAnswer, StoreError> {
    let (range, without) = (query.range, query.without.clone());
    collect(gateway, query, &move |asked| names_of(asked, range, without.clone()).boxed()).await
}

async fn names_of(asked: Asked, range: TimeRange, without: Vec<Bytes>) -> Result<BTreeSet<Bytes>, Trouble> {
    let external = asked.source.external.as_ref();
    let mut names = BTreeSet::new();
    if asked.matchers.is_empty() {
        names.extend(asked.source.label_names().await?.into_iter().map(Bytes::from));
        let shown = external.iter().map(|(name, _)| Bytes::copy_from_slice(name));
        names.extend(shown.filter(|name| !without.contains(name)));
        return Ok(names);
    }
    let select = Select { matchers: Arc::clone(&asked.matchers), range, skip_chunks: true };
    let outgoing = OutgoingLabels::new(external, &without);
    for found in asked.source.select(select).await? {
        for (name, _) in outgoing.of(found.labels.as_ref()).iter() {
            if !names.contains(name) {
                names.insert(Bytes::copy_from_slice(name));
            }
        }
    }
    Ok(names)
}

/// The values of one label.
pub(super) async fn values(
    gateway: &Gateway,
    name: Bytes,
    query: &LabelsQuery,
) -> Result<LabelsAnswer, StoreError> {
    if query.without.contains(&name) {
        return Ok(LabelsAnswer::default());
    }
    // A condition on the metric's name leaves few series; else only those that have the label are looked at.
    let by_metric = |matcher: &Matcher| matcher.name() == METRIC_NAME && matcher.op() == MatchOp::Equal;
    let present = match query.matchers.iter().any(by_metric) {
        true => None,
        false => Some(Matcher::new(MatchOp::NotEqual, &name, "")?),
    };
    let range = query.range;
    collect(gateway, query, &move |asked| values_of(asked, range, name.clone(), present.clone()).boxed())
        .await
}

async fn values_of(
    asked: Asked,
    range: TimeRange,
    name: Bytes,
    present: Option<Matcher>,
) -> Result<BTreeSet<Bytes>, Trouble> {
    let external = asked.source.external.get(&name).map(Bytes::copy_from_slice);
    let mut values = BTreeSet::new();
    if asked.matchers.is_empty() {
        values.extend(asked.source.label_values(name.to_vec()).await?.into_iter().map(Bytes::from));
        values.extend(external);
        if name.is_empty() {
            // The list of all series stands under the empty name, which Thanos takes for a label.
            values.insert(Bytes::new());
        }
        return Ok(values);
    }
    let mut matchers = asked.matchers.to_vec();
    matchers.extend(present.filter(|_| external.is_none()));
    let select = Select { matchers: matchers.into(), range, skip_chunks: true };
    for found in asked.source.select(select).await? {
        let value = external.as_deref().or_else(|| found.labels.get(&name)).unwrap_or_default();
        if !value.is_empty() && !values.contains(value) {
            values.insert(Bytes::copy_from_slice(value));
        }
    }
    Ok(values)
}

/// Asks every block in the range and joins what they say.
async fn collect(
    gateway: &Gateway,
    query: &LabelsQuery,
    one: &(dyn Fn(Asked) -> Asking<BTreeSet<Bytes>> + Send + Sync),
) -> Result<LabelsAnswer, StoreError> {
    let terms = Terms {
        range: query.range,
        max_resolution_ms: i64::MAX,
        matchers: &query.matchers,
        block_matchers: &query.block_matchers,
        abort: query.abort,
        tenant: query.tenant.as_deref(),
    };
    let mut request = Request::new(gateway, terms);
    let mut warnings = Vec::new();
    let answers = request.ask(Shelf::touched, one, &mut warnings).await?;
    let blocks: Vec<BlockId> = answers.iter().map(|(asked, _)| asked.source.id()).collect();
    let mut all = BTreeSet::new();
    for (_, mut answer) in answers {
        all.append(&mut answer);
    }
    Ok(LabelsAnswer { values: first_of(all, query.limit), warnings, blocks: Some(blocks) })
}
