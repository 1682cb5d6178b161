//! A server process for a test: started on free ports, asked over real sockets, stopped or killed, and its databases read.
//!
//! Not every test file uses all of it.

#![allow(dead_code, reason = "each test file uses its part of this room")]

#[cfg(feature = "compact")]
pub(crate) mod blocks;
pub(crate) mod body;
pub(crate) mod browser;
#[cfg(feature = "compact")]
pub(crate) mod minio;
#[cfg(feature = "store")]
pub(crate) mod questions;
pub(crate) mod s3;
#[cfg(feature = "store")]
pub(crate) mod storeapi;
pub(crate) mod target;
#[cfg(feature = "store")]
pub(crate) mod thanos;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use reqwest::header::HeaderMap;
use sarsen_block::{ChunkSet as _, MatchOp, Matcher, TimeRange, Value, decode_chunks};
use sarsen_tsdb::Db;

/// Labels as text pairs; bytes that are not UTF-8 are kept.
pub(crate) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;
/// Series to samples, values as bits.
pub(crate) type Stored = BTreeMap<Pairs, Vec<(i64, u64)>>;

/// A running `sarsen-receive` or `sarsen standalone`.
pub(crate) struct Node {
    child: Mutex<Child>,
    pub(crate) write: String,
    pub(crate) admin: String,
    pub(crate) root: PathBuf,
    log: PathBuf,
    /// `host:port` of its StoreAPI, of a node that has one.
    pub(crate) grpc: String,
}

/// Two ports that were free a moment ago.
fn free_ports() -> (u16, u16) {
    (sarsen_benches::free_port().unwrap(), sarsen_benches::free_port().unwrap())
}

/// Any port for gRPC, unless a test wants one: the usual one is for a single process of a machine.
fn grpc_address(extra: &[&str]) -> Option<&'static str> {
    let is_given = extra.iter().any(|argument| argument.starts_with("--grpc-address="));
    (!is_given).then_some("--grpc-address=127.0.0.1:0")
}

impl Node {
    /// Starts a receiver with its databases in `dir/tsdb` and waits until it is ready.
    pub(crate) async fn receive(dir: &Path, extra: &[&str]) -> Self {
        let node = Self::receive_unready(dir, extra);
        node.wait_ready().await;
        node
    }

    /// Starts a receiver and does not wait.
    pub(crate) fn receive_unready(dir: &Path, extra: &[&str]) -> Self {
        let (write, admin) = free_ports();
        let root = dir.join("tsdb");
        let mut command = Command::new(env!("CARGO_BIN_EXE_sarsen-receive"));
        command
            .arg("receive")
            .arg(format!("--remote-write.address=127.0.0.1:{write}"))
            .arg(format!("--http-address=127.0.0.1:{admin}"))
            .arg(format!("--tsdb.path={}", root.display()))
            .args(["--label=receive_replica=\"r0\"", "--label=region=\"eu\""])
            .args(grpc_address(extra))
            .args(extra);
        Self::start(command, dir, (write, admin), root)
    }

    /// Starts `sarsen standalone` in `dir/data` and waits until it is ready.
    pub(crate) async fn standalone(dir: &Path, extra: &[&str]) -> Self {
        let (port, grpc) = free_ports();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sarsen"));
        command
            .arg("standalone")
            .arg(format!("--http-address=127.0.0.1:{port}"))
            .arg(format!("--grpc-address=127.0.0.1:{grpc}"))
            .arg(format!("--data-dir={}", dir.join("data").display()))
            .args(extra);
        let mut node = Self::start(command, dir, (port, port), dir.join("data/tenants"));
        node.grpc = format!("127.0.0.1:{grpc}");
        node.wait_ready().await;
        node
    }

    /// Starts a store gateway on a bucket, with what it keeps in `dir/store`, and waits until it is ready.
    #[cfg(feature = "store")]
    pub(crate) async fn store(dir: &Path, objstore: &str, extra: &[&str]) -> Self {
        let node = Self::store_unready(dir, objstore, extra);
        node.wait_ready().await;
        node
    }

    /// Starts a store gateway and does not wait.
    #[cfg(feature = "store")]
    pub(crate) fn store_unready(dir: &Path, objstore: &str, extra: &[&str]) -> Self {
        let (http, grpc) = free_ports();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sarsen-store"));
        command
            .arg("store")
            .arg(format!("--http-address=127.0.0.1:{http}"))
            .arg(format!("--grpc-address=127.0.0.1:{grpc}"))
            .arg(format!("--objstore.config={objstore}"))
            .arg(format!("--data-dir={}", dir.join("store").display()))
            .args(extra);
        let mut node = Self::start(command, dir, (http, http), dir.join("store"));
        node.grpc = format!("127.0.0.1:{grpc}");
        node
    }

    /// Starts a receiver that answers the StoreAPI.
    #[cfg(feature = "store")]
    pub(crate) async fn receive_with_store(dir: &Path, extra: &[&str]) -> Self {
        let (_, grpc) = free_ports();
        let grpc = format!("127.0.0.1:{grpc}");
        let address = format!("--grpc-address={grpc}");
        let mut node = Self::receive(dir, &[&[address.as_str()], extra].concat()).await;
        node.grpc = grpc;
        node
    }

