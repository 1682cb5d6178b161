//! What is kept of the bucket: how often it was there, how much of it there is, and how Memcached does.

use std::sync::Arc;
use std::time::Duration;

use sarsen_bucket::{Cache, CacheContext, CacheObserver, CacheOptions, Item, ItemSize, RemoteOutcome};

use super::{Counter, Histogram, Page, Registry, Type};
use crate::clock::Clock;

const SECONDS: &[f64] =
    &[0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0, 120.0];
const BYTES: &[f64] = &[
    32.0,
    256.0,
    512.0,
    1024.0,
    32_768.0,
    262_144.0,
    524_288.0,
    1_048_576.0,
    33_554_432.0,
    67_108_864.0,
    134_217_728.0,
    268_435_456.0,
    536_870_912.0,
];
/// All requests count as one tenant's: what is kept is shared by all.
const TENANT: &str = "default-tenant";

/// The members of one kind in the index cache.
#[derive(Debug)]
struct IndexItem {
    requests: Arc<Counter>,
    hits: Arc<Counter>,
    added: Arc<Counter>,
    evicted: Arc<Counter>,
    overflowed: Arc<Counter>,
    seconds: Arc<Histogram>,
    stored: Arc<Histogram>,
}

/// Listens to one cache.
#[derive(Debug)]
pub(crate) struct CacheMetrics {
    index: [IndexItem; Item::INDEX.len()],
    /// Requests and hits of what the bucket holds, by kind.
    bucket: Vec<(Item, Arc<Counter>, Arc<Counter>)>,
    /// Calls of Memcached and how many failed: reads, writes.
    remote: [(Arc<Counter>, Arc<Histogram>); 2],
    failures: Vec<(bool, RemoteOutcome, Arc<Counter>)>,
    skipped: Vec<(bool, RemoteOutcome, Arc<Counter>)>,
}

/// Why a call failed or was not made.
const FAILED: [(RemoteOutcome, &str); 2] =
    [(RemoteOutcome::Failed, "other"), (RemoteOutcome::TimedOut, "timeout")];
const SKIPPED: [(RemoteOutcome, &str); 3] = [
    (RemoteOutcome::TooLarge, "max-item-size"),
    (RemoteOutcome::BufferFull, "async-buffer-full"),
    (RemoteOutcome::Broken, "circuit-breaker"),
];

/// The value of the label `operation` of Memcached's metrics.
const fn operation(writes: bool) -> &'static str {
    if writes { "set" } else { "getmulti" }
}

impl CacheMetrics {
    /// Registers the families; every kind is there from the start.
    fn new(registry: &Registry) -> Self {
        let index = IndexItem::all(registry);
        let labels = &["operation", "config"];
        let requests = registry.family::<Counter>(
            "thanos_store_bucket_cache_operation_requests_total",
            "Number of requested operations matching given config.",
            labels,
        );
        let hits = registry.family::<Counter>(
            "thanos_store_bucket_cache_operation_hits_total",
            "Number of operations served from cache for given config.",
            labels,
        );
        let member = |(item, config): (Item, &str)| {
            let labels = [item.as_str(), config];
            (item, requests.with(&labels), hits.with(&labels))
        };
        let kinds = [
            (Item::Chunks, "chunks"),
            (Item::Content, "metafile"),
            (Item::Exists, "metafile"),
            (Item::Listing, "blocks-iter"),
        ];
        let bucket = kinds.map(member).into();
        let calls = registry.family::<Counter>(
            "thanos_memcached_operations_total",
            "Total number of operations against memcached.",
            &["operation"],
        );
        let seconds = registry.histograms(
            "thanos_memcached_operation_duration_seconds",
            "Duration of operations against memcached.",
            &["operation"],
            &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 3.0, 6.0, 10.0],
        );
        let remote = [false, true]
            .map(|writes| (calls.with(&[operation(writes)]), seconds.with(&[operation(writes)])));
        let by_reason = |name, help, reasons: &[(RemoteOutcome, &str)]| {
            let family = registry.family::<Counter>(name, help, &["operation", "reason"]);
            let members = [false, true]
                .into_iter()
                .flat_map(|writes| reasons.iter().map(move |(outcome, reason)| (writes, *outcome, *reason)));
            members
                .map(|(writes, outcome, reason)| (writes, outcome, family.with(&[operation(writes), reason])))
                .collect()
        };
        Self {
            index,
            bucket,
            remote,
            failures: by_reason(
                "thanos_memcached_operation_failures_total",
                "Total number of operations against memcached that failed.",
                &FAILED,
            ),
            skipped: by_reason(
                "thanos_memcached_operation_skipped_total",
                "Total number of operations against memcached that have been skipped.",
                &SKIPPED,
            ),
        }
    }

    /// A cache as `options` say, counted. Whoever asks for it is on the runtime that is to do its work.
    pub(crate) fn cache(registry: &Registry, options: &CacheOptions) -> Cache {
        let context = CacheContext {
            runtime: tokio::runtime::Handle::current(),
            timer: Arc::new(Clock::start()),
            observer: Arc::new(Self::new(registry)),
        };
        let cache = Cache::new(options, &context);
        Self::watch(registry, &cache);
        cache
    }

    /// Shows from now on how much `cache` holds.
    fn watch(registry: &Registry, cache: &Cache) {
        let cache = cache.clone();
        registry.snapshot(move |page| show_sizes(page, &cache));
    }

    fn index(&self, item: Item) -> Option<&IndexItem> {
        let place = Item::INDEX.into_iter().position(|own| own == item)?;
        self.index.get(place)
    }
}

