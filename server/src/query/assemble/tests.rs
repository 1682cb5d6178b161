//! Stores that say what they are told to, asked through [`select`].

#[cfg(feature = "store")]
mod downsampled;
mod explained;
mod golden;
mod random;

use async_trait::async_trait;
use bytes::Bytes;
use sarsen_block::{Chunk, Labels, Matcher, TimeRange, Timestamp, XorAppender};
use sarsen_promql::Samples;

use super::*;
use crate::query::Replicas;
use crate::store::{ChunkParts, FrameSender, LabelsAnswer, LabelsQuery, StoreChunk, StoreInfo};

/// Sends its frames, and then ends as it is told to.
#[derive(Default)]
struct Scripted {
    frames: Vec<Frame>,
    end: Option<StoreError>,
    hangs: bool,
    asked: parking_lot::Mutex<Vec<Arc<SeriesQuery>>>,
}

#[async_trait]
impl Store for Scripted {
    fn info(&self) -> StoreInfo {
        StoreInfo::empty("scripted")
    }

    async fn series(&self, query: Arc<SeriesQuery>, frames: FrameSender) -> Result<(), StoreError> {
        self.asked.lock().push(query);
        for frame in &self.frames {
            frames.send(frame.clone()).await?;
        }
        if self.hangs {
            std::future::pending::<()>().await;
        }
        self.end.clone().map_or(Ok(()), Err)
    }

    async fn label_names(&self, _: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        Ok(LabelsAnswer::default())
    }

    async fn label_values(&self, _: Bytes, _: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        Ok(LabelsAnswer::default())
    }
}

fn chunk(samples: &[(Timestamp, f64)]) -> StoreChunk {
    let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
    samples.iter().for_each(|&(t, value)| assert!(appender.append(&mut bytes, t, value)));
    let chunk = Chunk::xor(appender.finish(&bytes));
    let range = TimeRange::new(samples.first().unwrap().0, samples.last().unwrap().0);
    StoreChunk { range, parts: ChunkParts::Raw(chunk) }
}

fn frame(pod: &str, chunks: Vec<StoreChunk>) -> Frame {
    Frame::Series(StoreSeries { labels: Labels::from_pairs([("pod", pod)]).unwrap(), chunks })
}

fn selection(function: &'static str, range: TimeRange) -> Selection {
    let hint = Hint { function, ..Hint::default() };
    Selection { matchers: vec![Matcher::equal("__name__", "m")], range, hint }
}

/// The series of a set, each with its numbers.
type Series = Vec<(Labels, Vec<(Timestamp, f64)>)>;

/// Reads a set as an evaluation does.
fn read(mut set: Box<dyn SeriesSet>) -> Result<Series, Error> {
    let mut all = Vec::new();
    while let Some(series) = set.next()? {
        let mut samples = Samples::default();
        series.data.read(&mut samples)?;
        all.push((series.labels, samples.times.into_iter().zip(samples.floats).collect()));
    }
    Ok(all)
}

async fn ask(
    store: Scripted,
    selection: &Selection,
    gather: &Gather,
    told: &Arc<Told>,
) -> Result<Series, Error> {
    let set = select(Arc::new(store), selection, gather, told);
    tokio::task::spawn_blocking(move || read(set)).await.unwrap()
}

fn pod(pod: &str) -> Labels {
    Labels::from_pairs([("pod", pod)]).unwrap()
}

#[tokio::test]
async fn frames_of_one_series_become_one() {
    let frames = vec![
        frame("a", vec![chunk(&[(1000, 1.0), (2000, 2.0)])]),
        Frame::Warning("a block is away".into()),
        frame("a", vec![chunk(&[(3000, 3.0), (4000, 4.0)])]),
        frame("b", vec![chunk(&[(1500, 9.0)])]),
        Frame::Warning("a block is away".into()),
    ];
    let told = Arc::default();
    let selection = selection("", TimeRange::new(2000, 3000));
    let series =
        ask(Scripted { frames, ..Scripted::default() }, &selection, &Gather::default(), &told).await.unwrap();
    assert_eq!(series, [(pod("a"), vec![(2000, 2.0), (3000, 3.0)]), (pod("b"), vec![])]);
    assert_eq!(told.warnings(), ["a block is away"]);
    let (series, chunks, bytes) = told.sent();
    assert_eq!((series, chunks), (3, 3));
    assert!(bytes > 0);
}

