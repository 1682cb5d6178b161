//! What tests of the whole program share: where things are, and a server that dies with its test.
#![allow(dead_code, unreachable_pub, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

/// A file or folder of the stored test data.
pub fn testdata(path: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../testdata")).join(path)
}

/// A program of this crate.
pub fn program(name: &str) -> Command {
    let path = match name {
        "sarsen" => env!("CARGO_BIN_EXE_sarsen"),
        "sarsen-receive" => env!("CARGO_BIN_EXE_sarsen-receive"),
        "sarsen-compact" => env!("CARGO_BIN_EXE_sarsen-compact"),
        other => panic!("there is no program {other}"),
    };
    Command::new(path)
}

/// How a program ended: exit code, standard output, standard error. It says whole lines.
pub fn said(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let (out, error) = (text(output.stdout), text(output.stderr));
    for text in [&out, &error] {
        assert!(text.is_empty() || text.ends_with('\n'), "ends within a line: {text:?}");
    }
    (output.status.code().unwrap(), out, error)
}

/// A port nobody listened at a moment ago.
pub fn free_port() -> u16 {
    sarsen_benches::free_port().unwrap()
}

/// A running program; killed when dropped.
pub struct Running {
    child: Child,
    log: Arc<Mutex<String>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Running {
    /// Starts a program and gathers what it logs.
    pub fn start(name: &str, args: &[String]) -> Self {
        let mut child =
            program(name).args(args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (stderr, gathered) = (child.stderr.take().unwrap(), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                let mut log = gathered.lock().unwrap();
                log.push_str(&line);
                log.push('\n');
            }
        });
        Self { child, log, reader: Some(reader) }
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends SIGTERM and waits for the end.
    pub fn stop(mut self) -> (ExitStatus, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let status = self.child.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status, self.log())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks again and again until there is an answer; gives up after a minute.
pub async fn eventually<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("no answer within a minute");
}
