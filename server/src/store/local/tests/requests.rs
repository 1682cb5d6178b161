//! What a request meets beside series: limits, callers who leave, deletions, closed tenants, a receiver that is not ready.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use sarsen_block::{Encoding, Labels, MatchOp, Matcher, TimeRange, decode_chunks};
use sarsen_bucket::{Deletion, Deletions, Layout, ObjstoreConfig, Reloading};
use tokio_util::sync::CancellationToken;

use super::{LocalLimits, Node, Written, ask, body, series};
use crate::store::{
    ChunkParts, ExemplarsQuery, Frame, LabelsQuery, SeriesQuery, StatisticsQuery, Store as _, StoreError,
    StoreSeries, frames, selectors_of,
};

fn everything() -> SeriesQuery {
    SeriesQuery::new(TimeRange::ALL, vec![Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap()])
}

fn samples(series: &StoreSeries, range: TimeRange) -> Vec<(i64, f64)> {
    let chunks: Vec<_> = series
        .chunks
        .iter()
        .map(|chunk| match &chunk.parts {
            ChunkParts::Raw(raw) => sarsen_block::TimedChunk { range: chunk.range, chunk: raw.clone() },
            ChunkParts::Aggregates(_) => panic!("aggregates of raw data"),
        })
        .collect();
    let samples = decode_chunks(&chunks, range).unwrap();
    samples
        .into_iter()
        .map(|sample| match sample.value {
            sarsen_block::Value::Float(v) => (sample.t, v),
            other => panic!("{other:?}"),
        })
        .collect()
}

#[tokio::test]
async fn nothing_is_told_before_it_is_ready() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::new(dir.path(), None, LocalLimits::default(), |_| {});
    assert!(!node.store.info().ready);
    let (frames, end) = ask(&node.store, everything()).await;
    assert_eq!((frames.len(), matches!(end, Err(StoreError::Unavailable(_)))), (0, true));
    let names = node.store.label_names(LabelsQuery::new(TimeRange::ALL, Vec::new())).await;
    assert!(matches!(names, Err(StoreError::Unavailable(_))));
    node.receiver.start(None).await.unwrap();
    assert!(node.store.info().ready);
    assert_eq!(ask(&node.store, everything()).await, (Vec::new(), Ok(())));
    node.receiver.refuse_writes();
    assert!(matches!(ask(&node.store, everything()).await.1, Err(StoreError::Unavailable(_))));
    node.receiver.stop().await.unwrap();
}

#[tokio::test]
async fn statistics_are_of_the_tenants_that_are_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), None, |_| {}).await;
    let up: Written<'_> = (&[("__name__", "up"), ("pod", "a")], &[(1_000, 1.0), (3_000, 1.0)]);
    let other: Written<'_> = (&[("__name__", "up"), ("pod", "b")], &[(2_000, 1.0)]);
    assert!(node.write("a", body(&[up, other])).await.is_success());
    assert!(node.write("b", body(&[up])).await.is_success());
    let all = StatisticsQuery { limit: 10, ..StatisticsQuery::default() };
    let found = node.store.statistics(all.clone()).await.unwrap();
    assert_eq!(found.keys().collect::<Vec<_>>(), ["a", "b"]);
    let one = &found["a"];
    assert_eq!((one.series, one.label_pairs, one.chunks), (2, 3, 2));
    assert_eq!(one.range, TimeRange::new(1_000, 3_000));
    assert_eq!(one.by_metric, [("up".to_owned(), 2)]);
    assert_eq!(one.values_by_label[0], ("pod".to_owned(), 2));
    let of = StatisticsQuery { tenant: Some("b".to_owned()), ..all.clone() };
    assert_eq!(node.store.statistics(of).await.unwrap().into_keys().collect::<Vec<_>>(), ["b"]);
    let elsewhere = StatisticsQuery { matchers: vec![Matcher::equal("region", "us")], ..all };
    assert!(node.store.statistics(elsewhere).await.unwrap().is_empty());
    assert!(node.store.info().statistics);
    node.receiver.stop().await.unwrap();
}

