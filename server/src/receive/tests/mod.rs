//! The role behind its router, on a disk that fills up, refuses to sync, or is slow.

mod idle;
mod weak_disk;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode};
use sarsen_block::codec::put_uvarint;
use sarsen_bucket::Bucket;
use sarsen_tsdb::TsdbObserver;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use self::weak_disk::{Switches, WeakDisk};
use super::{LimitsSource, Parts, ReceiveOptions, Receiver, Silent};

struct Deaf;

impl TsdbObserver for Deaf {}

/// A started role, its tasks running.
struct Node {
    receiver: Receiver,
    router: Router,
    switches: Arc<Switches>,
    stop: CancellationToken,
    tasks: tokio::task::JoinHandle<()>,
}

impl Node {
    async fn start(dir: &Path, change: impl FnOnce(&mut ReceiveOptions)) -> Self {
        Self::start_with(dir, None, change).await
    }

    async fn start_with(
        dir: &Path,
        bucket: Option<Bucket>,
        change: impl FnOnce(&mut ReceiveOptions),
    ) -> Self {
        let mut options = ReceiveOptions { tsdb_path: dir.to_owned(), ..ReceiveOptions::default() };
        options.prometheus_write = true;
        change(&mut options);
        let disk = WeakDisk::new();
        let switches = Arc::clone(&disk.switches);
        let parts = Parts {
            disk: Arc::new(disk),
            bucket,
            observer: Arc::new(Silent),
            databases: Arc::new(|_| (Arc::new(Deaf), Arc::new(sarsen_wal::Unobserved))),
        };
        let receiver = Receiver::new(options, parts).unwrap();
        receiver.start(None).await.unwrap();
        let (stop, running) = (CancellationToken::new(), receiver.clone());
        let token = stop.clone();
        let tasks = tokio::spawn(async move { running.run(token).await });
        Self { router: receiver.write_router(), receiver, switches, stop, tasks }
    }

    async fn post(&self, path: &str, tenant: &str, body: Vec<u8>) -> (StatusCode, Option<String>, String) {
        let request = Request::post(path).header("THANOS-TENANT", tenant).body(Body::from(body)).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status();
        let text = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
        (status, retry, String::from_utf8(text.to_vec()).unwrap())
    }

    async fn write(&self, tenant: &str, t: i64) -> StatusCode {
        self.post("/api/v1/receive", tenant, body(1, t)).await.0
    }

