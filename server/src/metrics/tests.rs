//! Every name that the original has too must have its type, its labels and its bucket bounds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sarsen_bucket::BucketObserver as _;
use sarsen_tsdb::{Committed, OpenReport, Stats, TsdbObserver as _};
use sarsen_wal::WalObserver as _;

use super::*;
use crate::receive::{ReceiveObserver as _, ShipOutcome, WriteSeen};
use crate::store::SelectObserver as _;

#[derive(Debug, Default, PartialEq)]
struct Shape {
    kind: String,
    labels: BTreeSet<String>,
    buckets: Vec<String>,
}

/// Everything that a receiver can show, after one event of each kind.
fn page() -> String {
    let registry = Registry::new();
    let tsdb = TsdbMetrics::new(&registry, || vec![("a".to_owned(), Stats::default())]);
    let database = tsdb.tenant("a");
    database.opened(&OpenReport::default());
    let mut committed = Committed::default();
    committed.accepted = 3;
    database.committed(&committed);
    let log = LogMetrics::new(&registry).tenant("a");
    log.wrote(1);
    log.synced();
    let receive = ReceiveMetrics::new(&registry, HttpMetrics::new(&registry));
    receive.database_opened("a", None);
    let (tenant, took) = ("a", Duration::from_millis(2));
    receive.wrote(WriteSeen { tenant, status: 200, series: 1, samples: 3, body_bytes: 70, took });
    receive.shipped("a", ShipOutcome { uploaded: 1, synced: true, ..ShipOutcome::default() });
    let local = SelectMetrics::new(&registry);
    local.pending(1);
    local.sent(2, 3);
    local.dropped("chunks");
    let bucket = BucketMetrics::new(&registry, "bucket");
    bucket.finished(&sarsen_bucket::Finished {
        operation: sarsen_bucket::Operation::Upload,
        outcome: sarsen_bucket::Outcome::Done,
        bytes: 1,
        took,
        retries: 0,
    });
    let _probe = crate::net::Probe::new(&registry, "receive");
    registry.page(false).1
}

fn shapes(page: &str) -> BTreeMap<String, Shape> {
    let mut shapes: BTreeMap<String, Shape> = BTreeMap::new();
    let mut current = String::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            current = name.to_owned();
            assert!(!shapes.contains_key(name), "{name} stands twice");
            shapes.insert(current.clone(), Shape { kind: kind.to_owned(), ..Shape::default() });
        } else if !line.starts_with('#') {
            assert!(line.starts_with(current.as_str()), "{line} stands under {current}");
            let shape = shapes.get_mut(&current).unwrap();
            let Some((_, inner)) = line.split_once('{') else { continue };
            for pair in inner.split_once('}').unwrap().0.split(',') {
                let (name, value) = pair.split_once('=').unwrap();
                match name {
                    "le" => {
                        let bound = value.trim_matches('"').to_owned();
                        if !shape.buckets.contains(&bound) {
                            shape.buckets.push(bound);
                        }
                    }
                    "quantile" => {}
                    _ => {
                        shape.labels.insert(name.to_owned());
                    }
                }
            }
        }
    }
    shapes
}

fn golden(component: &str) -> BTreeMap<String, Shape> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata/services/metrics/metrics.jsonl");
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let strings = |value: &serde_json::Value| -> Vec<String> {
        let list = value.as_array().cloned().unwrap_or_default();
        list.iter().map(|one| one.as_str().unwrap().to_owned()).collect()
    };
    lines
        .filter(|line| line["component"] == component)
        .map(|line| {
            let shape = Shape {
                kind: line["type"].as_str().unwrap().to_owned(),
                labels: strings(&line["labels"]).into_iter().collect(),
                buckets: strings(&line["buckets"]),
            };
            (line["name"].as_str().unwrap().to_owned(), shape)
        })
        .collect()
}

#[test]
fn shared_names_have_the_shape_of_the_original() {
    let asked_for = ["thanos_receive_tsdb_blocks_loaded", "thanos_shipper_last_successful_upload_time"];
    assert!(shared_names(&page(), "receive", &asked_for) >= 49);
}

/// Holds a page against the recorded names of a component; how many it shares with it.
fn shared_names(page: &str, component: &str, asked_for: &[&str]) -> usize {
    let (ours, theirs) = (shapes(page), golden(component));
    let mut shared = 0;
    for (name, shape) in &ours {
        if let Some(original) = theirs.get(name) {
            assert_eq!(shape, original, "{name}");
            shared += 1;
        } else {
            let own = name.starts_with("sarsen_") || name.starts_with("process_");
            assert!(own || asked_for.contains(&name.as_str()), "{name} is neither the original's nor ours");
        }
    }
    shared
}

