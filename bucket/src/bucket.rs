//! The door to an object store: names below a prefix, bounded retries, and every operation told to the observer.
//!
//! All other rooms of this crate reach the store through here. A bucket is a handle: cloning it is cheap. Names are relative to the
//! prefix and use `/`.

use std::fs::File;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::path::Path;
use object_store::{
    Attributes, GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, WriteMultipart,
};
use tokio::runtime::Handle;

use crate::error::Error;
use crate::growing::GrowingObject;
use crate::observer::{BucketObserver, Finished, NoTime, Operation, Outcome, Timer, Unobserved};
use crate::origin::Origin;
use crate::place::{self, read_at};
use crate::retry::Retry;
use crate::room::{self, Piece, Room};
use crate::throttle::Throttle;

/// Reads of so many bytes at most are made where they are asked for, if that needs no waiting.
const AT_HAND: u64 = 512 << 10;
/// Parts of one object that are on their way at the same time, unless they are so large that memory bounds them.
const PARTS_IN_FLIGHT: usize = 4;
/// Bytes that the parts on their way may take; one part is always allowed.
const BYTES_IN_FLIGHT: usize = 64 << 20;

/// The least size of a part, but for the last, that stores take, and the usual one.
const LEAST_PART: usize = 5 << 20;
const DEFAULT_PART: usize = 8 << 20;

/// A bucket, or a part of one below a prefix.
#[derive(Clone)]
pub struct Bucket {
    shared: Arc<Shared>,
}

#[derive(Clone)]
struct Shared {
    store: Arc<dyn ObjectStore>,
    name: String,
    prefix: String,
    settings: BucketSettings,
    observer: Arc<dyn BucketObserver>,
    timer: Arc<dyn Timer>,
    /// Bound on what is read and written.
    throttle: Option<Arc<Throttle>>,
    room: Room,
    /// Where the objects lie, if the store is a local directory and nothing stands between.
    directory: Option<PathBuf>,
}

/// What a first look at an object brings.
pub(crate) enum Begun {
    /// The bytes that were asked for.
    Bytes(Bytes),
    /// The object itself: the store is a local directory.
    File(File),
}

/// How a bucket is used.
#[derive(Debug, Clone)]
pub struct BucketSettings {
    /// Bound on tries of one operation.
    pub retry: Retry,
    /// Objects larger than this are written in parts of this size, in bytes; at least 5 MiB. `None`: always in one piece.
    pub part_size: Option<usize>,
    /// Headers of every object written: names and values of user metadata.
    pub user_metadata: Vec<(String, String)>,
    /// Storage class of every object written.
    pub storage_class: Option<String>,
}

impl Default for BucketSettings {
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            part_size: Some(DEFAULT_PART),
            user_metadata: Vec::new(),
            storage_class: None,
        }
    }
}

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Name below the bucket's prefix.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was written, in milliseconds since the Unix epoch.
    pub modified_ms: i64,
}

/// One level of a bucket.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Level {
    /// Folders, by name, without a slash at the end.
    pub folders: Vec<String>,
    /// Objects, by name.
    pub objects: Vec<Object>,
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bucket({}/{})", self.shared.name, self.shared.prefix)
    }
}

/// What a bucket is made of.
#[must_use]
pub struct BucketBuilder {
    shared: Shared,
}

impl std::fmt::Debug for BucketBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BucketBuilder({})", self.shared.name)
    }
}

impl BucketBuilder {
    /// Everything below this folder only. Slashes at the ends do not matter.
    pub fn prefix(mut self, prefix: &str) -> Self {
        prefix.trim_matches('/').clone_into(&mut self.shared.prefix);
        self
    }

    /// How the bucket is used.
    pub fn settings(mut self, settings: BucketSettings) -> Self {
        self.shared.settings = settings;
        self
    }

    /// Who hears of operations.
    pub fn observer(mut self, observer: Arc<dyn BucketObserver>) -> Self {
        self.shared.observer = observer;
        self
    }

    /// What measures and waits. Without one nothing is measured and retries follow at once.
    pub fn timer(mut self, timer: Arc<dyn Timer>) -> Self {
        self.shared.timer = timer;
        self
    }

    /// The store is this directory, and the names of objects are paths in it.
    pub(crate) fn directory(mut self, directory: PathBuf) -> Self {
        self.shared.directory = Some(directory);
        self
    }

