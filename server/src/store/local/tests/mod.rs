//! The receiver's store behind its trait: recorded answers of Thanos, a model over steps of time, limits and faults.

mod golden;
mod handover;
mod requests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use sarsen_block::codec::put_uvarint;
use sarsen_bucket::Bucket;
use sarsen_tsdb::TsdbObserver;
use tower::ServiceExt as _;

use super::{LocalLimits, LocalStore};
use crate::receive::{Parts, ReceiveOptions, Receiver, Silent};
use crate::store::SelectObserver;
use crate::store::{Frame, SeriesQuery, Store, StoreError, StoreSeries, frames};

struct Deaf;

impl TsdbObserver for Deaf {}

/// What the store told its observer.
#[derive(Default)]
struct Heard {
    pending: AtomicI64,
    requests: AtomicU64,
    series: AtomicU64,
    dropped: AtomicU64,
}

impl SelectObserver for Heard {
    fn pending(&self, by: i64) {
        self.pending.fetch_add(by, Ordering::SeqCst);
    }

    fn sent(&self, series: u64, _chunks: u64) {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.series.fetch_add(series, Ordering::SeqCst);
    }

    fn dropped(&self, _what: &'static str) {
        self.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

/// A receiver whose tasks do not run: nothing is cut or shipped unless a test says so.
struct Node {
    receiver: Receiver,
    store: LocalStore,
    heard: Arc<Heard>,
}

impl Node {
    async fn start(dir: &Path, bucket: Option<Bucket>, change: impl FnOnce(&mut ReceiveOptions)) -> Self {
        let node = Self::new(dir, bucket, LocalLimits::default(), change);
        node.receiver.start(None).await.unwrap();
        node
    }

    fn new(
        dir: &Path,
        bucket: Option<Bucket>,
        limits: LocalLimits,
        change: impl FnOnce(&mut ReceiveOptions),
    ) -> Self {
        let mut options = ReceiveOptions { tsdb_path: dir.to_owned(), ..ReceiveOptions::default() };
        options.external_labels =
            vec![("receive_replica".to_owned(), "r0".to_owned()), ("region".to_owned(), "eu".to_owned())];
        change(&mut options);
        let parts = Parts {
            disk: sarsen_wal::real_disk(),
            bucket,
            observer: Arc::new(Silent),
            databases: Arc::new(|_| (Arc::new(Deaf), Arc::new(sarsen_wal::Unobserved))),
        };
        let receiver = Receiver::new(options, parts).unwrap();
        let heard = Arc::new(Heard::default());
        let store = LocalStore::new(receiver.clone(), limits, Arc::clone(&heard) as Arc<dyn SelectObserver>);
        Self { receiver, store, heard }
    }

    /// The same databases under other limits.
    fn limited(&self, limits: LocalLimits) -> LocalStore {
        LocalStore::new(self.receiver.clone(), limits, Arc::clone(&self.heard) as Arc<dyn SelectObserver>)
    }

    /// Writes through the door that senders use.
    async fn write(&self, tenant: &str, body: Vec<u8>) -> StatusCode {
        let request = Request::post("/api/v1/receive").header("THANOS-TENANT", tenant);
        let request = request.body(Body::from(body)).unwrap();
        self.receiver.write_router().oneshot(request).await.unwrap().status()
    }
}

/// Asks for series; everything that was sent before the end.
async fn ask<S: Store + Clone>(store: &S, query: SeriesQuery) -> (Vec<Frame>, Result<(), StoreError>) {
    let (sender, mut receiver) = frames(4 << 20);
    let (store, query) = (store.clone(), Arc::new(query));
    let asked = tokio::spawn(async move { store.series(query, sender).await });
    let mut found = Vec::new();
    while let Some(frame) = receiver.next().await {
        found.push(frame);
    }
    (found, asked.await.unwrap())
}

/// The same, where everything is to be well.
async fn series<S: Store + Clone>(store: &S, query: SeriesQuery) -> Vec<StoreSeries> {
    let (frames, end) = ask(store, query).await;
    end.unwrap();
    let series = frames.into_iter().map(|frame| match frame {
        Frame::Series(series) => series,
        other => panic!("{other:?}"),
    });
    series.collect()
}

fn field(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    put_uvarint(out, content.len() as u64);
    out.extend_from_slice(content);
}

/// Labels and samples of a series.
type Written<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)]);

/// A request: series by their labels (sorted by name), each with samples.
fn body(series: &[Written<'_>]) -> Vec<u8> {
    let mut plain = Vec::new();
    for (labels, samples) in series {
        let mut message = Vec::new();
        for (name, value) in *labels {
            let mut label = Vec::new();
            field(&mut label, 0x0A, name.as_bytes());
            field(&mut label, 0x12, value.as_bytes());
            field(&mut message, 0x0A, &label);
        }
        for (t, v) in *samples {
            let mut sample = vec![0x09];
            sample.extend(v.to_le_bytes());
            sample.push(0x10);
            put_uvarint(&mut sample, t.cast_unsigned());
            field(&mut message, 0x12, &sample);
        }
        field(&mut plain, 0x0A, &message);
    }
    snap::raw::Encoder::new().compress_vec(&plain).unwrap()
}
