//! Sequences of requests that were played against a real `thanos receive`, played against ours: same statuses, same
//! reasons, same headers, and in the end the same floats, histograms and exemplars stored.
//!
//! The stored bodies are built again from their decoded content, byte layout as Prometheus' encoder gives it; bodies
//! that were broken on purpose are broken here in the way their note says. Steps that need what is not built yet are named
//! with the reason.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]
#![cfg(feature = "receive")]

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use sarsen_block::{
    ChunkSet as _, Counts, EncodeOptions, Histogram, LabelsRef, MatchOp, Matcher, ResetHint, Sample, Span,
    TimeRange, TimedChunk, Value, decode_chunks, encode_chunks,
};
use sarsen_tsdb::{Db, Exemplar, Options};
use serde_json::Value as Json;
use support::{Node, Pairs, body};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/services/remote-write")
}

fn read(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).unwrap()
}

/// Why a step cannot be held against ours yet.
fn not_covered(step: &Json) -> Option<&'static str> {
    let body = step["body"].as_str().unwrap_or_default();
    if step["not_normative"] == true {
        return Some("an accident of the real program");
    }
    let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let headers = &step["headers"];
    let is_v2 = headers["X-Prometheus-Remote-Write-Version"] == "2.0.0" && headers["Content-Type"] == v2;
    // What fails before the version is looked at fails alike.
    if is_v2 && !matches!(body, "gzip" | "empty-body") {
        return Some("remote write 2.0 is not read yet");
    }
    None
}

/// Sequences that need a flag which is refused as long as its thing is not built.
const NOT_PLAYED: [(&str, &str); 1] = [("relabel", "incoming series are not relabelled yet")];

fn text(json: &Json) -> Vec<u8> {
    if let Some(text) = json.as_str() {
        return text.as_bytes().to_vec();
    }
    if let Some(hex) = json["hex"].as_str() {
        return (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
    }
    let (length, start) = (json["length"].as_u64().unwrap() as usize, json["starts_with"].as_str().unwrap());
    let is_run = start.bytes().all(|byte| byte == start.as_bytes()[0]);
    // A text that does not pack, if the beginning does not repeat.
    let mut state = 7u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b'a' + ((state >> 24) % 26) as u8
    };
    let more = (start.len()..length).map(|_| if is_run { start.as_bytes()[0] } else { next() });
    start.bytes().chain(more.collect::<Vec<_>>()).collect()
}

fn pairs(json: &Json) -> Pairs {
    json.as_array().unwrap().iter().map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
}

fn samples(json: &Json) -> Vec<(i64, u64)> {
    let read =
        |one: &Json| (one[0].as_i64().unwrap(), u64::from_str_radix(one[1].as_str().unwrap(), 16).unwrap());
    json.as_array().into_iter().flatten().map(read).collect()
}

fn series(json: &Json) -> Vec<u8> {
    let mut out = body::series(&pairs(&json["labels"]), &samples(&json["samples"]));
    for exemplar in json["exemplars"].as_array().into_iter().flatten() {
        let mut message = Vec::new();
        for (name, value) in pairs(&exemplar["labels"]) {
            body::field(&mut message, 1, &body::label(&name, &value));
        }
        body::double(&mut message, 2, f64::from_bits(bits(&exemplar["value"])));
        body::varint(&mut message, 3, exemplar["t"].as_i64().unwrap() as u64);
        body::field(&mut out, 3, &message);
    }
    for sample in json["histograms"].as_array().into_iter().flatten() {
        let histogram = histogram(&sample["h"]);
        body::field(&mut out, 4, &body::histogram(sample["t"].as_i64().unwrap(), &histogram));
    }
    out
}

fn bits(json: &Json) -> u64 {
    u64::from_str_radix(json["bits"].as_str().unwrap(), 16).unwrap()
}

fn numbers<T>(json: &Json, read: impl Fn(&Json) -> Option<T>) -> Vec<T> {
    json.as_array().into_iter().flatten().map(|one| read(one).unwrap()).collect()
}

/// A number, or its bits with a text.
fn float(json: &Json) -> Option<f64> {
    json.as_f64().or_else(|| Some(f64::from_bits(bits(json))))
}

fn spans(json: &Json) -> Vec<Span> {
    numbers(json, |span| {
        let (offset, length) = (span[0].as_i64()?, span[1].as_u64()?);
        Some(Span { offset: i32::try_from(offset).ok()?, length: u32::try_from(length).ok()? })
    })
}

