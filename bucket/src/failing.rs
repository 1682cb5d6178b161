//! A store that fails on demand: the n-th call, or a share of all calls, some of them late (feature `contract`).
//!
//! Which calls of a share fail follows from the number of the call and a seed, so a run can be repeated. A call that fails has
//! done nothing, or, as when an answer is lost, has done all that was asked.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result as StoreResult, UploadPart,
};

use crate::observer::Timer;

/// What happens to a share of all calls. Shares are in thousandths.
#[derive(Clone)]
pub struct Weather {
    /// Decides which calls are hit.
    pub seed: u64,
    /// Calls that fail and have done nothing.
    pub failing: u16,
    /// Calls that have done their work and fail all the same.
    pub unanswered: u16,
    /// Calls that take longer.
    pub late: u16,
    /// By how much.
    pub delay: Duration,
    /// What waits for that long.
    pub timer: Arc<dyn Timer>,
}

impl fmt::Debug for Weather {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, failing, unanswered, late, delay, timer: _ } = self;
        write!(f, "Weather({seed}: {failing} fail, {unanswered} unanswered, {late} late by {delay:?})")
    }
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    Fails,
    Unanswered,
}

/// What a late call waits for.
type Delay = (Duration, Arc<dyn Timer>);

/// A store whose calls fail: by number, from when it was armed, and with `lasting` all behind it; or by [`Weather`].
pub struct FailingStore {
    inner: Arc<dyn ObjectStore>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    calls: AtomicU64,
    /// Number of the call that fails; 0 for none. The upper bit says that all later ones fail too.
    plan: AtomicU64,
    weather: Mutex<Option<Weather>>,
}

const LASTING: u64 = 1 << 63;

impl FailingStore {
    /// A store that passes everything on to `inner` until it is armed.
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, state: Arc::default() }
    }

    /// Lets the `number`-th call from now (counted from 1) fail, and with `lasting` all after it. 0 disarms. The parts of an
    /// upload, and its end, are calls like any other.
    pub fn fail_at(&self, number: u64, lasting: bool) {
        self.state.calls.store(0, Ordering::SeqCst);
        self.state.plan.store(if lasting { number | LASTING } else { number }, Ordering::SeqCst);
    }

    /// Lets a share of the calls from now fail or come late; `None` ends it.
    pub fn set_weather(&self, weather: Option<Weather>) {
        self.state.calls.store(0, Ordering::SeqCst);
        *self.state.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    /// Calls since it was armed.
    pub fn calls(&self) -> u64 {
        self.state.calls.load(Ordering::SeqCst)
    }
}

impl State {
    /// Counts a call, says what happens to it, and how late it comes.
    fn next(&self) -> (u64, Fate, Option<Delay>) {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let plan = self.plan.load(Ordering::SeqCst);
        let number = plan & !LASTING;
        if number != 0 && (call == number || (plan & LASTING != 0 && call > number)) {
            return (call, Fate::Fails, None);
        }
        let weather = self.weather.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(weather) = &*weather else { return (call, Fate::Done, None) };
        let hit =
            |share: u16, salt: u64| mixed(weather.seed ^ call.rotate_left(20) ^ salt) % 1000 < share.into();
        let fate = match (hit(weather.failing, 1), hit(weather.unanswered, 2)) {
            (true, _) => Fate::Fails,
            (_, true) => Fate::Unanswered,
            _ => Fate::Done,
        };
        let late = hit(weather.late, 3).then(|| (weather.delay, Arc::clone(&weather.timer)));
        (call, fate, late)
    }

    /// Runs a call in the present weather.
    async fn run<T>(&self, call: impl Future<Output = StoreResult<T>> + Send) -> StoreResult<T> {
        let (number, fate, late) = self.next();
        if let Some((delay, timer)) = late {
            timer.wait(delay).await;
        }
        match fate {
            Fate::Done => call.await,
            Fate::Fails => Err(told(number)),
            Fate::Unanswered => call.await.and_then(|_| Err(told(number))),
        }
    }

    /// The same for a call whose answer comes bit by bit.
    fn stream<T: Send + 'static>(
        &self,
        inner: impl FnOnce() -> BoxStream<'static, StoreResult<T>>,
    ) -> BoxStream<'static, StoreResult<T>> {
        let (number, fate, late) = self.next();
        let failure = futures_util::stream::iter([Err(told(number))]);
        let answer = match fate {
            Fate::Done => inner(),
            Fate::Fails => failure.boxed(),
            Fate::Unanswered => {
                inner().filter_map(|_| std::future::ready(None::<StoreResult<T>>)).chain(failure).boxed()
            }
        };
        match late {
            None => answer,
            Some((delay, timer)) => futures_util::stream::once(async move {
                timer.wait(delay).await;
                answer
            })
            .flatten()
            .boxed(),
        }
    }
}

fn told(number: u64) -> object_store::Error {
    let source = format!("call {number} was told to fail").into();
    object_store::Error::Generic { store: "failing", source }
}

/// Spreads the bits of `value` over all places.
const fn mixed(value: u64) -> u64 {
    let value = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
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

/// The parts of an upload are calls of their own.
struct FailingUpload {
    state: Arc<State>,
    inner: Box<dyn MultipartUpload>,
}

impl fmt::Debug for FailingUpload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FailingUpload")
    }
}

#[async_trait]
impl MultipartUpload for FailingUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (state, part) = (Arc::clone(&self.state), self.inner.put_part(data));
        Box::pin(async move { state.run(part).await })
    }

    async fn complete(&mut self) -> StoreResult<PutResult> {
        self.state.run(self.inner.complete()).await
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
        self.state.run(self.inner.put_opts(location, payload, opts)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> StoreResult<Box<dyn MultipartUpload>> {
        let inner = self.state.run(self.inner.put_multipart_opts(location, opts)).await?;
        Ok(Box::new(FailingUpload { state: Arc::clone(&self.state), inner }))
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> StoreResult<GetResult> {
        self.state.run(self.inner.get_opts(location, options)).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> StoreResult<Vec<Bytes>> {
        self.state.run(self.inner.get_ranges(location, ranges)).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, StoreResult<Path>>,
    ) -> BoxStream<'static, StoreResult<Path>> {
        self.state.stream(|| self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.state.stream(|| self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, StoreResult<ObjectMeta>> {
        self.state.stream(|| self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> StoreResult<ListResult> {
        self.state.run(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> StoreResult<()> {
        self.state.run(self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> StoreResult<()> {
        self.state.run(self.inner.rename_opts(from, to, options)).await
    }
}
