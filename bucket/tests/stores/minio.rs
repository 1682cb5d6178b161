//! The same promises with a real MinIO, the store that most readers of this will have: plain and below a prefix.
//!
//! `benches/peers/build.sh` builds it. Without it the test says that it was skipped, and fails under
//! `SARSEN_REQUIRE_PEERS=1`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sarsen_bucket::{Bucket, run_contract};

use crate::{s3, streams};

struct Minio(Child);

impl Drop for Minio {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> Option<PathBuf> {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../benches/peers/bin/minio");
    if file.is_file() {
        return Some(file);
    }
    #[expect(clippy::disallowed_methods, reason = "whether peers are required is said by the environment")]
    let required = std::env::var("SARSEN_REQUIRE_PEERS").is_ok_and(|value| value == "1");
    assert!(!required, "no minio: benches/peers/build.sh builds it");
    eprintln!("SKIPPED: no minio, benches/peers/build.sh builds it");
    None
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn open(address: &str, more: &str) -> Bucket {
    crate::open(&s3::config(address, s3::SECRET_KEY, &format!("  insecure: true\n{more}")))
}

/// Starts it and waits until it answers; one that ends instead, because somebody was faster at its port, is started again at another.
async fn start(program: &Path, root: &Path, home: &Path) -> (Minio, String) {
    for _ in 0..5 {
        let address = format!("127.0.0.1:{}", free_port());
        let child = Command::new(program)
            .args(["server", "--quiet", "--address", &address, "--console-address", "127.0.0.1:0"])
            .arg(root)
            .env("MINIO_ROOT_USER", s3::ACCESS_KEY)
            .env("MINIO_ROOT_PASSWORD", s3::SECRET_KEY)
            .env("MINIO_UPDATE", "off")
            .env("HOME", home)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut minio = Minio(child);
        for _ in 0..120 {
            let answers = open(&address, "").level("").await.is_ok();
            if minio.0.try_wait().unwrap().is_some() {
                break;
            }
            if answers {
                return (minio, address);
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
    panic!("minio does not answer")
}

#[tokio::test]
async fn minio() {
    let Some(program) = program() else { return };
    let (root, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // A bucket is a folder.
    std::fs::create_dir(root.path().join("blocks")).unwrap();
    let (_minio, address) = start(&program, root.path(), scratch.path()).await;
    let open = |more: &str| open(&address, more);
    for more in ["", "prefix: team/one\n", "  send_content_md5: false\n", "  disable_multipart: true\n"] {
        run_contract(&open(more), scratch.path()).await;
        let other = more.replace("prefix: team/one\n", "");
        streams::run_streams(&open(more), &open(&format!("{other}prefix: other\n"))).await;
    }
    assert!(crate::open(&s3::config(&address, "wrong", "  insecure: true\n")).level("").await.is_err());
}