#[tokio::test]
async fn limits_end_a_request() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), None, |_| {}).await;
    for number in 0..5 {
        let number = number.to_string();
        let labels = [("__name__", "m"), ("n", number.as_str())];
        node.write("a", body(&[(&labels, &[(1000, 1.0)])])).await;
    }
    let limited = |series, samples| node.limited(LocalLimits { series, samples, memory: 0 });
    assert_eq!(series(&limited(5, 600), everything()).await.len(), 5);
    let (_, end) = ask(&limited(4, 0), everything()).await;
    let why = "failed to send series: limit 4 violated (got 5)";
    assert_eq!(end, Err(StoreError::Exhausted(why.to_owned())));
    let (_, end) = ask(&limited(0, 599), everything()).await;
    let why = "failed to send samples: limit 599 violated (got 600)";
    assert_eq!(end, Err(StoreError::Exhausted(why.to_owned())));
    // What is not sent does not count.
    let query = SeriesQuery { limit: 4, ..everything() };
    assert_eq!(series(&limited(4, 480), query).await.len(), 4);
    let query = SeriesQuery { skip_chunks: true, ..everything() };
    assert_eq!(series(&limited(5, 1), query).await.len(), 5);
    let heard = &node.heard;
    assert_eq!((heard.pending.load(Ordering::SeqCst), heard.dropped.load(Ordering::SeqCst)), (0, 2));
    assert_eq!((heard.requests.load(Ordering::SeqCst), heard.series.load(Ordering::SeqCst)), (5, 24));
    node.receiver.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves_ends_it() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), None, |_| {}).await;
    for number in 0..40 {
        let number = number.to_string();
        let labels = [("__name__", "m"), ("n", number.as_str())];
        node.write("a", body(&[(&labels, &[(1000, 1.0)])])).await;
    }
    let (sender, mut receiver) = frames(256);
    let store = node.store.clone();
    let asked = tokio::spawn(async move { store.series(Arc::new(everything()), sender).await });
    assert!(receiver.next().await.is_some());
    drop(receiver);
    assert_eq!(asked.await.unwrap(), Err(StoreError::Gone));
    assert_eq!(node.heard.pending.load(Ordering::SeqCst), 0);
    node.receiver.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_wait_for_room() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), None, |_| {}).await;
    for number in 0..20 {
        let number = number.to_string();
        let labels = [("__name__", "m"), ("n", number.as_str())];
        node.write("a", body(&[(&labels, &[(1000, 1.0)])])).await;
    }
    // Room for one, and none for anybody.
    let store = node.limited(LocalLimits { memory: 13 << 20, ..LocalLimits::default() });
    let (sender, mut first) = frames(256);
    let asked = tokio::spawn({
        let store = store.clone();
        async move { store.series(Arc::new(everything()), sender).await }
    });
    assert!(first.next().await.is_some());
    let mut second = Box::pin(series(&store, everything()));
    assert!(futures_util::poll!(&mut second).is_pending());
    while first.next().await.is_some() {}
    assert_eq!(asked.await.unwrap(), Ok(()));
    assert_eq!(second.await.len(), 20);
    let store = node.limited(LocalLimits { memory: 1 << 20, ..LocalLimits::default() });
    assert!(matches!(ask(&store, everything()).await.1, Err(StoreError::Exhausted(_))));
    node.receiver.stop().await.unwrap();
}

#[tokio::test]
async fn long_series_are_cut_into_frames() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), None, |_| {}).await;
    let mut t = 0;
    // Values that do not compress: about nine bytes a sample.
    for _ in 0..20 {
        let samples: Vec<(i64, f64)> = (0..10_000)
            .map(|_| {
                t += 15_000 + i64::from((t as u32).wrapping_mul(2_654_435_761) >> 20);
                (t, f64::from_bits((t as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 2))
            })
            .collect();
        assert_eq!(node.write("a", body(&[(&[("__name__", "m")], &samples)])).await, 200);
    }
    let found = series(&node.store, everything()).await;
    assert!(found.len() > 1 && found.iter().all(|part| part.labels == found[0].labels));
    assert!(found.iter().all(|part| Frame::Series(part.clone()).bytes() < 2 << 20));
    let all: usize = found.iter().map(|part| samples(part, TimeRange::ALL).len()).sum();
    assert_eq!(all, 200_000);
    // Only the chunks that share a moment with the range, and those whole.
    let range = TimeRange::new(t / 2, t / 2);
    let found = series(&node.store, SeriesQuery { range, ..everything() }).await;
    assert_eq!((found.len(), found[0].chunks.len()), (1, 1));
    assert!(found[0].chunks[0].range.contains(t / 2));
    node.receiver.stop().await.unwrap();
}