/// A histogram as the files write it: counts are absolute.
fn histogram(json: &Json) -> Histogram {
    let deltas = |counts: &Json| {
        let counts = numbers(counts, Json::as_i64);
        let before = std::iter::once(0).chain(counts.iter().copied());
        counts.iter().zip(before).map(|(count, before)| count - before).collect()
    };
    let (positive, negative) = (&json["positive_counts"], &json["negative_counts"]);
    let counts = if json["float"] == true {
        Counts::Float {
            count: float(&json["count"]).unwrap(),
            zero: float(&json["zero_count"]).unwrap(),
            positive: numbers(positive, float),
            negative: numbers(negative, float),
        }
    } else {
        Counts::Integer {
            count: json["count"].as_u64().unwrap(),
            zero: json["zero_count"].as_u64().unwrap(),
            positive: deltas(positive),
            negative: deltas(negative),
        }
    };
    Histogram {
        hint: match json["counter_reset_hint"].as_str().unwrap() {
            "unknown" => ResetHint::Unknown,
            "reset" => ResetHint::Reset,
            "not_reset" => ResetHint::NotReset,
            "gauge" => ResetHint::Gauge,
            other => panic!("{other}"),
        },
        schema: i32::try_from(json["schema"].as_i64().unwrap()).unwrap(),
        zero_threshold: float(&json["zero_threshold"]).unwrap(),
        sum: f64::from_bits(bits(&json["sum"])),
        positive_spans: spans(&json["positive_spans"]),
        negative_spans: spans(&json["negative_spans"]),
        custom_values: numbers(&json["custom_values"], float),
        counts,
    }
}

fn bulk() -> Vec<u8> {
    let one = |i: u32| {
        let samples = [
            (1_709_251_200_000, f64::from(i).to_bits()),
            (1_709_251_215_000, (f64::from(i) + 0.5).to_bits()),
        ];
        body::series(&[("__name__", "bulk"), ("i", &format!("{i:05}"))], &samples)
    };
    body::request(&(0..1500).map(one).collect::<Vec<_>>())
}

/// A 2.0 message: symbols and references.
fn version_2(decoded: &Json) -> Vec<u8> {
    let mut out = Vec::new();
    let symbols: Vec<Vec<u8>> = decoded["symbols"].as_array().unwrap().iter().map(text).collect();
    for symbol in &symbols {
        body::field(&mut out, 4, symbol);
    }
    for series in decoded["timeseries"].as_array().unwrap() {
        let find = |text: &[u8]| symbols.iter().position(|symbol| symbol == text).unwrap() as u8;
        let refs: Vec<u8> =
            pairs(&series["labels"]).iter().flat_map(|(name, value)| [find(name), find(value)]).collect();
        let mut message = Vec::new();
        body::field(&mut message, 1, &refs);
        for (t, bits) in samples(&series["samples"]) {
            body::field(&mut message, 2, &body::sample(t, bits));
        }
        body::field(&mut out, 5, &message);
    }
    out
}

struct Bodies(BTreeMap<String, Json>);

impl Bodies {
    fn read() -> Self {
        let lines = read("bodies.jsonl");
        let all = lines.lines().filter(|line| !line.trim().is_empty()).map(|line| {
            let json: Json = serde_json::from_str(line).unwrap();
            (json["body"].as_str().unwrap().to_owned(), json)
        });
        Self(all.collect())
    }

    fn plain(&self, name: &str) -> Vec<u8> {
        let decoded = &self.0[name]["decoded"];
        if name == "bulk" {
            return bulk();
        }
        if decoded["symbols"].is_array() {
            return version_2(decoded);
        }
        let all: Vec<_> = decoded["timeseries"].as_array().unwrap().iter().map(series).collect();
        let mut out = body::request(&all);
        for entry in decoded["metadata"].as_array().into_iter().flatten() {
            let mut message = vec![0x08, 1];
            body::field(&mut message, 2, &text(&entry["metric_family_name"]));
            body::field(&mut message, 4, &text(&entry["help"]));
            body::field(&mut out, 3, &message);
        }
        out
    }

