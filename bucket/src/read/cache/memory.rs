//! What was read lately, in the memory of this process, by bytes.
//!
//! Never more than the bound is held, keys and bookkeeping included; what was not asked for again goes first (S3-FIFO, by
//! `quick_cache`). A thing larger than the bound for one thing is not taken in. What has a time to live is gone after it. What a key stands for does not change
//! while it lives, so a thing that is there already is left as it is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use quick_cache::sync::{Cache, EntryAction, EntryResult};
use quick_cache::{DefaultHashBuilder, Lifecycle, OptionsBuilder, Weighter};

use super::key::{Key, KeyRef};
use super::{CacheObserver, Item, ItemSize};

/// Bytes that a thing takes beside its content and the text of its key: the entry, its place in the table, the allocations.
const OVERHEAD: u64 = 160;
/// Parts of the store, each under its own lock.
const MOST_PARTS: u64 = 16;

/// How much is kept in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryOptions {
    /// Bytes in all.
    pub max_size: u64,
    /// Bytes of one thing.
    pub max_item_size: u64,
}

impl Default for MemoryOptions {
    /// 250 MiB and 125 MiB, as in Thanos.
    fn default() -> Self {
        Self::of_size(250 << 20)
    }
}

impl MemoryOptions {
    /// So many bytes in all; things up to 125 MiB, or half of that.
    pub const fn of_size(max_size: u64) -> Self {
        let half = max_size / 2;
        let most = 125 << 20;
        Self { max_size, max_item_size: if half < most { half } else { most } }
    }
}

#[derive(Debug, Clone)]
struct Kept {
    bytes: Bytes,
    /// When it is no longer to be believed, in nanoseconds of the timer; the greatest number: never.
    until: u64,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<Key, Kept> for ByBytes {
    fn weight(&self, key: &Key, kept: &Kept) -> u64 {
        weight(key.by_ref(), kept.bytes.len())
    }
}

fn weight(key: KeyRef<'_>, length: usize) -> u64 {
    OVERHEAD + key.text.len() as u64 + length as u64
}

/// Counts what goes.
#[derive(Clone)]
struct Ledger {
    sizes: Arc<[Size; Item::ALL.len()]>,
    observer: Arc<dyn CacheObserver>,
}

#[derive(Default)]
struct Size {
    items: AtomicU64,
    bytes: AtomicU64,
    total: AtomicU64,
}

impl Ledger {
    fn change(&self, key: &Key, kept: &Kept, apply: impl Fn(&AtomicU64, u64) -> u64) {
        let key = key.by_ref();
        let Some(size) = self.sizes.get(key.item as usize) else { return };
        apply(&size.items, 1);
        apply(&size.bytes, kept.bytes.len() as u64);
        apply(&size.total, weight(key, kept.bytes.len()));
    }

    fn add(&self, key: &Key, kept: &Kept) {
        self.change(key, kept, |count, by| count.fetch_add(by, Ordering::Relaxed));
    }

    fn take(&self, key: &Key, kept: &Kept) {
        self.change(key, kept, |count, by| count.fetch_sub(by, Ordering::Relaxed));
    }
}

impl Lifecycle<Key, Kept> for Ledger {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), key: Key, kept: Kept) {
        self.take(&key, &kept);
        self.observer.evicted(key.by_ref().item, kept.bytes.len() as u64);
    }
}

/// The store.
pub(super) struct Memory {
    options: MemoryOptions,
    kept: Cache<Key, Kept, ByBytes, DefaultHashBuilder, Ledger>,
    ledger: Ledger,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({} of {} bytes)", self.kept.weight(), self.options.max_size)
    }
}

impl Memory {
    pub(super) fn new(options: MemoryOptions, observer: Arc<dyn CacheObserver>) -> Self {
        let largest = options.max_item_size.saturating_add(OVERHEAD).max(1);
        // Each part must have room for a thing of the largest size, with something beside it.
        let parts = (options.max_size / largest.saturating_mul(2)).clamp(1, MOST_PARTS);
        let parts = 1 << parts.ilog2();
        let ledger = Ledger { sizes: Arc::default(), observer };
        // What is expected decides about the room of the tables at the start, and about no bound.
        let expected =
            usize::try_from((options.max_size / 16_384).clamp(32 * parts, 1 << 16)).unwrap_or(1024);
        let settings = OptionsBuilder::new()
            .shards(usize::try_from(parts).unwrap_or(1))
            .estimated_items_capacity(expected)
            .weight_capacity(options.max_size)
            .build();
        let hasher = DefaultHashBuilder::default();
        let kept = match settings {
            Ok(settings) => Cache::with_options(settings, ByBytes, hasher, ledger.clone()),
            Err(_) => Cache::with(expected, options.max_size, ByBytes, hasher, ledger.clone()),
        };
        Self { options, kept, ledger }
    }

    pub(super) const fn options(&self) -> MemoryOptions {
        self.options
    }

    /// What is kept under `key` and still lives at `now`.
    pub(super) fn get(&self, key: KeyRef<'_>, now: Duration) -> Option<Bytes> {
        let kept = self.kept.get(&key)?;
        (nanos(now) < kept.until).then_some(kept.bytes)
    }

