//! The log of Prometheus as Prometheus reads it: records, chunks of the head, torn ends (golden data of a real one).
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use sarsen_block::{Counts, Encoding, Histogram, Labels, ResetHint, Span, Value};
use sarsen_wal::foreign::{Files, HeadChunks, Kind, Record, Sample, Samples, Segment, Step};
use sarsen_wal::real_disk;
use serde_json::{Value as Json, json};
use sha2::{Digest, Sha256};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/wal")
}

/// The variants that have a given file, with a copy of their data directories.
fn variants(with: &str) -> Vec<(PathBuf, tempfile::TempDir)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(golden()).unwrap() {
        let variant = entry.unwrap().path();
        if variant.join(format!("{with}.zst")).exists() {
            let directory = tempfile::tempdir().unwrap();
            unpack(&variant.join("data"), directory.path());
            found.push((variant, directory));
        }
    }
    assert!(!found.is_empty(), "no variant has {with}");
    found
}

fn unpack(from: &Path, to: &Path) {
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

fn lines(path: &Path) -> Vec<Json> {
    let bytes = zstd::decode_all(&*fs::read(path).unwrap()).unwrap();
    String::from_utf8(bytes).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bits(value: f64) -> String {
    format!("{:016x}", value.to_bits())
}

/// A dumped float: its bits and a form for people. Only the bits count.
fn without_text(json: &Json) -> Json {
    match json {
        Json::Array(list) => match &list[..] {
            [Json::String(bits), Json::String(_)] if is_bits(bits) => json!(bits),
            [id, t, Json::String(bits), Json::String(_)] if is_bits(bits) => json!([id, t, bits]),
            [t, Json::String(bits), Json::String(_)] if is_bits(bits) => json!([t, bits]),
            _ => list.iter().map(without_text).collect(),
        },
        Json::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), without_text(value))).collect()
        }
        other => other.clone(),
    }
}

fn is_bits(text: &str) -> bool {
    text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn dump_labels(labels: &Labels) -> Json {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    labels.iter().map(|(name, value)| json!([text(name), text(value)])).collect()
}

fn dump_histogram(histogram: &Histogram) -> Json {
    let hint = match histogram.hint {
        ResetHint::Unknown => "unknown",
        ResetHint::Reset => "reset",
        ResetHint::NotReset => "not_reset",
        ResetHint::Gauge => "gauge",
    };
    let spans =
        |spans: &[Span]| -> Json { spans.iter().map(|span| json!([span.offset, span.length])).collect() };
    let floats = |values: &[f64]| -> Json { values.iter().map(|value| json!(bits(*value))).collect() };
    let (kind, count, zero, positive, negative) = match &histogram.counts {
        Counts::Integer { count, zero, positive, negative } => {
            ("int", json!(count), json!(zero), json!(positive), json!(negative))
        }
        Counts::Float { count, zero, positive, negative } => {
            ("float", json!(bits(*count)), json!(bits(*zero)), floats(positive), floats(negative))
        }
    };
    json!({
        "kind": kind, "crh": hint, "schema": histogram.schema, "zt": bits(histogram.zero_threshold),
        "zc": zero, "count": count, "sum": bits(histogram.sum), "ps": spans(&histogram.positive_spans),
        "pb": positive, "ns": spans(&histogram.negative_spans), "nb": negative,
        "cv": floats(&histogram.custom_values),
    })
}

fn dump_sample(sample: &Sample) -> Json {
    match &sample.value {
        Value::Float(value) => json!([sample.series, sample.t, bits(*value)]),
        Value::Histogram(value) => json!([sample.series, sample.t, dump_histogram(value)]),
    }
}

fn name(kind: Option<Kind>) -> &'static str {
    match kind {
        Some(Kind::Series) => "series",
        Some(Kind::Samples) => "samples",
        Some(Kind::Tombstones) => "tombstones",
        Some(Kind::Exemplars) => "exemplars",
        Some(Kind::Markers) => "mmapmarkers",
        Some(Kind::Metadata) => "metadata",
        Some(Kind::Histograms) => "histogram_samples",
        Some(Kind::FloatHistograms) => "float_histogram_samples",
        Some(Kind::CustomHistograms) => "custom_buckets_histogram_samples",
        Some(Kind::CustomFloatHistograms) => "custom_buckets_float_histogram_samples",
        Some(Kind::SamplesWithStart) => "samples_v2",
        Some(Kind::HistogramsWithStart) => "histogram_samples_v2",
        Some(Kind::FloatHistogramsWithStart) => "float_histogram_samples_v2",
        Some(Kind::MinValidTime) => "min_valid_time",
        None => "unknown",
    }
}