    fn build(&self, name: &str) -> Vec<u8> {
        if !self.0[name]["decoded"].is_null() {
            return body::snappy(&self.plain(name));
        }
        let basic = self.plain("basic");
        let packed = body::snappy(&basic);
        match name {
            "empty-body" => Vec::new(),
            "snappy-empty" => vec![0],
            "not-compressed" => basic,
            "gzip" => [&[0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 0xFF][..], &basic].concat(),
            "zstd" => [&[0x28, 0xB5, 0x2F, 0xFD, 4, 0][..], &basic].concat(),
            "snappy-framed" => [&b"\xFF\x06\x00\x00sNaPpY"[..], &packed].concat(),
            "s2-block" => {
                let plain = bulk();
                body::s2(&plain, plain.len() / 1500)
            }
            "snappy-truncated" => packed[..packed.len() - 5].to_vec(),
            "snappy-wrong-length" => {
                let mut wrong = packed;
                wrong[0] ^= 1;
                wrong
            }
            "snappy-huge-length" => vec![0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, b'a'],
            "snappy-garbage" => (0..64u8).map(|i| i.wrapping_mul(167).wrapping_add(13)).collect(),
            "protobuf-truncated" => body::snappy(&basic[..basic.len() - 3]),
            "protobuf-garbage" => body::snappy(&[0x0C, 1, 2, 3, 4, 5, 6, 7]),
            "protobuf-wrong-type" => body::snappy(&[0x08, 1]),
            "protobuf-group" => body::snappy(&[0x0B]),
            "protobuf-unknown-fields" => {
                let mut message = vec![0x78, 5];
                let mut labels = body::label(b"__name__", b"unknown_fields");
                labels.extend([0x1A, 1, b'?']);
                body::field(&mut message, 1, &labels);
                message.extend([0x2D, 1, 2, 3, 4]);
                body::field(&mut message, 2, &body::sample(1_709_251_200_000, 6f64.to_bits()));
                let mut whole = vec![0x79, 1, 2, 3, 4, 5, 6, 7, 8];
                body::field(&mut whole, 1, &message);
                whole.extend([0xA2, 1, 2, b'h', b'i']);
                body::snappy(&whole)
            }
            "v2-truncated" => body::snappy(&self.plain("v2-basic")[..50]),
            other => panic!("no recipe for {other}"),
        }
    }
}

fn step_headers(step: &Json) -> HeaderMap {
    let read = |(name, value): (&String, &Json)| {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        (name, HeaderValue::from_bytes(value.as_str().unwrap().as_bytes()).unwrap())
    };
    step["headers"].as_object().unwrap().iter().map(read).collect()
}

/// Plays a sequence; how many steps were held against the stored answers.
async fn play(sequence: &str) -> usize {
    let all: Json = serde_json::from_str(&read(&format!("sequences/{sequence}.json"))).unwrap();
    let bodies = Bodies::read();
    let dir = tempfile::tempdir().unwrap();
    let flags: Vec<&str> =
        all["extra_flags"].as_array().into_iter().flatten().map(|f| f.as_str().unwrap()).collect();
    let node = Node::receive(dir.path(), &flags).await;
    let client = reqwest::Client::new();
    let mut played = 0;
    for step in all["steps"].as_array().unwrap() {
        if not_covered(step).is_some() {
            continue;
        }
        played += 1;
        let at = format!("{sequence} step {} ({})", step["step"], step["body"]);
        let method = step["method"].as_str().unwrap().parse().unwrap();
        let url = format!("{}{}", node.write, step["path"].as_str().unwrap());
        let mut request = client.request(method, url).headers(step_headers(step));
        if let Some(name) = step["body"].as_str().filter(|name| !name.is_empty()) {
            let bytes = bodies.build(name);
            request = if step["chunked"] == true {
                let parts: Vec<Result<Vec<u8>, std::io::Error>> =
                    bytes.chunks(50).map(|part| Ok(part.to_vec())).collect();
                request.body(reqwest::Body::wrap_stream(futures_util::stream::iter(parts)))
            } else {
                request.body(bytes)
            };
        }
        let answer = request.send().await.unwrap();
        let status = u64::from(answer.status().as_u16());
        let headers = answer.headers().clone();
        let said = answer.text().await.unwrap();
        assert_eq!(status, step["status"].as_u64().unwrap(), "{at}: {said}");
        for (name, value) in step["response_headers"].as_object().unwrap() {
            let must_equal = name.starts_with("X-Prometheus")
                || name == "X-Content-Type-Options"
                || name == "Content-Type";
            if must_equal {
                assert_eq!(headers.get(name).unwrap(), value.as_str().unwrap(), "{at}: {name}");
            }
        }
        assert!(!headers.keys().any(|name| name.as_str().ends_with("-written")), "{at}");
        let mut found: Vec<&str> = said
            .split("errors: ")
            .last()
            .unwrap()
            .trim_end()
            .split("; ")
            .filter(|part| part.starts_with("add "))
            .collect();
        found.sort_unstable();
        let mut expected: Vec<&str> =
            step["reasons"].as_array().into_iter().flatten().map(|r| r.as_str().unwrap()).collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{at}: {said}");
    }
    let root = node.root.clone();
    assert_eq!(node.stop(), Some(0));
    if folder().join(format!("sequences/{sequence}.state.jsonl")).exists() {
        let max_exemplars = flags.iter().find_map(|flag| flag.strip_prefix("--tsdb.max-exemplars="));
        compare(sequence, &root, max_exemplars.map_or(0, |number| number.parse().unwrap()));
    }
    played
}

