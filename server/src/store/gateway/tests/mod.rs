//! The gateway as a whole, over copies of the recorded bucket.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sarsen_block::{Chunk, Encoding, Labels, MatchOp, Matcher, TimeRange};
use sarsen_bucket::{FailingStore, ObjstoreConfig, Reloading};
use sarsen_downsample::Aggregate;
use serde_json::Value;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::store::{ChunkParts, Frame, Shard, frames};

mod counts;
mod golden;
mod troubles;

/// A copy of the recorded bucket, behind a store that fails on demand.
struct Place {
    folder: tempfile::TempDir,
    store: Arc<FailingStore>,
}

/// A gateway at work.
struct Served {
    gateway: Gateway,
    registry: Registry,
    _stop: DropGuard,
}

fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/storeapi").join(path)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        copy(&testdata("bucket"), &folder.path().join("bucket"));
        let place = folder.path().join("bucket").display().to_string();
        let text = format!("type: FILESYSTEM\nconfig:\n  directory: '{place}'\n");
        let store = Reloading::open(ObjstoreConfig::parse(&text, |_| None).unwrap()).unwrap();
        Self { folder, store: Arc::new(FailingStore::new(Arc::new(store))) }
    }

    /// A file of a block.
    fn file(&self, block: &str, file: &str) -> PathBuf {
        self.folder.path().join("bucket").join(block).join(file)
    }

    /// A gateway that answers, with what `change` makes of the usual options.
    async fn serve(&self, change: impl FnOnce(&mut GatewayOptions)) -> Served {
        let mut options = GatewayOptions {
            data_dir: self.folder.path().join("data"),
            local_headers: true,
            sync_every: Duration::from_secs(900),
            header_idle: Duration::from_secs(300),
            sieve: Sieve::default(),
            limits: GatewayLimits::default(),
            caches: sarsen_bucket::CacheOptions::default(),
            web: None,
            flags: BTreeMap::new(),
        };
        change(&mut options);
        let bucket = Bucket::builder(Arc::clone(&self.store) as _, "recorded").build();
        let registry = Registry::new();
        let gateway = Gateway::new(bucket, options, &registry, true);
        let stop = CancellationToken::new();
        let running = (gateway.clone(), stop.clone());
        tokio::spawn(async move { running.0.run(running.1).await });
        gateway.started().await;
        Served { gateway, registry, _stop: stop.drop_guard() }
    }
}

impl Served {
    /// The sum or count of this name on the page of metrics.
    fn metric(&self, line: &str) -> f64 {
        let (_, page) = self.registry.page(false);
        let found = page.lines().find_map(|own| own.strip_prefix(line)?.trim().parse().ok());
        found.unwrap_or_else(|| panic!("{line} is not in\n{page}"))
    }
}

/// Times of a chunk and its parts by name: encoding and bytes.
type Parts = (i64, i64, BTreeMap<&'static str, (Encoding, Vec<u8>)>);
/// Series in order, with their chunks as a sorted list.
type Answer = Vec<(Labels, Vec<Parts>)>;

fn sort(chunks: &mut [Parts]) {
    chunks.sort_by_key(|(min, max, parts)| {
        (*min, *max, parts.values().map(|part| part.1.clone()).collect::<Vec<_>>())
    });
}

async fn ask(gateway: &Gateway, query: SeriesQuery) -> Result<(Answer, Vec<String>), StoreError> {
    let (sender, mut receiver) = frames(1 << 16);
    let asked = gateway.clone();
    let asking = tokio::spawn(async move { asked.series(Arc::new(query), sender).await });
    let (mut series, mut warnings) = (Vec::new(), Vec::new());
    while let Some(frame) = receiver.next().await {
        match frame {
            Frame::Warning(text) => warnings.push(text),
            Frame::Hints(_) => {}
            Frame::Series(one) => {
                let chunks = one.chunks.iter();
                let mut chunks: Vec<Parts> =
                    chunks.map(|chunk| sent_chunk(chunk.range, &chunk.parts)).collect();
                sort(&mut chunks);
                series.push((one.labels, chunks));
            }
        }
    }
    asking.await.unwrap()?;
    Ok((series, warnings))
}

fn sent_chunk(range: TimeRange, parts: &ChunkParts) -> Parts {
    let plain = |chunk: &Chunk| (chunk.encoding, chunk.data.to_vec());
    let parts = match parts {
        ChunkParts::Raw(chunk) => BTreeMap::from([("raw", plain(chunk))]),
        ChunkParts::Aggregates(parts) => {
            let part = |one: Aggregate| parts.get(one).map(|chunk| (one.name(), plain(chunk)));
            Aggregate::ALL.into_iter().filter_map(part).collect()
        }
    };
    (range.min, range.max, parts)
}
