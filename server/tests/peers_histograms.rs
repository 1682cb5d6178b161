//! Native histograms of every kind are written to `receive` and to a Prometheus. What `receive` makes of them, a directory of
//! blocks, is then read by promtool and by another Prometheus, which answers what the first one answers.

#![cfg(all(feature = "standalone", feature = "tools"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod process;
mod support;

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use process::{Process, Receiver, blocks, built, copy_block, free_address, output, sarsen};
use sarsen_benches::Client;
use sarsen_block::{CUSTOM_BUCKETS, Counts, Histogram, ResetHint, Span};
use support::body;

const STEP: i64 = 60_000;
/// Three hours, so that the flush leaves two blocks.
const STEPS: i64 = 180;
const KINDS: [&str; 5] = ["peer_custom", "peer_float", "peer_gauge", "peer_integer", "peer_plain"];

/// The histogram of a kind at a step. Counters grow, and begin anew every fifty steps.
fn histogram(kind: &str, step: i64) -> Histogram {
    let grown = step % 50 + 1;
    let (first, second) = (grown * 2, grown * 3 + step / 50);
    let spans = vec![Span { offset: -2, length: 1 }, Span { offset: 1 + (grown % 3) as i32, length: 1 }];
    let whole = Counts::Integer {
        count: (first + second + 1) as u64,
        zero: 1,
        positive: vec![first, second - first],
        negative: Vec::new(),
    };
    let base = Histogram {
        schema: 3,
        zero_threshold: 0.001,
        sum: grown as f64 * 1.25,
        positive_spans: spans,
        counts: whole,
        ..Histogram::stale(false)
    };
    match kind {
        "peer_integer" => base,
        "peer_gauge" => Histogram { hint: ResetHint::Gauge, ..base },
        "peer_float" => {
            let (first, second) = (first as f64 + 0.5, second as f64 + 0.25);
            let counts = Counts::Float {
                count: first + second + 2.0,
                zero: 0.5,
                positive: vec![first, second],
                negative: vec![1.5],
            };
            Histogram { counts, negative_spans: vec![Span { offset: 0, length: 1 }], ..base }
        }
        _ => Histogram {
            schema: CUSTOM_BUCKETS,
            zero_threshold: 0.0,
            positive_spans: vec![Span { offset: 0, length: 2 }],
            custom_values: vec![0.1, 1.0, 10.0],
            counts: Counts::Integer {
                count: (first + second) as u64,
                zero: 0,
                positive: vec![first, second - first],
                negative: Vec::new(),
            },
            ..base
        },
    }
}

/// Requests of ten steps each.
fn requests(start: i64) -> Vec<Vec<u8>> {
    let one = |first: i64| {
        let series = KINDS.map(|kind| {
            let steps = (first..first + 10).map(|step| (step, start + step * STEP));
            if kind == "peer_plain" {
                let samples: Vec<_> = steps.map(|(step, t)| (t, (step as f64 / 3.0).to_bits())).collect();
                return body::series(&[("__name__", kind)], &samples);
            }
            let mut out = body::series(&[("__name__", kind)], &[]);
            for (step, t) in steps {
                body::field(&mut out, 4, &body::histogram(t, &histogram(kind, step)));
            }
            out
        });
        body::snappy(&body::request(&series))
    };
    (0..STEPS).step_by(10).map(one).collect()
}

fn send(address: &str, path: &str, requests: &[Vec<u8>]) {
    let mut client = Client::new(address);
    for request in requests {
        let headers = "Content-Encoding: snappy\r\nContent-Type: application/x-protobuf\r\n\
                       X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
        let answer = client.post(path, headers, request).unwrap();
        assert!((200..300).contains(&answer.status), "{path}: {}", String::from_utf8_lossy(&answer.body));
    }
}

