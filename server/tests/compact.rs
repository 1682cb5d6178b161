//! The compactor as users meet it: a process on a bucket, with the arguments of their manifest. Blocks grow, nothing is lost, what
//! is damaged is named, a second one keeps away, a store that is away for a while is waited for.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "receive"))]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sarsen_bucket::{MarkKind, Marker};
use serde_json::Value as Json;
use support::blocks::{
    HOUR, START, Wanted, blocks, copy_out, directory, fill, open, read_raw, resolution, samples_of,
};
use support::{Node, s3};

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Uploaded long enough ago for everything.
fn long_ago() -> i64 {
    now_ms() - 24 * HOUR
}

/// Three days and a bit of one tenant: enough for blocks of two days, and for downsampling.
const A: Wanted<'_> = Wanted { tenant: "a", start: START, blocks: 38, series: 3 };
const B: Wanted<'_> = Wanted { tenant: "b", start: START, blocks: 5, series: 2 };

/// One round; exit code and log.
fn round(dir: &Path, config: &str, more: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sarsen"))
        .args(["compact", "--http-address=127.0.0.1:0"])
        .arg(format!("--objstore.config={config}"))
        .arg(format!("--data-dir={}", dir.join("work").display()))
        .args(more)
        .output()
        .unwrap();
    (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// Lengths in hours of the live blocks of a tenant at a resolution.
fn hours(bucket: &Path, tenant: &str, at: i64) -> Vec<i64> {
    let own = |meta: &sarsen_block::BlockMeta| {
        resolution(meta) == at && meta.thanos.as_ref().unwrap().labels["tenant_id"] == tenant
    };
    let blocks = blocks(bucket).into_iter().filter(|(_, meta)| own(meta));
    blocks.map(|(_, meta)| (meta.max_time - meta.min_time + HOUR / 2) / HOUR).collect()
}

#[tokio::test]
async fn one_round_merges_downsamples_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("bucket");
    let config = directory(&store);
    let bucket = open(&config);
    fill(&bucket, A, long_ago()).await;
    fill(&bucket, B, long_ago()).await;
    let (code, log) = round(dir.path(), &config, &[]);
    assert_eq!(code, 0, "{log}");
    // 76 hours from the beginning of a fortnight: a block of two days, three of eight hours, and what is newest stays.
    assert_eq!(hours(&store, "a", 0), [48, 8, 8, 8, 2, 2], "{log}");
    assert_eq!(hours(&store, "b", 0), [8, 2], "{log}");
    assert_eq!(hours(&store, "a", 300_000), [48], "{log}");
    for wanted in [A, B] {
        assert!(read_raw(&store, wanted.tenant) == samples_of(wanted), "samples of {} differ", wanted.tenant);
    }
    for part in ["compact blocks", "downsample", "compaction iterations done", "the bucket's lease is ours"] {
        assert!(log.contains(part), "{part}: {log}");
    }
    let (code, log) = round(dir.path(), &config, &["--retention.resolution-raw=40h"]);
    assert_eq!(code, 0, "{log}");
    assert_eq!((hours(&store, "a", 0).len(), hours(&store, "b", 0).len()), (0, 0), "{log}");
    assert!(!hours(&store, "a", 300_000).is_empty(), "what is deleted is covered: {log}");
    assert!(log.contains("retention"), "{log}");
}

#[tokio::test]
async fn the_manifest_of_a_thanos_compactor_needs_only_another_image() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("bucket");
    let file = dir.path().join("objstore.yml");
    std::fs::write(&file, directory(&store)).unwrap();
    let bucket = open(&directory(&store));
    // Data of these days, so that no retention applies; of one range of two days, so that 8 h is where merging ends.
    let start = (now_ms() - 24 * HOUR) / (48 * HOUR) * 48 * HOUR;
    let recent = Wanted { tenant: "a", start, blocks: 12, series: 2 };
    fill(&bucket, recent, long_ago()).await;
    let data = dir.path().join("data");
    // What the old image left on the volume.
    std::fs::create_dir_all(data.join("compact/0@123/01HFAP7VW5QWBP2CJZJVGFHQ96")).unwrap();
    std::fs::create_dir_all(data.join("meta-syncer")).unwrap();
    let data_dir = format!("--data-dir={}", data.display());
    let objstore = format!("--objstore.config-file={}", file.display());
    let arguments = [
        "compact",
        "--log.level=info",
        &data_dir,
        &objstore,
        "--retention.resolution-raw=7d",
        "--retention.resolution-5m=30d",
        "--retention.resolution-1h=90d",
        "--downsample.concurrency=1",
        "--delete-delay=48h",
        "--compact.concurrency=1",
        "--wait",
        "--wait-interval=3m",
    ];
    let node = Node::compact(dir.path(), &arguments).await;
    node.wait_until("through with a round", async || {
        node.metric("thanos_compact_iterations_total").await == Some(1.0)
    })
    .await;
    assert_eq!(hours(&store, "a", 0)[..2], [8, 8], "{}", node.log());
    assert!(read_raw(&store, "a") == samples_of(recent), "{}", node.log());
    assert!(!data.join("compact/0@123").exists(), "what Thanos left is gone");

    for (path, part) in [
        ("/-/healthy", "OK"),
        ("/-/ready", "OK"),
        ("/blocks", "<h1>Blocks</h1>"),
        ("/loaded", "<b>loaded</b>"),
        ("/global", "tenant_id="),
        ("/", "<h1>Blocks</h1>"),
        ("/api/v1/status/flags", "\"wait-interval\":\"3m\""),
        ("/api/v1/status/buildinfo", "\"version\""),
        ("/metrics", "thanos_compact_halted 0"),
        ("/metrics", "thanos_compactor_halted 0"),
        ("/metrics", "thanos_compact_group_compactions_total{resolution=\"0\"}"),
        ("/metrics", "thanos_compact_todo_compactions 0"),
        ("/metrics", "sarsen_compact_backlog_bytes{stage=\"merge\"} 0"),
        ("/metrics", "sarsen_compact_lease_held 1"),
        ("/metrics", "thanos_blocks_meta_synced{state=\"loaded\"}"),
        ("/metrics", "thanos_status{check=\"ready\",component=\"compact\"} 1"),
    ] {
        let answer = reqwest::get(format!("{}{path}", node.admin)).await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success() && text.contains(part), "{path}: {part}: {text}");
    }
    let log = node.log();
    assert_eq!(node.stop(), Some(0));
    assert!(log.contains("compact blocks"), "{log}");
}