/// Labels as answers show them: with the external ones, which win.
fn shown(labels: &Pairs, tenant: &str) -> Pairs {
    let mut map: BTreeMap<Vec<u8>, Vec<u8>> = labels.iter().cloned().collect();
    for (name, value) in [("receive_replica", "r0"), ("region", "eu"), ("tenant_id", tenant)] {
        map.insert(name.into(), value.into());
    }
    map.into_iter().collect()
}

/// Whether a stored series comes from a step that is not played.
fn comes_from_unplayed(labels: &Pairs) -> bool {
    let tenant = labels.iter().find(|(name, _)| name == b"tenant_id").unwrap();
    let unplayed: [&[u8]; 3] = [b"times-largest", b"times-smallest", b"v2"];
    let is_v2 = |(name, value): &(Vec<u8>, Vec<u8>)| name == b"__name__" && value.starts_with(b"v2_");
    unplayed.contains(&tenant.1.as_slice()) || labels.iter().any(is_v2)
}

/// What a series holds: floats, histograms, exemplars.
#[derive(Debug, Default, PartialEq)]
struct Held {
    floats: Vec<(i64, u64)>,
    histograms: Vec<(i64, Histogram)>,
    exemplars: Vec<(Pairs, i64, u64)>,
}

/// Everything that the tenants below `root` hold. Exemplars are kept as `max_exemplars` says.
fn read_all(root: &Path, max_exemplars: u32) -> BTreeMap<Pairs, Held> {
    let mut all = BTreeMap::<Pairs, Held>::new();
    for entry in std::fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let tenant = path.file_name().unwrap().to_str().unwrap().to_owned();
        let mut options = Options::default();
        options.max_exemplars = max_exemplars;
        let db = Db::builder(&path).options(options).open().unwrap();
        let everything = Matcher::new(MatchOp::Regex, "__name__", ".*").unwrap();
        let mut set = db.querier(TimeRange::ALL).select(&[everything]).unwrap();
        while let Some(series) = set.next().unwrap() {
            let held = all.entry(shown(&owned(series.labels.as_ref()), &tenant)).or_default();
            for sample in over_the_store_api(series.chunks) {
                match sample.value {
                    Value::Float(value) => held.floats.push((sample.t, value.to_bits())),
                    Value::Histogram(histogram) => held.histograms.push((sample.t, *histogram)),
                }
            }
        }
        for series in db.exemplars(&[[]], TimeRange::ALL) {
            let held = all.entry(shown(&owned(series.labels.as_ref()), &tenant)).or_default();
            let exemplar = |one: Exemplar| (owned(one.labels.as_ref()), one.t, one.value.to_bits());
            held.exemplars = series.exemplars.into_iter().map(exemplar).collect();
        }
    }
    all
}

/// Samples of chunks as they come out of the StoreAPI, where overlapping chunks are made anew: that shows in the hints of
/// histograms.
fn over_the_store_api(chunks: Vec<TimedChunk>) -> Vec<Sample> {
    let samples = decode_chunks(&chunks, TimeRange::ALL).unwrap();
    if chunks.is_sorted_by(|one, next| one.range.max < next.range.min) {
        return samples;
    }
    let anew = encode_chunks(&samples, EncodeOptions::default()).unwrap();
    decode_chunks(&anew, TimeRange::ALL).unwrap()
}

