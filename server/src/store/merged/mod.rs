//! Several stores as one: what is local and what is in the bucket, behind one address.
//!
//! Every request goes to all of them, and their streams of series are [joined](join_streams). A store that cannot answer is told of in
//! a warning, unless the caller wants all or nothing, or the fault is the caller's own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sarsen_block::TimeRange;
use tokio::task::JoinSet;

use super::{
    ExemplarsAnswer, ExemplarsQuery, Frame, FrameSender, LabelsAnswer, LabelsQuery, SeriesQuery, Statistics,
    StatisticsQuery, Store, StoreError, StoreInfo, Warnings, frames, join_streams,
};

/// How much of one store's answer may wait, in bytes.
const ROOM: usize = 2 << 20;

/// Stores that answer as one.
pub(crate) struct MergedStore {
    component: &'static str,
    stores: Vec<Arc<dyn Store>>,
}

/// Who listened has gone before anything else happened.
fn is_gone(outcome: &Result<(), StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Gone))
}

/// What becomes of the fault of one store.
fn excuse(error: StoreError, abort: bool) -> Result<String, StoreError> {
    match error {
        StoreError::Invalid(_) | StoreError::Gone | StoreError::Exhausted(_) => Err(error),
        other if abort => Err(other),
        other => Ok(other.to_string()),
    }
}

impl MergedStore {
    /// These stores, as a component of this kind.
    pub(crate) fn new(component: &'static str, stores: Vec<Arc<dyn Store>>) -> Self {
        Self { component, stores }
    }

    /// What all stores say to one question.
    async fn gather<A, F: Future<Output = Result<A, StoreError>>>(
        &self,
        abort: bool,
        ask: impl Fn(Arc<dyn Store>) -> F,
    ) -> Result<(Vec<A>, Vec<String>), StoreError> {
        let asked = self.stores.iter().map(|store| ask(Arc::clone(store)));
        let (mut answers, mut warnings) = (Vec::new(), Vec::new());
        for answer in futures_util::future::join_all(asked).await {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(error) => warnings.push(excuse(error, abort)?),
            }
        }
        Ok((answers, warnings))
    }

    fn labels((answers, mut warnings): (Vec<LabelsAnswer>, Vec<String>), limit: u64) -> LabelsAnswer {
        let mut values = BTreeSet::new();
        let mut blocks = None;
        for answer in answers {
            values.extend(answer.values);
            warnings.extend(answer.warnings);
            if let Some(found) = answer.blocks {
                blocks.get_or_insert_with(Vec::new).extend(found);
            }
        }
        let limit = if limit == 0 { usize::MAX } else { usize::try_from(limit).unwrap_or(usize::MAX) };
        LabelsAnswer { values: values.into_iter().take(limit).collect(), warnings, blocks }
    }
}

#[async_trait]
impl Store for MergedStore {
    fn info(&self) -> StoreInfo {
        let mut all = StoreInfo::empty(self.component);
        for info in self.stores.iter().map(|store| store.info()) {
            // Which services there are is asked before anybody is ready.
            all.exemplars = all.exemplars.or(info.exemplars);
            all.statistics |= info.statistics;
            if !info.ready {
                continue;
            }
            all.ready = true;
            all.range = TimeRange::new(all.range.min.min(info.range.min), all.range.max.max(info.range.max));
            for labels in info.label_sets {
                if !all.label_sets.contains(&labels) {
                    all.label_sets.push(labels);
                }
            }
            all.tsdb_infos.extend(info.tsdb_infos);
        }
        all
    }

    async fn series(&self, query: Arc<SeriesQuery>, out: FrameSender) -> Result<(), StoreError> {
        let (mut streams, mut asked) = (Vec::new(), JoinSet::new());
        for store in &self.stores {
            let (into, rest) = frames(ROOM);
            streams.push(rest);
            let (store, query) = (Arc::clone(store), Arc::clone(&query));
            asked.spawn(async move { store.series(query, into).await });
        }
        let merged = join_streams(&mut streams, query.limit, Warnings::Pass, &out).await;
        // Stores that have more than is wanted find nobody listening.
        drop(streams);
        let mut outcomes = Vec::new();
        while let Some(ended) = asked.join_next().await {
            let lost = || Err(StoreError::Internal("a part of the query ended without an answer".to_owned()));
            outcomes.push(ended.unwrap_or_else(|_| lost()));
        }
        merged?;
        for error in outcomes.into_iter().filter(|outcome| !is_gone(outcome)).filter_map(Result::err) {
            out.send(Frame::Warning(excuse(error, query.abort)?)).await?;
        }
        Ok(())
    }

    async fn label_names(&self, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        let ask = |store: Arc<dyn Store>| {
            let query = query.clone();
            async move { store.label_names(query).await }
        };
        Ok(Self::labels(self.gather(query.abort, ask).await?, query.limit))
    }

    async fn label_values(&self, name: Bytes, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        let ask = |store: Arc<dyn Store>| {
            let (name, query) = (name.clone(), query.clone());
            async move { store.label_values(name, query).await }
        };
        Ok(Self::labels(self.gather(query.abort, ask).await?, query.limit))
    }

    async fn exemplars(&self, query: ExemplarsQuery) -> Result<ExemplarsAnswer, StoreError> {
        let ask = |store: Arc<dyn Store>| {
            let query = query.clone();
            async move { store.exemplars(query).await }
        };
        let (answers, warnings) = self.gather(query.abort, ask).await?;
        let mut all = ExemplarsAnswer { series: Vec::new(), warnings };
        for answer in answers {
            all.series.extend(answer.series);
            all.warnings.extend(answer.warnings);
        }
        all.series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(all)
    }

    async fn statistics(&self, query: StatisticsQuery) -> Result<BTreeMap<String, Statistics>, StoreError> {
        let mut all = BTreeMap::new();
        for store in &self.stores {
            all.extend(store.statistics(query.clone()).await?);
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
