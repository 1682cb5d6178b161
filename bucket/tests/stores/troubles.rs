//! What fails on the way is told as what it was, and leaves nothing that looks like a block.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result as StoreResult,
};
use sarsen_block::BlockMeta;
use sarsen_bucket::{
    Advice, Bucket, BucketSettings, Copied, Depth, Error, FailingStore, Layout, Lease, LeaseTerms, Leasing,
    NoTime, ObjstoreConfig, Reading, Reloading, Renewal, Retry, ScrubOptions, Timer, UploadSink, View, Wait,
    Weather, copy_block, open_block, scrub, verify_block,
};

use crate::streams::{blocking, bring, content_of, id, sink_options, write_block};

fn failing() -> Arc<FailingStore> {
    Arc::new(FailingStore::new(Arc::new(InMemory::new())))
}

fn bucket(store: &Arc<FailingStore>, retry: Retry) -> Bucket {
    let settings = BucketSettings { retry, ..crate::small_parts() };
    Bucket::builder(store.clone(), "failing").settings(settings).build()
}

async fn objects(bucket: &Bucket) -> Vec<String> {
    bucket.list("").await.unwrap().into_iter().map(|object| object.name).collect()
}

/// Writes a block into the bucket; the error that stopped it.
async fn try_to_bring(bucket: &Bucket, scratch: &std::path::Path) -> Result<BlockMeta, Error> {
    let mut sink = UploadSink::begin(bucket, sink_options(id(1), scratch)).await?;
    let ((meta, checks), written) = blocking(move || {
        let (_, meta, checks, _) = write_block(Nowhere, id(1), 20);
        let written = copy_files(&mut sink, 20);
        ((meta, checks), written.map(|()| sink))
    })
    .await;
    match written {
        Ok(sink) => sink.publish(&meta, &checks, 7).await,
        Err(error) => Err(Error::of_block(id(1), sarsen_block::Error::io("writing", error))),
    }
}

/// Forgets what is written.
struct Nowhere;

impl sarsen_block::BlockSink for Nowhere {
    type File = std::io::Sink;
    fn create(&mut self, _rel_path: &str) -> std::io::Result<std::io::Sink> {
        Ok(std::io::sink())
    }
    fn finish(&mut self, _file: std::io::Sink) -> std::io::Result<()> {
        Ok(())
    }
}

/// Keeps what is written.
#[derive(Default)]
struct Memory(Vec<(String, Vec<u8>)>);

struct Named(String, Vec<u8>);

impl std::io::Write for Named {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.1.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl sarsen_block::BlockSink for Memory {
    type File = Named;
    fn create(&mut self, rel_path: &str) -> std::io::Result<Named> {
        Ok(Named(rel_path.to_owned(), Vec::new()))
    }
    fn finish(&mut self, file: Named) -> std::io::Result<()> {
        self.0.push((file.0, file.1));
        Ok(())
    }
}

/// The files of a block, one after another, into a sink that may refuse.
fn copy_files(sink: &mut UploadSink, series: usize) -> std::io::Result<()> {
    use sarsen_block::BlockSink as _;
    use std::io::Write as _;
    let (memory, ..) = write_block(Memory::default(), id(1), series);
    for (rel_path, bytes) in memory.0 {
        let mut file = sink.create(&rel_path)?;
        file.write_all(&bytes)?;
        sink.finish(file)?;
    }
    Ok(())
}

/// Every call fails in turn, once and for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_fails_anywhere_leaves_no_block_and_can_be_repeated() {
    let scratch = tempfile::tempdir().unwrap();
    for lasting in [false, true] {
        for call in 1.. {
            let store = failing();
            let bucket = bucket(&store, Retry::NEVER);
            store.fail_at(call, lasting);
            let result = try_to_bring(&bucket, scratch.path()).await;
            let reached = store.calls() >= call;
            store.fail_at(0, false);
            let complete = View::fetch(&bucket).await.unwrap().blocks.len();
            if result.is_ok() {
                assert!(!reached, "call {call} failed unseen");
                assert_eq!(complete, 1);
                assert!(call > 4, "an upload has more calls than {call}");
                break;
            }
            assert_eq!(complete, 0, "call {call}, lasting {lasting}");
            let error = result.unwrap_err();
            assert!(matches!(error, Error::Store { .. }), "call {call}: {error}");
            assert_eq!(error.advice(), Advice::Retry);
            assert!(!scratch.path().join(id(1).to_string()).exists(), "call {call}");
        }
    }
}