/// Reads one number of what is kept of a kind.
type Read = fn(&ItemSize) -> u64;

fn show_sizes(page: &mut Page, cache: &Cache) {
    let sizes = cache.sizes();
    let families: [(&str, &str, Read); 3] = [
        ("thanos_store_index_cache_items", "Current number of items in the index cache.", |size| size.items),
        (
            "thanos_store_index_cache_items_size_bytes",
            "Current byte size of items in the index cache.",
            |size| size.bytes,
        ),
        (
            "thanos_store_index_cache_total_size_bytes",
            "Current byte size of items (both value and key) in the index cache.",
            |size| size.total,
        ),
    ];
    for (name, help, read) in families {
        page.family(name, Type::Gauge, help);
        for (item, size) in sizes.iter().filter(|(item, _)| Item::INDEX.contains(item)) {
            page.sample(name, "", &[("item_type", item.as_str())], read(size) as f64);
        }
    }
    let Some(bounds) = cache.index_bounds() else { return };
    for (name, help, value) in [
        (
            "thanos_store_index_cache_max_size_bytes",
            "Maximum number of bytes to be held in the index cache.",
            bounds.max_size,
        ),
        (
            "thanos_store_index_cache_max_item_size_bytes",
            "Maximum number of bytes for single entry to be held in the index cache.",
            bounds.max_item_size,
        ),
    ] {
        page.family(name, Type::Gauge, help);
        page.sample(name, "", &[], value as f64);
    }
}

impl IndexItem {
    /// One for each of [`Item::INDEX`], of the same families.
    fn all(registry: &Registry) -> [Self; Item::INDEX.len()] {
        let both = &["item_type", "tenant"];
        let alone = |name, help| registry.family::<Counter>(name, help, &["item_type"]);
        let of_tenant = |name, help| registry.family::<Counter>(name, help, both);
        let requests = of_tenant(
            "thanos_store_index_cache_requests_total",
            "Total number of items requests to the cache.",
        );
        let hits = of_tenant(
            "thanos_store_index_cache_hits_total",
            "Total number of items requests to the cache that were a hit.",
        );
        let added = alone(
            "thanos_store_index_cache_items_added_total",
            "Total number of items that were added to the index cache.",
        );
        let evicted = alone(
            "thanos_store_index_cache_items_evicted_total",
            "Total number of items that were evicted from the index cache.",
        );
        let overflowed = alone(
            "thanos_store_index_cache_items_overflowed_total",
            "Total number of items that could not be added to the cache due to being too big.",
        );
        let seconds = registry.histograms(
            "thanos_store_index_cache_fetch_duration_seconds",
            "Histogram to track latency to fetch items from index cache",
            both,
            SECONDS,
        );
        let stored = registry.histograms(
            "thanos_store_index_cache_stored_data_size_bytes",
            "Histogram to track item data size stored in index cache",
            both,
            BYTES,
        );
        Item::INDEX.map(|item| {
            let (item, of_tenant) = ([item.as_str()], [item.as_str(), TENANT]);
            Self {
                requests: requests.with(&of_tenant),
                hits: hits.with(&of_tenant),
                added: added.with(&item),
                evicted: evicted.with(&item),
                overflowed: overflowed.with(&item),
                seconds: seconds.with(&of_tenant),
                stored: stored.with(&of_tenant),
            }
        })
    }
}

