//! Test scripts by hand, and queries straight from blocks: in a directory, and in a bucket.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod program;

use std::path::{Path, PathBuf};

use program::{program, said, testdata};

fn tool(args: &[&str]) -> (i32, String, String) {
    said(program("sarsen").args(["tools", "promql"]).args(args).output().unwrap())
}

fn block_in(folder: &str) -> PathBuf {
    let entries = std::fs::read_dir(testdata(folder)).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.join("meta.json").exists()).last().unwrap()
}

#[test]
fn scripts_end_with_their_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let load = "load 1m\n  m{a=\"1\"} 0+1x10\n\n";
    let good = write(
        "good.test",
        &format!("{load}eval instant at 5m m\n  m{{a=\"1\"}} 5\n\neval instant at 5m 1 + 1\n  2\n"),
    );
    let bad = write("bad.test", &format!("{load}eval instant at 5m m\n  m{{a=\"1\"}} 6\n"));
    let (code, text, error) = tool(&["test", &good]);
    assert_eq!((code, text.as_str(), error.as_str()), (0, "2 passed, 0 failed\n", ""));
    let (code, text, error) = tool(&["test", &good, &bad]);
    assert_eq!(code, 1);
    assert!(text.starts_with(&format!("{bad}:4: m at 300000 ms\n")), "{text}");
    assert!(text.contains("expected {__name__=\"m\", a=\"1\"} 6\n"), "{text}");
    assert!(text.contains("got      {__name__=\"m\", a=\"1\"} 5\n"), "{text}");
    assert!(text.ends_with("\n2 passed, 1 failed\n"), "{text}");
    assert_eq!(error.lines().count(), 1, "{error}");
    let (code, _, error) = tool(&["test"]);
    assert_eq!((code, error.contains("FILE")), (2, true), "{error}");
    let (code, _, error) = tool(&["test", "/nowhere.test"]);
    assert_eq!((code, error.contains("/nowhere.test")), (1, true), "{error}");
}

/// How many series of a dump with a name, or of all, have a number at `at`, looking back five minutes.
fn seen_at(dump: &str, at: i64, named: bool) -> usize {
    let packed = std::fs::read(testdata(dump)).unwrap();
    let text = String::from_utf8(zstd::decode_all(packed.as_slice()).unwrap()).unwrap();
    let has_one = |line: &str| {
        let series: serde_json::Value = serde_json::from_str(line).unwrap();
        let mut labels = series["labels"].as_array().unwrap().iter();
        if named && !labels.any(|label| label[0].as_str() == Some("__name__")) {
            return false;
        }
        let chunks = series["chunks"].as_array().unwrap().iter();
        let samples = chunks.flat_map(|chunk| chunk["samples"].as_array().unwrap());
        let mut seen = samples.filter(|sample| (at - 299_999..=at).contains(&sample[0].as_i64().unwrap()));
        seen.next_back().is_some_and(|sample| sample[1].as_str() != Some("7ff0000000000002"))
    };
    text.lines().filter(|line| has_one(line)).count()
}

#[test]
fn a_directory_and_a_bucket_answer_alike() {
    let block = block_in("blocks/a-floats");
    let at = 1_700_003_000_000;
    let seen = |named| seen_at("blocks/a-floats/dump.jsonl.zst", at, named);
    let (named, seen) = (seen(true), seen(false));
    assert!(named > 0);
    let query = "count({__name__=~\".+\", cluster!=\"b\"})";
    let data = format!("--data={}", block.to_str().unwrap());
    let (code, text, error) = tool(&["query", &data, "--time=1700003000", query]);
    assert_eq!((code, text), (0, format!("{{}} => {named} @[1700003000]\n")), "{error}");
    let (_, same, _) = tool(&["query", &data, "--time=2023-11-14T23:03:20Z", query]);
    assert_eq!(same, format!("{{}} => {named} @[1700003000]\n"));

    let dir = tempfile::tempdir().unwrap();
    let config = bucket_in(dir.path());
    let upload = program("sarsen")
        .args(["tools", "bucket", "upload", block.to_str().unwrap(), "--label=cluster=\"a\"", &config])
        .output()
        .unwrap();
    assert!(upload.status.success());
    let by_cluster = "count by (cluster) ({cluster=~\"a|b\"})";
    let (code, text, error) = tool(&["query", &config, "--time=1700003000", by_cluster]);
    assert_eq!((code, text), (0, format!("{{cluster=\"a\"}} => {seen} @[1700003000]\n")), "{error}");
    let (_, none, _) = tool(&["query", &config, "--time=1700003000", "count({cluster=\"b\"})"]);
    assert_eq!(none, "");
    let range = [
        "query",
        &config,
        "--start=1700003000",
        "--end=1700003060",
        "--step=1m",
        "count({cluster=\"a\"}) > bool 0",
    ];
    assert_eq!(tool(&range).1, "{} =>\n1 @[1700003000]\n1 @[1700003060]\n");
}

fn bucket_in(directory: &Path) -> String {
    format!("--objstore.config=type: FILESYSTEM\nconfig:\n  directory: '{}'\n", directory.display())
}

#[test]
fn what_is_no_query_or_no_data_is_said() {
    let (code, _, error) = tool(&["query", "--data=/nowhere", "sum("]);
    assert_eq!((code, error.contains("1:5: parse error:")), (2, true), "{error}");
    let (code, _, error) = tool(&["query", "--data=/nowhere", "up"]);
    assert_eq!((code, error.contains("/nowhere")), (1, true), "{error}");
    let (code, _, error) = tool(&["query", "up"]);
    assert_eq!((code, error.contains("--objstore.config")), (2, true), "{error}");
    let (code, _, error) = tool(&["query", "--data=/nowhere", "--time=noon", "up"]);
    assert_eq!((code, error.contains("--time")), (2, true), "{error}");
}
