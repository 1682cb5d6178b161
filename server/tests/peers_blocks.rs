//! Five hours of history are written, cut and shipped, to a directory and to MinIO; Debian's promtool and the one of
//! `benches/peers` list, analyse and dump every block, and the dump is what was sent, sample for sample. `sarsen tools block dump`
//! prints the same lines.

#![cfg(all(feature = "standalone", feature = "tools"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod process;

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use process::{Receiver, blocks, built, copy_block, eventually, installed, output, sarsen};
use sarsen_benches::{Fleet, Minio, Plan, run, write_dump};
use sarsen_block::BlockId;
use sarsen_bucket::{ObjstoreConfig, Reloading, download};

const TWO_HOURS: i64 = 7_200_000;
const ROUNDS: u64 = 5 * 240;

/// 200 series, with restarts and gaps, over the five hours up to now.
fn history() -> Fleet {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let start = i64::try_from(now).unwrap() - 5 * TWO_HOURS / 2 - 60_000;
    Fleet { churn_rounds: 500, gaps_per_mille: 5, ..Fleet::steady(200, start) }
}

fn send(fleet: &Fleet, address: &str) -> u64 {
    let report = run(&Plan {
        fleet: fleet.clone(),
        rounds: 0..ROUNDS,
        address: address.to_owned(),
        path: "/api/v1/receive".to_owned(),
        tenant: String::new(),
        per_request: 50,
        rounds_per_request: 20,
        // One after the other: a connection that fell behind by an hour of samples would be out of bounds.
        connections: 1,
        wave_bytes: 64 << 20,
        patience: Duration::from_secs(10),
    })
    .unwrap();
    assert_eq!(report.refused, 0, "{:?}", report.complaint);
    report.acknowledged
}

/// Writes the history, waits until the first block has been cut and shipped on its own, and stops with a flush: then
/// everything is in the bucket.
fn write_and_ship(folder: &Path, objstore: &str, fleet: &Fleet) -> Vec<PathBuf> {
    let config = folder.join("objstore.yml");
    std::fs::write(&config, objstore).unwrap();
    let flags =
        [format!("--objstore.config-file={}", config.display()), "--receive.flush-on-stop".to_owned()];
    let receiver = Receiver::start(folder, &flags);
    let acknowledged = send(fleet, &receiver.write);
    let database = folder.join("receive/default-tenant");
    eventually("a block to be cut and shipped", Duration::from_secs(180), || {
        let noted = std::fs::read_to_string(database.join("thanos.shipper.json")).ok()?;
        blocks(&database).iter().any(|block| noted.contains(name(block))).then_some(())
    });
    assert!(receiver.process.stop().success());
    let found = blocks(&database);
    assert!(found.len() >= 3, "{found:?}");
    let mut expected = Vec::new();
    assert_eq!(write_dump(fleet, 0..ROUNDS, &mut expected).unwrap(), acknowledged);
    found
}

fn name(block: &Path) -> &str {
    block.file_name().unwrap().to_str().unwrap()
}

/// Reads a folder of blocks with every reader there is, and compares with what was sent.
fn read_back(database: &Path, fleet: &Fleet, promtools: &[PathBuf]) {
    let mut expected = Vec::new();
    write_dump(fleet, 0..ROUNDS, &mut expected).unwrap();
    let expected = String::from_utf8(expected).unwrap();
    let found = blocks(database);
    let path = database.to_str().unwrap();
    for promtool in promtools {
        let listed = output(promtool, &["tsdb", "list", path]);
        for block in &found {
            let id = name(block);
            assert!(listed.contains(id), "{listed}");
            let analysis = output(promtool, &["tsdb", "analyze", path, id]);
            assert!(analysis.contains(&format!("Block ID: {id}")), "{analysis}");
        }
        compare(&promtool.to_string_lossy(), &output(promtool, &["tsdb", "dump", path]), &expected);
    }
    // Ours reads block by block; together they are the same lines.
    let mut lines = Vec::new();
    for block in &found {
        lines.extend(
            output(sarsen(), &["tools", "block", "dump", block.to_str().unwrap()]).lines().map(str::to_owned),
        );
    }
    lines.sort_unstable();
    let mut sorted: Vec<&str> = expected.lines().collect();
    sorted.sort_unstable();
    compare("sarsen tools block dump", &lines.join("\n"), &sorted.join("\n"));
}

fn compare(who: &str, actual: &str, expected: &str) {
    for (number, (actual, expected)) in actual.lines().zip(expected.lines()).enumerate() {
        assert_eq!(actual, expected, "{who}, line {number}");
    }
    assert_eq!(actual.lines().count(), expected.lines().count(), "{who}: number of samples");
}

#[test]
fn blocks_in_a_directory_are_read_by_promtool() {
    let (Some(debian), Some(newer)) = (installed("promtool"), built("promtool")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let fleet = history();
    let bucket = folder.join("bucket");
    let objstore = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", bucket.display());
    let local = write_and_ship(folder, &objstore, &fleet);
    // The bucket of kind FILESYSTEM is a folder of blocks; promtool wants a log beside them.
    let shipped = folder.join("shipped");
    let found = blocks(&bucket);
    assert_eq!(found.len(), local.len(), "every block has been shipped");
    found.iter().for_each(|block| copy_block(block, &shipped));
    read_back(&shipped, &fleet, &[debian, newer]);
}

#[test]
fn blocks_in_minio_are_what_was_sent() {
    let (Some(minio), Some(promtool)) = (built("minio"), built("promtool")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let fleet = history();
    let minio = Minio::start(&minio, folder).unwrap();
    let objstore = minio.config.as_str();
    let local = write_and_ship(folder, objstore, &fleet);
    let config = format!("--objstore.config-file={}", folder.join("objstore.yml").display());
    let listed = output(sarsen(), &["tools", "bucket", "ls", &config]);
    for block in &local {
        assert!(listed.contains(name(block)), "{listed}");
    }
    output(sarsen(), &["tools", "bucket", "verify", &config]);
    let shipped = folder.join("shipped");
    std::fs::create_dir_all(shipped.join("wal")).unwrap();
    fetch_all(objstore, &local, &shipped);
    read_back(&shipped, &fleet, &[promtool]);
}

/// Brings the blocks from the bucket.
fn fetch_all(objstore: &str, blocks: &[PathBuf], target: &Path) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Reloading::open(ObjstoreConfig::parse(objstore, |_| None).unwrap()).unwrap();
        let bucket = store.bucket().build();
        for block in blocks {
            download(&bucket, name(block).parse::<BlockId>().unwrap(), target).await.unwrap();
        }
    });
}
