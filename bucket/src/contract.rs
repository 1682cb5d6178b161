//! What every store behind a bucket must do, as one suite; and a store that fails on demand.
//!
//! The suite runs against the directory, memory, and S3 (feature `contract`). It panics at the first promise that is broken, because it
//! is a test.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result as StoreResult, UploadPart,
};

use crate::bucket::Bucket;
use crate::error::Error;

/// Runs the suite on an empty bucket. `scratch` is a local directory for files on their way.
///
/// # Panics
/// At the first promise that the store does not keep.
pub async fn run_contract(bucket: &Bucket, scratch: &std::path::Path) {
    empty_bucket(bucket).await;
    objects(bucket).await;
    create_only(bucket).await;
    listings(bucket).await;
    large_object(bucket, scratch).await;
    for object in bucket.list("").await.unwrap() {
        bucket.delete(&object.name).await.unwrap();
    }
    assert!(bucket.list("").await.unwrap().is_empty());
}

async fn empty_bucket(bucket: &Bucket) {
    assert!(bucket.list("").await.unwrap().is_empty());
    assert!(bucket.list("no/such/folder").await.unwrap().is_empty());
    assert_eq!(bucket.level("").await.unwrap().folders, Vec::<String>::new());
    assert!(bucket.level("nothing").await.unwrap().objects.is_empty());
    assert!(matches!(bucket.get("nothing").await, Err(Error::NotFound { .. })));
    assert!(matches!(bucket.get_range("nothing", 0..1).await, Err(Error::NotFound { .. })));
    assert_eq!(bucket.get_if_exists("nothing").await.unwrap(), None);
    assert_eq!(bucket.attributes("nothing").await.unwrap(), None);
    assert!(!bucket.exists("nothing").await.unwrap());
    bucket.delete("nothing").await.unwrap();
}

async fn objects(bucket: &Bucket) {
    bucket.put("a/one", Bytes::from_static(b"0123456789")).await.unwrap();
    bucket.put("a/empty", Bytes::new()).await.unwrap();
    assert_eq!(bucket.get("a/one").await.unwrap(), "0123456789");
    assert_eq!(bucket.get("a/empty").await.unwrap(), "");
    assert_eq!(bucket.get_range("a/one", 3..7).await.unwrap(), "3456");
    assert_eq!(bucket.get_range("a/one", 9..10).await.unwrap(), "9");
    assert!(bucket.get_range("a/one", 8..12).await.is_err(), "a range past the end is no short answer");
    let seen = bucket.attributes("a/one").await.unwrap().unwrap();
    assert_eq!((seen.name.as_str(), seen.size), ("a/one", 10));
    assert!(seen.modified_ms > 1_500_000_000_000);
    bucket.put("a/one", Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(bucket.get("a/one").await.unwrap(), "new");
    bucket.delete("a/one").await.unwrap();
    assert!(!bucket.exists("a/one").await.unwrap());
    bucket.delete("a/empty").await.unwrap();
}

async fn create_only(bucket: &Bucket) {
    assert!(bucket.put_new("mark", Bytes::from_static(b"first")).await.unwrap());
    assert!(!bucket.put_new("mark", Bytes::from_static(b"second")).await.unwrap());
    assert_eq!(bucket.get("mark").await.unwrap(), "first");
    bucket.delete("mark").await.unwrap();
}

async fn listings(bucket: &Bucket) {
    for name in ["x/chunks/000001", "x/index", "xy/index", "y/z/deep", "top"] {
        bucket.put(name, Bytes::from(name)).await.unwrap();
    }
    let names =
        |objects: Vec<crate::Object>| objects.into_iter().map(|object| object.name).collect::<Vec<_>>();
    assert_eq!(names(bucket.list("x").await.unwrap()), ["x/chunks/000001", "x/index"]);
    assert_eq!(names(bucket.list("x/").await.unwrap()), ["x/chunks/000001", "x/index"]);
    assert_eq!(bucket.list("").await.unwrap().len(), 5);
    let top = bucket.level("").await.unwrap();
    assert_eq!(top.folders, ["x", "xy", "y"]);
    assert_eq!(names(top.objects), ["top"]);
    let x = bucket.level("x").await.unwrap();
    assert_eq!(x.folders, ["chunks"]);
    assert_eq!(names(x.objects), ["x/index"]);
    for object in bucket.list("").await.unwrap() {
        assert_eq!(object.size, object.name.len() as u64);
        bucket.delete(&object.name).await.unwrap();
    }
    assert!(bucket.level("").await.unwrap().objects.is_empty());
}

/// More than two parts of the smallest size, and one byte.
async fn large_object(bucket: &Bucket, scratch: &std::path::Path) {
    let body: Vec<u8> = (0..(10u32 << 20) + 1).map(|i| (i % 251) as u8 ^ (i >> 16) as u8).collect();
    let file = scratch.join("large");
    tokio::fs::write(&file, &body).await.unwrap();
    assert_eq!(bucket.put_file("large/object", &file).await.unwrap(), body.len() as u64);
    let whole = bucket.get("large/object").await.unwrap();
    assert!(whole == body, "the object is not the file");
    let ranges = [0..10, 5_242_870..5_242_890, 10_485_750..10_485_761, 3..3];
    let parts =
        crate::get_ranges(bucket, "large/object", &ranges, crate::DEFAULT_GAP, 1 << 20).await.unwrap();
    for (range, part) in ranges.iter().zip(parts) {
        let expected = body.get(range.start as usize..range.end as usize).unwrap();
        assert!(part == expected, "bytes {range:?}");
    }
    bucket.delete("large/object").await.unwrap();
}

/// A store whose calls fail by number: the `n`-th call from when it was armed, and with `lasting` all behind it.
pub struct FailingStore {
    inner: Arc<dyn ObjectStore>,
    calls: AtomicU64,
    /// Number of the call that fails; 0 for none. The upper bit says that all later ones fail too.
    plan: AtomicU64,
}

const LASTING: u64 = 1 << 63;

impl FailingStore {
    /// A store that passes everything on to `inner` until it is armed.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, calls: AtomicU64::new(0), plan: AtomicU64::new(0) }
    }

    /// Lets the `number`-th call from now (counted from 1) fail, and with `lasting` all after it. 0 disarms.
    pub fn fail_at(&self, number: u64, lasting: bool) {
        self.calls.store(0, Ordering::SeqCst);
        self.plan.store(if lasting { number | LASTING } else { number }, Ordering::SeqCst);
    }

    /// Calls since it was armed.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    fn step(&self) -> StoreResult<()> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let plan = self.plan.load(Ordering::SeqCst);
        let number = plan & !LASTING;
        let fails = number != 0 && (call == number || (plan & LASTING != 0 && call > number));
        if !fails {
            return Ok(());
        }
        let source = format!("call {call} was told to fail").into();
        Err(object_store::Error::Generic { store: "failing", source })
    }
}

