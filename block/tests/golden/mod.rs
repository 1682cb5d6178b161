//! Reads the golden data in `testdata/`: files written by the Go programs, and what their own readers say is in them.
//!
//! Large lists are packed with zstd; a file is found packed or plain. Nothing here knows how many cases there are.

#![allow(dead_code, reason = "each test file uses the part it needs")]

pub(crate) mod whole;

use std::fs;
use std::path::{Path, PathBuf};

use sarsen_block::{Counts, Histogram, ResetHint, Sample, Span, Value};
use serde::Deserialize;

/// A folder of `testdata/`.
pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(name)
}

/// The text of `path`, which may lie there packed as `path.zst`.
pub(crate) fn text(path: &Path) -> String {
    let packed = PathBuf::from(format!("{}.zst", path.display()));
    if packed.exists() {
        return String::from_utf8(zstd::decode_all(fs::File::open(packed).unwrap()).unwrap()).unwrap();
    }
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The values in the lines of `path`.
pub(crate) fn lines<T: for<'de> Deserialize<'de>>(path: &Path) -> Vec<T> {
    let text = text(path);
    let values: Vec<T> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!values.is_empty(), "{} is empty", path.display());
    values
}

/// Bytes written as hexadecimal digits.
pub(crate) fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// A sample: time, and the bits of a float or a histogram.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Point {
    pub(crate) t: i64,
    pub(crate) bits: Option<u64>,
    pub(crate) histogram: Option<Histogram>,
}

impl Point {
    pub(crate) fn float(t: i64, value: f64) -> Self {
        Self { t, bits: Some(value.to_bits()), histogram: None }
    }

    pub(crate) fn of(sample: Sample) -> Self {
        match sample.value {
            Value::Float(value) => Self::float(sample.t, value),
            Value::Histogram(histogram) => Self { t: sample.t, bits: None, histogram: Some(*histogram) },
        }
    }
}

impl<'de> Deserialize<'de> for Point {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut parts = Vec::<serde_json::Value>::deserialize(deserializer)?;
        let bits = parts[1].as_str().map(|hex| u64::from_str_radix(hex, 16).unwrap());
        let histogram = parts[1].is_object().then(|| histogram(parts[1].take()));
        Ok(Self { t: parts[0].as_i64().unwrap(), bits, histogram })
    }
}

/// The histogram that `told` describes.
pub(crate) fn histogram(told: serde_json::Value) -> Histogram {
    #[derive(Deserialize)]
    struct Told {
        kind: String,
        crh: String,
        schema: i32,
        zt: serde_json::Value,
        zc: serde_json::Value,
        count: serde_json::Value,
        sum: serde_json::Value,
        ps: Option<Vec<(i32, u32)>>,
        ns: Option<Vec<(i32, u32)>>,
        pb: Option<Vec<serde_json::Value>>,
        nb: Option<Vec<serde_json::Value>>,
        cv: Option<Vec<serde_json::Value>>,
    }
    let float = |told: &serde_json::Value| {
        f64::from_bits(u64::from_str_radix(told[0].as_str().unwrap(), 16).unwrap())
    };
    let floats = |told: &Option<Vec<_>>| told.iter().flatten().map(float).collect::<Vec<f64>>();
    let integers = |told: &Option<Vec<serde_json::Value>>| {
        told.iter().flatten().map(|number| number.as_i64().unwrap()).collect()
    };
    let spans = |told: Option<Vec<(i32, u32)>>| {
        told.into_iter().flatten().map(|(offset, length)| Span { offset, length }).collect()
    };
    let told: Told = serde_json::from_value(told).unwrap();
    let counts = if told.kind == "float" {
        Counts::Float {
            count: float(&told.count),
            zero: float(&told.zc),
            positive: floats(&told.pb),
            negative: floats(&told.nb),
        }
    } else {
        Counts::Integer {
            count: told.count.as_u64().unwrap(),
            zero: told.zc.as_u64().unwrap(),
            positive: integers(&told.pb),
            negative: integers(&told.nb),
        }
    };
    Histogram {
        hint: match told.crh.as_str() {
            "unknown" => ResetHint::Unknown,
            "reset" => ResetHint::Reset,
            "not_reset" => ResetHint::NotReset,
            "gauge" => ResetHint::Gauge,
            other => panic!("hint {other}"),
        },
        schema: told.schema,
        zero_threshold: float(&told.zt),
        sum: float(&told.sum),
        positive_spans: spans(told.ps),
        negative_spans: spans(told.ns),
        custom_values: floats(&told.cv),
        counts,
    }
}

/// A chunk of a dump.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct ChunkLine {
    #[serde(rename = "ref")]
    pub(crate) chunk_ref: u64,
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) mint: i64,
    pub(crate) maxt: i64,
    pub(crate) enc_byte: u8,
    #[serde(default)]
    pub(crate) header: Option<String>,
    pub(crate) num_samples: u16,
    pub(crate) len: usize,
    pub(crate) crc32c: String,
    #[serde(default)]
    pub(crate) samples: Vec<Point>,
}

/// A series of a dump.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct SeriesLine {
    #[serde(rename = "ref")]
    pub(crate) series_ref: u64,
    pub(crate) labels: Vec<(String, String)>,
    pub(crate) chunks: Vec<ChunkLine>,
}

/// A block directory and, where there is one, its dump.
#[derive(Debug)]
pub(crate) struct GoldenBlock {
    pub(crate) dir: PathBuf,
    pub(crate) dump: Option<Vec<SeriesLine>>,
}

impl GoldenBlock {
    /// The chunk files, in order.
    pub(crate) fn chunk_files(&self) -> Vec<Vec<u8>> {
        let mut paths: Vec<_> =
            fs::read_dir(self.dir.join("chunks")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths.into_iter().map(|path| fs::read(path).unwrap()).collect()
    }
}

/// Every block under `testdata/blocks`, each at whatever depth, with `dump.jsonl` beside it or `<folder>-dump.jsonl` one up.
pub(crate) fn blocks() -> Vec<GoldenBlock> {
    let found = blocks_in("blocks");
    assert!(found.len() >= 6, "only {} blocks are there", found.len());
    found
}

/// Every block in a folder of `testdata/`.
pub(crate) fn blocks_in(name: &str) -> Vec<GoldenBlock> {
    let mut found = Vec::new();
    collect(&folder(name), &mut found);
    found.sort_by(|a, b| a.dir.cmp(&b.dir));
    found
}

fn collect(dir: &Path, into: &mut Vec<GoldenBlock>) {
    if dir.join("chunks").is_dir() {
        let parent = dir.parent().unwrap();
        let name = parent.file_name().unwrap().to_str().unwrap();
        let beside = [parent.join("dump.jsonl"), parent.with_file_name(format!("{name}-dump.jsonl"))];
        let there =
            |path: &&PathBuf| path.exists() || PathBuf::from(format!("{}.zst", path.display())).exists();
        let dump = beside.iter().find(there).map(|path| lines(path));
        into.push(GoldenBlock { dir: dir.to_owned(), dump });
        return;
    }
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, into);
        }
    }
}
