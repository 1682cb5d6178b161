//! A real MinIO on loopback with the bucket `blocks`, killed when dropped.
//!
//! `benches/peers/build.sh` builds it. Without it a test says that it was skipped, and fails under `SARSEN_REQUIRE_PEERS=1`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

pub(crate) use sarsen_benches::Minio;

/// Starts it below `dir` and waits until it answers.
pub(crate) fn start(dir: &Path) -> Option<Minio> {
    let program = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../benches/peers/bin/minio");
    if !program.is_file() {
        let required = std::env::var("SARSEN_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "no minio: benches/peers/build.sh builds it");
        // Written to the stream itself, because the test runner would keep what `eprintln!` says.
        let mut screen = std::io::stderr();
        writeln!(screen, "SKIPPED: no minio, benches/peers/build.sh builds it").unwrap();
        return None;
    }
    Some(Minio::start(&program, dir).unwrap())
}
