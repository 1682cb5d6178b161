//! Golden data in `testdata/`: blocks that Thanos wrote, and what its own readers say is in them.
//!
//! Large lists are packed with zstd. Nothing here knows how many cases there are.

#![allow(dead_code, reason = "each test file uses the part it needs")]

pub(crate) mod making;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use sarsen_block::{
    Ancestry, Block, BlockMeta, ChunkSeries, ChunkSet, Counts, Files, Histogram, ResetHint, RewriteOptions,
    Sample, Source, Span, TimeRange, Tombstones, Value, XorAppender, rewrite,
};
use serde::Deserialize;

/// A folder of `testdata/`.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name)
}

/// The values in the lines of `path`, which lies there packed as `path.zst`.
pub(crate) fn lines<T: for<'de> Deserialize<'de>>(path: &Path) -> Vec<T> {
    let packed = fs::File::open(format!("{}.zst", path.display())).unwrap();
    let text = String::from_utf8(zstd::decode_all(packed).unwrap()).unwrap();
    let values: Vec<T> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!values.is_empty(), "{} is empty", path.display());
    values
}

/// Bytes written as hexadecimal digits.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A sample whose float is compared by its bits.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point(pub(crate) Sample);

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let parts = Vec::<serde_json::Value>::deserialize(deserializer)?;
        let t = parts[0].as_i64().unwrap();
        Ok(Self(match parts[1].as_str() {
            Some(_) => Sample::float(t, float_of(&parts[1])),
            None => Sample::histogram(t, histogram(&parts[1])),
        }))
    }
}

fn float_of(hex: &serde_json::Value) -> f64 {
    f64::from_bits(u64::from_str_radix(hex.as_str().unwrap(), 16).unwrap())
}

/// The float histogram that `told` describes.
fn histogram(told: &serde_json::Value) -> Histogram {
    let list = |name: &str| told[name].as_array().cloned().unwrap_or_default();
    let float = |pair: &serde_json::Value| float_of(&pair[0]);
    let floats = |name: &str| list(name).iter().map(float).collect::<Vec<f64>>();
    let spans = |name: &str| {
        let span = |pair: &serde_json::Value| Span {
            offset: pair[0].as_i64().unwrap() as i32,
            length: pair[1].as_u64().unwrap() as u32,
        };
        list(name).iter().map(span).collect()
    };
    let counts = if told["kind"] == "float" {
        let (count, zero) = (float(&told["count"]), float(&told["zc"]));
        Counts::Float { count, zero, positive: floats("pb"), negative: floats("nb") }
    } else {
        let integers = |name: &str| list(name).iter().map(|n| n.as_i64().unwrap()).collect();
        let (count, zero) = (told["count"].as_u64().unwrap(), told["zc"].as_u64().unwrap());
        Counts::Integer { count, zero, positive: integers("pb"), negative: integers("nb") }
    };
    Histogram {
        hint: match told["crh"].as_str().unwrap() {
            "unknown" => ResetHint::Unknown,
            "reset" => ResetHint::Reset,
            "not_reset" => ResetHint::NotReset,
            "gauge" => ResetHint::Gauge,
            other => panic!("hint {other}"),
        },
        schema: told["schema"].as_i64().unwrap() as i32,
        zero_threshold: float(&told["zt"]),
        sum: float(&told["sum"]),
        positive_spans: spans("ps"),
        negative_spans: spans("ns"),
        custom_values: floats("cv"),
        counts,
    }
}

/// A XOR chunk of `points`, whose times may come in any order.
pub(crate) fn xor(points: impl IntoIterator<Item = (i64, f64)>) -> sarsen_block::Chunk {
    let (mut appender, mut bytes) = (XorAppender::new(), Vec::new());
    for (t, value) in points {
        assert!(appender.append(&mut bytes, t, value));
    }
    sarsen_block::Chunk::xor(appender.finish(&bytes))
}

/// The float of a sample.
pub(crate) fn value_of(sample: &Sample) -> f64 {
    match sample.value {
        Value::Float(value) => value,
        Value::Histogram(_) => panic!("a histogram at {}", sample.t),
    }
}

/// A block and the directory it lies in.
pub(crate) struct GoldenBlock {
    pub(crate) dir: PathBuf,
    pub(crate) block: Block,
}

impl GoldenBlock {
    pub(crate) fn meta(&self) -> &BlockMeta {
        self.block.meta()
    }

    pub(crate) fn resolution(&self) -> i64 {
        self.meta().thanos.as_ref().unwrap().resolution
    }
}

/// Every block under `dir`, at whatever depth, in order of their paths.
pub(crate) fn blocks_in(dir: &Path) -> Vec<GoldenBlock> {
    let mut found = Vec::new();
    if dir.join("meta.json").exists() {
        found.push(GoldenBlock { block: open(dir), dir: dir.to_owned() });
        return found;
    }
    let mut paths: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.into_iter().filter(|path| path.is_dir()) {
        found.extend(blocks_in(&path));
    }
    found
}

/// The folders of `testdata/downsample`, each a case.
pub(crate) fn cases() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder("downsample")).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

/// The block in `dir`.
pub(crate) fn open(dir: &Path) -> Block {
    let read = |name: &str| Bytes::from(fs::read(dir.join(name)).unwrap());
    let mut names: Vec<_> = fs::read_dir(dir.join("chunks")).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    let segments =
        names.iter().map(|path| Arc::new(Bytes::from(fs::read(path).unwrap())) as Arc<dyn Source>).collect();
    let tombstones = match dir.join("tombstones").exists() {
        true => Tombstones::decode(&read("tombstones")).unwrap(),
        false => Tombstones::default(),
    };
    let meta = BlockMeta::parse(&read("meta.json")).unwrap();
    Block::open(Arc::new(read("index")), segments, meta, tombstones).unwrap()
}

/// The same block with another meta.
pub(crate) fn with_meta(block: &Block, meta: BlockMeta) -> Block {
    let options = RewriteOptions::new(meta.id, Ancestry::Cleaned);
    let written = rewrite(std::slice::from_ref(block), Files::default(), options).unwrap().written;
    written.sink.open(meta, Tombstones::default()).unwrap()
}

/// All series of a block.
pub(crate) fn series(block: &Block) -> Vec<ChunkSeries> {
    let mut set = block.select(&[], TimeRange::ALL).unwrap();
    std::iter::from_fn(|| set.next().unwrap()).collect()
}

/// The files of the block in `dir`, but for meta and tombstones.
pub(crate) fn files_of(dir: &Path) -> Files {
    let mut files = BTreeMap::from([("index".to_owned(), fs::read(dir.join("index")).unwrap())]);
    for entry in fs::read_dir(dir.join("chunks")).unwrap() {
        let path = entry.unwrap().path();
        let name = format!("chunks/{}", path.file_name().unwrap().to_str().unwrap());
        files.insert(name, fs::read(path).unwrap());
    }
    Files(files)
}
