//! A gateway when its bucket is not well: reads that fail or come late, blocks that vanish, are half there, are damaged or get a mark
//! while they are read. The answer is right, or it says what is missing; it is never wrong, and nobody crashes.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "receive", feature = "store"))]

mod support;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use sarsen_benches::storeapi::{Frame, SeriesRequest, StoreClient};
use sarsen_benches::{Fleet, Shipper};
use support::s3::Weather;
use support::storeapi::model::Model;
use support::storeapi::random::{self, Chance, Traits};
use support::storeapi::text::{self, Look};
use support::storeapi::{copy_folder, matcher, request};
use support::{Node, blocks, s3, storeapi};

const TRAITS: Traits = Traits { tombstones: true, xor2: false, histograms: true, coarse: true };

/// A random bucket of this seed behind S3 in weather.
async fn behind_s3(dir: &Path, seed: u64) -> (PathBuf, String, Arc<Weather>) {
    let bucket = dir.join("s3/blocks");
    std::fs::create_dir_all(&bucket).unwrap();
    random::fill(&bucket, seed, TRAITS);
    let weather = Arc::new(Weather::default());
    let address = s3::serve_in(&dir.join("s3"), "127.0.0.1:0".parse().unwrap(), Arc::clone(&weather)).await;
    (bucket, s3::config(address), weather)
}

#[tokio::test]
async fn reads_that_fail_or_come_late_only_slow_it_down() {
    let dir = tempfile::tempdir().unwrap();
    let (bucket, config, weather) = behind_s3(dir.path(), 7).await;
    let node = Node::store(dir.path(), &config, &["--index-cache-size=0"]).await;
    weather.failing.store(50, Ordering::SeqCst);
    weather.late.store(50, Ordering::SeqCst);
    let faults = storeapi::compare(&node.client().await, &Model::read(&bucket), 7, 25).await;
    let ranged = weather.ranged.load(Ordering::SeqCst);
    assert!(ranged > 100, "only {ranged} ranged reads");
    assert!(
        faults.is_empty(),
        "{} faults\n{}\n{}",
        faults.len(),
        faults[..faults.len().min(3)].join("\n"),
        node.log()
    );
}

#[tokio::test]
async fn a_selective_query_on_one_block_makes_at_most_four_requests() {
    let dir = tempfile::tempdir().unwrap();
    let weather = Arc::new(Weather::default());
    let bucket = dir.path().join("s3/blocks");
    std::fs::create_dir_all(&bucket).unwrap();
    let hours = 3_600_000;
    let fleet = Fleet { interval: 60_000, ..Fleet::steady(3_000, random::START) };
    let shipper = Shipper::new(fleet.clone(), &[("tenant_id", "a")], 1);
    shipper.ship_all(&bucket, random::START..random::START + 2 * hours, 2 * hours).unwrap();
    let address =
        s3::serve_in(&dir.path().join("s3"), "127.0.0.1:0".parse().unwrap(), Arc::clone(&weather)).await;
    let node = Node::store(dir.path(), &s3::config(address), &[]).await;
    let client = node.client().await;
    for series in [17, 1_234, 2_999] {
        let labels = fleet.labels(series, 0);
        let label = |name: &str| String::from_utf8(labels.get(name.as_bytes()).unwrap().to_vec()).unwrap();
        let matchers = ["__name__", "instance"].map(|name| matcher(name, "=", &label(name))).to_vec();
        let before = weather.requests.load(Ordering::SeqCst);
        let answer = client.series(&request(random::START, random::START + 2 * hours, matchers)).await;
        let frames = answer.series().unwrap();
        assert!(answer.failure.is_none(), "{:?}", answer.failure);
        let found = frames.iter().filter_map(|frame| match &frame.frame {
            Some(Frame::Series(series)) => Some(series.chunks.len()),
            _ => None,
        });
        assert_eq!(found.collect::<Vec<_>>().len(), 1, "one series");
        let requests = weather.requests.load(Ordering::SeqCst) - before;
        // The first one may have to make the header.
        assert!(requests <= 4 || series == 17, "{requests} requests");
    }
}

/// The answer is as the model has it, or something says that it is not whole. No series, chunk or sample is there that the model does
/// not have. Whether it was whole.
async fn right_or_told(client: &StoreClient, model: &Model, wanted: &SeriesRequest, what: &str) -> bool {
    right_or_either(client, [model, model], wanted, what).await
}