impl fmt::Debug for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FailingStore({})", self.inner)
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "failing {}", self.inner)
    }
}

/// The parts of an upload count as calls of their own.
struct FailingUpload {
    store: Arc<FailingStep>,
    inner: Box<dyn MultipartUpload>,
}

/// A step decided beforehand for each part of one upload.
struct FailingStep(AtomicU64, u64);

impl fmt::Debug for FailingUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailingUpload")
    }
}

impl FailingStep {
    fn step(&self) -> StoreResult<()> {
        if self.0.fetch_add(1, Ordering::SeqCst) + 1 == self.1 {
            return Err(object_store::Error::Generic {
                store: "failing",
                source: "a part was told to fail".into(),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl MultipartUpload for FailingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        if let Err(error) = self.store.step() {
            return Box::pin(std::future::ready(Err(error)));
        }
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> StoreResult<PutResult> {
        self.store.step()?;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> StoreResult<()> {
        self.inner.abort().await
    }
}

#[deny(clippy::missing_trait_methods, reason = "a method not passed on would fall back to a slow default")]
#[async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> StoreResult<PutResult> {
        self.step()?;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.step()?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        let number = self.plan.load(Ordering::SeqCst) & !LASTING;
        let left = number.saturating_sub(self.calls.load(Ordering::SeqCst));
        let store = Arc::new(FailingStep(AtomicU64::new(0), left));
        Ok(Box::new(FailingUpload { store, inner }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.step()?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.step()?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        match self.step() {
            Ok(()) => self.inner.delete_stream(locations),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        match self.step() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        match self.step() {
            Ok(()) => self.inner.list_with_offset(prefix, offset),
            Err(error) => futures_util::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.step()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.step()?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> StoreResult<()> {
        self.step()?;
        self.inner.rename_opts(from, to, options).await
    }
}
