//! A snapshot and a backfilled directory, read by promtool: blocks, late samples and deletes as we read them ourselves.
//!
//! promtool is the one that `benches/peers/build.sh` has built. Without it these tests say so and end; with
//! `SARSEN_REQUIRE_PEERS=1` they fail.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod support;

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use sarsen_block::{Matcher, Sample, TimeRange, Timestamp};
use sarsen_tsdb::{Backfill, Db, Options};
use support::{Content, HOUR, START, commit, read_all, series};

#[expect(clippy::disallowed_methods, reason = "a test asks whether it may be skipped")]
fn promtool() -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/peers/bin/promtool");
    if file.is_file() {
        return Some(file);
    }
    let required = std::env::var("SARSEN_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "promtool is not here; benches/peers/build.sh builds it");
    // Written to the stream itself, because the test runner would keep what `eprintln!` says.
    let mut screen = std::io::stderr();
    writeln!(screen, "SKIPPED: promtool is not here; benches/peers/build.sh builds it").unwrap();
    None
}

fn output(promtool: &Path, arguments: &[&str]) -> String {
    let output = Command::new(promtool).args(arguments).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines that promtool prints for the samples of a database.
fn lines(content: &Content) -> BTreeSet<String> {
    let of = |set: &sarsen_block::Labels, t: &Timestamp, bits: &u64| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let pairs: Vec<_> =
            set.iter().map(|(name, value)| format!("{}=\"{}\"", text(name), text(value))).collect();
        format!("{{{}}} {} {t}", pairs.join(", "), f64::from_bits(*bits))
    };
    content.iter().flat_map(|(set, samples)| samples.iter().map(move |(t, bits)| of(set, t, bits))).collect()
}

fn compare(promtool: &Path, directory: &Path, content: &Content) {
    let path = directory.to_str().unwrap();
    let dumped = output(promtool, &["tsdb", "dump", path]);
    let dumped: Vec<String> = dumped.lines().map(str::to_owned).collect();
    let found: BTreeSet<String> = dumped.iter().cloned().collect();
    assert_eq!(found.len(), dumped.len(), "a sample came twice");
    assert!(found == lines(content), "{} lines, expected {}", found.len(), lines(content).len());
    assert_eq!(output(promtool, &["tsdb", "list", path]).lines().count(), 1 + blocks(directory));
}

fn blocks(directory: &Path) -> usize {
    sarsen_tsdb::open_blocks(directory).unwrap().len()
}

#[test]
fn a_snapshot() {
    let Some(promtool) = promtool() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.out_of_order_window = 10 * HOUR;
    let db = Db::builder(directory.path().join("database")).options(options).open().unwrap();
    for t in (START..START + 3 * HOUR + 600_000).step_by(60_000) {
        let rows: Vec<_> = (0..9).map(|i| (series(i), t, ((t / 60_000) % 500 + i as i64) as f64)).collect();
        commit(&db, &rows).unwrap();
    }
    db.maintain(START + 3 * HOUR).unwrap();
    for t in [START - HOUR + 1, START + HOUR + 1, START + 3 * HOUR + 1] {
        commit(&db, &[(series(3), t, 777.0), (series(30), t, 778.0)]).unwrap();
    }
    db.delete(&[Matcher::equal("i", "4")], TimeRange::new(START + HOUR, START + 3 * HOUR)).unwrap();
    db.delete(&[Matcher::equal("i", "5")], TimeRange::ALL).unwrap();
    let copy = directory.path().join("copy");
    let report = db.snapshot(&copy, START).unwrap();
    assert_eq!((report.blocks.len(), report.head.len()), (1, 2));
    compare(&promtool, &copy, &read_all(&db));
    // And the database itself, whose blocks are now rewritten and whose head is cut.
    db.flush(START).unwrap();
    db.clean_tombstones(START).unwrap();
    let content = read_all(&db);
    drop(db);
    compare(&promtool, &directory.path().join("database"), &content);
}

#[test]
fn backfilled_blocks() {
    let Some(promtool) = promtool() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut backfill = Backfill::new(directory.path());
    let mut content = Content::new();
    for i in [7, 3, 5] {
        let samples = (0..2000).map(|step| Sample::float(START + step * 15_000, (step % 300) as f64));
        backfill.add(series(i).as_ref(), samples.clone()).unwrap();
        let pairs = samples.map(|s| (s.t, (((s.t - START) / 15_000 % 300) as f64).to_bits()));
        content.insert(series(i), pairs.collect());
    }
    assert_eq!(backfill.finish(START).unwrap().len(), 5);
    compare(&promtool, directory.path(), &content);
}

/// Chunks of the encoding that Debian's promtool does not know: start timestamps that begin at the first sample, later, or again and
/// again; times that jitter and leap; stale markers, first and in between.
#[test]
fn backfilled_xor2() {
    let Some(promtool) = promtool() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.xor2 = true;
    let mut backfill = Backfill::new(directory.path()).options(options);
    let mut content = Content::new();
    for i in 0..12i64 {
        let sample = |step: i64| {
            let leap = if i % 3 == 2 { step / 50 * 400_000 } else { 0 };
            let late = if i % 2 == 1 { step * 7919 % 5000 } else { 0 };
            let t = START + step * 600_000 / (1 + i) + late + leap;
            let start = match i / 3 {
                0 => 0,
                1 => START - 1000,
                2 if step < 40 => 0,
                _ => t - 1 - step % 3 * 1_000_000,
            };
            let value = match (step + i) % 11 {
                0 => f64::from_bits(sarsen_block::STALE_NAN_BITS),
                1..4 => (step * step) as f64 / 8.0,
                _ => 5.0,
            };
            Sample { start, ..Sample::float(t, value) }
        };
        let samples: Vec<_> = (0..200).map(sample).collect();
        backfill.add(series(i as usize).as_ref(), samples.clone()).unwrap();
        let pairs = samples.iter().map(|sample| match sample.value {
            sarsen_block::Value::Float(v) => (sample.t, v.to_bits()),
            sarsen_block::Value::Histogram(_) => (sample.t, 0),
        });
        content.insert(series(i as usize), pairs.collect());
    }
    assert!(!backfill.finish(START).unwrap().is_empty());
    for block in sarsen_tsdb::open_blocks(directory.path()).unwrap() {
        let mut set = block.select(&[], TimeRange::ALL).unwrap();
        while let Some(series) = sarsen_block::ChunkSet::next(&mut set).unwrap() {
            assert!(series.chunks.iter().all(|timed| timed.chunk.encoding == sarsen_block::Encoding::Xor2));
        }
    }
    compare(&promtool, directory.path(), &content);
}
