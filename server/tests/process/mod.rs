//! Processes under test: ours and foreign ones, on loopback, killed when dropped.
//!
//! A foreign program that is missing makes a test end early and say so, past the capture of the test runner; under
//! `SARSEN_REQUIRE_PEERS=1` it makes the test fail.

#![allow(dead_code, reason = "each test binary uses its own part of this room")]

use std::ffi::OsStr;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sarsen_benches::Client;

/// A child process with the end of its log at hand.
pub(crate) struct Process {
    child: Child,
    name: String,
    log: PathBuf,
}

impl Process {
    /// Starts `program`; what it prints goes to `<folder>/<name>.log`.
    pub(crate) fn start(
        name: &str,
        program: impl AsRef<OsStr>,
        folder: &Path,
        arguments: &[String],
        environment: &[(&str, &str)],
    ) -> Self {
        let log = folder.join(format!("{name}.log"));
        let file = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn()
            .unwrap_or_else(|why| panic!("start {name}: {why}"));
        Self { child, name: name.to_owned(), log }
    }

    /// Waits until `http://address/path` answers 200.
    pub(crate) fn wait_for(&mut self, address: &str, path: &str) {
        let mut client = Client::new(address);
        let begin = Instant::now();
        while !client.get(path).is_ok_and(|answer| answer.status == 200) {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{} ended with {status}:\n{}", self.name, self.log());
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{} is not ready:\n{}", self.name, self.log());
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Sends SIGTERM and waits for the end.
    pub(crate) fn stop(mut self) -> ExitStatus {
        let asked = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(asked.success());
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                begin.elapsed() < Duration::from_secs(90),
                "{} does not stop:\n{}",
                self.name,
                self.log()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// What it has printed.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// `sarsen receive` with its two addresses.
pub(crate) struct Receiver {
    /// The process.
    pub(crate) process: Process,
    /// Takes remote write.
    pub(crate) write: String,
    /// Answers probes and metrics.
    pub(crate) http: String,
}

impl Receiver {
    /// Starts it on `<folder>/receive` and waits until it is ready.
    pub(crate) fn start(folder: &Path, further: &[String]) -> Self {
        let (write, http) = (free_address(), free_address());
        let mut arguments = vec![
            "receive".to_owned(),
            format!("--tsdb.path={}", folder.join("receive").display()),
            format!("--remote-write.address={write}"),
            format!("--http-address={http}"),
            "--grpc-address=127.0.0.1:0".to_owned(),
            "--label=replica=\"a\"".to_owned(),
        ];
        arguments.extend_from_slice(further);
        let mut process = Process::start("receive", sarsen(), folder, &arguments, &[]);
        process.wait_for(&http, "/-/ready");
        Self { process, write, http }
    }
}

/// Starts a Prometheus with this text of a configuration on `<folder>/<name>`; its address.
pub(crate) fn prometheus(
    program: &Path,
    folder: &Path,
    name: &str,
    config: &str,
    further: &[&str],
) -> (Process, String) {
    let (address, file) = (free_address(), folder.join(format!("{name}.yml")));
    std::fs::write(&file, config.replace("OWN-ADDRESS", &address)).unwrap();
    let mut arguments = vec![
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", folder.join(name).display()),
        format!("--web.listen-address={address}"),
        "--log.level=warn".to_owned(),
    ];
    arguments.extend(further.iter().map(|&argument| argument.to_owned()));
    let mut process = Process::start(name, program, folder, &arguments, &[]);
    process.wait_for(&address, "/-/ready");
    (process, address)
}

/// Our program.
pub(crate) fn sarsen() -> &'static str {
    env!("CARGO_BIN_EXE_sarsen")
}

/// Runs a program to its end and gives what it printed; it must succeed.
pub(crate) fn output(program: impl AsRef<OsStr>, arguments: &[&str]) -> String {
    let output = Command::new(program.as_ref()).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let program = program.as_ref().to_string_lossy();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{text}\n{complaint}", output.status);
    text
}

/// A loopback address that nobody listens on just now.
pub(crate) fn free_address() -> String {
    sarsen_benches::free_address().unwrap()
}

/// A program of the distribution, on the search path.
pub(crate) fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file());
    found.or_else(|| missing(name, "it comes with Debian's packages prometheus and prometheus-node-exporter"))
}

/// A program that `benches/peers/build.sh` has built.
pub(crate) fn built(name: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../benches/peers/bin").join(name);
    if file.is_file() { Some(file) } else { missing(name, "benches/peers/build.sh builds it") }
}

fn missing(name: &str, how: &str) -> Option<PathBuf> {
    let required = std::env::var("SARSEN_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "{name} is not here; {how}");
    let test = thread::current().name().unwrap_or("a test").to_owned();
    // Written to the stream itself, because the test runner would keep what `eprintln!` says.
    let mut screen = std::io::stderr();
    writeln!(screen, "SKIPPED {test}: {name} is not here; {how}").unwrap();
    None
}

/// Asks again and again until there is an answer.
pub(crate) fn eventually<T>(what: &str, patience: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begin.elapsed() < patience, "waited in vain for {what}");
        thread::sleep(Duration::from_millis(100));
    }
}

/// The folders below `folder` that hold a complete block, by name.
pub(crate) fn blocks(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> =
        entries.map(|entry| entry.path()).filter(|path| path.join("meta.json").is_file()).collect();
    found.sort();
    found
}

/// Copies a block into a folder that promtool takes for a database.
pub(crate) fn copy_block(block: &Path, database: &Path) {
    let target = database.join(block.file_name().unwrap());
    std::fs::create_dir_all(target.join("chunks")).unwrap();
    std::fs::create_dir_all(database.join("wal")).unwrap();
    for name in ["index", "meta.json"] {
        std::fs::copy(block.join(name), target.join(name)).unwrap();
    }
    for segment in std::fs::read_dir(block.join("chunks")).unwrap() {
        let segment = segment.unwrap();
        std::fs::copy(segment.path(), target.join("chunks").join(segment.file_name())).unwrap();
    }
}
