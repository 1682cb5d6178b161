//! A server process on loopback: started, asked whether it is ready, killed; plain or with every sync slowed.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;
use sarsen_benches::{Client, Usage, usage};

/// Which program, and how it wants to be told its folder and ports.
pub(crate) struct Program {
    path: PathBuf,
    further: Vec<String>,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sarsen,
    Prometheus,
}

impl Program {
    pub(crate) fn sarsen(path: impl AsRef<Path>, further: &[String]) -> Self {
        Self { path: path.as_ref().to_owned(), further: further.to_vec(), kind: Kind::Sarsen }
    }

    pub(crate) fn prometheus(path: impl AsRef<Path>, further: &[String]) -> Self {
        Self { path: path.as_ref().to_owned(), further: further.to_vec(), kind: Kind::Prometheus }
    }

    /// Where it takes remote write.
    pub(crate) const fn write_path(&self) -> &'static str {
        match self.kind {
            Kind::Sarsen => "/api/v1/receive",
            Kind::Prometheus => "/api/v1/write",
        }
    }

    /// The database of the default tenant and the log in it.
    pub(crate) fn log_folder(&self, folder: &Path) -> PathBuf {
        match self.kind {
            Kind::Sarsen => self.database(folder).join("log"),
            Kind::Prometheus => self.database(folder).join("wal"),
        }
    }

    /// Where blocks appear.
    pub(crate) fn database(&self, folder: &Path) -> PathBuf {
        match self.kind {
            Kind::Sarsen => folder.join("default-tenant"),
            Kind::Prometheus => folder.to_owned(),
        }
    }

    fn arguments(&self, folder: &Path, http: u16, write: u16) -> anyhow::Result<Vec<String>> {
        let folder_text = folder.display();
        let mut arguments = match self.kind {
            Kind::Sarsen => vec![
                format!("--tsdb.path={folder_text}"),
                format!("--http-address=127.0.0.1:{http}"),
                format!("--remote-write.address=127.0.0.1:{write}"),
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
pub(crate) struct Server {
    child: Child,
    /// `host:port` that takes remote write.
    pub(crate) write: String,
    /// Time from start until ready.
    pub(crate) ready_after: Duration,
}

impl Server {
    pub(crate) fn start(program: &Program, folder: &Path) -> anyhow::Result<Self> {
        Self::start_under(program, folder, None)
    }

    /// Starts with every fdatasync and fsync taking `slow` longer.
    pub(crate) fn start_slow(program: &Program, folder: &Path, slow: Duration) -> anyhow::Result<Self> {
        Self::start_under(program, folder, Some(slow))
    }

    fn start_under(program: &Program, folder: &Path, slow: Option<Duration>) -> anyhow::Result<Self> {
        let (http, write) = (free_port()?, free_port()?);
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
        command.args(program.arguments(folder, http, write)?).stdin(Stdio::null()).stdout(Stdio::null());
        let begin = Instant::now();
        let child = command.spawn().with_context(|| format!("starting {}", program.path.display()))?;
        let probe = if program.kind == Kind::Sarsen { http } else { write };
        let mut server = Self { child, write: format!("127.0.0.1:{write}"), ready_after: Duration::ZERO };
        server.wait_until_ready(&format!("127.0.0.1:{probe}"))?;
        server.ready_after = begin.elapsed();
        Ok(server)
    }

    fn wait_until_ready(&mut self, probe: &str) -> anyhow::Result<()> {
        let begin = Instant::now();
        loop {
            if let Ok(answer) = Client::new(probe).get("/-/ready")
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

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Ok(usage(self.pid())?)
    }

    /// Kills it as a power cut would, as far as a process can tell.
    pub(crate) fn kill(mut self) -> anyhow::Result<()> {
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

/// A port that nobody listens on just now.
fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
