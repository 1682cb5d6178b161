//! A Prometheus on a copy of the block.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use sarsen_benches::{Client, free_address, usage};

use crate::data::ASKED;
use crate::ours::{Took, cpu};

/// The process.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    client: Client,
}

impl Peer {
    /// Starts it on the blocks in `folder`, and waits until it is ready.
    pub(crate) fn start(program: &Path, folder: &Path, threads: usize) -> anyhow::Result<Self> {
        let config = folder.with_extension("yml");
        std::fs::write(&config, "global: {}\n")?;
        let address = free_address()?;
        let child = Command::new(program)
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.display()))
            .arg(format!("--web.listen-address={address}"))
            .args(["--storage.tsdb.retention.time=100y", "--log.level=error"])
            .env("GOMAXPROCS", threads.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut peer = Self { child, client: Client::new(address) };
        let begin = Instant::now();
        while !peer.client.get("/-/ready").is_ok_and(|response| response.status == 200) {
            if let Some(status) = peer.child.try_wait()? {
                bail!("Prometheus ended with {status}");
            }
            if begin.elapsed() > Duration::from_secs(60) {
                bail!("Prometheus is not ready after a minute");
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(peer)
    }

    /// Asks a question so often; the best time, and the most memory of the process so far.
    pub(crate) fn ask(&mut self, query: &str, times: usize) -> anyhow::Result<Took> {
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1000, ms % 1000);
        let body = format!(
            "query={}&start={}&end={}&step={}",
            escaped(query),
            seconds(ASKED.0),
            seconds(ASKED.1),
            ASKED.2 / 1000
        );
        let mut best = Duration::MAX;
        let before = cpu(self.child.id())?;
        for _ in 0..times {
            let begin = Instant::now();
            let headers = "Content-Type: application/x-www-form-urlencoded\r\n";
            let response = self.client.post("/api/v1/query_range", headers, body.as_bytes())?;
            best = best.min(begin.elapsed());
            if response.status != 200 {
                bail!("Prometheus says: {}", String::from_utf8_lossy(&response.body));
            }
        }
        let spent = cpu(self.child.id())? - before;
        Ok(Took { time: best, cpu: spent / times.max(1) as u32, peak: usage(self.child.id())?.peak })
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
