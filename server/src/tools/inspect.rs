//! `tools block inspect`, and the table of blocks that `bucket inspect` prints too.

use std::io::Write as _;
use std::path::Path;

use comfy_table::{ContentArrangement, Table, presets};
use sarsen_block::BlockMeta;
use serde_json::{Value, json};

use super::directories;
use super::open::{open_block, some_blocks_in};
use super::print::{length, on_stdout, time};
use crate::cli::Failure;
use crate::config::flags::Given;

/// A line of the table.
pub(super) struct Row {
    pub(super) meta: BlockMeta,
    /// Bytes of all files, if known.
    pub(super) bytes: Option<u64>,
    /// Anything worth knowing besides: marks.
    pub(super) notes: String,
}

/// Describes the blocks in the arguments.
pub(super) fn run(given: Given) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for directory in directories(&given)? {
        for path in some_blocks_in(Path::new(directory))? {
            let opened = open_block(&path)?;
            rows.push(Row {
                meta: opened.block.meta().clone(),
                bytes: Some(opened.bytes),
                notes: String::new(),
            });
        }
    }
    show(&rows, given.text("output"))
}

/// Prints rows as a table or as JSON.
pub(super) fn show(rows: &[Row], output: &str) -> Result<(), Failure> {
    on_stdout(|out| {
        if output == "json" {
            let values: Vec<Value> = rows.iter().map(value).collect();
            serde_json::to_writer_pretty(&mut *out, &values).map_err(std::io::Error::from)?;
            writeln!(out)?;
        } else {
            writeln!(out, "{}", table(rows))?;
        }
        Ok(())
    })
}

fn table(rows: &[Row]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::ASCII_BORDERS_ONLY_CONDENSED)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "ULID",
        "FROM",
        "UNTIL",
        "RANGE",
        "#SERIES",
        "#SAMPLES",
        "#CHUNKS",
        "BYTES",
        "LEVEL",
        "RESOLUTION",
        "LABELS",
        "SOURCE",
        "NOTES",
    ]);
    for row in rows {
        let (meta, thanos) = (&row.meta, row.meta.thanos.as_ref());
        table.add_row([
            meta.id.to_string(),
            time(meta.min_time),
            time(meta.max_time),
            length(meta.max_time.saturating_sub(meta.min_time)),
            meta.stats.num_series.to_string(),
            meta.stats.num_samples.to_string(),
            meta.stats.num_chunks.to_string(),
            row.bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string()),
            meta.compaction.level.to_string(),
            thanos.map_or_else(|| "-".to_owned(), |thanos| length(thanos.resolution)),
            labels(meta),
            thanos.map_or_else(String::new, |thanos| thanos.source.clone()),
            row.notes.clone(),
        ]);
    }
    table
}

fn labels(meta: &BlockMeta) -> String {
    let labels = meta.thanos.iter().flat_map(|thanos| &thanos.labels);
    labels.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(",")
}

fn value(row: &Row) -> Value {
    let (meta, thanos) = (&row.meta, row.meta.thanos.as_ref());
    json!({
        "ulid": meta.id.to_string(),
        "minTime": meta.min_time,
        "maxTime": meta.max_time,
        "series": meta.stats.num_series,
        "samples": meta.stats.num_samples,
        "chunks": meta.stats.num_chunks,
        "tombstones": meta.stats.num_tombstones,
        "bytes": row.bytes,
        "level": meta.compaction.level,
        "sources": meta.compaction.sources.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "resolution": thanos.map(|thanos| thanos.resolution),
        "labels": thanos.map(|thanos| &thanos.labels),
        "source": thanos.map(|thanos| &thanos.source),
        "notes": row.notes,
    })
}
