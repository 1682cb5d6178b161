//! Names and values of labels.
//!
//! Without a condition on series they come from the headers of the blocks; with one from the labels of the series that match. Every
//! resolution is asked. What Thanos gives without conditions is given: names that replica labels hide are left out of external labels
//! only.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::FutureExt as _;
use sarsen_block::{BlockId, MatchOp, Matcher};
use sarsen_bucket::{Budget, Selection};

use super::Gateway;
use super::merge::first_of;
use super::request::{Asking, Request, Terms, Trouble};
use super::shelf::{Asked, Shelf};
use crate::store::{LabelsAnswer, LabelsQuery, StoreError};

/// The names of labels.
pub(super) async fn names(gateway: &Gateway, query: &LabelsQuery) -> Result<LabelsAnswer, StoreError> {
    let without = query.without.clone();
    let one = move |ask: Inquiry| names_of(ask, without.clone()).boxed();
    collect(gateway, query, None, &one).await
}

/// One block that is asked for names or values.
struct Inquiry {
    asked: Asked,
    selection: Selection,
    budget: Budget,
}

impl Inquiry {
    /// Whether every series of the block has a chunk in the range, so that times need not be looked at.
    fn is_of_all_times(&self) -> bool {
        self.selection.range.covers(self.asked.source.meta.range())
    }
}

async fn names_of(ask: Inquiry, without: Vec<Bytes>) -> Result<BTreeSet<Bytes>, Trouble> {
    let Inquiry { asked: Asked { source, matchers }, selection, budget } = &ask;
    let is_hidden = |name: &[u8]| without.iter().any(|hidden| **hidden == *name);
    let own = |names: Vec<Vec<u8>>| names.into_iter().map(Bytes::from);
    let external = || {
        let shown = source.external.iter().filter(|(name, _)| !is_hidden(name));
        shown.map(|(name, _)| Bytes::copy_from_slice(name))
    };
    let block = source.open().await?;
    let mut names = BTreeSet::new();
    if matchers.is_empty() {
        names.extend(own(block.label_names(&[], budget).await?));
        names.extend(external());
    } else if ask.is_of_all_times() {
        names.extend(own(block.label_names(matchers, budget).await?).filter(|name| !is_hidden(name)));
        if !names.is_empty() {
            names.extend(external());
        }
    } else {
        let found = source.select(selection, budget).await?;
        for (name, _) in (0..found.len()).flat_map(|row| found.labels(row).iter()) {
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
    // Only series that have the label are looked at.
    let present = Matcher::new(MatchOp::NotEqual, &name, "")?;
    let one = move |ask: Inquiry| values_of(ask, name.clone()).boxed();
    collect(gateway, query, Some(present), &one).await
}

async fn values_of(ask: Inquiry, name: Bytes) -> Result<BTreeSet<Bytes>, Trouble> {
    let Inquiry { asked: Asked { source, matchers }, selection, budget } = &ask;
    let external = source.external.get(&name).map(Bytes::copy_from_slice);
    let block = source.open().await?;
    let mut values = BTreeSet::new();
    if matchers.is_empty() {
        values.extend(block.label_values(&name, &[], budget).await?.into_iter().map(Bytes::from));
        values.extend(external);
        if name.is_empty() {
            // The list of all series stands under the empty name, which Thanos takes for a label.
            values.insert(Bytes::new());
        }
    } else if !ask.is_of_all_times() {
        let found = source.select(selection, budget).await?;
        for row in 0..found.len() {
            let value = found.labels(row).get(&name).unwrap_or_default();
            if !value.is_empty() && !values.contains(value) {
                values.insert(Bytes::copy_from_slice(value));
            }
        }
    } else if let Some(external) = external {
        // Every series has it, if there is one.
        let any = !block.label_names(matchers, budget).await?.is_empty();
        values.extend(any.then_some(external));
    } else {
        let found = block.label_values(&name, matchers, budget).await?;
        values.extend(found.into_iter().filter(|value| !value.is_empty()).map(Bytes::from));
    }
    Ok(values)
}

/// Asks every block in the range and joins what they say. `present` is a further condition on series where there is one already and
/// no external label answers it.
async fn collect(
    gateway: &Gateway,
    query: &LabelsQuery,
    present: Option<Matcher>,
    one: &(dyn Fn(Inquiry) -> Asking<BTreeSet<Bytes>> + Send + Sync),
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
    let (budget, without) = (request.budget.clone(), query.without.clone());
    let range = request.range();
    let inquire = |shelf: &Shelf, asked: Asked| {
        let mut selection = Selection { skip_chunks: true, ..shelf.selection(&asked, range, &without) };
        let missing = present.iter().filter(|one| asked.source.external.get(one.name()).is_none());
        selection.matchers.extend(missing.cloned());
        one(Inquiry { asked, selection, budget: budget.clone() })
    };
    let answers = request.ask(Shelf::touched, &inquire, &mut warnings).await?;
    let blocks: Vec<BlockId> = answers.iter().map(|(asked, _)| asked.source.id()).collect();
    let mut all = BTreeSet::new();
    for (_, mut answer) in answers {
        all.append(&mut answer);
    }
    Ok(LabelsAnswer { values: first_of(all, query.limit), warnings, blocks: Some(blocks) })
}