fn dump_samples(mut rows: Samples<'_>) -> Json {
    let mut list = Vec::new();
    while let Some(sample) = rows.next().unwrap() {
        assert_eq!(sample.start, 0);
        list.push(dump_sample(&sample));
    }
    list.into()
}

/// The field of a dumped record that says what it holds, and this in our words.
fn dump(bytes: &[u8]) -> (&'static str, Json) {
    let mut list = Vec::new();
    match Record::decode(bytes).unwrap().unwrap() {
        Record::Series(mut rows) => {
            while let Some((series, labels)) = rows.next().unwrap() {
                list.push(json!({"ref": series, "labels": dump_labels(&labels)}));
            }
            ("series", list.into())
        }
        Record::Samples(rows) => {
            let field = if Record::kind(bytes) == Some(Kind::Samples) { "samples" } else { "histograms" };
            (field, dump_samples(rows))
        }
        Record::Tombstones(mut rows) => {
            while let Some(row) = rows.next().unwrap() {
                list.push(json!({"ref": row.series, "intervals": [[row.range.min, row.range.max]]}));
            }
            ("tombstones", list.into())
        }
        Record::Exemplars(mut rows) => {
            while let Some(row) = rows.next().unwrap() {
                let labels = dump_labels(&row.labels);
                list.push(json!({"ref": row.series, "t": row.t, "v": bits(row.value), "labels": labels}));
            }
            ("exemplars", list.into())
        }
        Record::Markers(mut rows) => {
            while let Some(row) = rows.next().unwrap() {
                let (file, offset) = (row.chunk >> 32, row.chunk & u64::from(u32::MAX));
                list.push(json!({"ref": row.series, "mmap_ref": row.chunk, "file": file, "offset": offset}));
            }
            ("mmap_markers", list.into())
        }
        Record::Metadata(mut rows) => {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let names =
                ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];
            while let Some(row) = rows.next().unwrap() {
                let name = names[usize::from(row.kind)];
                list.push(json!({
                    "ref": row.series, "type": name, "type_byte": row.kind, "unit": text(row.unit),
                    "help": text(row.help),
                }));
            }
            ("metadata", list.into())
        }
        Record::MinValidTime(t) => ("min_valid_time", json!(t)),
    }
}

#[test]
fn every_record_comes_as_it_was_written() {
    let (mut kinds, mut contents) = (BTreeSet::new(), 0);
    for (variant, directory) in variants("records.jsonl") {
        let mut expected = lines(&variant.join("records.jsonl.zst")).into_iter();
        let files = Files::find(real_disk().as_ref(), directory.path()).unwrap();
        assert_eq!(files.missing, Vec::<PathBuf>::new());
        for path in files.checkpoint.iter().chain(&files.segments).chain(&files.out_of_order) {
            let name_of_file = path.strip_prefix(directory.path()).unwrap().to_str().unwrap();
            let mut segment = Segment::open(real_disk().as_ref(), path).unwrap();
            loop {
                let bytes = match segment.next().unwrap() {
                    Step::Record(bytes) => bytes.to_vec(),
                    Step::End => break,
                    Step::Bad { offset, why } => panic!("{}: {offset}: {why}", path.display()),
                };
                let wanted = expected.next().unwrap();
                let kind = name(Record::kind(&bytes));
                kinds.insert(kind);
                let found = json!([name_of_file, segment.offset(), bytes.len(), hash(&bytes), kind]);
                let fields = ["file", "end_offset", "len", "sha256", "type"];
                assert_eq!(found, fields.iter().map(|field| wanted[field].clone()).collect::<Json>());
                let (field, content) = dump(&bytes);
                if let Some(wanted) = wanted.get(field) {
                    assert_eq!(content, without_text(wanted), "{wanted}");
                    contents += 1;
                }
            }
        }
        assert_eq!(expected.next(), None, "{}", variant.display());
    }
    assert!(contents > 0);
    for kind in 1..=10u8 {
        assert!(kinds.contains(name(Record::kind(&[kind]))), "no golden record of kind {kind}");
    }
}

