//! What was read of the bucket lately: lists of series, entries of series, pieces of chunk segments, and what the bucket holds.
//!
//! A [`Cache`] is a handle that is asked before the bucket is, and told afterwards. It never fails: what it does not have, or
//! cannot get in time, is simply not there. Two stores stand behind it, each in memory ([`MemoryOptions`]) or in Memcached
//! ([`MemcachedOptions`]): one for the index (lists and entries), one for chunks and for what the bucket holds, as in Thanos. All
//! that is kept under a key that names a block never changes; listings and the existence of objects do, and live for a
//! while only ([`BucketCacheOptions`]).
//!
//! Bytes go in as copies and come out as they went in. Nothing is decoded here.

mod key;
mod memcached;
mod memory;
mod metadata;
mod ranges;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sarsen_block::codec::put_str;
use sarsen_block::{BlockId, Matcher, SeriesNo};
use tokio::runtime::Handle;

use crate::observer::{NoTime, Timer};
use key::KeyRef;
use memcached::Memcached;
pub use memcached::{BreakerOptions, MemcachedOptions};
use memory::Memory;
pub use memory::MemoryOptions;
pub use ranges::BlockPart;

/// The kinds of things that are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Item {
    /// The list of series of a block that have a label.
    Postings,
    /// The entry of a series in the index of a block.
    Series,
    /// The list of series of a block that a set of matchers selects.
    ExpandedPostings,
    /// A piece of a chunk segment.
    Chunks,
    /// The content of a small object: `meta.json` or a mark.
    Content,
    /// Whether there is such an object.
    Exists,
    /// What lies below a name.
    Listing,
}

impl Item {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Postings,
        Self::Series,
        Self::ExpandedPostings,
        Self::Chunks,
        Self::Content,
        Self::Exists,
        Self::Listing,
    ];

    /// The kinds that the index cache keeps.
    pub const INDEX: [Self; 3] = [Self::Postings, Self::Series, Self::ExpandedPostings];

    /// The value of the label `item_type` in Thanos' metrics of the index cache; of `operation` in those of the caching bucket.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Postings => "Postings",
            Self::Series => "Series",
            Self::ExpandedPostings => "ExpandedPostings",
            Self::Chunks => "get_range",
            Self::Content => "get",
            Self::Exists => "exists",
            Self::Listing => "iter",
        }
    }

    const fn letter(self) -> char {
        match self {
            Self::Postings => 'P',
            Self::Series => 'S',
            Self::ExpandedPostings => 'E',
            Self::Chunks => 'C',
            Self::Content => 'M',
            Self::Exists => 'X',
            Self::Listing => 'L',
        }
    }
}

/// Where things are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CacheStore {
    /// In the memory of this process.
    Memory(MemoryOptions),
    /// In Memcached.
    Memcached(MemcachedOptions),
}

/// What is kept of indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexCacheOptions {
    /// Where.
    pub store: CacheStore,
    /// Which kinds, of [`Item::INDEX`].
    pub enabled: Vec<Item>,
    /// How long things live in a store that is not this process' memory.
    pub ttl: Duration,
}

impl Default for IndexCacheOptions {
    fn default() -> Self {
        Self {
            store: CacheStore::Memory(MemoryOptions::default()),
            enabled: Item::INDEX.to_vec(),
            ttl: Duration::from_secs(24 * 3600),
        }
    }
}