async fn json(node: &Node, path: &str) -> Json {
    let text = reqwest::get(format!("{}{path}", node.admin)).await.unwrap().text().await.unwrap();
    serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}"))
}

async fn mark(node: &Node, form: &str, headers: &[(&str, &str)]) -> (u16, String) {
    let url = format!("{}/api/v1/blocks/mark", node.admin);
    let mut request =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap().post(url);
    request = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn the_api_lists_and_marks_blocks() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("bucket");
    let config = directory(&store);
    let bucket = open(&config);
    // Too fresh to be compacted: they stay as they are.
    let metas = fill(&bucket, Wanted { blocks: 3, ..B }, now_ms()).await;
    let objstore = format!("--objstore.config={config}");
    let data_dir = format!("--data-dir={}", dir.path().join("data").display());
    let node =
        Node::compact(dir.path(), &["compact", &objstore, &data_dir, "-w", "--bucket-web-label=tenant_id"])
            .await;
    node.wait_until("through with a round", async || {
        node.metric("thanos_compact_iterations_total").await == Some(1.0)
    })
    .await;
    let listed = json(&node, "/api/v1/blocks?view=global").await;
    assert_eq!(
        (&listed["status"], &listed["data"]["label"]),
        (&Json::from("success"), &Json::from("tenant_id"))
    );
    let found: Vec<&str> = listed["data"]["blocks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|meta| meta["ulid"].as_str().unwrap())
        .collect();
    let ids: Vec<String> = metas.iter().map(|meta| meta.id.to_string()).collect();
    assert_eq!(found, ids);
    assert_eq!(listed["data"]["blocks"][0]["thanos"]["labels"]["tenant_id"], "b");
    assert!(
        listed["data"]["refreshedAt"].as_str().unwrap().starts_with("20") && listed["data"]["err"].is_null()
    );
    let loaded = json(&node, "/api/v1/blocks?view=loaded").await;
    assert_eq!(loaded["data"]["blocks"].as_array().unwrap().len(), 0, "all are too fresh");
    assert_eq!(node.metric("thanos_blocks_meta_synced{state=\"too-fresh\"}").await, Some(3.0));

    let id = &ids[0];
    for (form, part) in [
        ("".to_owned(), "ID cannot be empty"),
        (format!("id={id}"), "Action cannot be empty"),
        ("id=nonsense&action=DELETION".to_owned(), "is not valid"),
        (format!("id={id}&action=BURN"), "not supported marker"),
        ("id=01HFAP7VW5QWBP2CJZJVGFHQ96&action=DELETION".to_owned(), "no block"),
    ] {
        let (status, text) = mark(&node, &form, &[]).await;
        assert_eq!(status, 400, "{form}: {text}");
        assert!(text.contains(part) && text.contains("\"errorType\":\"bad_data\""), "{form}: {text}");
    }
    let form = format!("id={id}&action=NO_COMPACTION&detail=too+large");
    assert_eq!(mark(&node, &form, &[("sec-fetch-site", "cross-site")]).await.0, 400);
    assert_eq!(mark(&node, &form, &[]).await, (200, "{\"status\":\"success\"}".to_owned()));
    let put = Marker::get(&bucket, metas[0].id, MarkKind::NoCompact).await.unwrap().unwrap();
    assert_eq!((put.details.as_str(), put.reason.unwrap().as_str()), ("too large", "manual"));
    assert_eq!(mark(&node, &format!("id={id}&action=NO_DOWNSAMPLING"), &[]).await.0, 200);
    assert_eq!(mark(&node, &format!("id={id}&action=UNDO_NO_DOWNSAMPLING"), &[]).await.0, 200);
    assert!(!store.join(id).join("no-downsample-mark.json").exists());
    let form = format!("id={id}&action=DELETION");
    assert_eq!(mark(&node, &form, &[("accept", "text/html,*/*")]).await.0, 303);
    assert!(store.join(id).join("deletion-mark.json").exists());
    let page = reqwest::get(format!("{}/blocks?block={id}", node.admin)).await.unwrap().text().await.unwrap();
    assert!(
        page.contains("manual") && page.contains("too large") && page.contains("UNDO_NO_COMPACTION"),
        "{page}"
    );
    assert_eq!(node.stop(), Some(0));

    let node =
        Node::compact(dir.path(), &["compact", &objstore, &data_dir, "-w", "--disable-admin-operations"])
            .await;
    let (status, text) = mark(&node, &format!("id={id}&action=DELETION"), &[]).await;
    assert_eq!(status, 400);
    assert!(text.contains("Admin operations are disabled"), "{text}");
    assert_eq!(node.stop(), Some(0));
    let node = Node::compact(dir.path(), &["compact", &objstore, &data_dir, "-w", "--web.disable"]).await;
    assert_eq!(reqwest::get(format!("{}/blocks", node.admin)).await.unwrap().status(), 404);
}

#[tokio::test]
async fn a_damaged_block_is_named_and_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("bucket");
    let config = directory(&store);
    let bucket = open(&config);
    let metas = fill(&bucket, A, long_ago()).await;
    fill(&bucket, B, long_ago()).await;
    let broken = metas[1].id;
    let chunks = store.join(broken.to_string()).join("chunks/000001");
    let mut bytes = std::fs::read(&chunks).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x55;
    std::fs::write(&chunks, bytes).unwrap();
    let objstore = format!("--objstore.config={config}");
    let data_dir = format!("--data-dir={}", dir.path().join("data").display());
    let node = Node::compact(dir.path(), &["compact", &objstore, &data_dir, "--wait"]).await;
    node.wait_until("through with a round", async || {
        node.metric("thanos_compact_iterations_total").await == Some(1.0)
    })
    .await;
    assert_eq!(node.metric("thanos_compact_halted").await, Some(0.0));
    let page = reqwest::get(format!("{}/blocks", node.admin)).await.unwrap().text().await.unwrap();
    assert!(page.contains("<h2>Set aside</h2>") && page.contains(&broken.to_string()), "{page}");
    let metrics = reqwest::get(format!("{}/metrics", node.admin)).await.unwrap().text().await.unwrap();
    let aside: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("sarsen_compact_set_aside_blocks{"))
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum();
    assert_eq!(aside, 1.0, "{metrics}");
    assert!(node.log().contains(&broken.to_string()), "{}", node.log());
    assert_eq!(node.stop(), Some(0));
    let mark = Marker::get(&bucket, broken, MarkKind::NoCompact).await.unwrap().unwrap();
    assert!(!mark.details.is_empty());
    assert_eq!(hours(&store, "b", 0), [8, 2]);
    assert!(hours(&store, "a", 0).contains(&8), "the rest of the group goes on");
    // A round alone says so and ends well.
    let (code, log) = round(dir.path(), &config, &[]);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains(&broken.to_string()), "{log}");
}

