//! A bucket in MinIO is copied out, destroyed and brought back, by `upload` and by `copy`, and its marked blocks by `undelete`; the
//! samples are those from before.

#![cfg(feature = "tools")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod process;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use process::{blocks, built, output, sarsen};
use sarsen_benches::Minio;
use sarsen_bucket::{Bucket, MarkKind, Marker, ObjstoreConfig, Reloading, View};

fn tool(config: &str, arguments: &[&str]) -> String {
    let flag = format!("--objstore.config={config}");
    output(sarsen(), &[&["tools", "bucket"], arguments, &[flag.as_str()]].concat())
}

/// Every sample of the blocks in a directory, a line each.
fn samples(directory: &Path) -> Vec<String> {
    let text = output(sarsen(), &["tools", "block", "dump", directory.to_str().unwrap()]);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_bucket_in_minio_is_restored_from_a_directory() {
    let Some(minio) = built("minio") else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let minio = Minio::with_buckets(&minio, folder, &["first", "second", "third"]).unwrap();
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/blocks");
    let mut sent: Vec<PathBuf> = Vec::new();
    for kind in ["a-floats", "e-segments", "f-cardinality", "b-histograms"] {
        sent.extend(blocks(&stored.join(kind)));
    }
    let paths: Vec<&str> = sent.iter().map(|path| path.to_str().unwrap()).collect();
    let label = "--label=cluster=\"a\"";
    let first = minio.config("first");
    tool(&first, &[&["upload", label], &paths[..]].concat());
    tool(&first, &["verify", "--deep"]);
    let mut before: Vec<String> = sent.iter().flat_map(|path| samples(path)).collect();
    before.sort_unstable();

    let to_directory = |directory: &Path| {
        format!("--objstore-to.config=type: FILESYSTEM\nconfig:\n  directory: {}\n", directory.display())
    };
    let backup = folder.join("backup");
    tool(&first, &["copy", &to_directory(&backup)]);
    assert_eq!(samples(&backup), before);

    // The first bucket is gone; two others take its place, each in its own way.
    let (second, third) = (minio.config("second"), minio.config("third"));
    tool(&second, &["upload", backup.to_str().unwrap()]);
    let from = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", backup.display());
    tool(&from, &["copy", &format!("--objstore-to.config={third}")]);
    for (name, config) in [("second", second), ("third", third)] {
        tool(&config, &["verify", "--deep"]);
        let back = folder.join(name);
        tool(&config, &["copy", &to_directory(&back)]);
        assert_eq!(samples(&back), before, "{name}");
        let status = Command::new(sarsen()).args(["tools", "block", "verify"]).arg(&back).output().unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    }
}

/// A bucket as the tools find it.
fn open(config: &str) -> Bucket {
    Reloading::open(ObjstoreConfig::parse(config, |_| None).unwrap()).unwrap().bucket().build()
}

/// Runs a tool that leaves something undone: what it printed, and what it complained of.
fn unhappy(config: &str, arguments: &[&str]) -> (String, String) {
    let mut command = Command::new(sarsen());
    command.args(["tools", "bucket"]).args(arguments).arg(format!("--objstore.config={config}"));
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn blocks_that_are_marked_in_minio_come_back_within_the_delay() {
    let Some(minio) = built("minio") else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let minio = Minio::with_buckets(&minio, folder, &["blocks", "copy"]).unwrap();
    let (config, other) = (minio.config("blocks"), minio.config("copy"));
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/blocks");
    let sent: Vec<PathBuf> = ["a-floats", "e-segments", "f-cardinality"]
        .iter()
        .flat_map(|kind| blocks(&stored.join(kind)))
        .collect();
    let paths: Vec<&str> = sent.iter().map(|path| path.to_str().unwrap()).collect();
    tool(&config, &[&["upload", "--label=cluster=\"a\""], &paths[..]].concat());

    let bucket = open(&config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let ids: Vec<_> = runtime.block_on(View::fetch(&bucket)).unwrap().blocks.into_keys().collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let now = i64::try_from(now).unwrap();
    runtime.block_on(async {
        for (id, hours) in [(ids[0], 1), (ids[1], 72)] {
            Marker::deletion(id, now - hours * 3600, "by hand").put(&bucket).await.unwrap();
        }
    });
    let copy =
        |more: &[&str]| tool(&config, &[&["copy", &format!("--objstore-to.config={other}")], more].concat());
    assert!(copy(&["--ignore-marked-for-deletion"]).contains(&format!("{} blocks copied", ids.len() - 2)));

    let (said, complaint) = unhappy(&config, &["undelete", "--all"]);
    assert!(said.contains(&format!("{}: restored", ids[0])), "{said}");
    assert!(said.contains(&format!("{}: left alone", ids[1])), "{said}");
    assert!(complaint.contains("1 of 2 blocks"), "{complaint}");
    let said = tool(&config, &["undelete", &ids[1].to_string(), "--delete-delay=100h"]);
    assert!(said.contains(&format!("{}: restored", ids[1])), "{said}");
    let view = runtime.block_on(View::fetch(&bucket)).unwrap();
    assert!(ids.iter().all(|id| view.mark(*id, MarkKind::Deletion).is_none()), "{:?}", view.marks);
    tool(&config, &["verify", "--deep"]);

    // From one MinIO into another, and out of it: what was marked is there with every sample.
    assert!(copy(&[]).contains("2 blocks copied"));
    let back = folder.join("back");
    let to = format!("--objstore-to.config=type: FILESYSTEM\nconfig:\n  directory: {}\n", back.display());
    tool(&other, &["copy", &to]);
    let mut before: Vec<String> = sent.iter().flat_map(|path| samples(path)).collect();
    before.sort_unstable();
    assert_eq!(samples(&back), before);
}
