//! A real MinIO on loopback with the bucket `blocks`, killed when dropped.
//!
//! `benches/peers/build.sh` builds it. Without it a test says that it was skipped, and fails under `SARSEN_REQUIRE_PEERS=1`.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::blocks::open;

pub(crate) struct Minio {
    child: Child,
    program: PathBuf,
    folder: PathBuf,
    address: SocketAddr,
    /// The object store file for it.
    pub(crate) config: String,
}

impl Drop for Minio {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Starts it below `dir` and waits until it answers.
pub(crate) async fn start(dir: &Path) -> Option<Minio> {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../benches/peers/bin/minio");
    if !program.is_file() {
        let required = std::env::var("SARSEN_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "no minio: benches/peers/build.sh builds it");
        // Written to the stream itself, because the test runner would keep what `eprintln!` says.
        let mut screen = std::io::stderr();
        writeln!(screen, "SKIPPED: no minio, benches/peers/build.sh builds it").unwrap();
        return None;
    }
    // A bucket is a folder.
    std::fs::create_dir_all(dir.join("minio/blocks")).unwrap();
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = format!(
        "type: S3\nconfig:\n  bucket: blocks\n  endpoint: {address}\n  access_key: AKTEST\n  \
         secret_key: secret-of-the-test\n  insecure: true\n"
    );
    let child = spawn(&program, dir, address);
    let minio = Minio { child, program, folder: dir.to_owned(), address, config };
    minio.wait().await;
    Some(minio)
}

fn spawn(program: &Path, dir: &Path, address: SocketAddr) -> Child {
    Command::new(program)
        .args(["server", "--quiet", "--address", &address.to_string(), "--console-address", "127.0.0.1:0"])
        .arg(dir.join("minio"))
        .env("MINIO_ROOT_USER", "AKTEST")
        .env("MINIO_ROOT_PASSWORD", "secret-of-the-test")
        .env("MINIO_UPDATE", "off")
        .env("HOME", dir.join("home"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

impl Minio {
    /// Kills it.
    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again, on the same data and at the same address.
    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(&self.program, &self.folder, self.address);
        self.wait().await;
    }

    async fn wait(&self) {
        for _ in 0..120 {
            if open(&self.config).level("").await.is_ok() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        unreachable!("minio does not answer within a minute");
    }
}