#[tokio::test]
async fn two_compactors_take_turns() {
    let dir = tempfile::tempdir().unwrap();
    let config = directory(&dir.path().join("bucket"));
    fill(&open(&config), B, long_ago()).await;
    let objstore = format!("--objstore.config={config}");
    let start = async |name: &str| {
        let folder = dir.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let data_dir = format!("--data-dir={}", folder.join("data").display());
        Node::compact(&folder, &["compact", &objstore, &data_dir, "--wait"]).await
    };
    let first = start("first").await;
    first
        .wait_until("through with a round", async || {
            first.metric("thanos_compact_iterations_total").await == Some(1.0)
        })
        .await;
    let second = start("second").await;
    second.wait_until("standing by", async || second.log().contains("standing by")).await;
    assert_eq!(second.metric("sarsen_compact_lease_held").await, Some(0.0));
    let page = reqwest::get(format!("{}/blocks", second.admin)).await.unwrap().text().await.unwrap();
    assert!(page.contains("Standing by: another compactor works on this bucket"), "{page}");
    let (code, log) = round(dir.path(), &config, &[]);
    assert_eq!(code, 1, "{log}");
    let last = log.lines().last().unwrap();
    assert!(last.starts_with("sarsen compact: error: another compactor works on this bucket: "), "{last}");
    assert_eq!(first.stop(), Some(0));
    second
        .wait_until("taking over", async || second.metric("sarsen_compact_lease_held").await == Some(1.0))
        .await;
    assert_eq!(second.stop(), Some(0));
}