    /// Starts a querier over these endpoints and waits until it has looked at them.
    #[cfg(feature = "query")]
    pub(crate) async fn query(dir: &Path, endpoints: &[&str], extra: &[&str]) -> Self {
        let node = Self::query_unready(dir, endpoints, extra);
        node.wait_ready().await;
        node
    }

    /// Starts a querier and does not wait.
    #[cfg(feature = "query")]
    pub(crate) fn query_unready(dir: &Path, endpoints: &[&str], extra: &[&str]) -> Self {
        let (http, grpc) = free_ports();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sarsen-query"));
        command
            .arg("query")
            .arg(format!("--http-address=127.0.0.1:{http}"))
            .arg(format!("--grpc-address=127.0.0.1:{grpc}"))
            .args(endpoints.iter().map(|endpoint| format!("--endpoint={endpoint}")))
            .args(extra);
        let mut node = Self::start(command, dir, (http, http), dir.to_owned());
        node.grpc = format!("127.0.0.1:{grpc}");
        node
    }

    /// A client of its StoreAPI, which may begin a moment after it says that it is ready.
    #[cfg(feature = "store")]
    pub(crate) async fn client(&self) -> sarsen_benches::storeapi::StoreClient {
        let mut client = None;
        self.wait_until("listening for gRPC", async || {
            client = sarsen_benches::storeapi::StoreClient::connect(&self.grpc).await.ok();
            client.is_some()
        })
        .await;
        client.unwrap()
    }

    /// Starts a compactor with these arguments, on a free port, and waits until it is ready.
    #[cfg(feature = "compact")]
    pub(crate) async fn compact(dir: &Path, arguments: &[&str]) -> Self {
        let (port, _) = free_ports();
        let mut command = Command::new(env!("CARGO_BIN_EXE_sarsen-compact"));
        command.args(arguments).arg(format!("--http-address=127.0.0.1:{port}"));
        let node = Self::start(command, dir, (port, port), dir.to_owned());
        node.wait_ready().await;
        node
    }

    fn start(mut command: Command, dir: &Path, ports: (u16, u16), root: PathBuf) -> Self {
        let log = dir.join("log");
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).unwrap();
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        let child = Mutex::new(command.spawn().unwrap());
        let address = |port| format!("http://127.0.0.1:{port}");
        Self { child, write: address(ports.0), admin: address(ports.1), root, log, grpc: String::new() }
    }

    /// What the process has logged.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub(crate) async fn wait_ready(&self) {
        self.wait_until("ready", async || {
            let answer = reqwest::get(format!("{}/-/ready", self.admin)).await;
            answer.is_ok_and(|answer| answer.status().is_success())
        })
        .await;
    }

    /// Asks again and again, for a minute at most, and once more after the process has ended.
    pub(crate) async fn wait_until(&self, what: &str, mut done: impl AsyncFnMut() -> bool) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let ended = self.child.lock().unwrap().try_wait().unwrap();
            if done().await {
                return;
            }
            if let Some(status) = ended {
                unreachable!("not {what} when it ended with {status}:\n{}", self.log());
            }
            assert!(Instant::now() < end, "not {what} after a minute:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Posts a body as Prometheus does.
    pub(crate) async fn post(&self, path: &str, headers: HeaderMap, body: Vec<u8>) -> reqwest::Response {
        let request = reqwest::Client::new().post(format!("{}{path}", self.write));
        request.headers(headers).body(body).send().await.unwrap()
    }

    /// The value of a metric: the first line that begins with `name`.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let page = reqwest::get(format!("{}/metrics", self.admin)).await.ok()?.text().await.ok()?;
        let line = page
            .lines()
            .find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.get_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// Tells it to stop, and waits; how it ended.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal("TERM");
        self.child.get_mut().unwrap().wait().unwrap().code()
    }

    /// Kills it without warning.
    pub(crate) fn kill(mut self) {
        let child = self.child.get_mut().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Sends a signal: `STOP` makes it stand still with all its connections open, `CONT` makes it go on.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.lock().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // A test that failed may have left the lock poisoned; the process must not outlive it.
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let _ = child.kill();
        let _ = child.wait();
    }
}

/// Headers of a remote write 1.0 request.
pub(crate) fn headers(more: &[(&str, &str)]) -> HeaderMap {
    let usual = [
        ("content-encoding", "snappy"),
        ("content-type", "application/x-protobuf"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ];
    let mut map = HeaderMap::new();
    for (name, value) in usual.iter().chain(more) {
        let name = reqwest::header::HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.insert(name, reqwest::header::HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

/// Everything that the database in `directory` holds in floats, read with the database closed elsewhere.
pub(crate) fn read_database(directory: &Path) -> Stored {
    let db = Db::builder(directory).open().unwrap();
    read_open(&db)
}

/// All floats that an open database holds.
pub(crate) fn read_open(db: &Db) -> Stored {
    let all = Matcher::new(MatchOp::Regex, "__name__", ".*").unwrap();
    let mut set = db.querier(TimeRange::ALL).select(&[all]).unwrap();
    let mut stored = Stored::new();
    while let Some(series) = set.next().unwrap() {
        let labels = series.labels.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        let samples = decode_chunks(&series.chunks, TimeRange::ALL).unwrap();
        let floats = samples.iter().filter_map(|sample| match &sample.value {
            Value::Float(value) => Some((sample.t, value.to_bits())),
            Value::Histogram(_) => None,
        });
        stored.entry(labels).or_default().extend(floats);
    }
    stored
}
