//! A bucket in memory with a clock of its own, and a process in front of it that is killed at a chosen change.
//!
//! What is counted are calls that change the bucket: objects written, parts of large ones, objects removed. From the chosen one on
//! nothing answers any more, reads included: whoever holds this handle is dead. Another handle on the same bucket finds what
//! was there. Times of objects are those of the clock, so that a test decides how old a half block is.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
    Result as StoreResult, UploadPart,
};

/// What all handles share.
#[derive(Debug)]
struct Shared {
    objects: InMemory,
    clock_ms: AtomicI64,
    written_ms: Mutex<BTreeMap<Path, i64>>,
}

/// One process' handle on the bucket.
#[derive(Debug)]
pub(crate) struct SimStore {
    shared: Arc<Shared>,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    changes: AtomicU64,
    /// Number of the change at which the process dies; 0 for never.
    dies_at: AtomicU64,
    /// Whether the change at which it dies is still made.
    after: AtomicBool,
    dead: AtomicBool,
    /// The store is away from this call on: every call fails, and may be asked again later.
    away_from: AtomicU64,
    calls: AtomicU64,
    /// An object that may not be read.
    refused: Mutex<Option<String>>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            changes: AtomicU64::new(0),
            dies_at: AtomicU64::new(0),
            after: AtomicBool::new(false),
            dead: AtomicBool::new(false),
            away_from: AtomicU64::new(u64::MAX),
            calls: AtomicU64::new(0),
            refused: Mutex::new(None),
        }
    }
}

/// Whether a change is made, and what the caller hears.
enum Fate {
    Live,
    DieBefore,
    DieAfter,
}

fn gone() -> Error {
    Error::Generic { store: "simulated", source: "nobody answers".into() }
}

impl State {
    fn alive(&self) -> StoreResult<()> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        let silent = self.dead.load(Ordering::SeqCst) || call >= self.away_from.load(Ordering::SeqCst);
        if silent { Err(gone()) } else { Ok(()) }
    }

    fn may_read(&self, location: &Path) -> StoreResult<()> {
        match &*self.refused.lock().unwrap() {
            Some(refused) if *refused == location.as_ref() => {
                let path = refused.clone();
                Err(Error::PermissionDenied { path, source: "no rights".into() })
            }
            _ => Ok(()),
        }
    }

    fn change(&self) -> StoreResult<Fate> {
        self.alive()?;
        let number = self.changes.fetch_add(1, Ordering::SeqCst) + 1;
        if number != self.dies_at.load(Ordering::SeqCst) {
            return Ok(Fate::Live);
        }
        self.dead.store(true, Ordering::SeqCst);
        Ok(if self.after.load(Ordering::SeqCst) { Fate::DieAfter } else { Fate::DieBefore })
    }
}

impl SimStore {
    /// An empty bucket at the time `now_ms`.
    pub(crate) fn new(now_ms: i64) -> Arc<Self> {
        let shared = Shared {
            objects: InMemory::new(),
            clock_ms: AtomicI64::new(now_ms),
            written_ms: Mutex::default(),
        };
        Arc::new(Self { shared: Arc::new(shared), state: Arc::default() })
    }

    /// Another process' handle on the same bucket.
    pub(crate) fn again(&self) -> Arc<Self> {
        Arc::new(Self { shared: Arc::clone(&self.shared), state: Arc::default() })
    }

    /// A bucket with the same objects that goes its own way from here.
    pub(crate) fn copied(&self) -> Arc<Self> {
        let shared = Shared {
            objects: self.shared.objects.fork(),
            clock_ms: AtomicI64::new(self.shared.clock_ms.load(Ordering::SeqCst)),
            written_ms: Mutex::new(self.shared.written_ms.lock().unwrap().clone()),
        };
        Arc::new(Self { shared: Arc::new(shared), state: Arc::default() })
    }

    /// From now on it is `now_ms`.
    pub(crate) fn set_clock(&self, now_ms: i64) {
        self.shared.clock_ms.store(now_ms, Ordering::SeqCst);
    }

    /// The process dies at its `number`-th change from the beginning, with the change made (`after`) or not.
    pub(crate) fn die_at(&self, number: u64, after: bool) {
        self.state.after.store(after, Ordering::SeqCst);
        self.state.dies_at.store(number, Ordering::SeqCst);
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state.dead.load(Ordering::SeqCst)
    }

    /// The store answers so many calls more, and then none.
    pub(crate) fn away_after(&self, calls: u64) {
        self.state.away_from.store(self.calls() + calls, Ordering::SeqCst);
    }

    /// Whether the store no longer answers.
    pub(crate) fn is_away(&self) -> bool {
        self.calls() >= self.state.away_from.load(Ordering::SeqCst)
    }

    /// The store answers again.
    pub(crate) fn come_back(&self) {
        self.state.away_from.store(u64::MAX, Ordering::SeqCst);
    }