/// A block that nobody publishes is taken back by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sink_that_is_given_up_takes_back_what_it_brought() {
    let scratch = tempfile::tempdir().unwrap();
    let store = failing();
    let bucket = bucket(&store, Retry::default());
    let mut sink = UploadSink::begin(&bucket, sink_options(id(1), scratch.path())).await.unwrap();
    let sink = blocking(move || copy_files(&mut sink, 20).map(|()| sink).unwrap()).await;
    assert!(objects(&bucket).await.len() > 1);
    sink.discard().await.unwrap();
    assert_eq!(objects(&bucket).await, [""; 0]);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    // What is not about the block is refused, and taken back too.
    for wrong in [0, 1, 2, 3] {
        let mut sink = UploadSink::begin(&bucket, sink_options(id(1), scratch.path())).await.unwrap();
        let sink = blocking(move || copy_files(&mut sink, 20).map(|()| sink).unwrap()).await;
        let (_, mut meta, mut checks, _) = write_block(Nowhere, id(1), 20);
        match wrong {
            0 => meta.id = id(2),
            1 => meta.stats.num_samples += 1,
            2 => checks.segments[0].length += 1,
            _ => meta.thanos = None,
        }
        let refused = sink.publish(&meta, &checks, 7).await;
        assert!(matches!(refused, Err(Error::Refused { .. })), "{refused:?}");
        assert_eq!(objects(&bucket).await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_segment_does_not_go_up() {
    use sarsen_block::BlockSink as _;
    use std::io::Write as _;
    let scratch = tempfile::tempdir().unwrap();
    let bucket = bucket(&failing(), Retry::default());
    let mut sink = UploadSink::begin(&bucket, sink_options(id(1), scratch.path())).await.unwrap();
    let (memory, meta, checks, _) = write_block(Memory::default(), id(1), 20);
    let sink = blocking(move || {
        for (rel_path, mut bytes) in memory.0 {
            if rel_path == "chunks/000001" {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            let mut file = sink.create(&rel_path).unwrap();
            file.write_all(&bytes).unwrap();
            if sink.finish(file).is_err() {
                break;
            }
        }
        sink
    })
    .await;
    let error = sink.publish(&meta, &checks, 7).await.unwrap_err();
    assert!(View::fetch(&bucket).await.unwrap().blocks.is_empty(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_fails_anywhere_says_so_and_never_gives_other_bytes() {
    let scratch = tempfile::tempdir().unwrap();
    let store = failing();
    let bucket = bucket(&store, Retry::NEVER);
    let (meta, content) = bring(&bucket, scratch.path(), id(1), 60).await;
    for lasting in [false, true] {
        for call in 1.. {
            store.fail_at(call, lasting);
            let reading = Reading::new(scratch.path());
            let read = match open_block(&bucket, &meta, &reading).await {
                Ok(block) => {
                    let read = blocking(move || content_of(&block));
                    read.await.map_err(|error| Error::of_block(id(1), error))
                }
                Err(error) => Err(error),
            };
            store.fail_at(0, false);
            match read {
                Ok(read) => {
                    assert!(read == content, "call {call}");
                    break;
                }
                Err(error) => assert!(matches!(error, Error::Store { .. }), "call {call}: {error:?}"),
            }
            // A search for faults does not take it for one.
            for depth in [Depth::Sizes, Depth::Fast, Depth::Quick, Depth::Deep] {
                store.fail_at(call, lasting);
                let found = verify_block(&bucket, &meta, depth, &reading).await;
                let reached = store.calls() >= call;
                store.fail_at(0, false);
                match found {
                    Ok(found) => assert!(!reached && found.is_sound(), "call {call}: {found:?}"),
                    Err(error) => assert_eq!(error.advice(), Advice::Retry, "call {call}: {error}"),
                }
            }
        }
    }
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_weather_only_slows_things_down() {
    let scratch = tempfile::tempdir().unwrap();
    for seed in 0..8 {
        let (store, inner) = (failing(), failing());
        let bucket = bucket(&store, Retry { tries: 8, ..Retry::default() });
        let other = Bucket::builder(inner, "other").settings(crate::small_parts()).build();
        let timer: Arc<dyn Timer> = Arc::new(Yields);
        let delay = Duration::from_millis(5);
        store.set_weather(Some(Weather { seed, failing: 50, unanswered: 50, late: 300, delay, timer }));
        let (meta, content) = bring(&bucket, scratch.path(), id(1), 60).await;
        let block = open_block(&bucket, &meta, &Reading::new(scratch.path())).await.unwrap();
        assert!(blocking(move || content_of(&block).unwrap()).await == content);
        assert!(matches!(copy_block(&bucket, &other, id(1)).await.unwrap(), Copied::Complete { .. }));
        let deep = verify_block(&bucket, &meta, Depth::Deep, &Reading::new(scratch.path())).await.unwrap();
        assert!(deep.is_sound());
        assert!(store.calls() > 30, "{}", store.calls());
    }
}

#[tokio::test]
async fn every_kind_of_damage_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let bucket = bucket(&failing(), Retry::default());
    let (meta, _) = bring(&bucket, scratch.path(), id(1), 60).await;
    let reading = Reading::new(scratch.path());
    let segment = Layout::file(id(1), "chunks/000002");
    let whole = bucket.get(&segment).await.unwrap();
    let mut flipped = whole.to_vec();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    let index = bucket.get(&Layout::index(id(1))).await.unwrap();
    let checks = bucket.get(&Layout::checks(id(1))).await.unwrap();
    for (name, bytes, seen_by_size) in [
        (&segment, None, true),
        (&segment, Some(whole.slice(..whole.len() - 1)), true),
        (&segment, Some(Bytes::from(flipped)), false),
        (&Layout::index(id(1)), None, true),
        (&Layout::index(id(1)), Some(Bytes::from(vec![7; index.len()])), false),
    ] {
        let before = bucket.get(name).await.unwrap();
        match bytes {
            None => bucket.delete(name).await.unwrap(),
            Some(bytes) => bucket.put(name, bytes).await.unwrap(),
        }
        let sizes = verify_block(&bucket, &meta, Depth::Sizes, &reading).await.unwrap();
        assert_eq!(!sizes.is_sound(), seen_by_size, "{name}");
        let rel_path = name.split_once('/').unwrap().1;
        for with_checks in [true, false] {
            if !with_checks {
                bucket.delete(&Layout::checks(id(1))).await.unwrap();
            }
            for depth in [Depth::Fast, Depth::Quick, Depth::Deep] {
                let found = verify_block(&bucket, &meta, depth, &reading).await.unwrap();
                let named = found.faults.iter().any(|fault| fault.file == rel_path);
                assert!(named, "{name}, {depth:?}, {with_checks}: {found:?}");
            }
        }
        bucket.put(&Layout::checks(id(1)), checks.clone()).await.unwrap();
        if seen_by_size {
            let opened = open_block(&bucket, &meta, &reading).await;
            assert_eq!(opened.unwrap_err().advice(), Advice::SetAside);
        }
        bucket.put(name, before).await.unwrap();
    }
    for depth in [Depth::Sizes, Depth::Fast, Depth::Quick, Depth::Deep] {
        assert!(verify_block(&bucket, &meta, depth, &reading).await.unwrap().is_sound());
    }
    bucket.put(&Layout::checks(id(1)), "{}".into()).await.unwrap();
    let found = verify_block(&bucket, &meta, Depth::Fast, &reading).await.unwrap();
    assert_eq!(found.faults[0].file, Layout::CHECKS);
    assert!(verify_block(&bucket, &meta, Depth::Deep, &reading).await.unwrap().is_sound());
    // A block that goes away is not damaged.
    bucket.delete(&Layout::meta(id(1))).await.unwrap();
    bucket.delete(&segment).await.unwrap();
    let found = verify_block(&bucket, &meta, Depth::Deep, &reading).await.unwrap();
    assert!(found.gone && found.is_sound());
}

/// Time that passes only by being waited for.
#[derive(Default)]
struct Counted(Mutex<Duration>);

impl Timer for Counted {
    fn elapsed(&self) -> Duration {
        *self.0.lock().unwrap()
    }
    fn wait(&self, duration: Duration) -> Wait<'_> {
        *self.0.lock().unwrap() += duration;
        Box::pin(std::future::ready(()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scrubbing_keeps_to_its_bandwidth() {
    let root = tempfile::tempdir().unwrap();
    let directory = Reloading::open(ObjstoreConfig::directory(root.path())).unwrap();
    for builder in [Bucket::builder(Arc::new(InMemory::new()), "timed"), directory.bucket()] {
        let timer = Arc::new(Counted::default());
        let bucket = builder.settings(crate::small_parts()).timer(timer.clone()).build();
        scrubs_within_its_bandwidth(&bucket, &timer).await;
    }
}

async fn scrubs_within_its_bandwidth(bucket: &Bucket, timer: &Counted) {
    let scratch = tempfile::tempdir().unwrap();
    let mut metas = Vec::new();
    for number in 1..=3 {
        metas.push(bring(bucket, scratch.path(), id(number), 40).await.0);
    }
    assert_eq!(timer.elapsed(), Duration::ZERO, "only scrubbing waits");
    let segment = Layout::file(id(2), "chunks/000001");
    let mut bytes = bucket.get(&segment).await.unwrap().to_vec();
    bytes[1000] ^= 1;
    bucket.put(&segment, bytes.into()).await.unwrap();
    let bytes: u64 = bucket.list("").await.unwrap().iter().map(|object| object.size).sum();
    for depth in [Depth::Fast, Depth::Deep] {
        let reading = Reading::new(scratch.path());
        let options = ScrubOptions { depth, bytes_per_second: 10_000, reading };
        let mut faulty = Vec::new();
        let note = |found: sarsen_bucket::Verified| {
            if !found.is_sound() {
                faulty.push(found.id);
            }
            true
        };
        let begun = timer.elapsed();
        let count = scrub(bucket, &metas, &options, note).await.unwrap();
        assert_eq!((count, faulty), (3, vec![id(2)]), "{depth:?}");
        let (took, least) = (timer.elapsed() - begun, Duration::from_secs(bytes * 9 / 10 / 10_000));
        assert!(took >= least && took <= least * 2, "{depth:?}: {took:?} for {bytes}");
        let count = scrub(bucket, &metas, &options, |_| false).await.unwrap();
        assert_eq!(count, 1, "ended by the caller");
    }
}

/// Lets others run instead of waiting.
struct Yields;

impl Timer for Yields {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    fn wait(&self, _duration: Duration) -> Wait<'_> {
        Box::pin(tokio::task::yield_now())
    }
}

fn terms(holder: &str) -> LeaseTerms {
    LeaseTerms { name: "compactor".to_owned(), holder: holder.to_owned(), term_ms: 60_000 }
}

/// Lets something happen before one call, counted from 1, of whoever uses the store.
struct Interloper {
    at: u64,
    calls: AtomicU64,
    act: Box<dyn Fn() -> Wait<'static> + Send + Sync>,
}

impl Timer for Interloper {
    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
    fn wait(&self, _duration: Duration) -> Wait<'_> {
        match self.calls.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            true => (self.act)(),
            false => Box::pin(std::future::ready(())),
        }
    }
}

/// A holder renews what has just run out while another one takes it: whoever comes in between whatever two calls, only one has it.
#[tokio::test]
async fn a_renewal_and_a_claim_at_once_do_not_both_succeed() {
    for holder_is_interrupted in [false, true] {
        for at in 1.. {
            let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
            let store = Arc::new(FailingStore::new(Arc::clone(&inner)));
            let (slow, quick) = (bucket(&store, Retry::NEVER), Bucket::builder(inner, "quick").build());
            let (first, second) = if holder_is_interrupted { (&slow, &quick) } else { (&quick, &slow) };
            let Leasing::Held(lease) = Lease::take(first, &terms("one"), 1_000).await.unwrap() else {
                panic!("free")
            };
            let lease = Arc::new(tokio::sync::Mutex::new(lease));
            let second = second.clone();
            let winners = Arc::new(Mutex::new(BTreeSet::new()));
            let renew = {
                let (lease, winners) = (Arc::clone(&lease), Arc::clone(&winners));
                move || -> Wait<'static> {
                    let (lease, winners) = (Arc::clone(&lease), Arc::clone(&winners));
                    Box::pin(async move {
                        if lease.lock().await.renew(100_000).await.unwrap() == Renewal::Held {
                            winners.lock().unwrap().insert("one");
                        }
                    })
                }
            };
            let take = {
                let winners = Arc::clone(&winners);
                move || -> Wait<'static> {
                    let (second, winners) = (second.clone(), Arc::clone(&winners));
                    Box::pin(async move {
                        if matches!(
                            Lease::take(&second, &terms("two"), 100_000).await.unwrap(),
                            Leasing::Held(_)
                        ) {
                            winners.lock().unwrap().insert("two");
                        }
                    })
                }
            };
            let (main, act): (Wait<'static>, Box<dyn Fn() -> Wait<'static> + Send + Sync>) =
                if holder_is_interrupted { (renew(), Box::new(take)) } else { (take(), Box::new(renew)) };
            let interloper = Arc::new(Interloper { at, calls: AtomicU64::new(0), act });
            let weather = Weather {
                seed: 0,
                failing: 0,
                unanswered: 0,
                late: 1000,
                delay: Duration::ZERO,
                timer: interloper.clone(),
            };
            store.set_weather(Some(weather));
            main.await;
            if interloper.calls.load(Ordering::SeqCst) < at {
                assert!(at > 3);
                break;
            }
            assert!(winners.lock().unwrap().len() <= 1, "at {at}: {:?}", winners.lock().unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_that_claim_at_once_one_holds() {
    for seed in 0..20 {
        let store = failing();
        let weather = Weather {
            seed,
            failing: 20,
            unanswered: 100,
            late: 500,
            delay: Duration::ZERO,
            timer: Arc::new(Yields),
        };
        store.set_weather(Some(weather));
        let retry = Retry { tries: 10, ..Retry::default() };
        let claims: Vec<_> = (0..8)
            .map(|number| {
                let bucket = bucket(&store, retry);
                tokio::spawn(
                    async move { Lease::take(&bucket, &terms(&number.to_string()), 5).await.unwrap() },
                )
            })
            .collect();
        let mut held = 0;
        for claim in claims {
            held += usize::from(matches!(claim.await.unwrap(), Leasing::Held(_)));
        }
        assert!(held <= 1, "seed {seed}: {held}");
    }
}

/// What a store makes of a condition.
#[derive(Debug, Clone, Copy)]
enum Condition {
    Ignored,
    Unknown,
    Refused,
}

/// A store that does not know how to create.
#[derive(Debug)]
struct Old(InMemory, Condition);

impl std::fmt::Display for Old {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("old")
    }
}

#[async_trait]
impl ObjectStore for Old {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        mut opts: PutOptions,
    ) -> StoreResult<PutResult> {
        if opts.mode != PutMode::Overwrite {
            let failure = match self.1 {
                Condition::Ignored => None,
                Condition::Unknown => Some(object_store::Error::NotImplemented {
                    operation: "create".to_owned(),
                    implementer: "old".to_owned(),
                }),
                Condition::Refused => {
                    Some(object_store::Error::Generic { store: "old", source: "501".to_owned().into() })
                }
            };
            if let Some(failure) = failure {
                return Err(failure);
            }
            opts.mode = PutMode::Overwrite;
        }
        self.0.put_opts(location, payload, opts).await
    }
    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, opts).await
    }
    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.0.get_opts(location, options).await
    }
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.0.get_ranges(location, ranges).await
    }
    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        self.0.delete_stream(locations)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.0.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn where_the_store_offers_no_conditions_there_is_no_lease() {
    for condition in [Condition::Ignored, Condition::Unknown, Condition::Refused] {
        let store = Arc::new(Old(InMemory::new(), condition));
        let bucket = Bucket::builder(store, "old").timer(Arc::new(NoTime)).build();
        let taken = Lease::take(&bucket, &terms("one"), 5).await.unwrap();
        assert!(matches!(&taken, Leasing::NotOffered { why } if !why.is_empty()), "{condition:?}: {taken:?}");
        assert_eq!(objects(&bucket).await, [""; 0], "{condition:?}");
    }
}
