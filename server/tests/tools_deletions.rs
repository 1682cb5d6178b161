//! Series are deleted from a whole bucket by a tool, and a compactor carries it out in raw and in downsampled blocks: what was named
//! is gone, everything else is there to the last bit. In a directory, and in MinIO.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "receive", feature = "tools"))]

mod program;
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use support::blocks::{
    HOUR, START, Wanted, blocks, copy_out, directory, fill, open, read_raw, resolution, samples_of,
};
use support::{Stored, minio};

const A: Wanted<'_> = Wanted { tenant: "a", start: START, blocks: 38, series: 3 };
const B: Wanted<'_> = Wanted { tenant: "b", start: START, blocks: 5, series: 3 };
/// Deleted of one series of A. Both ends are ends of windows of five minutes, so that no window is cut through.
const FROM: i64 = START + 5 * HOUR;
const UNTIL: i64 = START + 60 * HOUR - 1;

/// Runs the program; exit code, standard output, standard error.
fn sarsen(config: Option<&str>, arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sarsen"));
    command.args(arguments).args(config.map(|config| format!("--objstore.config={config}")));
    program::said(command.output().unwrap())
}

/// A tool that has to end well; what it printed.
fn tool(config: &str, arguments: &[&str]) -> String {
    let (code, out, error) = sarsen(Some(config), &[&["tools", "bucket"], arguments].concat());
    assert_eq!(code, 0, "{arguments:?}: {out}{error}");
    out
}

fn round(dir: &Path, config: &str) {
    let data = format!("--data-dir={}", dir.join("work").display());
    let (code, _, log) = sarsen(Some(config), &["compact", "--http-address=127.0.0.1:0", &data]);
    assert_eq!(code, 0, "{log}");
}

/// The bucket as it is now, as a directory.
async fn look(dir: &Path, config: &str) -> PathBuf {
    let copy = dir.join("look");
    let _ = std::fs::remove_dir_all(&copy);
    copy_out(&open(config), &copy).await;
    copy
}

fn iso(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).unwrap().to_rfc3339()
}

/// Series, time and count of every window of the blocks of five minutes, sorted.
fn windows(bucket: &Path) -> Vec<(String, i64)> {
    let mut windows = Vec::new();
    for (path, _) in blocks(bucket).iter().filter(|(_, meta)| resolution(meta) == 300_000) {
        let path = path.to_str().unwrap();
        let (code, out, error) = sarsen(None, &["tools", "block", "dump", "--aggregate=count", path]);
        assert_eq!(code, 0, "{error}");
        windows.extend(out.lines().map(|line| {
            let (rest, time) = line.rsplit_once(' ').unwrap();
            (rest.to_owned(), time.parse::<i64>().unwrap())
        }));
    }
    windows.sort();
    windows
}

/// What was written of A, without what was deleted.
fn left() -> Stored {
    let mut left = samples_of(A);
    let one = (b"series".to_vec(), b"1".to_vec());
    for (labels, samples) in left.iter_mut().filter(|(labels, _)| labels.contains(&one)) {
        let before = samples.len();
        samples.retain(|(t, _)| !(FROM..=UNTIL).contains(t));
        assert!(!samples.is_empty() && samples.len() < before, "{labels:?}");
    }
    left
}

