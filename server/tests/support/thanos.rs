//! Thanos' own programs beside ours, on loopback, killed when dropped.
//!
//! `benches/peers/build.sh` builds them. Without them a test says that it was skipped, and fails under `SARSEN_REQUIRE_PEERS=1`.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sarsen_benches::free_address;

/// How often a program is started that ends before it is ready, because somebody was faster at its ports.
const STARTS: usize = 5;

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
    start_told(program, dir, role, &|| (String::new(), arguments.to_vec())).await
}

/// The same with the arguments of each start, and the address for writes that is in them.
async fn start_told(
    program: &Path,
    dir: &Path,
    role: &str,
    told: &dyn Fn() -> (String, Vec<String>),
) -> Thanos {
    let mut said = String::new();
    for _ in 0..STARTS {
        let (write, arguments) = told();
        let mut thanos = spawn(program, dir, role, &arguments);
        if thanos.is_ready().await {
            thanos.write = write;
            return thanos;
        }
        said = std::fs::read_to_string(&thanos.log).unwrap();
    }
    unreachable!("thanos {role} ended {STARTS} times before it was ready:\n{said}");
}

fn spawn(program: &Path, dir: &Path, role: &str, arguments: &[String]) -> Thanos {
    let (http, grpc) = (free_address().unwrap(), free_address().unwrap());
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
    Thanos { child, log, http, grpc, write: String::new() }
}

impl Thanos {
    /// Waits until it is ready; false if it ended instead.
    async fn is_ready(&mut self) -> bool {
        for _ in 0..600 {
            let answer = reqwest::get(format!("http://{}/-/ready", self.http)).await;
            // Looked at after the answer, which may be that of another process at the same port.
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        unreachable!("thanos is not ready within a minute:\n{}", std::fs::read_to_string(&self.log).unwrap());
    }
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
    let told = || {
        let write = free_address().unwrap();
        let arguments = vec![
            format!("--tsdb.path={}", data.display()),
            format!("--remote-write.address={write}"),
            "--label=receive_replica=\"r0\"".to_owned(),
            "--label=region=\"eu\"".to_owned(),
            "--receive.local-endpoint=127.0.0.1:1".to_owned(),
        ];
        (format!("http://{write}/api/v1/receive"), arguments)
    };
    start_told(program, dir, "receive", &told).await
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
    let mut query = start(program, dir, "query", &arguments).await;
    for _ in 0..300 {
        assert!(
            query.child.try_wait().unwrap().is_none(),
            "it ended:\n{}",
            std::fs::read_to_string(&query.log).unwrap()
        );
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
