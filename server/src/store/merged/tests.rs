//! Any few stores against one that has everything.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;
use sarsen_block::{Chunk, Labels};

use super::*;
use crate::store::{ChunkParts, StoreChunk, StoreSeries};

type Content = BTreeMap<u8, BTreeSet<i64>>;

/// A store of chunks that are known by their first time.
struct Fixed {
    content: Content,
    fault: Option<StoreError>,
}

fn labels(which: u8) -> Labels {
    Labels::from_pairs([("s", format!("{which:03}"))]).unwrap()
}

fn chunk(t: i64) -> StoreChunk {
    // Some share their times and differ.
    let range = TimeRange::new(t / 2, t / 2 + 10);
    StoreChunk { range, parts: ChunkParts::Raw(Chunk::xor(t.to_be_bytes().to_vec())) }
}

/// Those of the same time the greater one first.
fn found(labels: Labels, mut chunks: Vec<StoreChunk>) -> StoreSeries {
    let bytes = |chunk: &StoreChunk| match &chunk.parts {
        ChunkParts::Raw(chunk) => Reverse(chunk.data.clone()),
        ChunkParts::Aggregates(_) => unreachable!(),
    };
    chunks.sort_by_key(|chunk| (chunk.range.min, chunk.range.max, bytes(chunk)));
    StoreSeries { labels, chunks }
}

#[async_trait]
impl Store for Fixed {
    fn info(&self) -> StoreInfo {
        let range = TimeRange::new(self.content.len() as i64, 100);
        let (ready, exemplars) = (self.fault.is_none(), Some(TimeRange::new(0, 0)));
        StoreInfo { ready, range, exemplars, label_sets: vec![labels(1)], ..StoreInfo::empty("x") }
    }

    async fn series(&self, query: Arc<SeriesQuery>, out: FrameSender) -> Result<(), StoreError> {
        let limit = if query.limit == 0 { usize::MAX } else { query.limit as usize };
        for (&which, times) in self.content.iter().take(limit) {
            let chunks: Vec<_> = times.iter().map(|&t| chunk(t)).collect();
            // In two frames, as a long one comes.
            for half in chunks.chunks(chunks.len().div_ceil(2).max(1)) {
                out.send(Frame::Series(found(labels(which), half.to_vec()))).await?;
            }
        }
        self.fault.clone().map_or(Ok(()), Err)
    }

    async fn label_names(&self, _: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        self.fault.clone().map_or(Ok(LabelsAnswer::default()), Err)
    }

    async fn label_values(&self, _: Bytes, _: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        let values = self.content.keys().map(|which| Bytes::from(vec![*which])).collect();
        let answer = LabelsAnswer { values, ..LabelsAnswer::default() };
        self.fault.clone().map_or(Ok(answer), Err)
    }
}

fn query(limit: u64, abort: bool) -> SeriesQuery {
    SeriesQuery { limit, abort, ..SeriesQuery::new(TimeRange::ALL, Vec::new()) }
}

async fn ask(store: MergedStore, query: SeriesQuery) -> (Vec<Frame>, Result<(), StoreError>) {
    let (sender, mut receiver) = frames(1 << 20);
    let asked = tokio::spawn(async move { store.series(Arc::new(query), sender).await });
    let mut frames = Vec::new();
    while let Some(frame) = receiver.next().await {
        frames.push(frame);
    }
    (frames, asked.await.unwrap())
}

fn merged(contents: &[Content], fault: Option<StoreError>) -> MergedStore {
    let mut stores: Vec<Arc<dyn Store>> = Vec::new();
    for content in contents {
        stores.push(Arc::new(Fixed { content: content.clone(), fault: None }));
    }
    if fault.is_some() {
        stores.push(Arc::new(Fixed { content: Content::new(), fault }));
    }
    MergedStore::new("x", stores)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn as_one_store_that_has_everything(
        contents in prop::collection::vec(prop::collection::btree_map(0u8..20, prop::collection::btree_set(0i64..30, 1..6), 0..15), 0..4),
        limit in 0u64..12,
    ) {
        let mut all = Content::new();
        for (which, times) in contents.iter().flatten() {
            all.entry(*which).or_default().extend(times);
        }
        let kept = if limit == 0 { usize::MAX } else { limit as usize };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let (frames, end) = runtime.block_on(ask(merged(&contents, None), query(limit, true)));
        prop_assert_eq!(end, Ok(()));
        prop_assert_eq!(frames.len(), all.len().min(kept));
        for (frame, (&which, times)) in frames.into_iter().zip(&all) {
            let Frame::Series(series) = frame else { panic!("a warning") };
            prop_assert_eq!(&series.labels, &labels(which));
            prop_assert!(series.chunks.is_sorted_by_key(|chunk| (chunk.range.min, chunk.range.max)));
            // Those of the same times come in the order of the stores.
            let mut sent: Vec<Bytes> = series.chunks.iter().map(|chunk| match &chunk.parts {
                ChunkParts::Raw(chunk) => chunk.data.clone(),
                ChunkParts::Aggregates(_) => Bytes::new(),
            }).collect();
            sent.sort();
            let expected: Vec<Bytes> = times.iter().map(|t| Bytes::from(t.to_be_bytes().to_vec())).collect();
            prop_assert_eq!(sent, expected);
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_is_told_of_or_ends_it() {
    let content = Content::from([(1, BTreeSet::from([5]))]);
    let broken = Some(StoreError::Unavailable("away".to_owned()));
    let contents = [content];
    let (frames, end) = ask(merged(&contents, broken.clone()), query(0, false)).await;
    assert_eq!(end, Ok(()));
    assert!(matches!(&frames[..], [Frame::Series(_), Frame::Warning(text)] if text == "away"));
    let (_, end) = ask(merged(&contents, broken.clone()), query(0, true)).await;
    assert_eq!(end.err(), broken);
    // The caller's own fault is one whatever it wants.
    let invalid = Some(StoreError::Invalid("a broken matcher".to_owned()));
    let (_, end) = ask(merged(&contents, invalid.clone()), query(0, false)).await;
    assert_eq!(end.err(), invalid);

    let values = |abort| LabelsQuery { abort, ..LabelsQuery::new(TimeRange::ALL, Vec::new()) };
    let store = merged(&contents, broken.clone());
    let answer = store.label_values(Bytes::from_static(b"s"), values(false)).await.unwrap();
    assert_eq!((answer.values, answer.warnings), (vec![Bytes::from_static(&[1])], vec!["away".to_owned()]));
    assert_eq!(store.label_names(values(true)).await.err(), broken);
    let info = store.info();
    assert_eq!((info.ready, info.range, info.label_sets), (true, TimeRange::new(1, 100), vec![labels(1)]));
    let info = merged(&[], broken).info();
    assert!(!info.ready && info.exemplars.is_some(), "what it will serve is known before it is ready");
}

#[tokio::test]
async fn a_caller_who_leaves_ends_all_of_them() {
    let content: Content = (0..200).map(|which| (which, BTreeSet::from([1]))).collect();
    let store = merged(&[content.clone(), content], None);
    let (sender, mut receiver) = frames(256);
    let asked = tokio::spawn(async move { store.series(Arc::new(query(0, false)), sender).await });
    assert!(receiver.next().await.is_some());
    drop(receiver);
    assert_eq!(asked.await.unwrap(), Err(StoreError::Gone));
}