impl CacheObserver for CacheMetrics {
    fn looked(&self, item: Item, asked: u64, found: u64, took: Duration) {
        if let Some(index) = self.index(item) {
            index.requests.add(asked);
            index.hits.add(found);
            index.seconds.observe(took.as_secs_f64());
        }
        if let Some((_, requests, hits)) = self.bucket.iter().find(|(own, ..)| *own == item) {
            requests.add(asked);
            hits.add(found);
        }
    }

    fn added(&self, item: Item, bytes: u64) {
        if let Some(index) = self.index(item) {
            index.added.add(1);
            index.stored.observe(bytes as f64);
        }
    }

    fn evicted(&self, item: Item, _bytes: u64) {
        if let Some(index) = self.index(item) {
            index.evicted.add(1);
        }
    }

    fn overflowed(&self, item: Item) {
        if let Some(index) = self.index(item) {
            index.overflowed.add(1);
        }
    }

    fn remote(&self, writes: bool, outcome: RemoteOutcome, took: Duration) {
        let skipped = self.skipped.iter().find(|(own, why, _)| (*own, *why) == (writes, outcome));
        if let Some((.., counter)) = skipped {
            counter.add(1);
            return;
        }
        let [reads, writing] = &self.remote;
        let (calls, seconds) = if writes { writing } else { reads };
        calls.add(1);
        seconds.observe(took.as_secs_f64());
        if let Some((.., counter)) =
            self.failures.iter().find(|(own, why, _)| (*own, *why) == (writes, outcome))
        {
            counter.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// The families of the recorded page of `thanos store`, by name: type and names of labels.
    fn recorded() -> BTreeMap<String, (String, Vec<String>)> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/services/metrics/metrics.jsonl");
        let text = std::fs::read_to_string(path).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let of_store = lines.filter(|line| line["component"] == "store");
        let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
        of_store
            .map(|line| {
                let labels = line["labels"].as_array().unwrap().iter().map(text).collect();
                (text(&line["name"]), (text(&line["type"]), labels))
            })
            .collect()
    }

    #[test]
    fn the_index_cache_shows_what_thanos_shows() {
        let registry = Registry::default();
        let metrics = CacheMetrics::new(&registry);
        let cache = Cache::in_memory(1 << 20);
        cache.put_series(sarsen_block::BlockId::NONE, sarsen_block::SeriesNo(1), b"entry");
        CacheMetrics::watch(&registry, &cache);
        metrics.looked(Item::Postings, 3, 2, Duration::from_millis(20));
        metrics.added(Item::Postings, 100);
        metrics.looked(Item::Listing, 1, 1, Duration::ZERO);
        metrics.remote(false, RemoteOutcome::TimedOut, Duration::from_millis(500));
        metrics.remote(true, RemoteOutcome::TooLarge, Duration::ZERO);
        let (_, page) = registry.page(false);
        let recorded = recorded();
        let of_cache: Vec<_> =
            recorded.iter().filter(|(name, _)| name.starts_with("thanos_store_index_cache_")).collect();
        assert!(!of_cache.is_empty());
        for (name, (kind, labels)) in of_cache {
            let heads = page.matches(&format!("# TYPE {name} {kind}\n")).count();
            assert_eq!(heads, 1, "{name} as {kind}");
            let sample = page.lines().find(|line| line.starts_with(name.as_str())).unwrap();
            assert!(labels.iter().all(|label| sample.contains(&format!("{label}=\""))), "{sample}");
        }
        for line in [
            "thanos_store_index_cache_requests_total{item_type=\"Postings\",tenant=\"default-tenant\"} 3",
            "thanos_store_index_cache_hits_total{item_type=\"Postings\",tenant=\"default-tenant\"} 2",
            "thanos_store_index_cache_items{item_type=\"Series\"} 1",
            "thanos_store_index_cache_max_size_bytes 1.048576e+06",
            "thanos_store_bucket_cache_operation_hits_total{operation=\"iter\",config=\"blocks-iter\"} 1",
            "thanos_memcached_operation_failures_total{operation=\"getmulti\",reason=\"timeout\"} 1",
            "thanos_memcached_operation_skipped_total{operation=\"set\",reason=\"max-item-size\"} 1",
            "thanos_memcached_operations_total{operation=\"set\"} 0",
        ] {
            assert!(page.lines().any(|own| own == line), "{line} is not in\n{page}");
        }
    }
}