    /// The bucket.
    pub fn build(self) -> Bucket {
        Bucket { shared: Arc::new(self.shared) }
    }
}

impl Bucket {
    /// A bucket in `store`; `name` is what metrics call it.
    pub fn builder(store: Arc<dyn ObjectStore>, name: impl Into<String>) -> BucketBuilder {
        BucketBuilder {
            shared: Shared {
                store,
                name: name.into(),
                prefix: String::new(),
                settings: BucketSettings::default(),
                observer: Arc::new(Unobserved),
                timer: Arc::new(NoTime),
                throttle: None,
                room: Room::default(),
                directory: None,
            },
        }
    }

    /// The name that metrics call it.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// A name that tells the object from those of other buckets: name of the bucket, prefix, name of the object.
    pub(crate) fn whole_name(&self, name: &str) -> String {
        format!("{}/{}/{name}", self.shared.name, self.shared.prefix)
    }

    /// Time since some fixed moment, by the bucket's timer: how its owner can tell what has passed without a clock.
    pub fn elapsed(&self) -> Duration {
        self.shared.timer.elapsed()
    }

    /// What measures and waits.
    pub(crate) fn timer(&self) -> &dyn Timer {
        &*self.shared.timer
    }

    /// A handle on the same bucket whose reads and writes together move no more than this many bytes in a second, by waiting
    /// with the bucket's timer. Clones of it share the bound.
    #[must_use]
    pub fn capped(&self, bytes_per_second: u64) -> Self {
        let throttle = Some(Arc::new(Throttle::new(bytes_per_second)));
        Self { shared: Arc::new(Shared { throttle, ..Shared::clone(&self.shared) }) }
    }

    fn path(&self, name: &str) -> Result<Path, Error> {
        let whole = if self.shared.prefix.is_empty() {
            name.into()
        } else {
            format!("{}/{name}", self.shared.prefix)
        };
        Path::parse(&whole).map_err(|error| Error::refused(whole, error.to_string()))
    }

    fn object(&self, meta: &ObjectMeta) -> Object {
        let whole = meta.location.as_ref();
        let below = whole.strip_prefix(self.shared.prefix.as_str()).unwrap_or(whole);
        Object {
            name: below.trim_start_matches('/').to_owned(),
            size: meta.size,
            modified_ms: meta.last_modified.timestamp_millis(),
        }
    }