/// Everything that a compactor can show, after one event of each kind.
#[cfg(feature = "compact")]
fn compact_page() -> String {
    let registry = Registry::new();
    let second = Duration::from_secs(1);
    let metrics = CompactMetrics::new(&registry, second, second);
    let worked = Worked { resolution: 0, good: true, vertical: true, took: second };
    metrics.merge_began(0);
    metrics.merged(worked);
    metrics.downsampled(worked);
    metrics.collected(second, false);
    SyncMetrics::loaded(&registry).looked(second, Some(([("loaded", 1)], 0)));
    SyncMetrics::global(&registry).looked(second, None::<([(&str, u64); 0], u64)>);
    let http = HttpMetrics::without_tenants(&registry);
    let seen = http::Answered {
        handler: "blocks",
        method: "GET",
        tenant: "",
        code: 200,
        took: second,
        request_bytes: 0,
        response_bytes: Some(9),
    };
    http.answered(seen);
    let board = crate::blocks::Board::default();
    board.change(|known| {
        known.last_round_ms = Some(1);
        known.backlog.push(crate::blocks::Waiting { stage: "merge", jobs: 1, blocks: 4, bytes: 9 });
    });
    registry.snapshot(move |page| todo::write(page, &board, 0));
    let bucket = BucketMetrics::new(&registry, "bucket");
    for operation in [sarsen_bucket::Operation::Upload, sarsen_bucket::Operation::Get] {
        let outcome = sarsen_bucket::Outcome::Done;
        bucket.finished(&sarsen_bucket::Finished { operation, outcome, bytes: 1, took: second, retries: 0 });
    }
    let _probe = crate::net::Probe::new(&registry, "compact");
    registry.page(false).1
}

#[cfg(feature = "compact")]
#[test]
fn the_compactor_has_the_names_of_the_original() {
    let page = compact_page();
    // Not exposed by the original before its first run, or asked for by runbooks under a wrong name.
    let asked_for = [
        "thanos_compact_downsample_duration_seconds",
        "thanos_compact_downsampling_failures_total",
        "thanos_compactor_halted",
        "thanos_shipper_last_successful_upload_time",
    ];
    shared_names(&page, "compact", &asked_for);
    let ours = shapes(&page);
    for name in golden("compact").keys().filter(|name| name.starts_with("thanos_")) {
        // A cache and a base fetcher that we do not have.
        let missing = ["thanos_blocks_meta_base_cache_busts_total", "thanos_blocks_meta_base_syncs_total"];
        assert!(ours.contains_key(name) || missing.contains(&name.as_str()), "{name} is missing");
    }
    for part in [
        "thanos_compact_group_compactions_total{resolution=\"3600000\"} 0",
        "thanos_compact_blocks_marked_total{marker=\"no-compact-mark.json\",reason=\"index-size-exceeding\"} 0",
        "thanos_compact_todo_compaction_blocks 4",
        "sarsen_compact_backlog_bytes{stage=\"merge\"} 9",
        "sarsen_compact_set_aside_blocks{reason=\"retried\"} 0",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

#[test]
fn open_metrics_ends_with_its_mark() {
    let (kind, text) = Registry::new().page(true);
    assert!(kind.starts_with("application/openmetrics-text") && text.ends_with("# EOF\n"));
}

/// Everything that a store gateway can show, after one call.
#[cfg(feature = "store")]
fn store_page() -> String {
    let registry = Registry::new();
    let (gate, ceiling) = (sarsen_bucket::Gate::new(20), sarsen_bucket::Ceiling::new(1 << 20));
    let metrics = StoreMetrics::new(&registry, gate, ceiling);
    let second = Duration::from_secs(1);
    metrics.loaded(1, 1, 1.7e9, second);
    metrics.waited(second);
    metrics.dropped(None, "series");
    metrics.chunk_bytes(None).observe(70.0);
    metrics.answered(None, &Answered { blocks: 1, series: 1, ..Answered::default() });
    SyncMetrics::loaded(&registry).looked(second, Some(([("loaded", 1)], 0)));
    let _cache = CacheMetrics::cache(&registry, &sarsen_bucket::CacheOptions::default());
    let _headers = HeaderMetrics::new(&registry);
    registry.page(false).1
}

#[cfg(feature = "store")]
#[tokio::test]
async fn the_store_gateway_has_the_names_of_the_original() {
    let page = store_page();
    // Postings are kept as they lie in the index, so nothing is compressed; and what is read too much is not counted entry by entry.
    let left_out = |name: &str| {
        name.starts_with("thanos_bucket_store_cached_postings_")
            || name == "thanos_bucket_store_lazy_expanded_posting_series_overfetched_size_bytes_total"
    };
    let ours = shapes(&page);
    for (name, shape) in golden("store") {
        if let Some(own) = ours.get(&name) {
            assert_eq!(own, &shape, "{name}");
        }
        let expected = name.starts_with("thanos_bucket_store_") && !left_out(&name);
        assert!(!expected || ours.contains_key(&name), "{name} is missing");
    }
    for part in [
        "thanos_bucket_store_blocks_loaded 1",
        "thanos_bucket_store_block_loads_total 1",
        "thanos_bucket_store_series_gate_queries_max 20",
        "thanos_bucket_store_series_gate_duration_seconds_count 1",
        "thanos_bucket_store_queries_dropped_total{reason=\"series\",tenant=\"default-tenant\"} 1",
        "thanos_bucket_store_series_result_series_count{tenant=\"default-tenant\"} 1",
        "thanos_blocks_meta_synced{state=\"loaded\"} 1",
        "sarsen_store_memory_ceiling_bytes 1.048576e+06",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
}
