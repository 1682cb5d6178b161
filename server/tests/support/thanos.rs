//! Thanos' own programs beside ours, on loopback, killed when dropped.
//!
//! `benches/peers/build.sh` builds them. Without them a test says that it was skipped, and fails under `SARSEN_REQUIRE_PEERS=1`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::free_ports;

/// A running `thanos`.
pub(crate) struct Thanos {
    child: Child,
    log: PathBuf,
    /// `host:port` that answers HTTP.
    pub(crate) http: String,
    /// `host:port` that answers gRPC.
    pub(crate) grpc: String,
    /// Where a receiver takes remote write.
    pub(crate) write: String,
}

impl Drop for Thanos {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where the program is, if it is anywhere.
pub(crate) fn program() -> Option<PathBuf> {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../benches/peers/bin/thanos");
    if program.is_file() {
        return Some(program);
    }
    let required = std::env::var("SARSEN_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "no thanos: benches/peers/build.sh builds it");
    // Written to the stream itself, because the test runner would keep what `eprintln!` says.
    let mut screen = std::io::stderr();
    writeln!(screen, "SKIPPED: no thanos, benches/peers/build.sh builds it").unwrap();
    None
}

/// Starts a role below `dir` with these arguments and waits until it is ready.
pub(crate) async fn start(program: &Path, dir: &Path, role: &str, arguments: &[String]) -> Thanos {
    let (http, grpc) = free_ports();
    let (http, grpc) = (format!("127.0.0.1:{http}"), format!("127.0.0.1:{grpc}"));
    let log = dir.join(format!("thanos-{role}-{http}.log"));
    let child = Command::new(program)
        .arg(role)
        .arg(format!("--http-address={http}"))
        // It has no services of its own.
        .args((role != "query-frontend").then(|| format!("--grpc-address={grpc}")))
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let thanos = Thanos { child, log, http, grpc, write: String::new() };
    for _ in 0..600 {
        let answer = reqwest::get(format!("http://{}/-/ready", thanos.http)).await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return thanos;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    unreachable!("thanos {role} is not ready:\n{}", std::fs::read_to_string(&thanos.log).unwrap());
}

/// A store gateway on the bucket of an object store file.
pub(crate) async fn store(program: &Path, dir: &Path, objstore: &str) -> Thanos {
    let data = dir.join("thanos-store");
    let arguments = [format!("--objstore.config={objstore}"), format!("--data-dir={}", data.display())];
    start(program, dir, "store", &arguments).await
}

/// A receiver with the external labels of the tests.
pub(crate) async fn receive(program: &Path, dir: &Path) -> Thanos {
    let data = dir.join("thanos-receive");
    let (write, _) = free_ports();
    let arguments = [
        format!("--tsdb.path={}", data.display()),
        format!("--remote-write.address=127.0.0.1:{write}"),
        "--label=receive_replica=\"r0\"".to_owned(),
        "--label=region=\"eu\"".to_owned(),
        "--receive.local-endpoint=127.0.0.1:1".to_owned(),
    ];
    let mut thanos = start(program, dir, "receive", &arguments).await;
    thanos.write = format!("http://127.0.0.1:{write}/api/v1/receive");
    thanos
}

/// Writes a body to a receiver.
pub(crate) async fn write(receiver: &Thanos, tenant: &str, body: Vec<u8>) {
    let request =
        reqwest::Client::new().post(&receiver.write).headers(super::headers(&[("thanos-tenant", tenant)]));
    let answer = request.body(body).send().await.unwrap();
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
}

/// A querier that asks one endpoint and has found it.
pub(crate) async fn query(program: &Path, dir: &Path, endpoint: &str) -> Thanos {
    let arguments = [format!("--endpoint={endpoint}"), "--query.replica-label=receive_replica".to_owned()];
    let query = start(program, dir, "query", &arguments).await;
    for _ in 0..300 {
        let stores =
            reqwest::get(format!("http://{}/api/v1/stores", query.http)).await.unwrap().text().await.unwrap();
        let stores: serde_json::Value = serde_json::from_str(&stores).unwrap();
        let known =
            stores["data"].as_object().into_iter().flatten().flat_map(|(_, all)| all.as_array().unwrap());
        if known.into_iter().any(|store| store["lastError"].is_null() && store["name"] == endpoint) {
            return query;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    unreachable!("{endpoint} was not found:\n{}", std::fs::read_to_string(&query.log).unwrap());
}