    /// Writes the same sample until it is taken, as a sender does; how often it was told to come back.
    async fn write_until_taken(&self, tenant: &str, t: i64) -> usize {
        let end = Instant::now() + Duration::from_secs(60);
        let mut refused = 0;
        loop {
            match self.write(tenant, t).await {
                StatusCode::OK => return refused,
                StatusCode::SERVICE_UNAVAILABLE => refused += 1,
                other => panic!("{other}"),
            }
            assert!(Instant::now() < end, "still refused after a minute");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn stop(self) {
        self.stop.cancel();
        self.tasks.await.unwrap();
        self.receiver.stop().await.unwrap();
    }
}

fn field(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    put_uvarint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn label(out: &mut Vec<u8>, name: &str, value: &str) {
    let mut label = Vec::new();
    field(&mut label, 0x0A, name.as_bytes());
    field(&mut label, 0x12, value.as_bytes());
    field(out, 0x0A, &label);
}

/// A request with one sample at `t` for the first so many series, whose value is `t`.
fn body(series: usize, t: i64) -> Vec<u8> {
    body_of(0..series, t)
}

fn body_of(series: Range<usize>, t: i64) -> Vec<u8> {
    let mut plain = Vec::new();
    for number in series {
        let mut message = Vec::new();
        label(&mut message, "__name__", "weak");
        label(&mut message, "number", &number.to_string());
        let mut sample = vec![0x09];
        sample.extend((t as f64).to_le_bytes());
        sample.push(0x10);
        put_uvarint(&mut sample, t as u64);
        field(&mut message, 0x12, &sample);
        field(&mut plain, 0x0A, &message);
    }
    snap::raw::Encoder::new().compress_vec(&plain).unwrap()
}

/// Times stored for the first series of a tenant.
fn stored(root: &Path, tenant: &str) -> Vec<i64> {
    use sarsen_block::{ChunkSet as _, MatchOp, Matcher, TimeRange, decode_chunks};
    let db = sarsen_tsdb::Db::builder(root.join(tenant)).open().unwrap();
    let first = Matcher::new(MatchOp::Equal, "number", "0").unwrap();
    let mut set = db.querier(TimeRange::ALL).select(&[first]).unwrap();
    let Some(series) = set.next().unwrap() else { return Vec::new() };
    decode_chunks(&series.chunks, TimeRange::ALL).unwrap().iter().map(|sample| sample.t).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_refuses_and_comes_back_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), |_| {}).await;
    assert_eq!(node.write("a", 1000).await, StatusCode::OK);
    node.switches.full.store(true, Ordering::SeqCst);
    let (status, retry, text) = node.post("/api/v1/receive", "a", body(1, 2000)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{text}");
    assert!(retry.is_some());
    // A tenant that does not exist yet cannot be made either, and says so.
    assert_eq!(node.write("b", 1000).await, StatusCode::SERVICE_UNAVAILABLE);
    node.switches.full.store(false, Ordering::SeqCst);
    node.write_until_taken("a", 2000).await;
    node.write_until_taken("b", 1000).await;
    assert_eq!(node.write("a", 3000).await, StatusCode::OK);
    node.stop().await;
    assert_eq!(stored(dir.path(), "a"), [1000, 2000, 3000]);
    assert_eq!(stored(dir.path(), "b"), [1000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_could_not_be_synced_is_not_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), |_| {}).await;
    assert_eq!(node.write("a", 1000).await, StatusCode::OK);
    assert_eq!(node.write("b", 1000).await, StatusCode::OK);
    node.switches.unsyncable.store(true, Ordering::SeqCst);
    assert_eq!(node.write("a", 2000).await, StatusCode::SERVICE_UNAVAILABLE);
    node.switches.unsyncable.store(false, Ordering::SeqCst);
    // The other tenant never noticed.
    assert_eq!(node.write("b", 2000).await, StatusCode::OK);
    assert!(node.write_until_taken("a", 2000).await > 0, "the failed log was written on");
    node.stop().await;
    assert_eq!(stored(dir.path(), "a"), [1000, 2000]);
    assert_eq!(stored(dir.path(), "b"), [1000, 2000]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_damaged_tenant_keeps_no_other_from_working() {
    let dir = tempfile::tempdir().unwrap();
    let stop_on_damage = |options: &mut ReceiveOptions| options.storage.cut_off_damage = false;
    let node = Node::start(dir.path(), stop_on_damage).await;
    for t in [1000, 2000] {
        assert_eq!(node.write("a", t).await, StatusCode::OK);
        assert_eq!(node.write("b", t).await, StatusCode::OK);
    }
    node.stop().await;
    let segment = dir.path().join("a/log/00000001");
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xFF;
    std::fs::write(&segment, bytes).unwrap();

    let node = Node::start(dir.path(), stop_on_damage).await;
    let (status, _, text) = node.post("/api/v1/receive", "a", body(1, 3000)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(text.contains("damaged"), "{text}");
    assert_eq!(node.write("b", 3000).await, StatusCode::OK);
    let states = node.receiver.snapshot().tenants;
    assert!(states.iter().any(|(name, shut, _)| name == "a" && shut.is_some()), "{states:?}");
    node.stop().await;

    // With the other policy the end is cut off and the tenant works.
    let node = Node::start(dir.path(), |_| {}).await;
    assert_eq!(node.write("a", 3000).await, StatusCode::OK);
    node.stop().await;
    assert!(stored(dir.path(), "a").contains(&3000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commits_share_a_slow_sync() {
    const WRITERS: usize = 64;
    let dir = tempfile::tempdir().unwrap();
    let node = Arc::new(Node::start(dir.path(), |_| {}).await);
    assert_eq!(node.write("a", 1).await, StatusCode::OK);
    node.switches.delay_ms.store(100, Ordering::SeqCst);
    let before = node.switches.syncs.load(Ordering::SeqCst);
    let writers: Vec<_> = (0..WRITERS)
        .map(|_| {
            let node = Arc::clone(&node);
            tokio::spawn(async move { node.write("a", 2).await })
        })
        .collect();
    for writer in writers {
        assert_eq!(writer.await.unwrap(), StatusCode::OK);
    }
    let syncs = node.switches.syncs.load(Ordering::SeqCst) - before;
    assert!(syncs <= WRITERS as u64 / 4, "{syncs} syncs for {WRITERS} commits");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_over_many_tenants_waits_once() {
    const TENANTS: usize = 8;
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), |options| options.tenancy.split_label = Some("team".into())).await;
    let request = |t: u64| {
        let mut plain = Vec::new();
        for team in 0..TENANTS {
            let mut message = Vec::new();
            label(&mut message, "__name__", "shared");
            label(&mut message, "number", "0");
            label(&mut message, "team", &format!("team-{team}"));
            let mut sample = vec![0x10];
            put_uvarint(&mut sample, t);
            field(&mut message, 0x12, &sample);
            field(&mut plain, 0x0A, &message);
        }
        snap::raw::Encoder::new().compress_vec(&plain).unwrap()
    };
    assert_eq!(node.post("/api/v1/receive", "x", request(1000)).await.0, StatusCode::OK);
    // From here on no sync ends before all have begun: one after the other would never get through.
    node.switches.together.store(TENANTS, Ordering::SeqCst);
    let (status, _, text) = node.post("/api/v1/receive", "x", request(2000)).await;
    assert_eq!(status, StatusCode::OK, "{text}");
    node.switches.together.store(0, Ordering::SeqCst);
    node.stop().await;
    for team in 0..TENANTS {
        assert_eq!(stored(dir.path(), &format!("team-{team}")), [1000, 2000]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_now_is_told_to_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), |options| {
        options.intake.bytes_in_work = 20_000;
        options.intake.decoded_bytes = 50_000;
        let limits = "write: {tenants: {small: {head_series_limit: 5}}}";
        options.limits = LimitsSource::Inline(limits.into());
    })
    .await;
    // More than there is in all never fits; what another request has now may fit later.
    let (status, retry, _) = node.post("/api/v1/receive", "a", body(6000, 1000)).await;
    assert_eq!((status, retry), (StatusCode::PAYLOAD_TOO_LARGE, None));
    let never = futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>();
    let slow = Request::post("/api/v1/receive").header("content-length", "19000");
    let mut slow = Box::pin(node.router.clone().oneshot(slow.body(Body::from_stream(never)).unwrap()));
    // One step takes it to its body, which never comes, with its bytes claimed.
    let waits = std::future::poll_fn(|context| Poll::Ready(slow.as_mut().poll(context).is_pending())).await;
    assert!(waits);
    let (status, retry, text) = node.post("/api/v1/receive", "a", body(100, 1000)).await;
    assert_eq!((status, retry.is_some()), (StatusCode::SERVICE_UNAVAILABLE, true), "{text}");
    drop(slow);
    assert_eq!(node.post("/api/v1/receive", "a", body(10, 1000)).await.0, StatusCode::OK);

    assert_eq!(node.post("/api/v1/receive", "small", body(9, 1000)).await.0, StatusCode::OK);
    let (status, retry, _) = node.post("/api/v1/receive", "small", body(9, 1000)).await;
    assert_eq!((status, retry.is_some()), (StatusCode::TOO_MANY_REQUESTS, true));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_manners_at_its_own_path() {
    let dir = tempfile::tempdir().unwrap();
    let node = Node::start(dir.path(), |_| {}).await;
    let series = |labels: &[(&str, &str)], t: i64| {
        let mut message = Vec::new();
        for (name, value) in labels {
            label(&mut message, name, value);
        }
        let mut sample = vec![0x10];
        put_uvarint(&mut sample, t as u64);
        field(&mut message, 0x12, &sample);
        let mut plain = Vec::new();
        field(&mut plain, 0x0A, &message);
        plain
    };
    let send = async |parts: &[Vec<u8>]| {
        let packed = snap::raw::Encoder::new().compress_vec(&parts.concat()).unwrap();
        node.post("/api/v1/write", "p", packed).await
    };
    let unsorted = series(&[("number", "0"), ("__name__", "x")], 1000);
    assert_eq!(send(&[unsorted]).await.0, StatusCode::NO_CONTENT);
    let nameless = series(&[("number", "9")], 2000);
    let good = series(&[("__name__", "x"), ("number", "0")], 2000);
    let (status, _, text) = send(&[nameless, good]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("no metric name") && text.contains("{number=\"9\"}"), "{text}");
    let old = series(&[("__name__", "x"), ("number", "0")], 1500);
    let (status, _, text) = send(&[old]).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(text.contains("out of order sample") && text.contains("__name__=\"x\""), "{text}");
    node.stop().await;
    assert_eq!(stored(dir.path(), "p"), [1000, 2000]);
}

/// Measures what slow syncs cost: `cargo test --release -p sarsen-server --lib slow_syncs -- --ignored --nocapture`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement, for a release build"]
async fn slow_syncs_cost_little_throughput() {
    const SERIES: usize = 2000;
    const ROUNDS: usize = 60;
    for (delay, senders) in [(0, 64), (10, 64), (50, 256)] {
        let dir = tempfile::tempdir().unwrap();
        let node = Arc::new(Node::start(dir.path(), |_| {}).await);
        node.switches.delay_ms.store(delay, Ordering::SeqCst);
        let rounds = ROUNDS * 64 / senders;
        // Every sender has series of its own; bodies are made before the clock runs.
        let bodies = |sender: usize| -> Vec<Vec<u8>> {
            let own = sender * SERIES..(sender + 1) * SERIES;
            (0..rounds).map(|round| body_of(own.clone(), 1_000_000 + round as i64 * 1000)).collect()
        };
        let all: Vec<_> = (0..senders).map(bodies).collect();
        let started = Instant::now();
        let work: Vec<_> = all
            .into_iter()
            .enumerate()
            .map(|(sender, bodies)| {
                let node = Arc::clone(&node);
                tokio::spawn(async move {
                    let mut took = Vec::new();
                    for body in bodies {
                        let begun = Instant::now();
                        let (status, _, text) =
                            node.post("/api/v1/receive", &format!("t{}", sender % 4), body).await;
                        assert_eq!(status, StatusCode::OK, "{text}");
                        took.push(begun.elapsed());
                    }
                    took
                })
            })
            .collect();
        let mut took = Vec::new();
        for one in work {
            took.extend(one.await.unwrap());
        }
        took.sort_unstable();
        let rate = (took.len() * SERIES) as f64 / started.elapsed().as_secs_f64();
        println!(
            "sync +{delay} ms, {senders} senders: {:.2} M samples/s, acknowledged after p50 {:?}, p99 {:?}",
            rate / 1e6,
            took[took.len() / 2],
            took[took.len() * 99 / 100]
        );
    }
}
