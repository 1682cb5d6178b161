//! What the compactor would do is printed, for people and for programs, and nothing is done.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod program;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use program::{program, said};
use sarsen_block::{BlockId, BlockMeta, BlockStats, ThanosMeta, TimeRange};
use sarsen_bucket::{MarkKind, Marker, Reason};

const HOUR: i64 = 3_600_000;

fn tool(args: &[&str]) -> (i32, String, String) {
    said(program("sarsen").args(["tools", "bucket", "plan"]).args(args).output().unwrap())
}

/// A block of which only the meta is there: a plan reads no more.
fn put(bucket: &Path, number: u128, min_time: i64, hours: i64) -> BlockId {
    let id = BlockId::from_parts(1_700_000_000_000, number);
    let range = TimeRange::new(min_time, min_time + hours * HOUR - 1);
    let mut meta = BlockMeta::fresh(id, range, BlockStats { num_samples: 1, ..BlockStats::default() });
    let labels = BTreeMap::from([("tenant_id".to_owned(), "one".to_owned())]);
    meta.thanos = Some(ThanosMeta { labels, source: "receive".to_owned(), ..ThanosMeta::default() });
    std::fs::create_dir_all(bucket.join(id.to_string())).unwrap();
    std::fs::write(bucket.join(id.to_string()).join("meta.json"), meta.to_bytes()).unwrap();
    id
}

fn mark(bucket: &Path, id: BlockId, reason: Reason) {
    let mut mark = Marker::deletion(id, 1, "found by hand");
    mark.kind = MarkKind::NoCompact;
    mark.reason = Some(reason);
    std::fs::write(bucket.join(id.to_string()).join("no-compact-mark.json"), mark.to_bytes()).unwrap();
}

fn everything(path: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() {
            found.extend(everything(&entry));
        }
        found.push(entry);
    }
    found.sort();
    found
}

#[test]
fn what_is_due_is_named_with_its_reason() {
    let bucket = tempfile::tempdir().unwrap();
    let now_ms = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let start = now_ms / (336 * HOUR) * (336 * HOUR) - 336 * HOUR;
    let merged: Vec<BlockId> =
        (0..4).map(|number| put(bucket.path(), number as u128, start + number * 2 * HOUR, 2)).collect();
    put(bucket.path(), 10, start + 8 * HOUR, 2);
    let old = put(bucket.path(), 11, start - 400 * 24 * HOUR, 48);
    let damaged = put(bucket.path(), 12, start - 500 * 24 * HOUR, 2);
    mark(bucket.path(), damaged, Reason::OutOfOrderChunk);
    let before = everything(bucket.path());

    let objstore = format!(
        "--objstore.config={{type: FILESYSTEM, config: {{directory: '{}'}}}}",
        bucket.path().display()
    );
    let flags = [objstore.as_str(), "--retention.resolution-raw=30d", "--wait"];
    let (code, text, error) = tool(&[&flags[..], &["--output=json"]].concat());
    assert_eq!(code, 0, "{error}");
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    let jobs = plan["jobs"].as_array().unwrap();
    let [merge, copy] = jobs.as_slice() else { panic!("{text}") };
    let ids: Vec<String> = merged.iter().map(ToString::to_string).collect();
    assert_eq!((&merge["stage"], &merge["blocks"]), (&"merge".into(), &ids.into()));
    assert_eq!((&merge["minTime"], &merge["labels"]["tenant_id"]), (&start.into(), &"one".into()));
    assert_eq!((&copy["blocks"][0], &copy["to"][0]), (&old.to_string().into(), &300_000.into()));
    assert!(copy["why"].as_str().unwrap().contains("30d"), "{copy}");
    assert_eq!(plan["setAside"][0]["ulid"], damaged.to_string());
    assert_eq!(plan["kept"][0]["ulid"], damaged.to_string());
    assert_eq!(plan["backlog"]["merge"]["blocks"], 4);

    let (code, text, _) = tool(&flags);
    assert_eq!(code, 0);
    for part in [
        "4 blocks in a range of 8h",
        "downsample to 5m0s",
        "tenant_id=one",
        "found by hand",
        "merge: 1 to do, 4 blocks",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(everything(bucket.path()), before, "nothing was done");

    let (code, _, error) = tool(&[&objstore, "--retention.resolution-raw=1d"]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("--retention.resolution-raw"), "{error}");
    assert_eq!(tool(&[]).0, 2, "a bucket has to be named");
    let empty = tempfile::tempdir().unwrap();
    let objstore = format!(
        "--objstore.config={{type: FILESYSTEM, config: {{directory: '{}'}}}}",
        empty.path().display()
    );
    let (code, text, _) = tool(&[&objstore]);
    assert!(code == 0 && text.starts_with("nothing to do"), "{text}");
}
