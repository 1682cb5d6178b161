//! Who writes into the bucket, and the compactor that keeps it.

use std::path::PathBuf;
use std::sync::Arc;

use sarsen_benches::{Fleet, Shipper};
use sarsen_block::{Matcher, ThanosMeta, Timestamp};
use sarsen_bucket::{Bucket, ObjstoreConfig, Reloading, UploadOptions, upload};
use sarsen_compactor::{Compactor, Options, Retention, RetentionOverride, Unobserved};
use sarsen_tsdb::Db;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::model::{Kept, Model};
use crate::{DAY, HOUR, START};

pub(crate) const TWICE: &str = "written-twice";
pub(crate) const EMBEDDED: &str = "embedded";

pub(crate) struct World {
    pub(crate) folder: TempDir,
    pub(crate) model: Model,
    runtime: Runtime,
    bucket: Bucket,
    compactor: Compactor,
    replicas: [Shipper; 2],
    db: Db,
    fleet: Fleet,
    /// The next round of the fleet that goes into the database.
    round: u64,
    shipped: usize,
}

/// What the settings say about a tenant, in the words of the model.
fn kept(retention: Retention) -> Kept {
    Kept { raw: retention.raw_ms, five_minutes: retention.five_minutes_ms, one_hour: retention.one_hour_ms }
}

fn days(raw: i64, five_minutes: i64, one_hour: i64) -> Retention {
    Retention { raw_ms: raw * DAY, five_minutes_ms: five_minutes * DAY, one_hour_ms: one_hour * DAY }
}

fn options(usual: Retention, embedded: Retention) -> Options {
    Options {
        replica_labels: vec!["replica".to_owned()],
        retention: usual,
        overrides: vec![RetentionOverride {
            matchers: vec![Matcher::equal("tenant_id", EMBEDDED)],
            raw_ms: Some(embedded.raw_ms),
            five_minutes_ms: Some(embedded.five_minutes_ms),
            one_hour_ms: Some(embedded.one_hour_ms),
        }],
        ..Options::default()
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("bucket");
        let text = format!("type: FILESYSTEM\nconfig:\n  directory: '{}'\n", place.display());
        let store = Reloading::open(ObjstoreConfig::parse(&text, |_| None).unwrap()).unwrap();
        let bucket = store.bucket().build();
        let (usual, embedded) = (days(16, 30, 40), days(6, 10, 18));
        let compactor = Compactor::new(
            store.bucket().build(),
            folder.path().join("scratch"),
            options(usual, embedded),
            Arc::new(Unobserved),
        )
        .unwrap();
        let kept = [(TWICE, kept(usual)), (EMBEDDED, kept(embedded))].into();
        let model = Model { kept, ..Model::default() };
        let fleet = Fleet {
            interval: 60_000,
            gaps_per_mille: 10,
            churn_rounds: 3 * 1440,
            ..Fleet::steady(50, START)
        };
        let replica = |name: &str, seed| Shipper {
            histograms: true,
            ..Shipper::new(fleet.clone(), &[("tenant_id", TWICE), ("replica", name)], seed)
        };
        let mut replicas = [replica("0", 1), replica("1", 2)];
        // One is away for an hour a day, the other for half a day; for a while both are.
        replicas[0].away =
            (0..21).map(|day| START + day * DAY + 5 * HOUR..START + day * DAY + 6 * HOUR).collect();
        replicas[1].away = vec![
            START + 2 * DAY..START + 2 * DAY + 12 * HOUR,
            START + 12 * DAY + 5 * HOUR + 600_000..START + 12 * DAY + 8 * HOUR,
        ];
        let db = Db::builder(folder.path().join("database")).open().unwrap();
        let fleet = Fleet { interval: 120_000, churn_rounds: 500, seed: 9, ..Fleet::steady(50, START) };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { folder, model, runtime, bucket, compactor, replicas, db, fleet, round: 0, shipped: 0 }
    }

    pub(crate) fn bucket_folder(&self) -> PathBuf {
        self.folder.path().join("bucket")
    }

    /// Both tenants write from `start` on for `step`.
    pub(crate) fn write(&mut self, start: Timestamp, step: Timestamp) {
        let place = self.bucket_folder();
        for shipper in &self.replicas {
            for meta in shipper.ship_all(&place, start..start + step, 2 * HOUR).unwrap() {
                self.model.add(TWICE, shipper, &meta);
            }
        }
        self.write_database(start + step);
    }

    /// What the replicas missed within a range comes late, as one block.
    pub(crate) fn write_late(&mut self, start: Timestamp, end: Timestamp) {
        let fleet = Fleet { gaps_per_mille: 0, ..self.replicas[0].fleet.clone() };
        let late = Shipper::new(fleet, &[("tenant_id", TWICE), ("replica", "0")], 3);
        let late = Shipper { histograms: true, ..late };
        let meta = late.ship(&self.bucket_folder(), start..end).unwrap().unwrap();
        self.model.add(TWICE, &late, &meta);
    }

    /// Appends until `end`, cuts what is due, and uploads it.
    fn write_database(&mut self, end: Timestamp) {
        let rounds = self.fleet.rounds_within(&(START..end));
        for round in self.round..rounds.end {
            let labels: Vec<_> =
                (0..self.fleet.series).map(|series| self.fleet.labels(series, round)).collect();
            let mut batch = self.db.appender();
            for (series, labels) in (0..).zip(&labels) {
                if let Some((t, value)) = self.fleet.sample(series, round) {
                    batch.append(labels.as_ref(), t, value);
                }
            }
            let commit = batch.commit().unwrap();
            assert_eq!(commit.committed.accepted, self.fleet.series);
            if round + 1 == rounds.end {
                commit.pending.wait().unwrap();
            }
        }
        self.round = rounds.end;
        self.db.maintain(end).unwrap();
        self.upload(end);
    }

    fn upload(&mut self, now: Timestamp) {
        let labels = [("tenant_id".to_owned(), EMBEDDED.to_owned())];
        let writer = Shipper::new(self.fleet.clone(), &[("tenant_id", EMBEDDED)], 0);
        let blocks = self.db.blocks();
        for block in &blocks[self.shipped..] {
            let mut meta = block.meta.clone();
            let source = "receive".to_owned();
            meta.thanos = Some(ThanosMeta { labels: labels.clone().into(), source, ..ThanosMeta::default() });
            let options = UploadOptions { now_ms: now, hashes: true };
            self.runtime.block_on(upload(&self.bucket, &block.directory, &meta, options)).unwrap();
            self.model.add(EMBEDDED, &writer, &meta);
        }
        self.shipped = blocks.len();
    }

    /// The database is stopped: what is still in memory becomes blocks.
    pub(crate) fn stop(&mut self, now: Timestamp) {
        self.db.flush(now).unwrap();
        self.upload(now);
    }

    /// The compactor works until a round finds nothing to do.
    pub(crate) fn compact(&mut self, now: Timestamp) {
        let report = self.runtime.block_on(self.compactor.round(now)).unwrap();
        assert!(
            report.set_aside.is_empty() && report.failed.is_empty(),
            "{:?} {:?}",
            report.set_aside,
            report.failed
        );
    }
}
