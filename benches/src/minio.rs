//! A real MinIO on loopback, for benches and tests; killed when dropped.
//!
//! `benches/peers/build.sh` builds the program. One that ends before it answers, because somebody was faster at its port, is started again at
//! another one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use crate::http::Client;
use crate::ports::free_address;
use crate::process::{Usage, usage};

const USER: &str = "AKTEST";
const PASSWORD: &str = "secret-of-the-bench";
/// How often it is started before it is given up.
const STARTS: usize = 5;

/// The process. Killed when dropped.
#[derive(Debug)]
pub struct Minio {
    child: Child,
    program: PathBuf,
    folder: PathBuf,
    address: String,
    /// The object store file for the bucket `blocks`.
    pub config: String,
}

impl Minio {
    /// Starts `program` below `folder` with the bucket `blocks` and waits until it answers.
    ///
    /// # Errors
    /// If it cannot be started, ends again and again, or does not answer within a minute.
    pub fn start(program: &Path, folder: &Path) -> anyhow::Result<Self> {
        Self::with_buckets(program, folder, &["blocks"])
    }

    /// The same with these buckets.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn with_buckets(program: &Path, folder: &Path, buckets: &[&str]) -> anyhow::Result<Self> {
        for bucket in buckets {
            // A folder below the data folder is a bucket.
            fs::create_dir_all(folder.join("minio").join(bucket))?;
        }
        for _ in 0..STARTS {
            let address = free_address()?;
            let child = spawn(program, folder, &address)?;
            let (program, folder) = (program.to_owned(), folder.to_owned());
            let mut minio = Self { child, program, folder, address, config: String::new() };
            if minio.answers()? {
                minio.config = minio.config("blocks");
                return Ok(minio);
            }
        }
        bail!("minio ended {STARTS} times before it answered")
    }

    /// The object store file for one of its buckets.
    pub fn config(&self, bucket: &str) -> String {
        format!(
            "type: S3\nconfig:\n  bucket: {bucket}\n  endpoint: {}\n  access_key: {USER}\n  \
             secret_key: {PASSWORD}\n  insecure: true\n",
            self.address
        )
    }

    /// Kills it.
    pub fn stop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Starts it again after it was stopped, on the same data and at the same address, and waits until it answers.
    ///
    /// # Errors
    /// If it cannot be started, ends, or does not answer within a minute.
    pub fn start_again(&mut self) -> anyhow::Result<()> {
        self.child = spawn(&self.program, &self.folder, &self.address)?;
        anyhow::ensure!(self.answers()?, "minio ended");
        Ok(())
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// If it is gone.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        Ok(usage(self.child.id())?)
    }

    /// Waits until it answers; false if it ended instead.
    fn answers(&mut self) -> anyhow::Result<bool> {
        let begin = Instant::now();
        loop {
            let answer = Client::new(self.address.as_str()).get("/minio/health/ready");
            // Looked at after the answer, which may be that of another process at the same port.
            if self.child.try_wait()?.is_some() {
                return Ok(false);
            }
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok(true);
            }
            anyhow::ensure!(
                begin.elapsed() < Duration::from_secs(60),
                "minio does not answer within a minute"
            );
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        self.stop();
    }
}

fn spawn(program: &Path, folder: &Path, address: &str) -> anyhow::Result<Child> {
    Command::new(program)
        .args(["server", "--quiet", "--address", address, "--console-address", "127.0.0.1:0"])
        .arg(folder.join("minio"))
        .envs([("MINIO_ROOT_USER", USER), ("MINIO_ROOT_PASSWORD", PASSWORD), ("MINIO_UPDATE", "off")])
        .env("HOME", folder.join("home"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("starting {}", program.display()))
}
