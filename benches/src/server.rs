//! A server process on loopback: started, asked whether it is ready, killed; plain or with every sync slowed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::http::Client;
use crate::ports::free_port;
use crate::process::{Usage, usage};
use anyhow::Context;

/// Which program, and how it wants to be told its folder and ports.
#[derive(Debug, Clone)]
pub struct Program {
    path: PathBuf,
    further: Vec<String>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sarsen,
    Prometheus,
}

impl Program {
    /// A `sarsen-receive`.
    pub fn sarsen(path: impl AsRef<Path>, further: &[String]) -> Self {
        Self { path: path.as_ref().to_owned(), further: further.to_vec(), kind: Kind::Sarsen }
    }

    /// A Prometheus as a receiver of remote write.
    pub fn prometheus(path: impl AsRef<Path>, further: &[String]) -> Self {
        Self { path: path.as_ref().to_owned(), further: further.to_vec(), kind: Kind::Prometheus }
    }

    /// Where it takes remote write.
    pub const fn write_path(&self) -> &'static str {
        match self.kind {
            Kind::Sarsen => "/api/v1/receive",
            Kind::Prometheus => "/api/v1/write",
        }
    }

    /// The log in the database of the default tenant.
    pub fn log_folder(&self, folder: &Path) -> PathBuf {
        match self.kind {
            Kind::Sarsen => self.database(folder).join("log"),
            Kind::Prometheus => self.database(folder).join("wal"),
        }
    }

    /// The database of the default tenant: where blocks appear.
    pub fn database(&self, folder: &Path) -> PathBuf {
        match self.kind {
            Kind::Sarsen => folder.join("default-tenant"),
            Kind::Prometheus => folder.to_owned(),
        }
    }

    fn arguments(&self, folder: &Path, [http, write, grpc]: [u16; 3]) -> anyhow::Result<Vec<String>> {
        let folder_text = folder.display();
        let mut arguments = match self.kind {
            Kind::Sarsen => vec![
                format!("--tsdb.path={folder_text}"),
                format!("--http-address=127.0.0.1:{http}"),
                format!("--remote-write.address=127.0.0.1:{write}"),
                format!("--grpc-address=127.0.0.1:{grpc}"),
                "--label=replica=\"measure\"".to_owned(),
                "--log.level=warn".to_owned(),
            ],
            Kind::Prometheus => {
                let config = folder.with_extension("yml");
                std::fs::write(&config, "global: {}\n")?;
                vec![
                    format!("--config.file={}", config.display()),
                    format!("--storage.tsdb.path={folder_text}"),
                    format!("--web.listen-address=127.0.0.1:{write}"),
                    "--web.enable-remote-write-receiver".to_owned(),
                    "--log.level=warn".to_owned(),
                ]
            }
        };
        arguments.extend(self.further.iter().cloned());
        Ok(arguments)
    }
}

/// A running server. Killed when dropped.
#[derive(Debug)]
pub struct Server {
    child: Child,
    /// `host:port` that takes remote write.
    pub write: String,
    /// `host:port` that answers the StoreAPI, of a `sarsen-receive`.
    pub grpc: String,
    /// `host:port` that says whether it is ready.
    probe: String,
    begin: Instant,
    /// Time from start until ready; zero before.
    pub ready_after: Duration,
}

impl Server {
    /// Starts a program on a folder and waits until it says that it is ready.
    ///
    /// # Errors
    /// If it cannot be started, ends, or is not ready within five minutes.
    pub fn start(program: &Program, folder: &Path) -> anyhow::Result<Self> {
        Self::start_under(program, folder, None)?.ready()
    }

    /// Starts a program on a folder and does not wait.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start_without_waiting(program: &Program, folder: &Path) -> anyhow::Result<Self> {
        Self::start_under(program, folder, None)
    }

    /// Starts with every fdatasync and fsync taking `slow` longer, by means of strace.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_slow(program: &Program, folder: &Path, slow: Duration) -> anyhow::Result<Self> {
        Self::start_under(program, folder, Some(slow))?.ready()
    }

    fn start_under(program: &Program, folder: &Path, slow: Option<Duration>) -> anyhow::Result<Self> {
        let ports @ [http, write, grpc] = [free_port()?, free_port()?, free_port()?];
        let mut command = match slow {
            None => Command::new(&program.path),
            Some(slow) => {
                let calls = "fdatasync,fsync";
                let mut strace = Command::new("strace");
                strace.args(["-f", "--seccomp-bpf", "-qq", "-o", "/dev/null"]);
                strace.args(["-e", &format!("trace={calls}")]);
                strace.args(["-e", &format!("inject={calls}:delay_exit={}", slow.as_micros())]);
                strace.arg(&program.path);
                strace
            }
        };
        command.args(program.arguments(folder, ports)?).stdin(Stdio::null()).stdout(Stdio::null());
        let begin = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {}", program.path.display()))?;
        let probe = if program.kind == Kind::Sarsen { http } else { write };
        Ok(Self {
            child,
            write: format!("127.0.0.1:{write}"),
            grpc: format!("127.0.0.1:{grpc}"),
            probe: format!("127.0.0.1:{probe}"),
            begin,
            ready_after: Duration::ZERO,
        })
    }

    /// Waits until it says that it is ready.
    ///
    /// # Errors
    /// If it ends, or is not ready within five minutes.
    pub fn ready(mut self) -> anyhow::Result<Self> {
        self.wait_until_ready()?;
        self.ready_after = self.begin.elapsed();
        Ok(self)
    }

    fn wait_until_ready(&mut self) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            if let Ok(answer) = Client::new(self.probe.as_str()).get("/-/ready")
                && answer.status == 200
            {
                return Ok(());
            }
            if let Some(status) = self.child.try_wait()? {
                anyhow::bail!("the server ended with {status}");
            }
            anyhow::ensure!(
                begin.elapsed() < Duration::from_secs(300),
                "the server is not ready after 5 minutes"
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has used so far.
    ///
    /// # Errors
    /// If it is gone.
    pub fn usage(&self) -> anyhow::Result<Usage> {
        Ok(usage(self.pid())?)
    }

    /// Kills it as a power cut would, as far as a process can tell.
    ///
    /// # Errors
    /// If it cannot be killed.
    pub fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Under strace the tracer is our child; what it traces is killed first, or it would live on.
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", self.pid()));
        for child in children.unwrap_or_default().split_whitespace() {
            Command::new("kill").args(["-9", child]).status().ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Builds the receiver as it is shipped and says where it is.
///
/// # Errors
/// If it does not build.
pub fn build_receiver() -> anyhow::Result<PathBuf> {
    build("receive", "sarsen-receive")
}

/// Builds the binary of one role, linking only that role, and says where it is.
pub(crate) fn build(role: &str, name: &str) -> anyhow::Result<PathBuf> {
    let arguments = ["build", "--release", "-q", "-p", "sarsen-server", "--no-default-features"];
    let status = Command::new("cargo").args(arguments).args(["--features", role, "--bin", name]).status()?;
    anyhow::ensure!(status.success(), "{name} did not build");
    let own = std::env::current_exe()?;
    // A bench lies one folder deeper than a program.
    let folders = own.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join(name)).find(|path| path.is_file());
    found.with_context(|| format!("{name} was built, but does not lie beside this program"))
}

/// Bytes of all files below a folder.
pub fn folder_bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let sizes = entries.map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