    /// Lets one object be refused to those who want to read it; `None`: none.
    pub(crate) fn refuse(&self, name: Option<&str>) {
        *self.state.refused.lock().unwrap() = name.map(str::to_owned);
    }

    /// Changes made through this handle.
    pub(crate) fn changes(&self) -> u64 {
        self.state.changes.load(Ordering::SeqCst)
    }

    /// Calls made through this handle.
    pub(crate) fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::SeqCst)
    }

    fn stamp(&self, path: &Path) {
        let now = self.shared.clock_ms.load(Ordering::SeqCst);
        self.shared.written_ms.lock().unwrap().insert(path.clone(), now);
    }
}

impl Shared {
    fn dated(&self, mut meta: ObjectMeta) -> ObjectMeta {
        if let Some(ms) = self.written_ms.lock().unwrap().get(&meta.location) {
            meta.last_modified = (SystemTime::UNIX_EPOCH + Duration::from_millis(*ms as u64)).into();
        }
        meta
    }
}

impl fmt::Display for SimStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("simulated")
    }
}

/// An object that arrives in parts: it is there when it is complete, and every step may be the last.
#[derive(Debug)]
struct SimUpload {
    store: SimStore,
    path: Path,
    inner: Box<dyn MultipartUpload>,
}

#[async_trait]
impl MultipartUpload for SimUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        match self.store.state.change() {
            Ok(Fate::Live) => self.inner.put_part(data),
            _ => Box::pin(std::future::ready(Err(gone()))),
        }
    }

    async fn complete(&mut self) -> StoreResult<PutResult> {
        match self.store.state.change()? {
            Fate::DieBefore => Err(gone()),
            fate => {
                self.store.stamp(&self.path);
                let done = self.inner.complete().await?;
                if matches!(fate, Fate::DieAfter) { Err(gone()) } else { Ok(done) }
            }
        }
    }

    async fn abort(&mut self) -> StoreResult<()> {
        self.store.state.alive()?;
        self.inner.abort().await
    }
}

#[async_trait]
impl ObjectStore for SimStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> StoreResult<PutResult> {
        match self.state.change()? {
            Fate::DieBefore => Err(gone()),
            fate => {
                let done = self.shared.objects.put_opts(location, payload, opts).await?;
                self.stamp(location);
                if matches!(fate, Fate::DieAfter) { Err(gone()) } else { Ok(done) }
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        self.state.alive()?;
        let inner = self.shared.objects.put_multipart_opts(location, opts).await?;
        let store = Self { shared: Arc::clone(&self.shared), state: Arc::clone(&self.state) };
        Ok(Box::new(SimUpload { store, path: location.clone(), inner }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.state.alive()?;
        self.state.may_read(location)?;
        let mut got = self.shared.objects.get_opts(location, options).await?;
        got.meta = self.shared.dated(got.meta);
        Ok(got)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.state.alive()?;
        self.state.may_read(location)?;
        self.shared.objects.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        let (shared, state) = (Arc::clone(&self.shared), Arc::clone(&self.state));
        let delete = move |location: StoreResult<Path>| {
            let (shared, state) = (Arc::clone(&shared), Arc::clone(&state));
            async move {
                let location = location?;
                match state.change()? {
                    Fate::DieBefore => Err(gone()),
                    fate => {
                        shared.objects.delete(&location).await?;
                        if matches!(fate, Fate::DieAfter) { Err(gone()) } else { Ok(location) }
                    }
                }
            }
        };
        locations.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        if let Err(error) = self.state.alive() {
            return futures_util::stream::iter([Err(error)]).boxed();
        }
        let shared = Arc::clone(&self.shared);
        self.shared.objects.list(prefix).map_ok(move |meta| shared.dated(meta)).boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        if let Err(error) = self.state.alive() {
            return futures_util::stream::iter([Err(error)]).boxed();
        }
        let shared = Arc::clone(&self.shared);
        self.shared.objects.list_with_offset(prefix, offset).map_ok(move |meta| shared.dated(meta)).boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.state.alive()?;
        let mut found = self.shared.objects.list_with_delimiter(prefix).await?;
        found.objects = found.objects.into_iter().map(|meta| self.shared.dated(meta)).collect();
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        match self.state.change()? {
            Fate::DieBefore => Err(gone()),
            fate => {
                self.shared.objects.copy_opts(from, to, options).await?;
                self.stamp(to);
                if matches!(fate, Fate::DieAfter) { Err(gone()) } else { Ok(()) }
            }
        }
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> StoreResult<()> {
        match self.state.change()? {
            Fate::DieBefore => Err(gone()),
            fate => {
                self.shared.objects.rename_opts(from, to, options).await?;
                self.stamp(to);
                if matches!(fate, Fate::DieAfter) { Err(gone()) } else { Ok(()) }
            }
        }
    }
}
