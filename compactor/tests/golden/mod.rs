//! Reads what planners and filters were given and what they made of it (`testdata/plan`). Nothing here knows how many cases there are.

#![allow(dead_code, reason = "each test file uses the part it needs")]

use std::collections::BTreeMap;
use std::path::Path;

use sarsen_block::json::Json;
use sarsen_block::{BlockFile, BlockId, BlockMeta, BlockStats, Compaction, ThanosMeta, UploadTime};
use serde::Deserialize;

/// The text of a packed file.
pub(crate) fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/plan").join(format!("{name}.zst"));
    let packed = std::fs::File::open(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    String::from_utf8(zstd::decode_all(packed).unwrap()).unwrap()
}

/// The values in the lines of a packed file.
pub(crate) fn lines<T: for<'de> Deserialize<'de>>(name: &str) -> Vec<T> {
    let values: Vec<T> = text(name).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!values.is_empty(), "{name} is empty");
    values
}

/// A block as it is told of.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Told {
    pub(crate) ulid: String,
    mint: i64,
    maxt: i64,
    #[serde(default)]
    level: i64,
    #[serde(default)]
    sources: Option<Vec<String>>,
    #[serde(default)]
    failed: bool,
    #[serde(default)]
    pub(crate) no_compact: bool,
    #[serde(default)]
    num_series: u64,
    #[serde(default)]
    num_tombstones: u64,
    #[serde(default)]
    resolution: i64,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    extensions: Option<serde_json::Value>,
    #[serde(default)]
    index_size: Option<u64>,
    #[serde(default)]
    source: String,
    #[serde(default)]
    upload_age_ms: Option<i64>,
    #[serde(default)]
    pub(crate) deletion_mark_age_s: Option<i64>,
}

impl Told {
    pub(crate) fn id(&self) -> BlockId {
        self.ulid.parse().unwrap()
    }

    /// The meta of the block; ages count from `now_ms`.
    pub(crate) fn meta(&self, now_ms: i64) -> BlockMeta {
        let file = |size_bytes| BlockFile { rel_path: "index".to_owned(), size_bytes, hash: None };
        let extensions = self
            .extensions
            .as_ref()
            .map(|value| Json::parse("extensions", value.to_string().as_bytes()).unwrap());
        BlockMeta {
            id: self.id(),
            min_time: self.mint,
            max_time: self.maxt,
            stats: BlockStats {
                num_series: self.num_series,
                num_tombstones: self.num_tombstones,
                ..BlockStats::default()
            },
            compaction: Compaction {
                level: self.level,
                sources: self.sources.iter().flatten().map(|id| id.parse().unwrap()).collect(),
                failed: self.failed,
                ..Compaction::default()
            },
            thanos: Some(ThanosMeta {
                labels: self.labels.clone(),
                resolution: self.resolution,
                source: self.source.clone(),
                files: self.index_size.map(file).into_iter().collect(),
                extensions,
                upload_time: self
                    .upload_age_ms
                    .map_or_else(UploadTime::default, |age| UploadTime::from_unix_ms(now_ms - age)),
                ..ThanosMeta::default()
            }),
        }
    }
}
