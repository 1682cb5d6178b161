//! Meta files that Prometheus and Thanos wrote, read and written back; and texts that Thanos reads or refuses.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod golden;

use std::fs;

use golden::folder;
use sarsen_block::{BlockMeta, ThanosMeta, json::Json};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    file: String,
    kind: String,
    round_trip: bool,
}

fn files() -> Vec<File> {
    serde_json::from_slice(&fs::read(folder("meta").join("files.json")).unwrap()).unwrap()
}

#[test]
fn meta_files_are_read_and_written_back() {
    let mut seen = 0;
    for File { file, kind, round_trip } in files() {
        if kind != "tsdb" && kind != "thanos" {
            continue;
        }
        let text = fs::read(folder("meta").join(&file)).unwrap();
        let meta = BlockMeta::parse(&text).unwrap();
        assert_eq!(meta.thanos.is_some(), kind == "thanos", "{file}");
        let written = meta.to_bytes();
        if round_trip {
            assert_eq!(String::from_utf8_lossy(&written), String::from_utf8_lossy(&text), "{file}");
            seen += 1;
        }
        assert_eq!(BlockMeta::parse(&written).unwrap(), meta, "{file}");
    }
    assert!(seen > 20, "{seen} files");
}

#[test]
fn other_small_files_keep_their_form() {
    for File { file, kind, round_trip } in files() {
        let text = String::from_utf8(fs::read(folder("meta").join(&file)).unwrap()).unwrap();
        let json = Json::parse(&file, text.as_bytes()).unwrap();
        let written = match kind.as_str() {
            "tsdb" => json.tabbed(),
            "thanos" | "shipper" => json.tabbed() + "\n",
            _ => json.compact(),
        };
        if round_trip {
            assert_eq!(written, text, "{file}");
        }
    }
}

#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(rename = "in")]
    text: String,
    ok: bool,
    #[serde(default)]
    out: String,
}

#[test]
fn texts_are_read_and_refused_as_thanos_does() {
    let cases: Vec<Case> =
        serde_json::from_slice(&fs::read(folder("meta").join("read.json")).unwrap()).unwrap();
    assert!(!cases.is_empty());
    for Case { name, text, ok, out } in cases {
        match BlockMeta::parse(text.as_bytes()) {
            Ok(mut meta) => {
                assert!(ok, "{name} should be refused");
                // Thanos reads every meta into one that has a section.
                meta.thanos.get_or_insert_with(ThanosMeta::default);
                assert_eq!(String::from_utf8(meta.to_bytes()).unwrap(), out, "{name}");
            }
            Err(error) => assert!(!ok, "{name}: {error}"),
        }
    }
}