fn owned(labels: LabelsRef<'_>) -> Pairs {
    labels.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// What the real program held in the end, and how many series are only counted.
fn expected(sequence: &str) -> (BTreeMap<Pairs, Held>, u64) {
    let (mut all, mut bulks) = (BTreeMap::<Pairs, Held>::new(), 0);
    for line in read(&format!("sequences/{sequence}.state.jsonl")).lines().filter(|line| !line.is_empty()) {
        let json: Json = serde_json::from_str(line).unwrap();
        if let Some(bulk) = json.get("bulk_series").or_else(|| json.get("series_count")) {
            bulks += bulk.as_u64().unwrap();
            continue;
        }
        if let Some(of) = json.get("exemplars_of") {
            let read = |one: &Json| Some((pairs(&one["labels"]), one["t"].as_i64()?, bits(&one["value"])));
            all.entry(pairs(of)).or_default().exemplars = numbers(&json["exemplars"], read);
            continue;
        }
        let held = all.entry(pairs(&json["labels"])).or_default();
        held.floats = samples(&json["floats"]);
        held.histograms =
            numbers(&json["histograms"], |one| Some((one["t"].as_i64()?, histogram(&one["h"]))));
    }
    (all, bulks)
}

fn compare(sequence: &str, root: &Path, max_exemplars: u32) {
    let mut found = read_all(root, max_exemplars);
    let (mut expected, bulks) = expected(sequence);
    found.retain(|labels, _| !comes_from_unplayed(labels));
    expected.retain(|labels, _| !comes_from_unplayed(labels));
    // The state names the first and the last of the bulk, or counts them.
    let is_bulk = |labels: &Pairs| labels.contains(&(b"__name__".to_vec(), b"bulk".to_vec()));
    let found_bulks = found.keys().filter(|labels| is_bulk(labels)).count() as u64;
    if bulks > 0 {
        assert_eq!(found_bulks, bulks);
    }
    found.retain(|labels, _| !is_bulk(labels) || expected.contains_key(labels));
    for (labels, held) in &expected {
        assert_eq!(found.get(labels), Some(held), "{sequence}: {}", text_of(labels));
    }
    for labels in found.keys() {
        assert!(expected.contains_key(labels), "{sequence}: {} should not be stored", text_of(labels));
    }
}

fn text_of(labels: &Pairs) -> String {
    let shown: Vec<String> = labels
        .iter()
        .map(|(n, v)| {
            format!(
                "{}={}",
                n.escape_ascii(),
                v.escape_ascii().to_string().chars().take(40).collect::<String>()
            )
        })
        .collect();
    shown.join(",")
}

/// Plays a sequence and checks that nothing but what is named was left out.
async fn play_all(sequence: &str) {
    let all: Json = serde_json::from_str(&read(&format!("sequences/{sequence}.json"))).unwrap();
    let steps = all["steps"].as_array().unwrap();
    let left_out = steps.iter().filter(|step| not_covered(step).is_some()).count();
    assert_eq!(play(sequence).await + left_out, steps.len());
    assert!(left_out * 2 < steps.len(), "{sequence}: {left_out} of {} are left out", steps.len());
}

#[tokio::test]
async fn default_flags() {
    play_all("default").await;
}

#[tokio::test]
async fn limits_of_tenants() {
    play_all("limits").await;
}

#[tokio::test]
async fn samples_too_far_in_the_future() {
    play_all("future").await;
}

#[tokio::test]
async fn samples_out_of_order() {
    play_all("out-of-order").await;
}

#[tokio::test]
async fn exemplars() {
    play_all("exemplars").await;
}

#[tokio::test]
async fn tenants_split_by_a_label() {
    play_all("split-tenant").await;
    play_all("split-tenant-conflict").await;
}

#[test]
fn what_is_not_played_is_named() {
    let played =
        ["default", "exemplars", "future", "limits", "out-of-order", "split-tenant", "split-tenant-conflict"];
    for entry in std::fs::read_dir(folder().join("sequences")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".json") else { continue };
        let not_played = NOT_PLAYED.iter().any(|(unplayed, _)| *unplayed == name);
        assert!(played.contains(&name) != not_played, "{name}");
    }
}
