//! What a process keeps on its own disk: a restart asks the bucket nothing that it knew, and damage costs time and no more.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use object_store::memory::InMemory;
use sarsen_block::{
    BlockId, BlockMeta, BlockSink, BlockStats, BlockWriter, BlockWriterOptions, Chunk, Labels, Parent,
    ThanosMeta, TimeRange, TimedChunk, XorAppender,
};
use sarsen_bucket::{
    Bucket, BucketCacheOptions, BucketObserver, BucketSettings, Cache, CacheContext, CacheOptions,
    CacheStore, Error, FailingStore, Fetcher, Finished, HeaderCache, HeaderObserver, Layout, MarkKind,
    Marker, MemoryOptions, Operation, Retry, Timer, Uncounted, Wait,
};

/// Counts requests by what they ask for.
#[derive(Default)]
struct Requests([AtomicU64; Operation::ALL.len()]);

impl BucketObserver for Requests {
    fn finished(&self, operation: &Finished) {
        self.0[operation.operation as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Requests {
    /// What was asked since the last call: listings, objects, anything else.
    fn take(&self) -> (u64, u64, u64) {
        let take = |operation: Operation| self.0[operation as usize].swap(0, Ordering::Relaxed);
        let listings = take(Operation::Iter);
        let objects = take(Operation::Get);
        (listings, objects, Operation::ALL.into_iter().map(take).sum())
    }
}

fn observed(store: &Arc<FailingStore>) -> (Bucket, Arc<Requests>) {
    let requests = Arc::new(Requests::default());
    let settings = BucketSettings { retry: Retry::NEVER, ..BucketSettings::default() };
    let bucket = Bucket::builder(store.clone(), "test").settings(settings).observer(requests.clone());
    (bucket.build(), requests)
}

fn store() -> Arc<FailingStore> {
    Arc::new(FailingStore::new(Arc::new(InMemory::new())))
}

fn id(number: u128) -> BlockId {
    BlockId::from_parts(1_700_000_000_000 + number as u64, number)
}

/// A meta as a compactor leaves it: with parents, sources and labels.
fn meta(number: u128) -> BlockMeta {
    let mut meta = BlockMeta::fresh(id(number), TimeRange::new(0, 7_199_999), BlockStats::default());
    meta.compaction.sources = (0..12).map(|source| id(1_000_000 + number * 12 + source)).collect();
    meta.compaction.parents = meta
        .compaction
        .sources
        .iter()
        .map(|id| Parent { id: *id, min_time: 0, max_time: 7_200_000 })
        .collect();
    let labels =
        ["cluster", "replica", "tenant_id"].map(|name| (name.to_owned(), format!("{name}-{}", number % 17)));
    meta.thanos = Some(ThanosMeta { labels: BTreeMap::from(labels), ..ThanosMeta::default() });
    meta
}

#[tokio::test]
async fn a_restart_with_ten_thousand_blocks_makes_no_request_per_block() {
    const BLOCKS: u128 = 10_000;
    let store = store();
    let (bucket, requests) = observed(&store);
    for number in 0..BLOCKS {
        bucket.put(&Layout::meta(id(number)), meta(number).to_bytes().into()).await.unwrap();
        if number % 10 == 0 {
            Marker::deletion(id(number), 5, "old").put(&bucket).await.unwrap();
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("not/yet/there/catalogue");
    assert!(matches!(Fetcher::load(&path, &bucket), Err(Error::Local { .. })));
    let mut first = Fetcher::default();
    requests.take();
    let view = first.fetch(&bucket).await.unwrap();
    assert_eq!(requests.take(), (1, 11_000, 0));
    assert_eq!((view.blocks.len(), view.marks.len()), (10_000, 1000));
    let size = first.save(&path, &bucket).unwrap();
    assert_eq!(size, std::fs::metadata(&path).unwrap().len());

    // The store is away: everything is known without it.
    store.fail_at(1, true);
    let mut second = Fetcher::load(&path, &bucket).unwrap();
    assert_eq!(second.seen(), view);
    assert!(second.fetch(&bucket).await.is_err());
    assert_eq!(second.seen(), view);
    store.fail_at(0, false);

    // It is there again, and little has changed.
    Marker::remove(&bucket, id(0), MarkKind::Deletion).await.unwrap();
    Marker::deletion(id(1), 6, "").put(&bucket).await.unwrap();
    bucket.delete(&Layout::meta(id(2))).await.unwrap();
    bucket.put(&Layout::meta(id(BLOCKS)), meta(BLOCKS).to_bytes().into()).await.unwrap();
    requests.take();
    let now = second.fetch(&bucket).await.unwrap();
    assert_eq!(requests.take(), (1, 2, 0), "a new block and a new mark");
    assert_eq!(now, first.fetch(&bucket).await.unwrap());
    assert!(now.mark(id(1), MarkKind::Deletion).is_some() && now.mark(id(0), MarkKind::Deletion).is_none());
    assert_eq!(now.blocks.len(), 10_000);

    // Another bucket's, or a damaged one, is refused by name.
    let other = Bucket::builder(store, "other").build();
    let refused = Fetcher::load(&path, &other).unwrap_err().to_string();
    assert!(refused.contains("other"), "{refused}");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(matches!(Fetcher::load(&path, &bucket), Err(Error::Corrupt { .. })));
}

/// Several gateways with one cache read the bucket once between them, and never take an old mark for a new one.
#[tokio::test]
async fn looks_through_a_cache() {
    let store = store();
    let (bucket, requests) = observed(&store);
    for number in 0..20 {
        bucket.put(&Layout::meta(id(number)), meta(number).to_bytes().into()).await.unwrap();
    }
    Marker::deletion(id(1), 5, "first").put(&bucket).await.unwrap();
    let time = Arc::new(Hand::default());
    let options = BucketCacheOptions::new(CacheStore::Memory(MemoryOptions::of_size(1 << 20)));
    let context = CacheContext {
        runtime: tokio::runtime::Handle::current(),
        timer: time.clone(),
        observer: Arc::new(Uncounted),
    };
    let cache = Cache::new(&CacheOptions { bucket: Some(options), ..CacheOptions::default() }, &context);
    requests.take();
    let view = Fetcher::default().fetch_through(&bucket, &cache).await.unwrap();
    assert_eq!(requests.take(), (1, 21, 0));
    assert_eq!(Fetcher::default().fetch_through(&bucket, &cache).await.unwrap(), view);
    assert_eq!(requests.take(), (1, 0, 0));
    assert_eq!(cache.list(&bucket, "").await.unwrap().len(), 21);
    Marker::remove(&bucket, id(1), MarkKind::Deletion).await.unwrap();
    Marker::deletion(id(1), 77, "second time").put(&bucket).await.unwrap();
    requests.take();
    let now = Fetcher::default().fetch_through(&bucket, &cache).await.unwrap();
    assert_eq!(now.mark(id(1), MarkKind::Deletion).unwrap().time, 77);
    assert_eq!(requests.take(), (1, 1, 0));
    // A listing is believed for a while.
    bucket.delete(&Layout::meta(id(3))).await.unwrap();
    requests.take();
    assert_eq!(cache.list(&bucket, "").await.unwrap().len(), 21);
    assert_eq!(requests.take(), (0, 0, 0));
    time.pass(Duration::from_secs(301));
    assert_eq!(cache.list(&bucket, "").await.unwrap().len(), 20);
    assert_eq!(requests.take(), (1, 0, 0));
    // What is there and what is not is believed for a while as well.
    let name = Layout::mark(id(2), MarkKind::NoCompact);
    assert_eq!(cache.content(&bucket, &name).await.unwrap(), None);
    assert!(!cache.exists(&bucket, &name).await.unwrap());
    assert_eq!(requests.take().1, 1);
    bucket.put(&name, "mark".into()).await.unwrap();
    assert!(!cache.exists(&bucket, &name).await.unwrap());
    time.pass(Duration::from_secs(901));
    assert!(cache.exists(&bucket, &name).await.unwrap());
    assert_eq!(cache.content(&bucket, &name).await.unwrap().as_deref(), Some(&b"mark"[..]));
    requests.take();
    assert_eq!(cache.content(&bucket, &name).await.unwrap().as_deref(), Some(&b"mark"[..]));
    assert!(cache.exists(&bucket, &name).await.unwrap());
    assert_eq!(requests.take(), (0, 0, 0));
}

/// A clock that is moved by hand.
#[derive(Default)]
struct Hand(AtomicU64);

impl Hand {
    fn pass(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as u64, Ordering::Relaxed);
    }
}

impl Timer for Hand {
    fn elapsed(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn wait(&self, _duration: Duration) -> Wait<'_> {
        Box::pin(std::future::ready(()))
    }
}

/// Files in the order in which they were finished: the index is the last.
#[derive(Default)]
struct Files(Vec<Vec<u8>>);

impl BlockSink for Files {
    type File = Vec<u8>;
    fn create(&mut self, _path: &str) -> std::io::Result<Vec<u8>> {
        Ok(Vec::new())
    }
    fn finish(&mut self, file: Vec<u8>) -> std::io::Result<()> {
        self.0.push(file);
        Ok(())
    }
}

/// The index of a block with this many series.
fn index(series: usize) -> Bytes {
    let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
    appender.append(&mut bytes, 1000, 1.0);
    let chunk = TimedChunk { range: TimeRange::new(1000, 1000), chunk: Chunk::xor(appender.finish(&bytes)) };
    let pods: Vec<String> = (0..series).map(|pod| format!("pod-{pod:05}")).collect();
    let symbols = ["__name__", "pod"].into_iter().chain(pods.iter().map(String::as_str)).chain(["up"]);
    let mut writer = BlockWriter::new(Files::default(), BlockWriterOptions::default(), symbols).unwrap();
    for pod in &pods {
        let labels = Labels::from_pairs([("__name__", "up"), ("pod", pod)]).unwrap();
        writer.add(labels.as_ref(), std::slice::from_ref(&chunk)).unwrap();
    }
    writer.finish().unwrap().sink.0.pop().unwrap().into()
}

/// How often headers were made, opened, found unusable, closed.
#[derive(Default)]
struct Headers([AtomicU64; 4]);

impl Headers {
    fn take(&self) -> [u64; 4] {
        [0, 1, 2, 3].map(|count: usize| self.0[count].swap(0, Ordering::Relaxed))
    }
    fn count(&self, what: usize) {
        self.0[what].fetch_add(1, Ordering::Relaxed);
    }
}

impl HeaderObserver for Headers {
    fn made(&self, _took: Duration, _well: bool) {
        self.count(0);
    }
    fn opened(&self, _took: Duration, well: bool) {
        self.count(if well { 1 } else { 2 });
    }
    fn closed(&self) {
        self.count(3);
    }
}

#[tokio::test]
async fn headers_are_made_once_and_found_again() {
    let (store, dir, time) = (store(), tempfile::tempdir().unwrap(), Arc::new(Hand::default()));
    let requests = Arc::new(Requests::default());
    let builder = Bucket::builder(store.clone(), "test").observer(requests.clone()).timer(time.clone());
    let settings = BucketSettings { retry: Retry::NEVER, ..BucketSettings::default() };
    let bucket = builder.settings(settings).build();
    let index = index(500);
    let size = index.len() as u64;
    for number in 0..3 {
        bucket.put(&Layout::index(id(number)), index.clone()).await.unwrap();
    }
    let events = Arc::new(Headers::default());
    let cache = HeaderCache::new(Some(dir.path().join("headers")), events.clone());
    requests.take();
    // Many ask at once: it is made by one of them.
    let all = join_all((0..20).map(|_| cache.header(&bucket, id(0), size))).await;
    assert!(all.iter().all(|header| header.as_ref().unwrap().num_values(b"pod") == 500));
    assert_eq!(events.take(), [1, 0, 0, 0]);
    assert!(requests.take().2 <= 2);
    assert_eq!(cache.open_headers().count, 1);
    assert!(cache.open_headers().memory > 0);

    // Idle ones are closed, and opened again from the disk; also by the next process, and while the store is away.
    time.pass(Duration::from_secs(200));
    cache.header(&bucket, id(1), size).await.unwrap();
    time.pass(Duration::from_secs(150));
    assert_eq!(cache.close_idle(&bucket, Duration::from_secs(300)), 1);
    assert_eq!((cache.open_headers().count, events.take()), (1, [1, 0, 0, 1]));
    store.fail_at(1, true);
    cache.header(&bucket, id(0), size).await.unwrap();
    let next = HeaderCache::new(Some(dir.path().join("headers")), events.clone());
    assert_eq!(next.header(&bucket, id(1), size).await.unwrap().num_values(b"pod"), 500);
    assert_eq!(events.take(), [0, 2, 0, 0]);
    // What cannot be made fails and can be made later.
    assert!(next.header(&bucket, id(2), size).await.is_err());
    assert_eq!(next.open_headers().count, 1);
    store.fail_at(0, false);
    next.header(&bucket, id(2), size).await.unwrap();
    assert!(matches!(next.header(&bucket, id(9), size).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn damaged_headers_are_made_anew_and_those_of_vanished_blocks_go() {
    let (store, dir) = (store(), tempfile::tempdir().unwrap());
    let (bucket, _) = observed(&store);
    let index = index(200);
    let size = index.len() as u64;
    bucket.put(&Layout::index(id(1)), index).await.unwrap();
    let path = dir.path().join(id(1).to_string()).join("sarsen-index-header");
    let events = Arc::new(Headers::default());
    let open = || HeaderCache::new(Some(dir.path().to_owned()), events.clone());
    open().header(&bucket, id(1), size).await.unwrap();
    let good = std::fs::read(&path).unwrap();
    for damage in [0, 1, good.len() / 2, good.len() - 1] {
        std::fs::write(&path, &good[..damage]).unwrap();
        assert_eq!(open().header(&bucket, id(1), size).await.unwrap().num_values(b"pod"), 200);
        assert_eq!(std::fs::read(&path).unwrap(), good, "cut off after {damage} bytes");
    }
    events.take();
    // Of another index: its size is another one.
    std::fs::write(&path, &good).unwrap();
    assert!(open().header(&bucket, id(1), size + 4).await.is_err());
    assert_eq!(events.take(), [1, 0, 1, 0]);
    // Damage that is found later: whoever finds it lets go of it.
    let cache = open();
    cache.header(&bucket, id(1), size).await.unwrap();
    cache.discard(id(1)).await;
    assert!(!path.exists());
    cache.header(&bucket, id(1), size).await.unwrap();
    assert!(path.exists());
    // Vanished blocks, and what is not ours.
    std::fs::create_dir(dir.path().join(id(2).to_string())).unwrap();
    std::fs::write(dir.path().join(id(2).to_string()).join("index-header"), "of Thanos").unwrap();
    std::fs::create_dir(dir.path().join("meta-syncer")).unwrap();
    assert_eq!(cache.sweep(|block| block == id(1)).unwrap(), 1);
    assert!(path.exists() && dir.path().join("meta-syncer").exists());
    assert_eq!(cache.sweep(|_| false).unwrap(), 1);
    assert_eq!((cache.open_headers().count, path.exists()), (0, false));
}

#[tokio::test]
async fn a_disk_that_takes_nothing_costs_memory_only() {
    let (store, dir) = (store(), tempfile::tempdir().unwrap());
    let (bucket, _) = observed(&store);
    let index = index(50);
    let size = index.len() as u64;
    bucket.put(&Layout::index(id(1)), index).await.unwrap();
    // A file where the directory should be.
    let place = dir.path().join("headers");
    std::fs::write(&place, "in the way").unwrap();
    for directory in [Some(place), None] {
        let events = Arc::new(Headers::default());
        let cache = HeaderCache::new(directory, events.clone());
        for _ in 0..3 {
            assert_eq!(cache.header(&bucket, id(1), size).await.unwrap().num_values(b"pod"), 50);
        }
        assert_eq!(events.take()[0], 1);
    }
}
