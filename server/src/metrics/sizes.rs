//! How large the databases are, read from them when somebody asks, per tenant.

use sarsen_tsdb::Stats;

use super::{Page, Type};

type Size = (&'static str, Type, &'static str, fn(&Stats) -> f64);

/// What Prometheus shows for the times of an empty head.
const NO_MIN_TIME: i64 = i64::MAX;
const NO_MAX_TIME: i64 = i64::MIN;

/// Families that are one number of [`Stats`] each.
const SIZES: &[Size] = &[
    ("prometheus_tsdb_head_series", Type::Gauge, "Total number of series in the head block.", |s| {
        s.series as f64
    }),
    (
        "prometheus_tsdb_head_series_created_total",
        Type::Counter,
        "Total number of series created in the head",
        |s| s.births as f64,
    ),
    (
        "prometheus_tsdb_head_series_removed_total",
        Type::Counter,
        "Total number of series removed in the head",
        |s| s.forgotten as f64,
    ),
    ("prometheus_tsdb_head_chunks", Type::Gauge, "Total number of chunks in the head block.", |s| {
        s.chunks as f64
    }),
    (
        "prometheus_tsdb_head_min_time",
        Type::Gauge,
        "Minimum time bound of the head block. The unit is decided by the library consumer.",
        |s| s.min_time.unwrap_or(NO_MIN_TIME) as f64,
    ),
    (
        "prometheus_tsdb_head_max_time",
        Type::Gauge,
        "Maximum timestamp of the head block. The unit is decided by the library consumer.",
        |s| s.max_time.unwrap_or(NO_MAX_TIME) as f64,
    ),
    (
        "prometheus_tsdb_lowest_timestamp",
        Type::Gauge,
        "Lowest timestamp value stored in the database. The unit is decided by the library consumer.",
        |s| lowest(s) as f64,
    ),
    (
        "prometheus_tsdb_symbol_table_size_bytes",
        Type::Gauge,
        "Size of symbol table in memory for loaded blocks",
        |s| s.bytes.symbols as f64,
    ),
    ("prometheus_tsdb_blocks_loaded", Type::Gauge, "Number of currently loaded data blocks", |s| {
        s.blocks as f64
    }),
    (
        "thanos_receive_tsdb_blocks_loaded",
        Type::Gauge,
        "Number of currently loaded data blocks, under the name that runbooks use.",
        |s| s.blocks as f64,
    ),
    (
        "prometheus_tsdb_storage_blocks_bytes",
        Type::Gauge,
        "The number of bytes that are currently used for local storage by all blocks.",
        |s| s.block_bytes as f64,
    ),
    (
        "prometheus_tsdb_wal_segment_current",
        Type::Gauge,
        "Write log segment index that TSDB is currently writing to.",
        |s| s.log_segment as f64,
    ),
    ("prometheus_tsdb_wal_storage_size_bytes", Type::Gauge, "Size of the write log directory.", |s| {
        (s.log_bytes + s.checkpoint_bytes) as f64
    }),
    (
        "prometheus_tsdb_exemplar_exemplars_in_storage",
        Type::Gauge,
        "Number of exemplars currently in circular storage.",
        |s| s.exemplars as f64,
    ),
    ("sarsen_tsdb_log_segments", Type::Gauge, "Segments of the log.", |s| s.log_segments as f64),
    ("sarsen_tsdb_head_labels", Type::Gauge, "Distinct labels in the head.", |s| s.labels as f64),
];

fn lowest(stats: &Stats) -> i64 {
    let head = stats.min_time.unwrap_or(NO_MIN_TIME);
    stats.blocks_min_time.map_or(head, |blocks| blocks.min(head))
}

/// Writes the sizes of every open database.
pub(super) fn write(page: &mut Page, databases: &[(String, Stats)]) {
    if databases.is_empty() {
        return;
    }
    for (name, kind, help, size) in SIZES {
        page.family(name, *kind, help);
        for (tenant, stats) in databases {
            page.sample(name, "", &[("tenant", tenant)], size(stats));
        }
    }
    let name = "sarsen_tsdb_head_bytes";
    page.family(name, Type::Gauge, "Bytes of the head in memory, by part.");
    for (tenant, stats) in databases {
        let bytes = &stats.bytes;
        for (part, size) in [
            ("symbols", bytes.symbols),
            ("labels", bytes.labels),
            ("postings", bytes.postings),
            ("series", bytes.series),
            ("open_chunks", bytes.open_chunks),
            ("spill", bytes.spill),
            ("map", bytes.map),
            ("exemplars", bytes.exemplars),
            ("metadata", bytes.metadata),
        ] {
            page.sample(name, "", &[("part", part), ("tenant", tenant)], size as f64);
        }
    }
}