/// The same where either of two models may be right: the first has all that there ever was.
async fn right_or_either(
    client: &StoreClient,
    models: [&Model; 2],
    wanted: &SeriesRequest,
    what: &str,
) -> bool {
    let [all, left] = models.map(|model| {
        let mut lines = Vec::new();
        model.series(wanted).iter().for_each(|series| text::series(series, Look::Bytes, &mut lines));
        lines
    });
    let answer = client.series(wanted).await;
    let mut frames = answer.series().unwrap();
    frames.iter_mut().for_each(storeapi::forget_hashes);
    let told =
        answer.failure.is_some() || frames.iter().any(|frame| matches!(frame.frame, Some(Frame::Warning(_))));
    frames.retain(|frame| !matches!(frame.frame, Some(Frame::Warning(_))));
    let mut found = Vec::new();
    text::frames(&frames, Look::Bytes, &mut found);
    let Some(difference) = text::difference(&all, &found) else { return true };
    if found == left {
        return true;
    }
    assert!(told, "{what}: nothing was said, but {difference}\n{wanted:?}");
    // A limit lets others move up where some are missing, and where a coarser block is missing, a finer one steps in.
    let known: std::collections::HashSet<&String> = all.iter().collect();
    if wanted.limit == 0 && wanted.max_resolution_window == 0 {
        let foreign = found.iter().find(|line| !known.contains(line));
        assert!(foreign.is_none(), "{what}: {foreign:?} is in no block\n{wanted:?}");
    }
    false
}

/// Asks different things; how many answers were whole, of how many.
async fn ask(client: &StoreClient, model: &Model, seed: u64, what: &str) -> (usize, usize) {
    ask_either(client, [model, model], seed, what).await
}

/// The same where either of two models may be right.
async fn ask_either(client: &StoreClient, models: [&Model; 2], seed: u64, what: &str) -> (usize, usize) {
    let mut chance = Chance::new(seed);
    let (mut whole, count) = (0, 15);
    for _ in 0..count {
        let mut wanted = random::any_request(&mut chance);
        wanted.skip_chunks = false;
        whole += usize::from(right_or_either(client, models, &wanted, what).await);
    }
    (whole, count)
}

/// Folders of blocks, largest index first.
fn block_folders(bucket: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> =
        std::fs::read_dir(bucket).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort_by_key(|folder| std::cmp::Reverse(std::fs::metadata(folder.join("index")).unwrap().len()));
    folders
}

/// Something that befalls a block.
type Accident = (&'static str, fn(&Path));

const ACCIDENTS: [Accident; 7] = [
    ("vanished", |block| std::fs::remove_dir_all(block).unwrap()),
    ("lost its meta", |block| std::fs::remove_file(block.join("meta.json")).unwrap()),
    ("lost its chunks", |block| std::fs::remove_dir_all(block.join("chunks")).unwrap()),
    ("lost its index", |block| std::fs::remove_file(block.join("index")).unwrap()),
    ("has damaged chunks", |block| damage(&block.join("chunks/000001"))),
    ("has a damaged index", |block| damage(&block.join("index"))),
    ("is marked for deletion", |block| {
        let id = block.file_name().unwrap().to_str().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let mark = format!("{{\"id\":\"{id}\",\"version\":1,\"deletion_time\":{now},\"details\":\"\"}}");
        std::fs::write(block.join("deletion-mark.json"), mark).unwrap();
    }),
];

/// Every eleventh byte behind the head becomes another one.
fn damage(file: &Path) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes.iter_mut().skip(20).step_by(11).for_each(|byte| *byte ^= 0x55);
    std::fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn accidents_of_blocks_are_told_and_never_answered_wrong() {
    for (number, (what, happen)) in ACCIDENTS.into_iter().enumerate() {
        let dir = tempfile::tempdir().unwrap();
        let bucket = dir.path().join("bucket");
        random::fill(&bucket, 30 + number as u64, TRAITS);
        let untouched = dir.path().join("untouched");
        copy_folder(&bucket, &untouched);
        let model = Model::read(&bucket);
        let mut node = Node::store(dir.path(), &blocks::directory(&bucket), &["--index-cache-size=0"]).await;
        let client = node.client().await;
        // Some are asked first, so that it has headers; others are seen only afterwards.
        assert_eq!(ask(&client, &model, 1, "well").await, (15, 15), "{}", node.log());
        for block in block_folders(&bucket).into_iter().take(6) {
            happen(&block);
        }
        // What is gone as a whole may be known to be gone.
        let gone = matches!(what, "vanished" | "lost its meta");
        let left = if gone { Model::read(&bucket) } else { Model::read(&untouched) };
        let (whole, of) = ask_either(&client, [&model, &left], 2, what).await;
        if what == "is marked for deletion" {
            assert_eq!(whole, of, "{what}: still there, still read\n{}", node.log());
        }
        assert!(node.is_running(), "{what}: {}", node.log());
        let healthy = reqwest::get(format!("{}/-/healthy", node.admin)).await.unwrap().status();
        assert!(healthy.is_success(), "{what}");
    }
}

#[tokio::test]
async fn blocks_that_are_gone_are_looked_for_in_the_bucket_all_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let bucket = dir.path().join("bucket");
    random::fill(&bucket, 60, Traits { coarse: false, ..TRAITS });
    let node = Node::store(dir.path(), &blocks::directory(&bucket), &["--index-cache-size=0"]).await;
    let client = node.client().await;
    let everything = || request(random::START, random::START + 86_400_000, vec![matcher("nosuch", "=", "")]);
    assert!(client.series(&everything()).await.failure.is_none());
    for block in block_folders(&bucket).into_iter().take(3) {
        std::fs::remove_dir_all(block).unwrap();
    }
    let abort = SeriesRequest { partial_response_strategy: 1, ..everything() };
    // The bucket is looked at anew, and what is left in it is the whole answer, for those who want all or nothing too.
    let left = Model::read(&bucket);
    assert!(right_or_told(&client, &left, &abort, "gone, all or nothing").await);
    right_or_told(&client, &left, &everything(), "gone").await;
    right_or_told(&client, &left, &everything(), "gone, asked again").await;
}