#[tokio::test]
async fn series_that_look_the_same_stand_one_behind_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), None, |_| {}).await;
    for (tenant, v) in [("a", 1.0), ("b", 2.0)] {
        let series: [Written<'_>; 3] = [
            (&[("__name__", "m"), ("pod", "x"), ("z", "1")], &[(1000, v)]),
            (&[("__name__", "m"), ("pod", "y"), ("z", "0")], &[(1000, v + 10.0)]),
            (&[("__name__", "m"), ("pod", "x"), ("region", "own")], &[(1000, v + 20.0)]),
        ];
        node.write(tenant, body(&series)).await;
    }
    let without = ["pod", "tenant_id"].map(|name| Bytes::from_static(name.as_bytes())).to_vec();
    let found = series(&node.store, SeriesQuery { without, ..everything() }).await;
    let shown = |z: &str| {
        Labels::from_pairs([("__name__", "m"), ("receive_replica", "r0"), ("region", "eu"), ("z", z)])
            .unwrap()
    };
    let expected = [("", 21.0), ("", 22.0), ("0", 11.0), ("0", 12.0), ("1", 1.0), ("1", 2.0)];
    let found: Vec<_> = found.iter().map(|one| (one.labels.clone(), samples(one, TimeRange::ALL))).collect();
    let expected: Vec<_> = expected.iter().map(|&(z, v)| (shown(z), vec![(1000, v)])).collect();
    assert_eq!(found, expected);
    node.receiver.stop().await.unwrap();
}

#[tokio::test]
async fn encodings_are_those_that_the_caller_reads() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), None, |options| options.storage.xor2 = true).await;
    node.write("a", body(&[(&[("__name__", "m")], &[(1000, 1.0), (2000, 2.5)])])).await;
    for (xor2, encoding) in [(false, Encoding::Xor), (true, Encoding::Xor2)] {
        let found = series(&node.store, SeriesQuery { xor2, ..everything() }).await;
        let ChunkParts::Raw(chunk) = &found[0].chunks[0].parts else { panic!("aggregates") };
        assert_eq!(chunk.encoding, encoding);
        assert_eq!(samples(&found[0], TimeRange::ALL), [(1000, 1.0), (2000, 2.5)]);
    }
    node.receiver.stop().await.unwrap();
}

#[tokio::test]
async fn what_is_deleted_from_the_bucket_is_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let text = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", dir.path().join("bucket").display());
    let bucket = Reloading::open(ObjstoreConfig::parse(&text, |_| None).unwrap()).unwrap().bucket().build();
    let node = Node::start(&dir.path().join("tenants"), None, |_| {}).await;
    for tenant in ["a", "b"] {
        let series: [Written<'_>; 2] = [
            (&[("__name__", "m"), ("secret", "yes")], &[(1000, 1.0), (2000, 2.0), (3000, 3.0)]),
            (&[("__name__", "m"), ("secret", "no")], &[(1000, 1.0), (2000, 2.0)]),
        ];
        node.write(tenant, body(&series)).await;
    }
    let deletion = |id: &str, min, max| {
        let range = TimeRange::new(min, max);
        let mut deletion = Deletion::new(id, 9000, "{secret=\"yes\"}", range).unwrap();
        deletion.labels.insert("tenant_id".to_owned(), "b".to_owned());
        deletion
    };
    let mut deletions = Deletions::default();
    deletions.add(deletion("some", 1500, 2500)).unwrap();
    bucket.put(Layout::DELETIONS, deletions.to_bytes().into()).await.unwrap();
    // One look, then the end.
    let stop = CancellationToken::new();
    stop.cancel();
    node.store.follow_deletions(bucket.clone(), stop.clone()).await;
    let found = async |skip_chunks: bool| {
        let found = series(&node.store, SeriesQuery { skip_chunks, ..everything() }).await;
        found.iter().map(|one| samples(one, TimeRange::ALL).len()).collect::<Vec<_>>()
    };
    assert_eq!(found(false).await, [2, 2, 3, 2], "by secret, then tenant");
    deletions.add(deletion("rest", 0, 5000)).unwrap();
    bucket.put(Layout::DELETIONS, deletions.to_bytes().into()).await.unwrap();
    node.store.follow_deletions(bucket, stop).await;
    assert_eq!(found(false).await, [2, 2, 3]);
    assert_eq!(found(true).await.len(), 3, "a series without samples is not told either");
    node.receiver.stop().await.unwrap();
}