    /// Keeps a copy of `bytes`. It is no part of something larger, which it would keep alive.
    pub(super) fn put(&self, key: KeyRef<'_>, bytes: &[u8], now: Duration, ttl: Option<Duration>) {
        let observer = &self.ledger.observer;
        if bytes.len() as u64 > self.options.max_item_size || weight(key, bytes.len()) > self.options.max_size
        {
            observer.overflowed(key.item);
            return;
        }
        let now = nanos(now);
        let until = ttl.map_or(u64::MAX, |ttl| now.saturating_add(nanos(ttl)));
        let owned = key.owned();
        let there = self.kept.entry(&owned, Some(Duration::ZERO), |_, kept| {
            if now < kept.until { EntryAction::Retain(()) } else { EntryAction::ReplaceWithGuard }
        });
        let guard = match there {
            EntryResult::Vacant(guard) => guard,
            EntryResult::Replaced(guard, old) => {
                self.ledger.take(&owned, &old);
                guard
            }
            // It is there, or somebody is just bringing it.
            EntryResult::Retained(()) | EntryResult::Removed(..) | EntryResult::Timeout => return,
        };
        let kept = Kept { bytes: Bytes::copy_from_slice(bytes), until };
        self.ledger.add(&owned, &kept);
        match guard.insert(kept) {
            Ok(()) => observer.added(key.item, bytes.len() as u64),
            Err(refused) => self.ledger.take(&owned, &refused),
        }
    }

    /// What is kept now, by kind.
    pub(super) fn sizes(&self) -> Vec<(Item, ItemSize)> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let of = |(item, size): (Item, &Size)| {
            let (items, bytes) = (read(&size.items), read(&size.bytes));
            (item, ItemSize { items, bytes, total: read(&size.total) })
        };
        Item::ALL.into_iter().zip(self.ledger.sizes.iter()).map(of).collect()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use sarsen_block::BlockId;

    use super::super::Uncounted;
    use super::*;

    fn key(number: u64) -> KeyRef<'static> {
        KeyRef { item: Item::Series, block: BlockId::NONE, number, text: b"" }
    }

    fn memory(max_size: u64, max_item_size: u64) -> Memory {
        Memory::new(MemoryOptions { max_size, max_item_size }, Arc::new(Uncounted))
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(u64, usize, Option<u64>),
        Get(u64),
        Pass(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            4 => (0u64..60, 0usize..1500, prop::option::of(1u64..50)).prop_map(|(k, n, ttl)| Step::Put(k, n, ttl)),
            4 => (0u64..60).prop_map(Step::Get),
            1 => (1u64..40).prop_map(Step::Pass),
        ];
        prop::collection::vec(step, 0..300)
    }

    proptest! {
        /// The model keeps everything for ever: whatever comes out must be what went in last while it lived, and the bound holds.
        #[test]
        fn what_comes_out_went_in_and_no_more_is_held_than_the_bound(steps in steps(), max_size in 400u64..40_000) {
            let max_item = max_size / 2;
            let memory = memory(max_size, max_item);
            let (mut model, mut now) = (BTreeMap::<u64, (usize, u64)>::new(), 0u64);
            for step in steps {
                match step {
                    Step::Put(number, length, ttl) => {
                        let there = memory.get(key(number), Duration::from_nanos(now)).is_some();
                        let bytes = vec![u8::try_from(number).unwrap(); length];
                        memory.put(key(number), &bytes, Duration::from_nanos(now), ttl.map(Duration::from_nanos));
                        if length as u64 > max_item {
                            prop_assert_eq!(memory.get(key(number), Duration::from_nanos(now)).is_some(), there);
                        } else if !there {
                            model.insert(number, (length, ttl.map_or(u64::MAX, |ttl| now + ttl)));
                        }
                    }
                    Step::Get(number) => {
                        if let Some(bytes) = memory.get(key(number), Duration::from_nanos(now)) {
                            let (length, until) = model[&number];
                            prop_assert!(now < until);
                            prop_assert_eq!(&bytes[..], &vec![u8::try_from(number).unwrap(); length][..]);
                        }
                    }
                    Step::Pass(time) => now += time,
                }
                prop_assert!(memory.kept.weight() <= max_size);
                let (_, size) = memory.sizes()[Item::Series as usize];
                prop_assert_eq!(size.items, memory.kept.len() as u64);
                prop_assert_eq!(size.total, memory.kept.weight());
            }
        }
    }

    #[test]
    fn the_largest_thing_that_is_allowed_is_kept() {
        for max_size in [4096u64, 1 << 20, 64 << 20] {
            let options = MemoryOptions::of_size(max_size);
            let memory = memory(max_size, options.max_item_size);
            let bytes = vec![7; usize::try_from(options.max_item_size).unwrap()];
            memory.put(key(1), &bytes, Duration::ZERO, None);
            assert_eq!(memory.get(key(1), Duration::ZERO).as_deref(), Some(&bytes[..]), "{max_size}");
        }
    }

    #[test]
    fn what_is_asked_for_again_outlives_what_is_not() {
        let memory = memory(100_000, 1000);
        for number in 0..50 {
            memory.put(key(number), &[1; 500], Duration::ZERO, None);
        }
        for scan in 1000..6000 {
            for number in 0..50 {
                memory.get(key(number), Duration::ZERO);
            }
            memory.put(key(scan), &[2; 500], Duration::ZERO, None);
        }
        let kept = (0..50).filter(|number| memory.get(key(*number), Duration::ZERO).is_some()).count();
        assert!(kept >= 45, "{kept} of 50");
    }
}