/// The deletion from the first word to the last: asked for, listed, carried out, forgotten.
async fn deleted_and_carried_out(dir: &Path, config: &str) {
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    for wanted in [A, B] {
        fill(&open(config), wanted, now - 24 * HOUR).await;
    }
    round(dir, config);
    let before = look(dir, config).await;
    let coarse = windows(&before);
    assert!(coarse.iter().any(|(series, t)| series.contains("series=\"1\"") && (FROM..=UNTIL).contains(t)));
    let (from, until) = (format!("--min-time={}", iso(FROM)), format!("--max-time={}", iso(UNTIL)));
    let asked = ["delete", "--match={series=\"1\"}", "--label=tenant_id=\"a\"", "--id=leak", &from, &until];

    let said = tool(config, &[&asked[..], &["--dry-run"]].concat());
    assert!(
        said.contains("leak: would be deleted: {series=\"1\"} from 2024-02-15T05:00:00Z until "),
        "{said}"
    );
    assert_eq!(tool(config, &["deletions", "--output=json"]).trim_end(), "[]");
    let said = tool(config, &asked);
    // Two days, a copy of them, and two blocks of eight hours.
    assert!(said.contains("leak: deleted") && said.contains("\n4 of 9 blocks are concerned\n"), "{said}");
    let (code, _, error) = sarsen(Some(config), &[&["tools", "bucket"], &asked[..]].concat());
    assert_eq!((code, error.contains("the id is taken")), (1, true), "{error}");
    let listed = tool(config, &["deletions"]);
    assert!(listed.contains("leak") && listed.contains("tenant_id=a") && listed.contains(" 4 "), "{listed}");
    let json: serde_json::Value =
        serde_json::from_str(&tool(config, &["deletions", "--output=json"])).unwrap();
    assert_eq!((json[0]["minTime"].as_i64(), json[0]["maxTime"].as_i64()), (Some(FROM), Some(UNTIL)));
    assert_eq!(json[0]["pending"].as_array().unwrap().len(), 4);

    round(dir, config);
    for forgotten in [false, true] {
        let after = look(dir, config).await;
        assert!(read_raw(&after, "a") == left(), "forgotten: {forgotten}");
        assert!(read_raw(&after, "b") == samples_of(B), "forgotten: {forgotten}");
        let mut kept = coarse.clone();
        kept.retain(|(series, t)| !series.contains("series=\"1\"") || !(FROM..=UNTIL).contains(t));
        assert!(windows(&after) == kept, "forgotten: {forgotten}");
        let json: serde_json::Value =
            serde_json::from_str(&tool(config, &["deletions", "--output=json"])).unwrap();
        if forgotten {
            assert_eq!(json, serde_json::json!([]), "nothing comes back of what was carried out");
        } else {
            assert_eq!(json[0]["pending"], serde_json::json!([]));
            assert!(!tool(config, &["deletions", "--forget=leak"]).contains("leak"));
            round(dir, config);
        }
    }
    tool(config, &["verify", "--deep"]);
}

#[tokio::test]
async fn what_is_deleted_from_a_directory_is_gone_and_the_rest_is_not() {
    let dir = tempfile::tempdir().unwrap();
    deleted_and_carried_out(dir.path(), &directory(&dir.path().join("bucket"))).await;
}

#[tokio::test]
async fn the_same_in_minio() {
    let dir = tempfile::tempdir().unwrap();
    let Some(minio) = minio::start(dir.path()) else { return };
    deleted_and_carried_out(dir.path(), &minio.config).await;
}

#[test]
fn what_makes_no_sense_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let config = directory(dir.path());
    for (arguments, code, part) in [
        (&["delete"][..], 2, "--match is required"),
        (&["delete", "--match={job=~\".*\"}"], 2, "selects every series"),
        (&["delete", "--match={job="], 2, "deletion"),
        (&["delete", "--match=up", "--min-time=2100-01-01T00:00:00Z"], 2, "before it begins"),
        (&["delete", "--match=up", "--min-time=-1h", "--max-time=-2h"], 2, "before it begins"),
        (&["delete", "--match=up", "--min-time=yesterday"], 2, "--min-time"),
        (&["delete", "--match=up", "--label=tenant_id"], 2, "--label"),
        (&["delete", "up"], 2, "unexpected up"),
        (&["deletions", "--forget=leak"], 1, "there is no deletion \"leak\""),
    ] {
        let (found, _, error) = sarsen(Some(&config), &[&["tools", "bucket"], arguments].concat());
        assert_eq!((found, error.contains(part)), (code, true), "{arguments:?}: {error}");
    }
    assert!(!dir.path().join("sarsen-deletions.json").exists());
}
