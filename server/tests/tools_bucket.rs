//! A bucket in a directory: blocks go up, are seen, and what is missing is named.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod program;

use std::path::{Path, PathBuf};

use program::{program, said, testdata};

fn tool(config: &str, args: &[&str]) -> (i32, String, String) {
    let flag = format!("--objstore.config={config}");
    said(program("sarsen").args(["tools", "bucket"]).args(args).arg(flag).output().unwrap())
}

fn block_in(folder: &str) -> PathBuf {
    let entries = std::fs::read_dir(testdata(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("meta.json").exists()).last().unwrap()
}

#[test]
fn blocks_go_up_and_are_seen() {
    let dir = tempfile::tempdir().unwrap();
    let config =
        format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\nprefix: below\n", dir.path().display());
    let block = block_in("blocks/a-floats");
    let (path, id) = (block.to_str().unwrap(), block.file_name().unwrap().to_str().unwrap());

    let (code, _, error) = tool(&config, &["upload", path]);
    assert_eq!(code, 2);
    assert!(error.contains("--label"), "{error}");
    let (code, text, error) = tool(&config, &["upload", path, "--label=cluster=\"a\"", "--hash-func=SHA256"]);
    assert_eq!((code, text.contains("uploaded")), (0, true), "{text}{error}");
    let (code, text, _) = tool(&config, &["upload", path, "--label=cluster=\"a\""]);
    assert_eq!((code, text.trim_end()), (0, format!("{id}: is there already").as_str()));

    assert_eq!(tool(&config, &["ls"]).1.trim_end(), id);
    let (_, table, _) = tool(&config, &["inspect"]);
    assert!(table.contains(id) && table.contains("cluster=a"), "{table}");
    let (code, text, _) = tool(&config, &["verify", "--deep"]);
    assert_eq!(code, 0, "{text}");

    let there = dir.path().join("below").join(id);
    std::fs::remove_file(there.join("chunks/000001")).unwrap();
    let (code, text, error) = tool(&config, &["verify"]);
    assert_eq!(code, 1);
    assert!(text.contains(&format!("{id}/chunks/000001: is missing")), "{text}");
    assert!(error.contains("1 fault"), "{error}");

    std::fs::remove_file(there.join("meta.json")).unwrap();
    let (code, text, _) = tool(&config, &["verify"]);
    assert_eq!(code, 1);
    assert!(text.contains(&format!("{id}: half a block")), "{text}");
    assert!(tool(&config, &["inspect"]).1.contains(&format!("{id}: half a block")));
    assert_eq!(tool(&config, &["ls"]).1, "");
}

/// Every sample of the blocks in a directory, a line each.
fn samples(directory: &Path) -> Vec<String> {
    let output = program("sarsen").args(["tools", "block", "dump"]).arg(directory).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

fn bucket_in(directory: &Path) -> String {
    format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\n", directory.display())
}

/// A bucket with blocks of several kinds, one of them not to be compacted, one marked for deletion.
fn filled(directory: &Path) -> Vec<String> {
    let config = bucket_in(directory);
    let mut ids = Vec::new();
    for folder in ["blocks/a-floats", "blocks/e-segments", "blocks/f-cardinality"] {
        let block = block_in(folder);
        let (code, _, error) = tool(
            &config,
            &["upload", block.to_str().unwrap(), "--label=cluster=\"a\"", "--hash-func=SHA256"],
        );
        assert_eq!(code, 0, "{error}");
        ids.push(block.file_name().unwrap().to_str().unwrap().to_owned());
    }
    mark(directory, &ids[0], "no-compact-mark.json", "no_compact_time", 5);
    ids
}

fn mark(directory: &Path, id: &str, file: &str, field: &str, time: u64) {
    let reason = if file.starts_with("deletion") { "" } else { ",\"reason\":\"manual\"" };
    let text =
        format!("{{\"id\":\"{id}\",\"version\":1,\"details\":\"by hand\",\"{field}\":{time}{reason}}}");
    std::fs::write(directory.join(id).join(file), text).unwrap();
}

fn seconds_ago(seconds: u64) -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    now.as_secs() - seconds
}

#[test]
fn copied_out_destroyed_and_brought_back_it_has_the_same_samples() {
    let root = tempfile::tempdir().unwrap();
    let (bucket, backup) = (root.path().join("bucket"), root.path().join("backup"));
    let ids = filled(&bucket);
    let before = samples(&bucket);
    let (config, to) = (bucket_in(&bucket), format!("--objstore-to.config={}", bucket_in(&backup)));
    let (code, text, error) = tool(&config, &["copy", &to, "--bandwidth=1GB"]);
    assert_eq!(code, 0, "{error}");
    assert!(text.contains("3 blocks copied") && text.contains("0 were there already"), "{text}");
    assert_eq!(samples(&backup), before);
    let (_, text, _) = tool(&config, &["copy", &to]);
    assert!(text.contains("0 blocks copied") && text.contains("3 were there already"), "{text}");

    for way_back in ["upload", "copy"] {
        std::fs::remove_dir_all(&bucket).unwrap();
        std::fs::create_dir(&bucket).unwrap();
        let (code, text, error) = match way_back {
            "upload" => tool(&config, &["upload", backup.to_str().unwrap()]),
            _ => tool(&bucket_in(&backup), &["copy", &format!("--objstore-to.config={config}")]),
        };
        assert_eq!(code, 0, "{way_back}: {text}{error}");
        assert_eq!(samples(&bucket), before, "{way_back}");
        let (code, text, error) = tool(&config, &["verify", "--deep"]);
        assert_eq!(code, 0, "{way_back}: {text}{error}");
        assert_eq!(text.lines().count(), 4, "{text}");
        let (_, table, _) = tool(&config, &["inspect"]);
        assert!(table.contains("no-compact-mark (manual: by hand)"), "{way_back}: {table}");
        assert_eq!(tool(&config, &["ls"]).1.lines().count(), ids.len());
    }
}

#[test]
fn a_block_that_is_marked_comes_back_within_the_delay() {
    let root = tempfile::tempdir().unwrap();
    let config = bucket_in(root.path());
    let ids = filled(root.path());
    let before = samples(root.path());
    mark(root.path(), &ids[0], "deletion-mark.json", "deletion_time", seconds_ago(3600));
    mark(root.path(), &ids[1], "deletion-mark.json", "deletion_time", seconds_ago(72 * 3600));
    assert_eq!(tool(&config, &["undelete"]).0, 2, "which ones?");
    assert_eq!(tool(&config, &["undelete", "--all", &ids[0]]).0, 2);
    assert_eq!(tool(&config, &["undelete", "no-ulid"]).0, 2);
    let (code, text, error) = tool(&config, &["undelete", "--all"]);
    assert_eq!(code, 1, "{text}");
    assert!(text.contains(&format!("{}: restored", ids[0])), "{text}");
    assert!(text.contains(&format!("{}: left alone", ids[1])), "{text}");
    assert!(error.contains("1 of 2 blocks"), "{error}");
    let (code, text, _) = tool(&config, &["undelete", &ids[1], "--delete-delay=100h"]);
    assert_eq!(code, 0, "{text}");
    let (code, text, _) = tool(&config, &["undelete", &ids[1]]);
    assert_eq!((code, text.contains("is not marked")), (1, true), "{text}");
    assert_eq!(samples(root.path()), before);
    let (_, table, _) = tool(&config, &["inspect"]);
    assert!(!table.contains("deletion-mark"), "{table}");
}

#[test]
fn what_is_marked_for_deletion_stays_behind_unless_asked_for() {
    let root = tempfile::tempdir().unwrap();
    let (bucket, backup) = (root.path().join("bucket"), root.path().join("backup"));
    let ids = filled(&backup);
    mark(&backup, &ids[2], "deletion-mark.json", "deletion_time", seconds_ago(3600));
    let (code, text, _) = tool(&bucket_in(&bucket), &["upload", backup.to_str().unwrap()]);
    assert_eq!(code, 0);
    assert!(text.contains(&format!("{}: left out", ids[2])), "{text}");
    assert_eq!(tool(&bucket_in(&bucket), &["ls"]).1.lines().count(), 2);
    let (_, text, _) = tool(&bucket_in(&bucket), &["upload", backup.to_str().unwrap(), "--deleted"]);
    assert!(text.contains(&format!("{}: uploaded", ids[2])), "{text}");
    assert_eq!(samples(&bucket), samples(&backup));
    assert!(!bucket.join(&ids[2]).join("deletion-mark.json").exists());
}

#[test]
fn damage_is_found_where_it_is() {
    let root = tempfile::tempdir().unwrap();
    let config = bucket_in(root.path());
    let ids = filled(root.path());
    let path = root.path().join(&ids[1]).join("chunks/000001");
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(tool(&config, &["verify"]).0, 0, "sizes are as they were");
    for how in ["--fast", "--deep"] {
        let (code, text, _) = tool(&config, &["verify", how]);
        assert_eq!(code, 1);
        assert!(text.contains(&format!("{}/chunks/000001", ids[1])), "{text}");
        assert_eq!(text.matches(": sound").count(), 2, "{text}");
    }
    for checks in [true, false] {
        let damaged = root.path().join(&ids[1]);
        if !checks {
            std::fs::remove_file(damaged.join("sarsen-checks.json")).unwrap();
        }
        let other = bucket_in(&root.path().join("other"));
        let (code, _, error) = tool(&other, &["upload", damaged.to_str().unwrap()]);
        assert_eq!((code, error.contains("is damaged: chunks/000001")), (1, true), "{error}");
    }
    let (code, text, _) = tool(&config, &["verify", "--deep", &ids[0]]);
    assert_eq!((code, text.lines().count()), (0, 2), "{text}");
    let last = ids.iter().max().unwrap();
    let (code, text, _) = tool(&config, &["verify", "--deep", &format!("--after={last}")]);
    assert_eq!((code, text.trim_end()), (0, "0 blocks, nothing wrong"));
    assert_eq!(tool(&config, &["verify", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]).0, 1);
}

/// On a terminal, which `script` of Debian's base system provides, a bar is drawn and taken away again; elsewhere there is none.
#[test]
fn a_bar_is_drawn_on_a_terminal_only() {
    let root = tempfile::tempdir().unwrap();
    let bucket = root.path().join("bucket");
    let ids = filled(&bucket);
    let config = root.path().join("objstore.yml");
    std::fs::write(&config, bucket_in(&bucket)).unwrap();
    let line = format!(
        "{} tools bucket verify --deep --objstore.config-file={}",
        env!("CARGO_BIN_EXE_sarsen"),
        config.display()
    );
    let (_, alone, error) = tool(&bucket_in(&bucket), &["verify", "--deep"]);
    assert!(error.is_empty() && !alone.contains('\r'), "{alone}{error}");
    let output = std::process::Command::new("script").args(["-qec", &line, "/dev/null"]).output();
    // A system that is no Linux has none, or another one.
    let Ok(output) = output else { return };
    let screen = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{screen}");
    let bar =
        screen.split('\r').find(|drawn| drawn.contains("verify [")).unwrap_or_else(|| panic!("{screen:?}"));
    assert!(bar.contains('%') && bar.contains(" B of ") || bar.contains("KiB"), "{screen:?}");
    assert!(ids.iter().all(|id| screen.contains(&format!("\x1b[K{id}: sound"))), "{screen:?}");
    assert!(screen.trim_end().ends_with("3 blocks, nothing wrong"), "{screen:?}");
}
