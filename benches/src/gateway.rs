//! A store gateway as a process, ours or Thanos'. Both take the same flags, so what they use can be compared.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::http::Client;
use crate::ports::free_address;
use crate::process::{Usage, usage};
use crate::server::build;

/// Which program, and what it is called in a table.
#[derive(Clone, Debug)]
pub struct GatewayProgram {
    /// In a table.
    pub name: &'static str,
    /// The program.
    pub path: PathBuf,
    /// What has to be said first, in a program of many roles.
    pub role: Option<&'static str>,
}

/// A running gateway. Killed when dropped.
#[derive(Debug)]
pub struct Gateway {
    child: Child,
    /// `host:port` that answers HTTP.
    pub http: String,
    /// `host:port` that answers gRPC.
    pub grpc: String,
    /// Time from the start until it was ready.
    pub ready_after: Duration,
}

impl GatewayProgram {
    /// Starts it behind the words `under` on the bucket of an object store file, with what it keeps below `folder`, and waits until
    /// it is ready.
    ///
    /// # Errors
    /// If it cannot be started, ends, or is not ready within ten minutes.
    pub fn start(&self, folder: &Path, objstore: &str, under: &[String]) -> anyhow::Result<Gateway> {
        fs::create_dir_all(folder)?;
        let config = folder.join("objstore.yml");
        fs::write(&config, objstore)?;
        let (http, grpc) = (free_address()?, free_address()?);
        let words: Vec<&str> = under.iter().map(String::as_str).collect();
        let path = self.path.to_str().context("a path that is no text")?;
        let line = [&words[..], &[path], self.role.as_slice()].concat();
        let (first, rest) = line.split_first().context("no program")?;
        let mut command = Command::new(first);
        command.args(rest).args(["--log.level=warn", "--index-cache-size=500MB", "--chunk-pool-size=500MB"]);
        command.arg(format!("--data-dir={}", folder.join("data").display()));
        command.arg(format!("--objstore.config-file={}", config.display()));
        command.args([format!("--http-address={http}"), format!("--grpc-address={grpc}")]);
        let log = folder.join("log");
        let (child, ready_after) = start(&mut command, &http, &log)?;
        Ok(Gateway { child, http, grpc, ready_after })
    }
}

/// Starts a program and waits until it says that it is ready.
pub(crate) fn start(command: &mut Command, http: &str, log: &Path) -> anyhow::Result<(Child, Duration)> {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log)?);
    let begin = Instant::now();
    let mut child = command.spawn().with_context(|| format!("starting {:?}", command.get_program()))?;
    loop {
        if Client::new(http).get("/-/ready").is_ok_and(|answer| answer.status == 200) {
            return Ok((child, begin.elapsed()));
        }
        let late = begin.elapsed() > Duration::from_secs(600);
        if late || child.try_wait()?.is_some() {
            child.kill().ok();
            child.wait().ok();
            let said = fs::read_to_string(log)?;
            anyhow::bail!("{:?} is not ready: {said}", command.get_program());
        }
        thread::sleep(Duration::from_millis(5));
    }
}

impl Gateway {
    /// What it has used so far.
    ///
    /// # Errors
    /// If it is gone.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        Ok(usage(self.child.id())?)
    }

    /// Requests that it made to the bucket, by operation, and the bytes that it fetched (`bytes`).
    ///
    /// # Errors
    /// If it does not answer.
    pub fn requests(&self) -> anyhow::Result<BTreeMap<String, u64>> {
        let text = self.metrics()?;
        let mut found = BTreeMap::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let value = || number(line);
            if line.starts_with("thanos_objstore_bucket_operations_total{") {
                let operation = line.split("operation=\"").nth(1).and_then(|rest| rest.split('"').next());
                *found.entry(operation.unwrap_or_default().to_owned()).or_default() += value();
            }
            if line.starts_with("thanos_objstore_bucket_operation_fetched_bytes_total{") {
                *found.entry("bytes".to_owned()).or_default() += value();
            }
        }
        Ok(found)
    }

    /// Bytes of the chunks that it has sent.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn sent(&self) -> anyhow::Result<u64> {
        let text = self.metrics()?;
        let is_sum = |line: &&str| line.starts_with("thanos_bucket_store_sent_chunk_size_bytes_sum");
        Ok(text.lines().filter(is_sum).map(number).sum())
    }

    fn metrics(&self) -> anyhow::Result<String> {
        let page = Client::new(self.http.as_str()).get("/metrics")?;
        Ok(String::from_utf8_lossy(&page.body).into_owned())
    }
}

/// The value of a line of metrics.
fn number(line: &str) -> u64 {
    line.rsplit(' ').next().and_then(|text| text.parse::<f64>().ok()).unwrap_or(0.0) as u64
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Builds the store gateway as it is shipped and says where it is.
///
/// # Errors
/// If it does not build.
pub fn build_gateway() -> anyhow::Result<PathBuf> {
    build("store", "sarsen-store")
}