/// What is kept of chunks and of what the bucket holds. The defaults are Thanos'.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketCacheOptions {
    /// Where.
    pub store: CacheStore,
    /// Segments are kept in pieces of this many bytes.
    pub chunk_subrange_size: u64,
    /// Missing pieces of one segment are fetched in at most this many requests, by reading over what lies between; 0 is no bound.
    pub max_chunks_get_range_requests: u64,
    /// How long the size of a segment is believed. Ours come from `meta.json` and are not asked for.
    pub chunk_object_attrs_ttl: Duration,
    /// How long a piece lives.
    pub chunk_subrange_ttl: Duration,
    /// How long a listing is believed.
    pub blocks_iter_ttl: Duration,
    /// How long it is believed that an object is there.
    pub metafile_exists_ttl: Duration,
    /// How long it is believed that an object is not there.
    pub metafile_doesnt_exist_ttl: Duration,
    /// How long the content of a small object lives.
    pub metafile_content_ttl: Duration,
    /// Larger objects are not kept; in bytes.
    pub metafile_max_size: u64,
}

impl BucketCacheOptions {
    /// Thanos' defaults, on `store`.
    pub const fn new(store: CacheStore) -> Self {
        const HOUR: u64 = 3600;
        Self {
            store,
            chunk_subrange_size: 16_000,
            max_chunks_get_range_requests: 3,
            chunk_object_attrs_ttl: Duration::from_secs(24 * HOUR),
            chunk_subrange_ttl: Duration::from_secs(24 * HOUR),
            blocks_iter_ttl: Duration::from_secs(300),
            metafile_exists_ttl: Duration::from_secs(2 * HOUR),
            metafile_doesnt_exist_ttl: Duration::from_secs(900),
            metafile_content_ttl: Duration::from_secs(24 * HOUR),
            metafile_max_size: 1 << 20,
        }
    }
}

/// Everything that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheOptions {
    /// Of indexes.
    pub index: IndexCacheOptions,
    /// Of chunks and of what the bucket holds; `None`: nothing.
    pub bucket: Option<BucketCacheOptions>,
}

/// What is kept of one kind, in this process' memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ItemSize {
    /// How many things.
    pub items: u64,
    /// The bytes of their contents.
    pub bytes: u64,
    /// Keys and bookkeeping included.
    pub total: u64,
}

/// How a call of a store on the network ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RemoteOutcome {
    /// As asked.
    Done,
    /// The server could not be reached, broke off, or said something else than asked.
    Failed,
    /// It took too long.
    TimedOut,
    /// It was not tried, because the server failed too often lately.
    Broken,
    /// It was not tried, because too many writes wait already.
    BufferFull,
    /// It was not tried, because the thing is larger than the bound.
    TooLarge,
}

/// Hears what a cache does. Called by whoever uses the cache, so it must be quick.
pub trait CacheObserver: Send + Sync {
    /// `asked` things were looked for and `found` of them were there.
    fn looked(&self, _item: Item, _asked: u64, _found: u64, _took: Duration) {}
    /// A thing of so many bytes was taken in.
    fn added(&self, _item: Item, _bytes: u64) {}
    /// A thing of so many bytes went to make room.
    fn evicted(&self, _item: Item, _bytes: u64) {}
    /// A thing was not taken in, because it is too large.
    fn overflowed(&self, _item: Item) {}
    /// A call of a store on the network has ended: a read of several keys at one server, or the write of one.
    fn remote(&self, _writes: bool, _outcome: RemoteOutcome, _took: Duration) {}
}

/// An observer that does not listen.
#[derive(Debug, Clone, Copy, Default)]
pub struct Uncounted;

impl CacheObserver for Uncounted {}

/// What was read lately. Clones are the same cache.
#[derive(Debug, Clone)]
pub struct Cache(Arc<Shared>);

struct Shared {
    index: Store,
    enabled: Vec<Item>,
    index_ttl: Duration,
    /// Where chunks and what the bucket holds are kept, and how.
    bucket: Option<(Store, BucketCacheOptions)>,
    observer: Arc<dyn CacheObserver>,
    timer: Arc<dyn Timer>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("index", &self.index)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Store {
    Memory(Memory),
    Memcached(Memcached),
}

/// Who a cache works with.
#[derive(Clone)]
pub struct CacheContext {
    /// Runs what a store on the network does behind its callers' backs.
    pub runtime: Handle,
    /// Tells how much time has passed, and waits.
    pub timer: Arc<dyn Timer>,
    /// Hears what is done.
    pub observer: Arc<dyn CacheObserver>,
}

impl std::fmt::Debug for CacheContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CacheContext")
    }
}