#[tokio::test]
async fn a_store_that_comes_late_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    // A port that nobody listens on yet.
    let address = sarsen_benches::free_address().unwrap().parse().unwrap();
    let config = s3::config(address);
    let file = dir.path().join("objstore.yml");
    std::fs::write(&file, &config).unwrap();
    let objstore = format!("--objstore.config-file={}", file.display());
    let data_dir = format!("--data-dir={}", dir.path().join("data").display());
    let arguments = ["compact", &objstore, &data_dir, "--wait", "--wait-interval=1s", "--compact.lease=off"];
    let node = Node::compact(dir.path(), &arguments).await;
    node.wait_until("saying that the store is away", async || {
        node.metric("thanos_compact_retries_total").await.is_some_and(|count| count > 0.0)
    })
    .await;
    assert!(node.metric("sarsen_compact_store_away_seconds").await.unwrap() > 0.0);
    let page = reqwest::get(format!("{}/blocks", node.admin)).await.unwrap().text().await.unwrap();
    assert!(page.contains("The store does not answer since"), "{page}");
    let (code, _) = round(dir.path(), &config, &["--compact.lease=off"]);
    assert_eq!(code, 1, "a round alone cannot wait");

    let root = dir.path().join("s3");
    s3::serve(&root, address).await;
    fill(&open(&config), B, long_ago()).await;
    let blocks = root.join("blocks");
    node.wait_until("done", async || hours(&blocks, "b", 0) == [8, 2]).await;
    assert_eq!(node.metric("sarsen_compact_store_away_seconds").await, Some(0.0));
    assert!(read_raw(&blocks, "b") == samples_of(B));
    assert_eq!(node.stop(), Some(0));
}

