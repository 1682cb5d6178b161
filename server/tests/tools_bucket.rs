//! A bucket in a directory: blocks go up, are seen, and what is missing is named.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod program;

use std::path::PathBuf;

use program::{program, testdata};

fn tool(config: &str, args: &[&str]) -> (i32, String, String) {
    let flag = format!("--objstore.config={config}");
    let output = program("sarsen").args(["tools", "bucket"]).args(args).arg(flag).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
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
    let (code, text, _) = tool(&config, &["verify", "--data"]);
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
    assert_eq!(tool(&config, &["ls"]).1, "");
}