#[test]
fn every_chunk_of_the_head_is_found() {
    let mut late = 0;
    for (variant, directory) in variants("chunks_head.jsonl") {
        let mut expected = lines(&variant.join("chunks_head.jsonl.zst")).into_iter();
        for (number, path) in Files::find(real_disk().as_ref(), directory.path()).unwrap().head_chunks {
            let mut chunks = HeadChunks::open(real_disk().as_ref(), number, &path).unwrap();
            while let Some(found) = chunks.next().unwrap() {
                let wanted = expected.next().unwrap();
                let encoding = match found.chunk.encoding {
                    Encoding::Xor => "XOR",
                    Encoding::Histogram => "histogram",
                    Encoding::FloatHistogram => "floathistogram",
                    other => panic!("{other:?}"),
                };
                let found_fields = json!([
                    found.series,
                    found.reference,
                    found.range.min,
                    found.range.max,
                    found.out_of_order,
                    found.chunk.data.len(),
                    hash(&found.chunk.data),
                    found.chunk.num_samples().unwrap(),
                    encoding,
                ]);
                let fields =
                    ["series_ref", "chunk_ref", "mint", "maxt", "ooo", "len", "sha256", "num_samples", "enc"];
                let wanted_fields: Json = fields.iter().map(|field| wanted[field].clone()).collect();
                assert_eq!(found_fields, wanted_fields);
                late += u64::from(found.out_of_order);
            }
        }
        assert_eq!(expected.next(), None, "{}", variant.display());
    }
    assert!(late > 0);
}

#[test]
fn a_torn_segment_ends_where_prometheus_ends_it() {
    for (variant, directory) in variants("torn.json") {
        let text = zstd::decode_all(&*fs::read(variant.join("torn.json.zst")).unwrap()).unwrap();
        let cases: Vec<Json> = serde_json::from_slice(&text).unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let whole = fs::read(directory.path().join(case["file"].as_str().unwrap())).unwrap();
            let number = |field: &str| case.get(field).and_then(Json::as_u64).map(|number| number as usize);
            let mut bytes = whole;
            if let Some(length) = number("cut_to") {
                bytes.truncate(length);
            }
            if let Some(place) = number("xor_0x55_at") {
                bytes[place] ^= 0x55;
            }
            if let Some(zeros) = number("zeros") {
                bytes.resize(bytes.len() + zeros, 0);
            }
            let path = directory.path().join("torn");
            fs::write(&path, bytes).unwrap();
            let mut segment = Segment::open(real_disk().as_ref(), &path).unwrap();
            let (mut records, mut last) = (0, String::new());
            let (why, offset) = loop {
                match segment.next().unwrap() {
                    Step::Record(bytes) => (records, last) = (records + 1, hash(bytes)),
                    Step::End => break (String::new(), None),
                    Step::Bad { offset, why } => break (why, Some(offset)),
                }
            };
            assert_eq!(
                json!([records, last]),
                json!([case["records"], case["last_record_sha256"]]),
                "{case}"
            );
            assert_eq!(why, case["err"].as_str().unwrap(), "{case}");
            assert_eq!(offset, case.get("err_offset").and_then(Json::as_u64), "{case}");
        }
    }
}