impl Store {
    fn new(options: &CacheStore, context: &CacheContext) -> Self {
        match options {
            CacheStore::Memory(options) => Self::Memory(Memory::new(*options, Arc::clone(&context.observer))),
            CacheStore::Memcached(options) => Self::Memcached(Memcached::new(options, context)),
        }
    }

    async fn get(&self, keys: &[KeyRef<'_>], now: Duration) -> Vec<Option<Bytes>> {
        match self {
            Self::Memory(memory) => keys.iter().map(|key| memory.get(*key, now)).collect(),
            Self::Memcached(memcached) => memcached.get(keys).await,
        }
    }
}

impl Cache {
    /// A cache as `options` say.
    pub fn new(options: &CacheOptions, context: &CacheContext) -> Self {
        let bucket = options.bucket.as_ref();
        Self(Arc::new(Shared {
            index: Store::new(&options.index.store, context),
            enabled: options.index.enabled.clone(),
            index_ttl: options.index.ttl,
            bucket: bucket.map(|own| (Store::new(&own.store, context), own.clone())),
            observer: Arc::clone(&context.observer),
            timer: Arc::clone(&context.timer),
        }))
    }

    /// A cache of indexes in memory, of `max_size` bytes; chunks are not kept.
    pub fn in_memory(max_size: u64) -> Self {
        let observer: Arc<dyn CacheObserver> = Arc::new(Uncounted);
        Self(Arc::new(Shared {
            index: Store::Memory(Memory::new(MemoryOptions::of_size(max_size), Arc::clone(&observer))),
            enabled: Item::INDEX.to_vec(),
            index_ttl: IndexCacheOptions::default().ttl,
            bucket: None,
            observer,
            timer: Arc::new(NoTime),
        }))
    }

    /// The lists of series of `block` that have these labels (name, value), as they were put; in the order asked for.
    pub async fn postings(&self, block: BlockId, labels: &[(&[u8], &[u8])]) -> Vec<Option<Bytes>> {
        if !self.keeps(Item::Postings) {
            return vec![None; labels.len()];
        }
        let mut rooms = vec![Vec::new(); labels.len()];
        let keys = labels.iter().zip(&mut rooms);
        let keys: Vec<_> =
            keys.map(|((name, value), room)| KeyRef::postings(block, name, value, room)).collect();
        self.look(Item::Postings, &keys).await
    }

    /// Keeps the list of series of `block` that have a label.
    pub fn put_postings(&self, block: BlockId, (name, value): (&[u8], &[u8]), bytes: &[u8]) {
        self.put(KeyRef::postings(block, name, value, &mut Vec::new()), bytes);
    }

    /// The entries of these series of `block`, as they were put; in the order asked for.
    pub async fn series(&self, block: BlockId, series: &[SeriesNo]) -> Vec<Option<Bytes>> {
        if !self.keeps(Item::Series) {
            return vec![None; series.len()];
        }
        let keys: Vec<_> = series.iter().map(|series| series_key(block, *series)).collect();
        self.look(Item::Series, &keys).await
    }

    /// Keeps the entry of a series of `block`.
    pub fn put_series(&self, block: BlockId, series: SeriesNo, bytes: &[u8]) {
        self.put(series_key(block, series), bytes);
    }

    /// The list of series of `block` that `matchers`, in any order, select, as it was put.
    pub async fn expanded(&self, block: BlockId, matchers: &[Matcher]) -> Option<Bytes> {
        if !self.keeps(Item::ExpandedPostings) {
            return None;
        }
        let text = text_of(matchers);
        self.look(Item::ExpandedPostings, &[expanded_key(block, &text)]).await.pop().flatten()
    }

