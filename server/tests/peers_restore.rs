//! A bucket in MinIO is copied out, destroyed and brought back, by `upload` and by `copy`; the samples are those from before.

#![cfg(feature = "tools")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod process;

use std::path::{Path, PathBuf};
use std::process::Command;

use process::{Process, blocks, built, free_address, output, sarsen};

/// MinIO with empty buckets, and what tools need to find one of them.
struct Minio {
    _server: Process,
    address: String,
}

impl Minio {
    fn start(program: &Path, folder: &Path, buckets: &[&str]) -> Self {
        for bucket in buckets {
            // A folder below the data folder is a bucket.
            std::fs::create_dir_all(folder.join("minio").join(bucket)).unwrap();
        }
        let (address, console) = (free_address(), free_address());
        let arguments = [
            "server".to_owned(),
            "--quiet".to_owned(),
            format!("--address={address}"),
            format!("--console-address={console}"),
            folder.join("minio").display().to_string(),
        ];
        let keys = [("MINIO_ROOT_USER", "sarsen-access"), ("MINIO_ROOT_PASSWORD", "sarsen-secret")];
        let mut server = Process::start("minio", program, folder, &arguments, &keys);
        server.wait_for(&address, "/minio/health/ready");
        Self { _server: server, address }
    }

    fn config(&self, bucket: &str) -> String {
        format!(
            "type: S3\nconfig:\n  bucket: {bucket}\n  endpoint: {}\n  insecure: true\n\
             \x20 access_key: sarsen-access\n  secret_key: sarsen-secret\n",
            self.address
        )
    }
}

fn tool(config: &str, arguments: &[&str]) -> String {
    let flag = format!("--objstore.config={config}");
    output(sarsen(), &[&["tools", "bucket"], arguments, &[flag.as_str()]].concat())
}

/// Every sample of the blocks in a directory, a line each.
fn samples(directory: &Path) -> Vec<String> {
    let text = output(sarsen(), &["tools", "block", "dump", directory.to_str().unwrap()]);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

#[test]
fn a_bucket_in_minio_is_restored_from_a_directory() {
    let Some(minio) = built("minio") else { return };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let minio = Minio::start(&minio, folder, &["first", "second", "third"]);
    let stored = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/blocks");
    let mut sent: Vec<PathBuf> = Vec::new();
    for kind in ["a-floats", "e-segments", "f-cardinality", "b-histograms"] {
        sent.extend(blocks(&stored.join(kind)));
    }
    let paths: Vec<&str> = sent.iter().map(|path| path.to_str().unwrap()).collect();
    let label = "--label=cluster=\"a\"";
    let first = minio.config("first");
    tool(&first, &[&["upload", label], &paths[..]].concat());
    tool(&first, &["verify", "--deep"]);
    let mut before: Vec<String> = sent.iter().flat_map(|path| samples(path)).collect();
    before.sort_unstable();

    let to_directory = |directory: &Path| {
        format!("--objstore-to.config=type: FILESYSTEM\nconfig:\n  directory: {}\n", directory.display())
    };
    let backup = folder.join("backup");
    tool(&first, &["copy", &to_directory(&backup)]);
    assert_eq!(samples(&backup), before);

    // The first bucket is gone; two others take its place, each in its own way.
    let (second, third) = (minio.config("second"), minio.config("third"));
    tool(&second, &["upload", backup.to_str().unwrap()]);
    let from = format!("type: FILESYSTEM\nconfig:\n  directory: {}\n", backup.display());
    tool(&from, &["copy", &format!("--objstore-to.config={third}")]);
    for (name, config) in [("second", second), ("third", third)] {
        tool(&config, &["verify", "--deep"]);
        let back = folder.join(name);
        tool(&config, &["copy", &to_directory(&back)]);
        assert_eq!(samples(&back), before, "{name}");
        let status = Command::new(sarsen()).args(["tools", "block", "verify"]).arg(&back).output().unwrap();
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    }
}