#[tokio::test]
async fn a_tenant_that_is_closed_is_told_of() {
    let dir = tempfile::tempdir().unwrap();
    // Somebody else has this one open.
    let _other = sarsen_tsdb::Db::builder(dir.path().join("taken")).open().unwrap();
    let node = Node::start(dir.path(), None, |_| {}).await;
    node.write("a", body(&[(&[("__name__", "m")], &[(1000, 1.0)])])).await;
    let (found, end) = ask(&node.store, everything()).await;
    assert_eq!(end, Ok(()));
    assert!(matches!(&found[..], [Frame::Warning(text), Frame::Series(_)] if text.contains("tenant taken")));
    let (_, end) = ask(&node.store, SeriesQuery { abort: true, ..everything() }).await;
    assert!(matches!(end, Err(StoreError::Aborted(text)) if text.contains("tenant taken")));
    // Who asks for another tenant has all there is.
    let mut query = SeriesQuery { abort: true, ..everything() };
    query.matchers.push(Matcher::equal("tenant_id", "a"));
    assert_eq!(series(&node.store, query).await.len(), 1);
    let names = LabelsQuery::new(TimeRange::ALL, Vec::new());
    assert_eq!(node.store.label_names(names.clone()).await.unwrap().warnings.len(), 1);
    let aborted = node.store.label_names(LabelsQuery { abort: true, ..names }).await;
    assert!(matches!(aborted, Err(StoreError::Aborted(_))));
    node.receiver.stop().await.unwrap();
}

#[tokio::test]
async fn exemplars_of_all_tenants() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), None, |options| options.storage.max_exemplars = 10).await;
    for (tenant, id) in [("b", "2"), ("a", "1")] {
        node.write(tenant, body(&[(&[("__name__", "m")], &[(1000, 1.0)])])).await;
        let readable = node.receiver.readable().unwrap();
        let db = readable.iter().find(|one| one.name == tenant).unwrap().db.clone().unwrap();
        let (own, trace) = (
            Labels::from_pairs([("__name__", "m")]).unwrap(),
            Labels::from_pairs([("trace_id", id)]).unwrap(),
        );
        let mut batch = db.appender();
        let exemplar = sarsen_tsdb::ExemplarRef { labels: trace.as_ref(), t: 1000, value: 1.0 };
        batch.append_exemplar(own.as_ref(), exemplar);
        batch.commit().unwrap().pending.wait().unwrap();
    }
    let found = async |query: &str, range| {
        let found = node
            .store
            .exemplars(ExemplarsQuery::new(selectors_of(query).unwrap(), range))
            .await
            .unwrap()
            .series;
        let ids = found.iter().map(|one| {
            assert_eq!(one.labels.get(b"region"), Some(&b"eu"[..]));
            assert_eq!((one.exemplars.len(), one.exemplars[0].t), (1, 1000));
            String::from_utf8(one.exemplars[0].labels.get(b"trace_id").unwrap().to_vec()).unwrap()
        });
        ids.collect::<Vec<_>>()
    };
    assert_eq!(found("sum(rate(m[5m])) / other", TimeRange::ALL).await, ["1", "2"]);
    assert_eq!(found("m{tenant_id='b'}", TimeRange::ALL).await, ["2"]);
    assert!(found("m{region='us'} + other", TimeRange::ALL).await.is_empty());
    assert!(found("m", TimeRange::new(2000, 3000)).await.is_empty());
    node.receiver.stop().await.unwrap();
}