    /// Keeps the list of series of `block` that `matchers` select.
    pub fn put_expanded(&self, block: BlockId, matchers: &[Matcher], bytes: &[u8]) {
        self.put(expanded_key(block, &text_of(matchers)), bytes);
    }

    /// What is kept in this process' memory, by kind.
    pub fn sizes(&self) -> Vec<(Item, ItemSize)> {
        let mut sizes: Vec<_> = Item::ALL.map(|item| (item, ItemSize::default())).into();
        let stores = std::iter::once(&self.0.index).chain(self.0.bucket.as_ref().map(|(store, _)| store));
        for store in stores {
            let Store::Memory(memory) = store else { continue };
            for ((_, sum), (_, size)) in sizes.iter_mut().zip(memory.sizes()) {
                sum.items += size.items;
                sum.bytes += size.bytes;
                sum.total += size.total;
            }
        }
        sizes
    }

    /// The bounds of the index cache, if it is in this process' memory.
    pub fn index_bounds(&self) -> Option<MemoryOptions> {
        match &self.0.index {
            Store::Memory(memory) => Some(memory.options()),
            Store::Memcached(_) => None,
        }
    }

    fn keeps(&self, item: Item) -> bool {
        self.0.enabled.contains(&item)
    }

    /// Looks for things of the index, and tells the observer.
    async fn look(&self, item: Item, keys: &[KeyRef<'_>]) -> Vec<Option<Bytes>> {
        self.look_in(&self.0.index, item, keys).await
    }

    async fn look_in(&self, store: &Store, item: Item, keys: &[KeyRef<'_>]) -> Vec<Option<Bytes>> {
        let shared = &*self.0;
        let start = shared.timer.elapsed();
        let found = store.get(keys, start).await;
        let took = shared.timer.elapsed().saturating_sub(start);
        let count = found.iter().filter(|found| found.is_some()).count();
        shared.observer.looked(item, keys.len() as u64, count as u64, took);
        found
    }

    /// Keeps a thing of the index.
    fn put(&self, key: KeyRef<'_>, bytes: &[u8]) {
        if !self.keeps(key.item) {
            return;
        }
        match &self.0.index {
            // What is kept of an index is right for ever; in memory it goes when there is no more room.
            Store::Memory(memory) => memory.put(key, bytes, Duration::ZERO, None),
            Store::Memcached(memcached) => memcached.put(key, bytes, self.0.index_ttl),
        }
    }

    /// Keeps a thing of the bucket for a while.
    fn put_in(&self, store: &Store, key: KeyRef<'_>, bytes: &[u8], ttl: Duration) {
        match store {
            Store::Memory(memory) => memory.put(key, bytes, self.0.timer.elapsed(), Some(ttl)),
            Store::Memcached(memcached) => memcached.put(key, bytes, ttl),
        }
    }
}

fn series_key(block: BlockId, series: SeriesNo) -> KeyRef<'static> {
    KeyRef { item: Item::Series, block, number: series.0.into(), text: b"" }
}

fn expanded_key(block: BlockId, text: &[u8]) -> KeyRef<'_> {
    KeyRef { item: Item::ExpandedPostings, block, number: 0, text }
}

/// A text that is the same for the same matchers in any order, and for no others: the parts of each with their lengths, sorted.
fn text_of(matchers: &[Matcher]) -> Vec<u8> {
    let text = |matcher: &Matcher| {
        let mut text = matcher.op().as_str().as_bytes().to_vec();
        put_str(&mut text, matcher.name());
        put_str(&mut text, matcher.value());
        text
    };
    let mut texts: Vec<Vec<u8>> = matchers.iter().map(text).collect();
    texts.sort_unstable();
    texts.dedup();
    let mut whole = Vec::new();
    texts.iter().for_each(|text| put_str(&mut whole, text));
    whole
}

#[cfg(test)]
mod tests;