#[tokio::test]
async fn a_half_uploaded_block_is_served_when_it_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (all, bucket) = (dir.path().join("all"), dir.path().join("bucket"));
    random::fill(&all, 61, Traits { coarse: false, ..TRAITS });
    copy_folder(&all, &bucket);
    let half: Vec<PathBuf> = block_folders(&bucket).into_iter().take(4).collect();
    for block in &half {
        std::fs::remove_file(block.join("meta.json")).unwrap();
    }
    let node = Node::store(dir.path(), &blocks::directory(&bucket), &["--sync-block-duration=1s"]).await;
    let client = node.client().await;
    let before = Model::read(&bucket);
    assert_eq!(ask(&client, &before, 3, "without the half ones").await, (15, 15));
    for block in &half {
        let name = block.file_name().unwrap();
        std::fs::copy(all.join(name).join("meta.json"), block.join("meta.json")).unwrap();
    }
    let after = Model::read(&bucket);
    let wanted = request(random::START, random::START + 86_400_000, vec![matcher("nosuch", "=", "")]);
    let expected = after.series(&wanted).len();
    node.wait_until("serving all blocks", async || {
        let frames = client.series(&wanted).await.series().unwrap();
        frames.len() == expected
    })
    .await;
    assert_eq!(ask(&client, &after, 4, "with all").await, (15, 15));
}

/// Asks for all of a day, warnings wanted; whether something was said to be missing. An answer comes before a querier loses patience.
async fn told_in_time(client: &StoreClient, what: &str, node: &Node) -> bool {
    let wanted = request(random::START, random::START + 86_400_000, vec![matcher("nosuch", "=", "")]);
    let answer = tokio::time::timeout(Duration::from_secs(30), client.series(&wanted)).await;
    assert!(answer.is_ok(), "{what}: no answer\n{}", node.log());
    let answer = answer.unwrap();
    let frames = answer.series().unwrap();
    let warned = frames.iter().any(|frame| matches!(frame.frame, Some(Frame::Warning(_))));
    warned || answer.failure.is_some()
}

#[tokio::test]
async fn while_the_store_is_away_a_gateway_stays_up_says_so_and_starts_and_recovers_when_it_is_back() {
    for silent in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let (bucket, config, weather) = behind_s3(dir.path(), 71).await;
        let model = Model::read(&bucket);
        let arguments = ["--index-cache-size=0", "--sync-block-duration=1s"];
        let away = if silent { &weather.silent } else { &weather.down };
        let node = Node::store(dir.path(), &config, &arguments).await;
        let client = node.client().await;
        assert_eq!(ask(&client, &model, 5, "well").await, (15, 15), "{}", node.log());
        away.store(true, Ordering::SeqCst);
        for round in 0..2 {
            assert!(
                told_in_time(&client, "away", &node).await,
                "round {round}: nothing was said to be missing"
            );
            let healthy = reqwest::get(format!("{}/-/healthy", node.admin)).await.unwrap().status();
            assert!(healthy.is_success());
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        }
        // A restart meanwhile: it knows its blocks and has their headers.
        node.kill();
        let node = Node::store(dir.path(), &config, &arguments).await;
        let client = node.client().await;
        assert!(told_in_time(&client, "started while away", &node).await);
        away.store(false, Ordering::SeqCst);
        node.wait_until("whole again", async || !told_in_time(&client, "back", &node).await).await;
        assert_eq!(ask(&client, &model, 6, "back").await, (15, 15), "{}", node.log());
        // With the client's connection still open.
        assert_eq!(node.stop(), Some(0));
    }
}
