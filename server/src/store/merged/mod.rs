//! Several stores as one: what is local and what is in the bucket, behind one address.
//!
//! Every request goes to all of them. Their streams of series come in the same order, so they are merged as they come: the chunks
//! of a series that several have are put together by time, and a chunk that is the same in two of them is sent once. In memory
//! are the frames that wait in the pipes and one series. A store that cannot answer is told of in a warning, unless the caller
//! wants all or nothing, or the fault is the caller's own.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sarsen_block::{Labels, Matcher, TimeRange};
use tokio::task::JoinSet;

use super::{
    ExemplarSeries, Frame, FrameReceiver, FrameSender, LabelsAnswer, LabelsQuery, SeriesQuery, Store,
    StoreChunk, StoreError, StoreInfo, StoreSeries, frames,
};

/// How much of one store's answer may wait, in bytes.
const ROOM: usize = 2 << 20;
/// A series is sent in pieces of about this many bytes.
const PIECE: usize = 1 << 20;

/// Stores that answer as one.
pub(crate) struct MergedStore {
    component: &'static str,
    stores: Vec<Arc<dyn Store>>,
}

/// What one store sends: the frame that comes next, and the rest.
struct Stream {
    next: Option<StoreSeries>,
    rest: FrameReceiver,
}

impl Stream {
    /// Goes on to the next series; what comes before it is handed on.
    async fn advance(&mut self, out: &FrameSender) -> Result<(), StoreError> {
        loop {
            match self.rest.next().await {
                Some(Frame::Series(series)) => self.next = Some(series),
                Some(warning @ Frame::Warning(_)) => {
                    out.send(warning).await?;
                    continue;
                }
                None => self.next = None,
            }
            return Ok(());
        }
    }

    /// The chunks of the series with these labels, if it comes next.
    async fn take(
        &mut self,
        labels: &Labels,
        chunks: &mut Vec<StoreChunk>,
        out: &FrameSender,
    ) -> Result<(), StoreError> {
        while let Some(series) = self.next.take_if(|next| next.labels == *labels) {
            chunks.extend(series.chunks);
            self.advance(out).await?;
        }
        Ok(())
    }
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

/// By time, each once.
fn in_order(mut chunks: Vec<StoreChunk>) -> Vec<StoreChunk> {
    chunks.sort_by_key(|chunk| (chunk.range.min, chunk.range.max));
    let mut kept: Vec<StoreChunk> = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let same_time = kept.iter().rev().take_while(|other| other.range == chunk.range);
        if !same_time.into_iter().any(|other| *other == chunk) {
            kept.push(chunk);
        }
    }
    kept
}

async fn send(labels: Labels, chunks: Vec<StoreChunk>, out: &FrameSender) -> Result<(), StoreError> {
    let (mut piece, mut bytes) = (Vec::new(), 0);
    let mut chunks = chunks.into_iter().peekable();
    while let Some(chunk) = chunks.next() {
        bytes += chunk.bytes();
        piece.push(chunk);
        if bytes >= PIECE && chunks.peek().is_some() {
            let (labels, chunks) = (labels.clone(), std::mem::take(&mut piece));
            out.send(Frame::Series(StoreSeries { labels, chunks })).await?;
            bytes = 0;
        }
    }
    Ok(out.send(Frame::Series(StoreSeries { labels, chunks: piece })).await?)
}

impl MergedStore {
    /// These stores, as a component of this kind.
    pub(crate) fn new(component: &'static str, stores: Vec<Arc<dyn Store>>) -> Self {
        Self { component, stores }
    }

    async fn merge(
        &self,
        streams: &mut [Stream],
        query: &SeriesQuery,
        out: &FrameSender,
    ) -> Result<(), StoreError> {
        for stream in streams.iter_mut() {
            stream.advance(out).await?;
        }
        let mut sent = 0;
        while query.limit == 0 || sent < query.limit {
            let first = streams.iter().filter_map(|stream| stream.next.as_ref()).map(|series| &series.labels);
            let Some(labels) = first.min().cloned() else { break };
            let mut chunks = Vec::new();
            for stream in streams.iter_mut() {
                stream.take(&labels, &mut chunks, out).await?;
            }
            send(labels, in_order(chunks), out).await?;
            sent += 1;
        }
        Ok(())
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
            streams.push(Stream { next: None, rest });
            let (store, query) = (Arc::clone(store), Arc::clone(&query));
            asked.spawn(async move { store.series(query, into).await });
        }
        let merged = self.merge(&mut streams, &query, &out).await;
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

    async fn exemplars(
        &self,
        selectors: Vec<Vec<Matcher>>,
        range: TimeRange,
    ) -> Result<Vec<ExemplarSeries>, StoreError> {
        let ask = |store: Arc<dyn Store>| {
            let selectors = selectors.clone();
            async move { store.exemplars(selectors, range).await }
        };
        let (answers, _) = self.gather(true, ask).await?;
        let mut all: Vec<ExemplarSeries> = answers.into_iter().flatten().collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(all)
    }
}

#[cfg(test)]
mod tests;
