//! A querier as a process, over stores as processes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::gateway::start;
use crate::http::Client;
use crate::ports::free_address;
use crate::process::{Usage, usage};
use crate::server::build;

/// A running querier. Killed when dropped.
#[derive(Debug)]
pub struct Querier {
    child: Child,
    /// `host:port` that answers HTTP.
    pub http: String,
}

impl Querier {
    /// Starts `program` behind the words `under`, with its log below `folder`, and waits until it knows the stores at `endpoints`.
    /// Replicas differ in the label `replica`, and it chooses resolutions by itself.
    ///
    /// # Errors
    /// If it cannot be started, ends, or does not know them all within a minute.
    pub fn start(
        program: &Path,
        folder: &Path,
        endpoints: &[&str],
        under: &[String],
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(folder)?;
        let (http, grpc) = (free_address()?, free_address()?);
        let path = program.to_str().context("a path that is no text")?;
        let mut line = under.iter().map(String::as_str).chain([path, "query"]);
        let mut command = Command::new(line.next().context("no program")?);
        command.args(line).args(["--log.level=warn", "--query.auto-downsampling"]);
        command.args(["--query.replica-label=replica", "--query.replica-label=prometheus_replica"]);
        command.args([format!("--http-address={http}"), format!("--grpc-address={grpc}")]);
        command.args(endpoints.iter().map(|address| format!("--endpoint={address}")));
        let (child, _) = start(&mut command, &http, &folder.join("log"))?;
        let querier = Self { child, http };
        querier.wait_for(endpoints)?;
        Ok(querier)
    }

    fn wait_for(&self, endpoints: &[&str]) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            let page = Client::new(self.http.as_str()).get("/api/v1/stores")?;
            let text = String::from_utf8_lossy(&page.body).into_owned();
            let is_known = |address: &&str| text.contains(&format!("\"name\":\"{address}\""));
            if endpoints.iter().all(is_known) {
                return Ok(());
            }
            ensure!(begin.elapsed() < Duration::from_secs(60), "the querier knows no more than {text}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// If it is gone.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        Ok(usage(self.child.id())?)
    }
}

impl Drop for Querier {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Asks the querier behind `client` for a range; the answer's bytes. One that fails, warns or is empty is an error.
///
/// # Errors
/// What is wrong with the answer.
pub fn ask_range(client: &mut Client, form: &str) -> anyhow::Result<u64> {
    let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
    let answer = client.post("/api/v1/query_range", headers, form.as_bytes())?;
    let text = String::from_utf8_lossy(&answer.body);
    let told = || text.chars().take(500).collect::<String>();
    ensure!(answer.status == 200, "{form}: {}", told());
    ensure!(text.contains("\"values\":[["), "{form} is empty: {}", told());
    ensure!(
        !text.contains("\"warnings\":["),
        "{form} warns: {}",
        text.chars().rev().take(500).collect::<String>().chars().rev().collect::<String>()
    );
    Ok(answer.body.len() as u64)
}

/// Builds the querier as it is shipped and says where it is.
///
/// # Errors
/// If it does not build.
pub fn build_querier() -> anyhow::Result<PathBuf> {
    build("query", "sarsen-query")
}
