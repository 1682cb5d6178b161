//! A database whose log was damaged on disk: what is wrong is named, cut off on request, and what was lost is said.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod program;

use std::path::Path;

use program::{program, said};
use sarsen_block::Labels;
use sarsen_tsdb::{Db, Options};

fn tool(what: &str, directory: &Path) -> (i32, String, String) {
    said(program("sarsen").args(["tools", "tsdb", what]).arg(directory).output().unwrap())
}

/// Fifty commits of one sample each for ten series.
fn fill(directory: &Path) {
    let db = Db::builder(directory).hash_seed([1, 2, 3, 4]).open().unwrap();
    let labels: Vec<Labels> = (0..10)
        .map(|n| Labels::from_pairs([("__name__", "x".to_owned()), ("n", format!("{n}"))]).unwrap())
        .collect();
    for step in 0..50 {
        let mut appender = db.appender();
        for series in &labels {
            appender.append(series.as_ref(), 1_700_000_000_000 + step * 15_000, 0.5);
        }
        let commit = appender.commit().unwrap();
        commit.pending.wait().unwrap();
    }
    db.close().unwrap();
}

#[test]
fn damage_is_named_cut_off_and_reported() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("tenant-a");
    fill(&directory);
    let (code, text, error) = tool("verify", &directory);
    assert_eq!(code, 0, "{text}{error}");
    assert!(text.contains("10 births, 500 samples"), "{text}");

    let log = directory.join("log");
    let mut segments: Vec<_> = std::fs::read_dir(&log).unwrap().map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    let mut bytes = std::fs::read(&segments[0]).unwrap();
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes[used / 2] ^= 1;
    std::fs::write(&segments[0], &bytes).unwrap();

    // The folder of tenants is as good as the tenant.
    let (code, text, error) = tool("verify", root.path());
    assert_eq!(code, 1);
    assert!(text.contains("tenant-a: log segment 00000001 is damaged at offset "), "{text}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(std::fs::read(&segments[0]).unwrap(), bytes, "verifying changes nothing");

    let (code, text, error) = tool("repair", &directory);
    assert_eq!(code, 0, "{text}{error}");
    assert!(text.contains("cut off") && text.contains("samples"), "{text}");
    let (code, text, _) = tool("verify", &directory);
    assert_eq!(code, 0, "{text}");
    Db::builder(&directory).hash_seed([1, 2, 3, 4]).open().unwrap();
}

#[test]
fn series_that_a_checkpoint_knows_are_not_missed() {
    let root = tempfile::tempdir().unwrap();
    fill(root.path());
    let mut options = Options::default();
    options.checkpoint_log_bytes = 1;
    let db = Db::builder(root.path()).hash_seed([1, 2, 3, 4]).options(options).open().unwrap();
    let last = 1_700_000_000_000 + 50 * 15_000;
    db.maintain(last).unwrap();
    assert!(std::fs::read_dir(root.path().join("checkpoint")).unwrap().next().is_some());
    let labels = Labels::from_pairs([("__name__", "x"), ("n", "0")]).unwrap();
    let mut appender = db.appender();
    appender.append(labels.as_ref(), last, 0.5);
    appender.commit().unwrap().pending.wait().unwrap();
    db.close().unwrap();
    drop(db);
    let (code, text, error) = tool("verify", root.path());
    assert_eq!((code, error.as_str()), (0, ""), "{text}");
    assert!(text.contains("1 samples") && !text.contains("whose birth"), "{text}");
}

#[test]
fn a_running_database_is_not_repaired() {
    let root = tempfile::tempdir().unwrap();
    fill(root.path());
    let db = Db::builder(root.path()).hash_seed([1, 2, 3, 4]).open().unwrap();
    let (code, _, error) = tool("repair", root.path());
    assert_eq!(code, 1);
    assert!(error.contains("stop it first"), "{error}");
    db.close().unwrap();
}

#[test]
fn a_stopped_database_is_flushed_into_the_bucket() {
    let root = tempfile::tempdir().unwrap();
    let (directory, bucket) = (root.path().join("tenants/team-a"), root.path().join("bucket"));
    std::fs::create_dir_all(&directory).unwrap();
    fill(&directory);
    let config =
        format!("--objstore.config=type: FILESYSTEM\nconfig:\n  directory: '{}'\n", bucket.display());
    let run = |args: &[&str]| program("sarsen").arg("tools").args(args).arg(&config).output().unwrap();
    let (code, text, error) =
        said(run(&["tsdb", "flush", directory.to_str().unwrap(), "--label=replica=\"0\""]));
    assert_eq!(code, 0, "{text}{error}");
    assert!(text.contains("1 block cut, 1 uploaded, 0 left"), "{text}");

    let output = run(&["bucket", "inspect", "--output=json"]);
    let blocks: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(blocks.as_array().unwrap().len(), 1);
    assert_eq!(blocks[0]["samples"], 500);
    assert_eq!(blocks[0]["labels"], serde_json::json!({"replica": "0", "tenant_id": "team-a"}));
    assert_eq!(run(&["bucket", "verify", "--deep"]).status.code(), Some(0));
}
