//! What this process has, as it was scraped: without the external labels under which it goes into the bucket.
//!
//! As with Prometheus, external labels tell where something comes from once it has left; who asks the process itself does not see its own. Hidden
//! are the labels of `--label`, and the tenant's label of the default tenant. Everything else keeps what tells it apart: series of other tenants
//! their tenant, and blocks that others wrote into the bucket all their labels. So a store is asked for disjoint parts, each of which
//! is in order with the same labels hidden, and the parts are merged.
//!
//! Only the HTTP API looks through this: StoreAPI, `thanos.Query` and uploads have the complete labels.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sarsen_block::{MatchOp, Matcher};

use crate::store::{
    ExemplarsAnswer, ExemplarsQuery, FrameSender, LabelsAnswer, LabelsQuery, MergedStore, SeriesQuery, Store,
    StoreError, StoreInfo,
};

/// The series that fit some matchers, with some labels hidden.
struct Part {
    store: Arc<dyn Store>,
    matchers: Vec<Matcher>,
    /// Sorted.
    hidden: Vec<Bytes>,
}

/// `store` as it was scraped. `labels` are the external ones of this process, `tenant` is the label of tenants with the default one.
pub(crate) fn as_scraped(
    store: &Arc<dyn Store>,
    labels: &[(String, String)],
    tenant: (&str, &str),
) -> Arc<dyn Store> {
    let own: Vec<(&str, &str)> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let marks = [own.as_slice(), &[tenant]].concat();
    let parts = (0..=marks.len()).map(|number| {
        // All marks but those behind the first one that is another; the last part has all of them.
        let same = marks.iter().take(number).map(|(name, value)| Matcher::equal(*name, *value));
        let other =
            marks.get(number).and_then(|(name, value)| Matcher::new(MatchOp::NotEqual, name, value).ok());
        let shown = if number < own.len() { &[][..] } else { marks.get(..number).unwrap_or_default() };
        let mut hidden: Vec<Bytes> =
            shown.iter().map(|(name, _)| Bytes::copy_from_slice(name.as_bytes())).collect();
        hidden.sort_unstable();
        let part = Part { store: Arc::clone(store), matchers: same.chain(other).collect(), hidden };
        Arc::new(part) as Arc<dyn Store>
    });
    Arc::new(MergedStore::new("receive", parts.collect()))
}

impl Part {
    fn hide(&self, without: &mut Vec<Bytes>) {
        without.extend_from_slice(&self.hidden);
        without.sort_unstable();
        without.dedup();
    }
}

#[async_trait]
impl Store for Part {
    fn info(&self) -> StoreInfo {
        self.store.info()
    }

    async fn series(&self, query: Arc<SeriesQuery>, frames: FrameSender) -> Result<(), StoreError> {
        let mut query = SeriesQuery::clone(&query);
        query.matchers.extend_from_slice(&self.matchers);
        self.hide(&mut query.without);
        self.store.series(Arc::new(query), frames).await
    }

    async fn label_names(&self, mut query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        query.matchers.extend_from_slice(&self.matchers);
        self.hide(&mut query.without);
        self.store.label_names(query).await
    }

    async fn label_values(&self, name: Bytes, mut query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        query.matchers.extend_from_slice(&self.matchers);
        self.hide(&mut query.without);
        self.store.label_values(name, query).await
    }

    async fn exemplars(&self, mut query: ExemplarsQuery) -> Result<ExemplarsAnswer, StoreError> {
        query.selectors.iter_mut().for_each(|selector| selector.extend_from_slice(&self.matchers));
        let mut found = self.store.exemplars(query).await?;
        for series in &mut found.series {
            let is_shown = |name: &[u8]| !self.hidden.iter().any(|hidden| hidden == name);
            series.labels = series.labels.as_ref().keeping(is_shown);
        }
        Ok(found)
    }
}
