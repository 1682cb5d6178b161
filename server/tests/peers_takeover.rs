//! A real Prometheus is fed, late samples included, and killed; what its own promtool reads from the directory it left is what
//! the directory holds after it was taken over.

#![cfg(all(feature = "standalone", feature = "tools"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod process;

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use process::{Process, blocks, built, free_address, output, sarsen};
use sarsen_benches::{Fleet, Plan, run};
use sarsen_tsdb::Db;

const HOUR: i64 = 3_600_000;
/// For the names of blocks only.
const NOW: i64 = 1_800_000_000_000;

/// Sends some rounds of a fleet; how many samples were taken.
fn send(fleet: &Fleet, rounds: std::ops::Range<u64>, address: &str) -> u64 {
    let report = run(&Plan {
        fleet: fleet.clone(),
        rounds,
        address: address.to_owned(),
        path: "/api/v1/write".to_owned(),
        tenant: String::new(),
        per_request: 50,
        rounds_per_request: 20,
        connections: 1,
        wave_bytes: 64 << 20,
        patience: Duration::from_secs(10),
    })
    .unwrap();
    assert_eq!(report.refused, 0, "{:?}", report.complaint);
    report.acknowledged
}

/// Feeds a Prometheus and kills it. How many samples it acknowledged.
fn feed(program: &Path, folder: &Path, data: &Path) -> u64 {
    let config = folder.join("prometheus.yml");
    std::fs::write(&config, "storage:\n  tsdb:\n    out_of_order_time_window: 2h\n").unwrap();
    let address = free_address();
    let flags = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", data.display()),
        format!("--web.listen-address={address}"),
        "--web.enable-remote-write-receiver".to_owned(),
        "--log.level=warn".to_owned(),
    ];
    let mut prometheus = Process::start("prometheus", program, folder, &flags, &[]);
    prometheus.wait_for(&address, "/-/ready");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let start = i64::try_from(now).unwrap() - 3 * HOUR;
    let fleet = Fleet { churn_rounds: 200, gaps_per_mille: 5, ..Fleet::steady(150, start) };
    let mut sent = send(&fleet, 0..600, &address);
    // The same series again, an hour back and between the others.
    let late = Fleet { gaps_per_mille: 0, churn_rounds: 0, ..Fleet::steady(20, start + 7_000) };
    sent += send(&late, 300..540, &address);
    prometheus.kill();
    sent
}

#[test]
fn a_directory_that_prometheus_left_answers_the_same() {
    let (Some(prometheus), Some(promtool)) = (built("prometheus"), built("promtool")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let data = folder.join("data");
    let acknowledged = feed(&prometheus, folder, &data);
    assert!(data.join("wbl").is_dir(), "nothing came late");
    let path = data.to_str().unwrap();
    let mut wanted: Vec<String> =
        output(promtool, &["tsdb", "dump", path]).lines().map(str::to_owned).collect();
    assert_eq!(wanted.len() as u64, acknowledged);

    let target = folder.join("sarsen");
    output(sarsen(), &["tools", "tsdb", "import", path, "--data-dir", target.to_str().unwrap()]);
    let database = target.join("tenants/default-tenant");
    let db = Db::builder(&database).hash_seed([1, 2, 3, 4]).open().unwrap();
    db.flush(NOW).unwrap();
    db.close().unwrap();
    let mut found: Vec<String> = blocks(&database)
        .iter()
        .flat_map(|block| {
            let dump = output(sarsen(), &["tools", "block", "dump", block.to_str().unwrap()]);
            dump.lines().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    wanted.sort_unstable();
    found.sort_unstable();
    // A sample that is new to its series and too old for its head is late for Prometheus, and in order when it reads its log
    // again: it comes along twice, in two blocks.
    found.dedup();
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!(found, wanted);
    }
}
