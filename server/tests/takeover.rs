//! Moving in: the program on what Prometheus and Thanos Receive left gives what they gave.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]
#![cfg(all(feature = "standalone", feature = "tools"))]

#[path = "../../tsdb/tests/foreign/mod.rs"]
mod foreign;
mod program;
mod support;

use std::path::{Path, PathBuf};

use foreign::{compare, expected, golden, read, unpack, variants};
use program::program;
use sarsen_tsdb::Db;
use support::Node;

fn import(args: &[&str]) -> (i32, String, String) {
    let output = program("sarsen").args(["tools", "tsdb", "import"]).args(args).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Holds a database that nobody has open against what Prometheus answered on the same data.
fn check(directory: &Path, variant: &Path) {
    let db = Db::builder(directory).hash_seed([1, 2, 3, 4]).open().unwrap();
    assert_eq!(db.open_report().imported, None);
    compare(&read(&db), &expected(variant, "replay_db.jsonl"), &directory.display().to_string());
    db.close().unwrap();
}

/// A directory as Thanos Receive keeps it: a tenant for each golden variant.
fn tenants(root: &Path) -> Vec<(PathBuf, String)> {
    let name = |variant: &PathBuf| variant.file_name().unwrap().to_str().unwrap().to_owned();
    let tenants: Vec<_> = variants().into_iter().map(|variant| (variant.clone(), name(&variant))).collect();
    for (variant, name) in &tenants {
        unpack(&variant.join("data"), &root.join(name));
        std::fs::write(
            root.join(name).join("thanos.shipper.json"),
            "{\n\t\"version\": 1,\n\t\"uploaded\": []\n}",
        )
        .unwrap();
    }
    std::fs::create_dir(root.join("lost+found")).unwrap();
    tenants
}

#[test]
fn a_directory_of_prometheus_is_imported_and_stays() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let variant = golden().join("ooo-snappy");
    unpack(&variant.join("data"), from.path());
    let data_dir = format!("--data-dir={}", to.path().display());
    let (code, text, error) = import(&[from.path().to_str().unwrap(), &data_dir, "--tenant=moved"]);
    assert_eq!((code, error.as_str()), (0, ""), "{text}");
    assert_eq!(text.lines().count(), 1);
    assert!(text.contains("1 blocks, and of the head 15 series"), "{text}");
    assert!(from.path().join("wal/00000003").exists() && from.path().join("wbl").exists());
    check(&to.path().join("tenants/moved"), &variant);

    // Twice is once too often.
    let (code, _, error) = import(&[from.path().to_str().unwrap(), &data_dir, "--tenant=moved"]);
    assert_eq!((code, error.lines().count()), (1, 1), "{error}");
    check(&to.path().join("tenants/moved"), &variant);
}

#[test]
fn tenants_of_thanos_receive_keep_their_names() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let tenants = tenants(from.path());
    let data_dir = to.path().to_str().unwrap();
    let (code, text, error) = import(&["--data-dir", data_dir, from.path().to_str().unwrap()]);
    assert_eq!((code, error.as_str()), (0, ""), "{text}");
    assert_eq!(text.lines().count(), tenants.len(), "{text}");
    for (variant, name) in tenants {
        let directory = to.path().join("tenants").join(name);
        assert!(directory.join("thanos.shipper.json").exists());
        check(&directory, &variant);
    }
}

#[test]
fn what_was_asked_wrongly_or_cannot_be_read_is_said_in_one_line() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, data_dir) = (from.path().to_str().unwrap(), to.path().to_str().unwrap());
    let one_line = |args: &[&str], wanted: i32, word: &str| {
        let (code, text, error) = import(args);
        assert_eq!((code, error.lines().count()), (wanted, 1), "{args:?}: {text}{error}");
        assert!(error.contains(word), "{args:?}: {error}");
        text
    };
    one_line(&["--data-dir", data_dir], 2, "FROM");
    one_line(&[source], 2, "--data-dir");
    one_line(&[source, "more", "--data-dir", data_dir], 2, "more");
    one_line(&[source, "--data-dir", data_dir, "--tenant=a/b"], 2, "--tenant");
    one_line(&["/nowhere", "--data-dir", data_dir], 1, "/nowhere");
    one_line(&[source, "--data-dir", data_dir], 1, "no data directory");

    unpack(&golden().join("none/data"), from.path());
    let segment = from.path().join("wal/00000004");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[4999] ^= 0x55;
    std::fs::write(&segment, bytes).unwrap();
    let text = one_line(&[source, "--data-dir", data_dir], 1, "1 places could not be read");
    assert!(text.contains("00000004 at offset 32768"), "{text}");
}

#[tokio::test]
async fn receive_takes_over_the_tenants_of_thanos() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("tsdb");
    let tenants = tenants(&root);
    let node = Node::receive(dir.path(), &[]).await;
    let log = node.log();
    for (_, name) in &tenants {
        let said =
            log.lines().any(|line| line.contains("took over") && line.contains(&format!("tenant={name}")));
        assert!(said, "{name}: {log}");
    }
    assert_eq!(node.stop(), Some(0));
    for (variant, name) in &tenants {
        assert!(!root.join(name).join("chunks_head").exists());
        check(&root.join(name), variant);
    }
    // The second start finds its own.
    let node = Node::receive(dir.path(), &[]).await;
    assert_eq!(node.log().matches("took over").count(), tenants.len());
    assert_eq!(node.stop(), Some(0));
}

#[tokio::test]
async fn standalone_takes_over_the_directory_of_prometheus() {
    let dir = tempfile::tempdir().unwrap();
    let variant = golden().join("snappy");
    unpack(&variant.join("data"), &dir.path().join("data"));
    for _ in 0..2 {
        let node = Node::standalone(dir.path(), &["--no-self-scrape"]).await;
        assert_eq!(node.log().matches("took over").count(), 1, "{}", node.log());
        assert_eq!(node.stop(), Some(0));
        check(&dir.path().join("data/tenants/default-tenant"), &variant);
    }
    assert!(!dir.path().join("data/chunks_head").exists());
}