    /// Runs an operation with retries and tells the observer. A missing object counts as a failure unless `may_miss`.
    async fn run<T, F>(
        &self,
        operation: Operation,
        may_miss: bool,
        attempt: impl FnMut() -> F,
        bytes: impl FnOnce(&T) -> u64,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>> + Send,
    {
        let shared = &*self.shared;
        let start = shared.timer.elapsed();
        let (result, retries) = shared.settings.retry.run(&*shared.timer, attempt).await;
        let (outcome, bytes) = match &result {
            Ok(done) => (Outcome::Done, bytes(done)),
            Err(Error::NotFound { .. }) if may_miss => (Outcome::Missing, 0),
            Err(Error::Exists { .. }) => (Outcome::Done, 0),
            Err(_) => (Outcome::Failed, 0),
        };
        let took: Duration = shared.timer.elapsed().saturating_sub(start);
        shared.observer.finished(&Finished { operation, outcome, bytes, took, retries });
        if let Some(throttle) = &shared.throttle
            && bytes > 0
        {
            throttle.passed(bytes, &*shared.timer).await;
        }
        result
    }

    async fn fetch(&self, name: &str, range: Option<Range<u64>>, may_miss: bool) -> Result<Bytes, Error> {
        let path = self.path(name)?;
        let operation = if range.is_some() { Operation::GetRange } else { Operation::Get };
        let wanted = range.as_ref().map(|range| range.end.saturating_sub(range.start));
        let attempt = || async {
            let options = GetOptions { range: range.clone().map(GetRange::Bounded), ..GetOptions::default() };
            let read = async {
                if let Some(bytes) = range.as_ref().and_then(|range| self.at_hand(&path, range)) {
                    // Many such reads in a row must not keep others on this thread waiting.
                    tokio::task::coop::consume_budget().await;
                    return Ok(bytes);
                }
                let found = self.shared.store.get_opts(&path, options).await?;
                self.collect(found, wanted).await
            };
            let bytes = read.await.map_err(|error| Error::store(operation, name, error))?;
            self.shared.observer.moved(operation, bytes.len() as u64);
            Ok(bytes)
        };
        let bytes = self.run(operation, may_miss, attempt, |bytes: &Bytes| bytes.len() as u64).await?;
        match wanted {
            Some(wanted) if bytes.len() as u64 != wanted => {
                Err(Error::corrupt(name, format!("{} bytes where {wanted} were asked for", bytes.len())))
            }
            _ => Ok(bytes),
        }
    }

    /// The bytes of `range`, if the store is a directory and they are in the system's memory: to hand such a read to a thread that may
    /// wait costs ten times as much as the read.
    fn at_hand(&self, path: &Path, range: &Range<u64>) -> Option<Bytes> {
        let size = range.end.checked_sub(range.start).filter(|size| *size <= AT_HAND)?;
        let place = place::in_directory(self.shared.directory.as_deref()?, path)?;
        place::read_at_hand(&place::open_at_hand(&place)?, range.start, size)
    }

    /// The bytes that were found. Large pieces, if they have as many bytes as were wanted, lie in room that is used again.
    async fn collect(&self, found: GetResult, wanted: Option<u64>) -> Result<Bytes, object_store::Error> {
        let length = found.range.end.saturating_sub(found.range.start);
        match usize::try_from(length) {
            Ok(size) if size >= room::LEAST && wanted == Some(length) => {
                collect(found, self.shared.room.take(size)).await
            }
            _ => found.bytes().await,
        }
    }

    /// A whole object.
    ///
    /// # Errors
    /// `NotFound` if there is none; otherwise as the store says.
    pub async fn get(&self, name: &str) -> Result<Bytes, Error> {
        self.fetch(name, None, false).await
    }

    /// A whole object, or `None` if there is none, which is not a failure.
    ///
    /// # Errors
    /// As the store says.
    pub async fn get_if_exists(&self, name: &str) -> Result<Option<Bytes>, Error> {
        match self.fetch(name, None, true).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The bytes of an object in `range`; all of them or an error.
    ///
    /// # Errors
    /// `NotFound` if there is no object; `Corrupt` if it ends before the range; otherwise as the store says.
    pub async fn get_range(&self, name: &str, range: Range<u64>) -> Result<Bytes, Error> {
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        self.fetch(name, Some(range), false).await
    }

    /// The bytes of an object in `range`, or the object itself where it is a file: then nothing was read, and
    /// [`read_begun`](Self::read_begun) reads it. A store that is asked over a network is asked for no more than the range.
    ///
    /// # Errors
    /// As [`get_range`](Self::get_range).
    pub(crate) async fn begin(&self, name: &str, range: Range<u64>) -> Result<Begun, Error> {
        if range.is_empty() {
            return Ok(Begun::Bytes(Bytes::new()));
        }
        let (path, operation) = (self.path(name)?, Operation::GetRange);
        let wanted = range.end.saturating_sub(range.start);
        let attempt = || async {
            let options = GetOptions::default().with_range(Some(range.clone()));
            let read = async {
                let found = self.shared.store.get_opts(&path, options).await?;
                match found.payload {
                    GetResultPayload::File(file, _) => Ok(Begun::File(file)),
                    GetResultPayload::Stream(_) => self.collect(found, Some(wanted)).await.map(Begun::Bytes),
                }
            };
            let begun = read.await.map_err(|error| Error::store(operation, name, error))?;
            self.shared.observer.moved(operation, begun.moved());
            Ok(begun)
        };
        match self.run(operation, false, attempt, Begun::moved).await? {
            Begun::Bytes(bytes) if bytes.len() as u64 != wanted => {
                Err(Error::corrupt(name, format!("{} bytes where {wanted} were asked for", bytes.len())))
            }
            begun => Ok(begun),
        }
    }

    /// The bytes in `range` of the object `name`, which [`begin`](Self::begin) gave as a file. Told and bounded as every other read; waits on
    /// the thread of the caller, and with `runtime` for the bound on bytes per second.
    ///
    /// # Errors
    /// `Corrupt` if the file ends before; otherwise as the disk says, as an error of the store.
    pub(crate) fn read_begun(
        &self,
        name: &str,
        file: &File,
        range: Range<u64>,
        runtime: &Handle,
    ) -> Result<Bytes, Error> {
        let (shared, operation) = (&*self.shared, Operation::GetRange);
        let start = shared.timer.elapsed();
        let wanted = range.end.saturating_sub(range.start);
        let read = read_at(file, range.start, wanted);
        let outcome = if read.is_ok() { Outcome::Done } else { Outcome::Failed };
        let bytes = read.as_ref().map_or(0, |bytes| bytes.len() as u64);
        shared.observer.moved(operation, bytes);
        let took = shared.timer.elapsed().saturating_sub(start);
        shared.observer.finished(&Finished { operation, outcome, bytes, took, retries: 0 });
        if let Some(throttle) = &shared.throttle {
            runtime.block_on(throttle.passed(bytes, &*shared.timer));
        }
        match read {
            Err(error) => Err(Error::store(operation, name, place::failed(name, error))),
            Ok(_) if bytes != wanted => {
                Err(Error::corrupt(name, format!("{bytes} bytes where {wanted} were asked for")))
            }
            Ok(bytes) => Ok(bytes),
        }
    }

    /// Size and time of an object, or `None` if there is none.
    ///
    /// # Errors
    /// As the store says.
    pub async fn attributes(&self, name: &str) -> Result<Option<Object>, Error> {
        self.look(name, Operation::Attributes).await
    }

    /// Whether there is such an object.
    ///
    /// # Errors
    /// As the store says.
    pub async fn exists(&self, name: &str) -> Result<bool, Error> {
        Ok(self.look(name, Operation::Exists).await?.is_some())
    }

    async fn look(&self, name: &str, operation: Operation) -> Result<Option<Object>, Error> {
        let path = self.path(name)?;
        let attempt = || async {
            self.shared.store.head(&path).await.map_err(|error| Error::store(operation, name, error))
        };
        match self.run(operation, true, attempt, |_| 0).await {
            Ok(meta) => Ok(Some(self.object(&meta))),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn attributes_to_write(&self) -> Attributes {
        use object_store::Attribute;
        let settings = &self.shared.settings;
        let mut attributes = Attributes::new();
        for (name, value) in &settings.user_metadata {
            attributes.insert(Attribute::Metadata(name.clone().into()), value.clone().into());
        }
        if let Some(class) = &settings.storage_class {
            attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        attributes
    }

    async fn put_with(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<(), Error> {
        let path = self.path(name)?;
        let attempt = || async {
            let attributes = self.attributes_to_write();
            let options = PutOptions { mode: mode.clone(), attributes, ..PutOptions::default() };
            let put = self.shared.store.put_opts(&path, PutPayload::from_bytes(bytes.clone()), options);
            let put = put.await.map_err(|error| Error::store(Operation::Upload, name, error))?;
            self.shared.observer.moved(Operation::Upload, bytes.len() as u64);
            Ok(put)
        };
        self.run(Operation::Upload, false, attempt, |_| bytes.len() as u64).await.map(|_| ())
    }

    /// Writes an object, over one of this name if there is one. Readers see the old one or the new one, never a part.
    ///
    /// # Errors
    /// As the store says.
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        self.put_with(name, bytes, PutMode::Overwrite).await
    }

    /// Writes an object unless there is one of this name; whether it was written.
    ///
    /// # Errors
    /// As the store says.
    pub async fn put_new(&self, name: &str, bytes: Bytes) -> Result<bool, Error> {
        match self.put_with(name, bytes, PutMode::Create).await {
            Ok(()) => Ok(true),
            Err(Error::Exists { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes an object from a local file, in parts if it is large. A part is repeated by the store's client; the whole is tried
    /// as often as every other operation. Returns its size in bytes.
    ///
    /// # Errors
    /// `Local` if the file cannot be read; otherwise as the store says.
    pub async fn put_file(&self, name: &str, file: &std::path::Path) -> Result<u64, Error> {
        let length = tokio::fs::metadata(file).await.map_err(|e| Error::local(file, e))?.len();
        self.put_from(name, Origin::File(file), length).await
    }

    /// Writes an object from a local file, which is gone afterwards. Where the bucket is a directory on the same file system, the file is
    /// synced and moved there and not a byte is copied; else this is [`put_file`](Self::put_file).
    ///
    /// # Errors
    /// As [`put_file`](Self::put_file).
    pub(crate) async fn take_file(&self, name: &str, file: &std::path::Path) -> Result<u64, Error> {
        if let Some(taken) = self.move_in(name, file).await? {
            return Ok(taken);
        }
        let length = self.put_file(name, file).await?;
        tokio::fs::remove_file(file).await.map_err(|e| Error::local(file, e))?;
        Ok(length)
    }

    /// Moves a local file to where the object has to lie. `None` if it cannot be moved there.
    async fn move_in(&self, name: &str, file: &std::path::Path) -> Result<Option<u64>, Error> {
        let path = self.path(name)?;
        let place =
            self.shared.directory.as_deref().and_then(|directory| place::in_directory(directory, &path));
        let Some(place) = place else { return Ok(None) };
        let attempt = || async {
            let (from, to) = (file.to_owned(), place.clone());
            let moved = tokio::task::spawn_blocking(move || place::move_file(&from, &to)).await;
            let moved = moved.map_err(io::Error::other).and_then(|moved| moved);
            let moved = moved.map_err(|error| Error::local(&place, error))?;
            self.shared.observer.moved(Operation::Upload, moved.unwrap_or(0));
            Ok(moved)
        };
        self.run(Operation::Upload, false, attempt, |moved: &Option<u64>| moved.unwrap_or(0)).await
    }

    /// Writes an object that lies in the bucket `from`, under its own name there, which may be this bucket. No more than a few
    /// parts are in memory. Returns its size in bytes.
    ///
    /// # Errors
    /// `NotFound` if it is not there, `Corrupt` if it has another size; otherwise as the stores say.
    pub async fn put_object(&self, name: &str, from: &Self, object: &Object) -> Result<u64, Error> {
        self.put_from(name, Origin::Object(from, &object.name, object.size), object.size).await
    }

    async fn put_from(&self, name: &str, origin: Origin<'_>, length: u64) -> Result<u64, Error> {
        let part_size = self.shared.settings.part_size.map(|size| size.max(LEAST_PART));
        let part_size = match part_size {
            Some(part_size) if length > part_size as u64 => part_size,
            _ => {
                let bytes = origin.open(&self.shared.room).await?.next(usize::MAX).await?;
                let length = bytes.len() as u64;
                return self.put(name, bytes).await.map(|()| length);
            }
        };
        let path = self.path(name)?;
        let attempt = || self.put_in_parts(name, &path, origin, part_size);
        self.run(Operation::Upload, false, attempt, |length: &u64| *length).await
    }

    /// Begins an object that is written while it is made.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) async fn grow(&self, name: &str) -> Result<GrowingObject, Error> {
        let path = self.path(name)?;
        let part_size = self.shared.settings.part_size.map_or(DEFAULT_PART, |size| size.max(LEAST_PART));
        let (writer, in_flight) = self
            .parts(&path, part_size)
            .await
            .map_err(|error| Error::store(Operation::Upload, name, error))?;
        Ok(GrowingObject::new(self.clone(), name.to_owned(), writer, in_flight))
    }

    /// Tells the observer of bytes that go up.
    pub(crate) fn moved(&self, bytes: u64) {
        self.shared.observer.moved(Operation::Upload, bytes);
    }

    /// Removes the folder of an object that did not come to be, if the store is a directory and nothing is in it.
    pub(crate) async fn tidy(&self, name: &str) {
        let place = self.path(name).ok().and_then(|path| {
            self.shared.directory.as_deref().and_then(|directory| place::in_directory(directory, &path))
        });
        if let Some(folder) = place.as_deref().and_then(std::path::Path::parent) {
            // One that is not empty stays.
            let _ = tokio::fs::remove_dir(folder).await;
        }
    }

    /// Begins an object in parts; with how many of them may be on their way.
    async fn parts(
        &self,
        path: &Path,
        part_size: usize,
    ) -> Result<(WriteMultipart, usize), object_store::Error> {
        let options =
            PutMultipartOptions { attributes: self.attributes_to_write(), ..PutMultipartOptions::default() };
        let upload = self.shared.store.put_multipart_opts(path, options).await?;
        let in_flight = (BYTES_IN_FLIGHT / part_size).clamp(1, PARTS_IN_FLIGHT);
        Ok((WriteMultipart::new_with_chunk_size(upload, part_size), in_flight))
    }

    async fn put_in_parts(
        &self,
        name: &str,
        path: &Path,
        origin: Origin<'_>,
        part_size: usize,
    ) -> Result<u64, Error> {
        let failed = |error| Error::store(Operation::Upload, name, error);
        let mut parts = origin.open(&self.shared.room).await?;
        let (mut writer, in_flight) = self.parts(path, part_size).await.map_err(failed)?;
        let mut length = 0;
        let copied = loop {
            let part = match parts.next(part_size).await {
                Ok(part) => part,
                Err(error) => break Err(error),
            };
            if part.is_empty() {
                break Ok(());
            }
            let bytes = part.len() as u64;
            length += bytes;
            if let Err(error) = writer.wait_for_capacity(in_flight).await {
                break Err(failed(error));
            }
            // It is on its way when it is taken.
            self.shared.observer.moved(Operation::Upload, bytes);
            writer.put(part);
        };
        match copied {
            Ok(()) => writer.finish().await.map(|_| length).map_err(failed),
            Err(error) => {
                // The parts are lost either way; that the store forgets them is all that can be asked.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    /// Removes an object. That there is none is no error.
    ///
    /// # Errors
    /// As the store says.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name)?;
        let attempt = || async {
            self.shared
                .store
                .delete(&path)
                .await
                .map_err(|error| Error::store(Operation::Delete, name, error))
        };
        match self.run(Operation::Delete, true, attempt, |()| 0).await {
            Err(Error::NotFound { .. }) => Ok(()),
            result => result,
        }
    }

    /// Every object below a folder (`""` for all), at any depth, by name.
    ///
    /// # Errors
    /// As the store says.
    pub async fn list(&self, folder: &str) -> Result<Vec<Object>, Error> {
        let path = self.path(folder.trim_end_matches('/'))?;
        let attempt = || async {
            let listing = self.shared.store.list(Some(&path)).try_collect::<Vec<_>>().await;
            listing.map_err(|error| Error::store(Operation::Iter, folder, error))
        };
        let found = self.run(Operation::Iter, true, attempt, |_| 0).await;
        let mut objects: Vec<Object> = or_empty(found)?.iter().map(|meta| self.object(meta)).collect();
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    /// Folders and objects directly in a folder (`""` for the top).
    ///
    /// # Errors
    /// As the store says.
    pub async fn level(&self, folder: &str) -> Result<Level, Error> {
        let path = self.path(folder.trim_end_matches('/'))?;
        let attempt = || async {
            let listing = self.shared.store.list_with_delimiter(Some(&path)).await;
            listing.map_err(|error| Error::store(Operation::Iter, folder, error))
        };
        let listing = match self.run(Operation::Iter, true, attempt, |_| 0).await {
            Ok(listing) => listing,
            Err(Error::NotFound { .. }) => return Ok(Level::default()),
            Err(error) => return Err(error),
        };
        let below = |path: &Path| path.as_ref().rsplit('/').next().unwrap_or_default().to_owned();
        let mut folders: Vec<String> = listing.common_prefixes.iter().map(below).collect();
        let mut objects: Vec<Object> = listing.objects.iter().map(|meta| self.object(meta)).collect();
        folders.sort_unstable();
        objects.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Level { folders, objects })
    }
}

/// A folder that does not exist is an empty one.
fn or_empty<T>(listed: Result<Vec<T>, Error>) -> Result<Vec<T>, Error> {
    match listed {
        Err(Error::NotFound { .. }) => Ok(Vec::new()),
        listed => listed,
    }
}

impl Begun {
    /// Bytes that were read.
    fn moved(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::File(_) => 0,
        }
    }
}

/// Fills `piece`, which has room for it, with what was found.
async fn collect(found: GetResult, mut piece: Piece) -> Result<Bytes, object_store::Error> {
    let (start, path) = (found.range.start, found.meta.location);
    let size = found.range.end.saturating_sub(start);
    match found.payload {
        GetResultPayload::File(file, _) => {
            let read = move || place::append(&file, start, size, &mut piece.bytes).map(|()| piece);
            let piece =
                tokio::task::spawn_blocking(read).await.map_err(io::Error::other).and_then(|read| read);
            piece.map(Piece::into_bytes).map_err(|error| place::failed(path.as_ref(), error))
        }
        GetResultPayload::Stream(mut stream) => {
            while let Some(bytes) = stream.try_next().await? {
                piece.bytes.extend_from_slice(&bytes);
            }
            Ok(piece.into_bytes())
        }
    }
}