fn start_prometheus(folder: &Path, name: &str, database: &Path) -> (Process, String) {
    let (address, config) = (free_address(), folder.join(format!("{name}.yml")));
    std::fs::write(&config, "global: {}\n").unwrap();
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", database.display()),
        format!("--web.listen-address={address}"),
        "--web.enable-remote-write-receiver".to_owned(),
    ];
    let mut process = Process::start(name, built("prometheus").unwrap(), folder, &arguments, &[]);
    process.wait_for(&address, "/-/ready");
    (process, address)
}

/// Everything that a Prometheus has to say: of each query the result, series in order.
fn ask(address: &str, start: i64) -> Vec<serde_json::Value> {
    let queries = [
        "%7B__name__%3D~%22peer_.%2B%22%7D",
        "histogram_quantile(0.9,rate(peer_integer%5B5m%5D))",
        "histogram_sum(rate(peer_float%5B5m%5D))",
        "resets(peer_custom%5B30m%5D)",
        "histogram_count(peer_gauge)",
    ];
    let (from, until) = (start / 1000, (start + STEPS * STEP) / 1000);
    queries
        .map(|query| {
            let path = format!("/api/v1/query_range?query={query}&start={from}&end={until}&step=60");
            let answer = Client::new(address).get(&path).unwrap();
            let text = String::from_utf8(answer.body).unwrap();
            assert_eq!(answer.status, 200, "{text}");
            let json: serde_json::Value = serde_json::from_str(&text).unwrap();
            let mut series = json["data"]["result"].as_array().unwrap().clone();
            assert!(!series.is_empty(), "{query}: {text}");
            series.sort_by_key(|one| one["metric"].to_string());
            series.into()
        })
        .to_vec()
}

/// Of a dump with every sample, the lines that promtool prints: it passes over the first sample of a series of float histograms,
/// and over the first two of one of integer histograms.
fn as_promtool(dump: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    for kind in KINDS {
        let own = dump.lines().filter(|line| line.contains(&format!("\"{kind}\"")));
        let passed_over = match kind {
            "peer_plain" => 0,
            "peer_float" => 1,
            _ => 2,
        };
        lines.extend(own.skip(passed_over));
    }
    lines
}

#[test]
fn histograms_are_read_by_promtool_and_prometheus() {
    let (Some(promtool), Some(_)) = (built("promtool"), built("prometheus")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let start = (i64::try_from(now).unwrap() / STEP - STEPS - 5) * STEP;
    let requests = requests(start);

    let (_witness, witness) = start_prometheus(folder, "witness", &folder.join("witness"));
    send(&witness, "/api/v1/write", &requests);
    let receiver = Receiver::start(folder, &["--receive.flush-on-stop".to_owned()]);
    send(&receiver.write, "/api/v1/receive", &requests);
    assert!(receiver.process.stop().success());

    let copied = folder.join("copied");
    let found = blocks(&folder.join("receive/default-tenant"));
    assert!(found.len() >= 2, "{found:?}");
    found.iter().for_each(|block| copy_block(block, &copied));
    let path = copied.to_str().unwrap();
    for block in &found {
        let id = block.file_name().unwrap().to_str().unwrap();
        let analysis = output(&promtool, &["tsdb", "analyze", path, id]);
        assert!(analysis.contains(&format!("Block ID: {id}")), "{analysis}");
    }
    for selector in ["{__name__=~\"peer_.+\"}", "{__name__=\"peer_integer\"}", "peer_custom"] {
        let ours = output(sarsen(), &["tools", "block", "dump", "--match", selector, path]);
        let theirs = output(&promtool, &["tsdb", "dump", &format!("--match={selector}"), path]);
        assert!(!theirs.is_empty());
        for (ours, theirs) in as_promtool(&ours).into_iter().zip(theirs.lines()) {
            assert_eq!(ours, theirs, "{selector}");
        }
        assert_eq!(as_promtool(&ours).len(), theirs.lines().count(), "{selector}");
    }
    let (_reader, reader) = start_prometheus(folder, "reader", &copied);
    for (ours, theirs) in ask(&reader, start).into_iter().zip(ask(&witness, start)) {
        assert_eq!(ours, theirs);
    }
}