#[tokio::test]
async fn the_same_on_a_real_minio() {
    let dir = tempfile::tempdir().unwrap();
    let Some(minio) = support::minio::start(dir.path()) else { return };
    let bucket = open(&minio.config);
    fill(&bucket, A, long_ago()).await;
    fill(&bucket, B, long_ago()).await;
    let (code, log) = round(dir.path(), &minio.config, &[]);
    assert_eq!(code, 0, "{log}");
    let copy = dir.path().join("copy");
    copy_out(&bucket, &copy).await;
    assert_eq!(hours(&copy, "a", 0), [48, 8, 8, 8, 2, 2], "{log}");
    assert_eq!(hours(&copy, "a", 300_000), [48], "{log}");
    for wanted in [A, B] {
        assert!(read_raw(&copy, wanted.tenant) == samples_of(wanted), "samples of {} differ", wanted.tenant);
    }
}

#[tokio::test]
async fn a_store_that_goes_in_the_middle_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mut minio) = support::minio::start(dir.path()) else { return };
    fill(&open(&minio.config), B, long_ago()).await;
    let objstore = format!("--objstore.config={}", minio.config);
    let data_dir = format!("--data-dir={}", dir.path().join("data").display());
    let node =
        Node::compact(dir.path(), &["compact", &objstore, &data_dir, "--wait", "--wait-interval=1s"]).await;
    node.wait_until("through with a round", async || {
        node.metric("thanos_compact_iterations_total").await.is_some_and(|count| count > 0.0)
    })
    .await;
    minio.stop();
    node.wait_until("saying so", async || {
        node.metric("sarsen_compact_store_away_seconds").await.is_some_and(|seconds| seconds > 0.0)
    })
    .await;
    for probe in ["/-/healthy", "/-/ready"] {
        assert_eq!(reqwest::get(format!("{}{probe}", node.admin)).await.unwrap().status(), 200);
    }
    minio.start_again().unwrap();
    fill(&open(&minio.config), A, long_ago()).await;
    let copy = dir.path().join("copy");
    node.wait_until("done", async || {
        let _ = std::fs::remove_dir_all(&copy);
        copy_out(&open(&minio.config), &copy).await;
        hours(&copy, "a", 300_000) == [48]
    })
    .await;
    assert_eq!(node.metric("sarsen_compact_store_away_seconds").await, Some(0.0));
    assert!(read_raw(&copy, "a") == samples_of(A));
    assert_eq!(node.stop(), Some(0));
}

#[tokio::test]
async fn the_log_says_how_far_a_job_is_while_it_works() {
    let dir = tempfile::tempdir().unwrap();
    let config = directory(&dir.path().join("bucket"));
    fill(&open(&config), Wanted { series: 400, ..A }, long_ago()).await;
    let (code, log) = round(dir.path(), &config, &["--compact.progress-interval=5ms"]);
    assert_eq!(code, 0, "{log}");
    let told: Vec<&str> = log.lines().filter(|line| line.contains("progress=")).collect();
    let percent = |line: &&str| -> u8 {
        let (_, rest) = line.split_once("progress=").unwrap();
        rest.split_once('%').unwrap().0.parse().unwrap()
    };
    // Not only at the begin and at the end.
    assert!(told.iter().any(|line| (1..100).contains(&percent(line))), "{log}");
    assert!(told.iter().all(|line| percent(line) <= 100), "{log}");
    assert!(told.iter().any(|line| line.contains("compact blocks: ")), "{log}");
    assert!(told.iter().any(|line| line.contains("downsample block: ")), "{log}");
}

#[tokio::test]
async fn a_stop_in_the_middle_is_quick_and_the_next_round_completes() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("bucket");
    let config = directory(&store);
    let many = Wanted { series: 400, ..A };
    fill(&open(&config), many, long_ago()).await;
    let objstore = format!("--objstore.config={config}");
    let data_dir = format!("--data-dir={}", dir.path().join("work").display());
    let node = Node::compact(dir.path(), &["compact", &objstore, &data_dir, "--wait"]).await;
    node.wait_until("working", async || node.log().contains("compact blocks")).await;
    let asked = std::time::Instant::now();
    assert_eq!(node.stop(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(20), "{:?}", asked.elapsed());
    let (code, log) = round(dir.path(), &config, &[]);
    assert_eq!(code, 0, "{log}");
    assert_eq!(hours(&store, "a", 0), [48, 8, 8, 8, 2, 2], "{log}");
    assert!(read_raw(&store, "a") == samples_of(many));
}
