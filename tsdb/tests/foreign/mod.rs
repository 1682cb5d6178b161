//! Golden data directories of Prometheus: unpacked, with what a query over them gives.
#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use sarsen_block::{
    CUSTOM_BUCKETS, Counts, Decode, Histogram, Labels, ResetHint, SampleSet, Span, TimeRange, Timestamp,
    Value,
};
use sarsen_tsdb::Db;
use serde_json::Value as Json;

/// All samples of a database: labels, then time, then value.
pub(crate) type Content = BTreeMap<Labels, BTreeMap<Timestamp, Value>>;

/// The golden folder.
pub(crate) fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/wal")
}

/// The variants that there are.
pub(crate) fn variants() -> Vec<PathBuf> {
    let entries = fs::read_dir(golden()).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = entries.filter(|path| path.join("data").is_dir()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// Unpacks a folder whose files are packed each by itself.
pub(crate) fn unpack(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            unpack(&path, &to.join(name));
        } else {
            let bytes = zstd::decode_all(&*fs::read(&path).unwrap()).unwrap();
            fs::write(to.join(name.strip_suffix(".zst").unwrap()), bytes).unwrap();
        }
    }
}

/// What a golden file says that a query gives. A variant without the file has what the one without packing has; the variant
/// with zstd has it without the series of the burst.
pub(crate) fn expected(variant: &Path, file: &str) -> Content {
    let name = format!("{file}.zst");
    let own = variant.join(&name);
    let path = if own.exists() { own } else { golden().join("none").join(&name) };
    let text = String::from_utf8(zstd::decode_all(&*fs::read(path).unwrap()).unwrap()).unwrap();
    let mut content = Content::new();
    for line in text.lines() {
        let line: Json = serde_json::from_str(line).unwrap();
        let labels = labels(&line["labels"]);
        if variant.ends_with("zstd") && labels.get(b"__name__") == Some(b"burst") {
            continue;
        }
        let samples = line["samples"].as_array().unwrap().iter();
        let samples = samples.map(|sample| (sample[0].as_i64().unwrap(), value(&sample[1]))).collect();
        assert!(content.insert(labels, samples).is_none());
    }
    content
}

pub(crate) fn labels(json: &Json) -> Labels {
    let pairs = json.as_array().unwrap().iter();
    Labels::from_pairs(pairs.map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))).unwrap()
}

pub(crate) fn float(json: &Json) -> f64 {
    let text = if json.is_array() { &json[0] } else { json };
    f64::from_bits(u64::from_str_radix(text.as_str().unwrap(), 16).unwrap())
}

fn value(json: &Json) -> Value {
    if !json.is_object() {
        return Value::Float(float(json));
    }
    let list = |field: &str| json[field].as_array().unwrap().iter();
    let spans = |field: &str| {
        let span = |json: &Json| Span {
            offset: i32::try_from(json[0].as_i64().unwrap()).unwrap(),
            length: u32::try_from(json[1].as_u64().unwrap()).unwrap(),
        };
        list(field).map(span).collect()
    };
    let counts = if json["kind"] == "float" {
        Counts::Float {
            count: float(&json["count"]),
            zero: float(&json["zc"]),
            positive: list("pb").map(float).collect(),
            negative: list("nb").map(float).collect(),
        }
    } else {
        Counts::Integer {
            count: json["count"].as_u64().unwrap(),
            zero: json["zc"].as_u64().unwrap(),
            positive: list("pb").map(|bucket| bucket.as_i64().unwrap()).collect(),
            negative: list("nb").map(|bucket| bucket.as_i64().unwrap()).collect(),
        }
    };
    let gauge = json["crh"] == "gauge";
    Value::Histogram(Box::new(Histogram {
        hint: if gauge { ResetHint::Gauge } else { ResetHint::Unknown },
        schema: i32::try_from(json["schema"].as_i64().unwrap()).unwrap(),
        zero_threshold: float(&json["zt"]),
        sum: float(&json["sum"]),
        positive_spans: spans("ps"),
        negative_spans: spans("ns"),
        custom_values: list("cv").map(float).collect(),
        counts,
    }))
}

/// A value without what depends on where chunks were cut: whether a histogram is the first of its chunk, how its empty buckets
/// are laid out, and everything of a stale one but that it is stale.
pub(crate) fn plain(value: &Value) -> Value {
    let Value::Histogram(histogram) = value else { return value.clone() };
    let mut plain = (**histogram).clone();
    if plain.hint != ResetHint::Gauge {
        plain.hint = ResetHint::Unknown;
    }
    if plain.is_stale() {
        return Value::Histogram(Box::new(Histogram::stale(plain.is_float())));
    }
    assert!(plain.schema == CUSTOM_BUCKETS || plain.schema <= 8);
    match &mut plain.counts {
        Counts::Integer { positive, negative, .. } => {
            for (buckets, spans) in
                [(positive, &mut plain.positive_spans), (negative, &mut plain.negative_spans)]
            {
                let mut sum = 0;
                let absolute = buckets.iter().map(|difference| {
                    sum += difference;
                    sum
                });
                (*spans, *buckets) =
                    without_empty(spans, &absolute.collect::<Vec<_>>(), |bucket| *bucket == 0);
            }
        }
        Counts::Float { positive, negative, .. } => {
            for (buckets, spans) in
                [(positive, &mut plain.positive_spans), (negative, &mut plain.negative_spans)]
            {
                (*spans, *buckets) = without_empty(spans, buckets, |bucket| *bucket == 0.0);
            }
        }
    }
    Value::Histogram(Box::new(plain))
}

/// Each bucket that is not empty as a span of its own, by its number; counts absolute.
fn without_empty<T: Copy>(spans: &[Span], buckets: &[T], empty: impl Fn(&T) -> bool) -> (Vec<Span>, Vec<T>) {
    let (mut number, mut found) = (0, (Vec::new(), Vec::new()));
    let mut left = buckets.iter();
    for span in spans {
        number += span.offset;
        for bucket in left.by_ref().take(span.length as usize) {
            if !empty(bucket) {
                found.0.push(Span { offset: number, length: 1 });
                found.1.push(*bucket);
            }
            number += 1;
        }
    }
    found
}

/// Everything that a database gives.
pub(crate) fn read(db: &Db) -> Content {
    let mut set = Decode::new(db.querier(TimeRange::ALL).select(&[]).unwrap(), TimeRange::ALL);
    let mut content = Content::new();
    while let Some(series) = set.next().unwrap() {
        let samples: BTreeMap<_, _> =
            series.samples.iter().map(|sample| (sample.t, sample.value.clone())).collect();
        assert_eq!(samples.len(), series.samples.len(), "a time stands twice");
        assert!(content.insert(series.labels, samples).is_none(), "a series came twice");
    }
    content
}

/// Says the first difference in words.
pub(crate) fn compare(found: &Content, wanted: &Content, what: &str) {
    for (labels, wanted) in wanted {
        let Some(found) = found.get(labels) else { panic!("{what}: {labels:?} is missing") };
        for (t, value) in wanted {
            let found = found.get(t).map(plain);
            assert_eq!(found, Some(plain(value)), "{what}: {labels:?} at {t}");
        }
        let extra: Vec<_> = found.keys().filter(|t| !wanted.contains_key(t)).collect();
        assert!(extra.is_empty(), "{what}: {labels:?} has samples that are not there: {extra:?}");
    }
    let extra: Vec<_> = found.keys().filter(|labels| !wanted.contains_key(labels)).collect();
    assert!(extra.is_empty(), "{what}: series that are not there: {extra:?}");
}