#[tokio::test]
async fn a_store_that_fails_ends_the_series_with_its_reason() {
    let frames = vec![frame("a", vec![chunk(&[(1000, 1.0)])]), frame("b", vec![chunk(&[(1000, 1.0)])])];
    let end = Some(StoreError::Aborted("no disk".into()));
    let told = Arc::default();
    let store = Scripted { frames, end: end.clone(), ..Scripted::default() };
    let answer = ask(store, &selection("", TimeRange::ALL), &Gather::default(), &told).await;
    assert!(matches!(answer, Err(Error::Data(why)) if why == "no disk"));
    assert_eq!(told.failure(), end);
}

#[tokio::test]
async fn whoever_waits_for_a_store_that_hangs_can_be_stopped() {
    let told: Arc<Told> = Arc::default();
    let store = Scripted { frames: vec![frame("a", vec![])], hangs: true, ..Scripted::default() };
    let stop = Arc::clone(&told);
    tokio::spawn(async move { stop.stop() });
    let answer = ask(store, &selection("", TimeRange::ALL), &Gather::default(), &told).await;
    assert!(matches!(answer, Err(Error::Canceled)));
}

#[tokio::test]
async fn so_many_are_asked_ahead_and_who_is_waited_for_is_asked() {
    let told = Arc::new(Told::new(2));
    let frames = vec![frame("a", vec![chunk(&[(1000, 1.0)])])];
    // The first ones hold their places for ever: nobody reads them, and they do not end.
    let store = |hangs| Arc::new(Scripted { frames: frames.clone(), hangs, ..Scripted::default() });
    let stores = [store(true), store(true), store(false)];
    let ask = |store: &Arc<Scripted>| {
        let store = Arc::<Scripted>::clone(store);
        select(store, &selection("", TimeRange::ALL), &Gather::default(), &told)
    };
    let mut sets: Vec<_> = stores.iter().map(ask).collect();
    while stores.iter().take(2).any(|store| store.asked.lock().is_empty()) {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert!(stores[2].asked.lock().is_empty(), "it has no place");
    let last = sets.pop().unwrap();
    let series = tokio::task::spawn_blocking(move || read(last)).await.unwrap().unwrap();
    assert_eq!(series, [(pod("a"), vec![(1000, 1.0)])]);
}

#[tokio::test]
async fn a_set_that_is_dropped_stops_its_store() {
    let store = Arc::new(Scripted { hangs: true, ..Scripted::default() });
    let set = select(
        Arc::<Scripted>::clone(&store),
        &selection("", TimeRange::ALL),
        &Gather::default(),
        &Arc::default(),
    );
    while store.asked.lock().is_empty() {
        tokio::task::yield_now().await;
    }
    assert_eq!(Arc::strong_count(&store), 2);
    drop(set);
    while Arc::strong_count(&store) > 1 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_store_is_asked_for_what_the_function_needs() {
    let cases: [(_, i64, &[Aggregate], i64); 6] = [
        ("rate", 600_000, &[Aggregate::Counter], 300_000),
        ("delta", 600_000, &[Aggregate::Count, Aggregate::Sum], 300_000),
        ("min_over_time", 600_000, &[Aggregate::Min], 3_600_000),
        ("sum", 0, &[Aggregate::Count, Aggregate::Sum], 3_600_000),
        ("count", 0, &[Aggregate::Count], 3_600_000),
        ("rate", 0, &[Aggregate::Counter], 3_600_000),
    ];
    for (function, range_ms, aggregates, resolution) in cases {
        let mut selection = selection(function, TimeRange::new(1, 2));
        selection.hint.range_ms = range_ms;
        let gather = Gather {
            replica_labels: vec![Bytes::from_static(b"replica")],
            max_resolution_ms: 3_600_000,
            enforced: Some(Matcher::equal("tenant_id", "a")),
            partial: true,
            ..Gather::default()
        };
        let query = series_query(&selection, &gather);
        assert_eq!(query.aggregates, aggregates, "{function}");
        assert_eq!(query.max_resolution_ms, resolution, "{function}");
        assert_eq!(query.without, gather.replica_labels);
        assert_eq!(query.matchers, [Matcher::equal("__name__", "m"), Matcher::equal("tenant_id", "a")]);
        assert_eq!(query.range, TimeRange::new(1, 2));
        assert!(!query.abort);
    }
}

#[tokio::test]
async fn raw_chunks_that_overlap_are_merged_by_time_where_nothing_is_made_one() {
    let chunks = vec![
        chunk(&[(1000, 1.0), (3000, 3.0), (5000, 5.0)]),
        chunk(&[(2000, 2.0), (4000, 4.0), (6000, 6.0)]),
        chunk(&[(7000, 1.0), (8000, 8.0)]),
    ];
    let store = || Scripted { frames: vec![frame("a", chunks.clone())], ..Scripted::default() };
    let (selection, told) = (selection("rate", TimeRange::ALL), Arc::default());
    let series = ask(store(), &selection, &Gather::default(), &told).await.unwrap();
    let times: Vec<_> = series[0].1.iter().map(|sample| sample.0).collect();
    assert_eq!(times, [1000, 2000, 3000, 4000, 5000, 6000, 7000, 8000]);
    assert_eq!(series[0].1[6].1, 1.0, "a reset stays");
    let gather = Gather { adjust_counters: true, ..Gather::default() };
    let series = ask(store(), &selection, &gather, &told).await.unwrap();
    let expected = [(1000, 1.0), (3000, 3.0), (5000, 5.0), (6000, 6.0), (7000, 7.0), (8000, 14.0)];
    assert_eq!(series[0].1, expected, "one after the other, without resets");
}

#[tokio::test]
async fn a_count_is_as_many_samples_for_prometheus_and_one_for_thanos() {
    let counts = |samples: &[(Timestamp, f64)]| {
        let StoreChunk { range, parts: ChunkParts::Raw(chunk) } = chunk(samples) else { unreachable!() };
        let parts = Aggregate::ALL.map(|part| (part == Aggregate::Count).then(|| chunk.clone()));
        let aggregates = sarsen_downsample::AggrChunk::new(parts);
        StoreChunk { range, parts: ChunkParts::Aggregates(Box::new(aggregates)) }
    };
    let chunks = vec![
        counts(&[(299_999, 3.0), (599_999, 1.0)]),
        counts(&[(899_999, 2.0)]),
        chunk(&[(900_000, 7.5), (960_000, 8.5)]),
    ];
    let selection = selection("count_over_time", TimeRange::new(299_998, 1_000_000));
    for replica_labels in [Vec::new(), vec![Bytes::from_static(b"replica")]] {
        for (adjust_counters, expected) in [
            (true, &[299_999, 599_999, 899_999, 900_000, 960_000][..]),
            (false, &[299_998, 299_999, 599_999, 899_998, 899_999, 900_000, 960_000]),
        ] {
            // A replica with the same in other chunks.
            let mut twice = chunks.clone();
            twice.push(counts(&[(299_999, 3.0), (599_999, 1.0), (899_999, 2.0)]));
            for chunks in [chunks.clone(), twice] {
                let store = Scripted { frames: vec![frame("a", chunks)], ..Scripted::default() };
                let gather =
                    Gather { adjust_counters, replica_labels: replica_labels.clone(), ..Gather::default() };
                let series = ask(store, &selection, &gather, &Arc::default()).await.unwrap();
                let times: Vec<_> = series[0].1.iter().map(|sample| sample.0).collect();
                assert_eq!(times, expected);
            }
        }
    }
}
