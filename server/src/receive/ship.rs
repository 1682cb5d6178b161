//! Complete local blocks go to the bucket, oldest first, and only then grow old here.
//!
//! One look walks over the tenants. A block is uploaded if the tenant's note does not name it; the bucket decides whether
//! it is there already. The first failure ends a tenant's turn, so that blocks arrive in order; the next look tries again, for as long as
//! the bucket is away. Local blocks are retired by age only when the note names them (or when there is no bucket at all).

use std::collections::BTreeMap;
use std::sync::Arc;

use sarsen_block::{BlockId, BlockMeta, ThanosMeta};
use sarsen_bucket::{Bucket, UploadOptions, Uploaded, upload};
use sarsen_tsdb::{BlockInfo, Db, Rewrite, Rewritten};

use super::observer::ShipOutcome;
use super::role::Shared;
use super::shipped;
use super::tenants::Open;
use crate::clock;

/// What still waits to be uploaded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// Blocks.
    pub(crate) blocks: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// What one look came to, all tenants together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Look {
    pub(crate) uploaded: u64,
    pub(crate) backlog: Backlog,
}

/// A tenant's blocks and its note, read in one go.
struct Shelf {
    blocks: Vec<BlockInfo>,
    noted: Vec<BlockId>,
}

/// Looks at every tenant once.
pub(super) async fn look(shared: &Arc<Shared>, bucket: Option<&Bucket>) -> Look {
    let mut look = Look::default();
    for open in shared.tenants.all_open() {
        let (outcome, backlog) = tenant(shared, bucket, &open).await;
        if bucket.is_some() {
            shared.observer.shipped(open.name(), outcome);
        }
        look.uploaded += outcome.uploaded;
        look.backlog.blocks += backlog.blocks;
        look.backlog.bytes += backlog.bytes;
        let all_shipped = bucket.is_some() && outcome.synced && backlog.blocks == 0;
        if all_shipped
            && shared.tenants.is_idle(&open)
            && open.name() != shared.options.tenancy.default_tenant
        {
            let shared = Arc::clone(shared);
            let _ = tokio::task::spawn_blocking(move || retreat(&shared, open)).await;
        }
    }
    look
}

/// A tenant nobody has written to for long: its head becomes blocks, and when these are shipped too it is let go.
fn retreat(shared: &Shared, open: Open) {
    if is_empty(open.db()) {
        shared.tenants.prune(open, is_empty);
    } else if let Err(error) = open.db().flush(clock::now()) {
        tracing::warn!(tenant = open.name(), err = %error, "cannot flush the head of an idle tenant");
    }
}

fn is_empty(db: &Db) -> bool {
    db.stats().min_time.is_none()
}

/// One tenant: upload, note, retire.
pub(super) async fn tenant(shared: &Shared, bucket: Option<&Bucket>, open: &Open) -> (ShipOutcome, Backlog) {
    let mut outcome = ShipOutcome::default();
    let shelf = match read_shelf(shared, open).await {
        Ok(shelf) => shelf,
        Err(why) => {
            tracing::warn!(component = "shipper", tenant = open.name(), err = %why, "cannot look at local blocks");
            return (outcome, Backlog::default());
        }
    };
    outcome.synced = true;
    outcome.corrupted = open.db().open_report().set_aside.len() as u64;
    let mut backlog = Backlog::default();
    let mut noted = Vec::new();
    for block in &shelf.blocks {
        if shelf.noted.contains(&block.id) {
            noted.push(block.id);
            continue;
        }
        let Some(bucket) = bucket.filter(|_| is_shippable(&block.meta)) else { continue };
        if outcome.failed > 0 {
            backlog.add(block);
            continue;
        }
        match make_ready_and_ship(shared, bucket, open, block).await {
            Ok(Shipped::Gone) => {}
            Ok(Shipped::There { id, is_new }) => {
                outcome.uploaded += u64::from(is_new);
                noted.push(id);
                // A crash between two uploads costs a question to the bucket, not an upload.
                note(shared, open, &noted).await;
            }
            Err(why) => {
                outcome.failed += 1;
                backlog.add(block);
                let id = block.id;
                tracing::error!(component = "shipper", tenant = open.name(), id = %id, err = %why, "shipping failed, the block stays here until it succeeds");
            }
        }
    }
    if noted != shelf.noted {
        note(shared, open, &noted).await;
    }
    let_go(open, bucket.map(|_| noted)).await;
    (outcome, backlog)
}

impl Backlog {
    fn add(&mut self, block: &BlockInfo) {
        self.blocks += 1;
        self.bytes += block.bytes;
    }
}

/// As Thanos' shipper: not empty, and not the work of a compactor.
fn is_shippable(meta: &BlockMeta) -> bool {
    meta.stats.num_samples > 0 && meta.compaction.level <= 1
}

async fn read_shelf(shared: &Shared, open: &Open) -> Result<Shelf, String> {
    let (open, disk) = (open.clone(), shared.disk.clone());
    let read = tokio::task::spawn_blocking(move || {
        let noted = shipped::read(disk.as_ref(), open.directory()).map_err(|error| error.to_string())?;
        let mut blocks = open.db().blocks();
        blocks.sort_by_key(|block| (block.meta.min_time, block.id));
        Ok(Shelf { blocks, noted })
    });
    read.await.map_err(|error| error.to_string())?
}

async fn note(shared: &Shared, open: &Open, noted: &[BlockId]) {
    let (open, disk, noted) = (open.clone(), shared.disk.clone(), noted.to_vec());
    let tenant = open.name().to_owned();
    let write = tokio::task::spawn_blocking(move || shipped::write(disk.as_ref(), open.directory(), &noted));
    let failed = match write.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    tracing::warn!(
        component = "shipper",
        tenant,
        err = failed,
        "cannot note what was uploaded, the bucket is asked next time"
    );
}

/// What became of a block that was to be shipped.
enum Shipped {
    /// It is in the bucket; `is_new`: since now.
    There { id: BlockId, is_new: bool },
    /// There is nothing left to ship.
    Gone,
}

/// Brings a block into the form that goes into the bucket, without what is deleted and in encodings that its readers know, and
/// uploads that. A crash in between leaves the block as it is wanted, with the id under which it goes next time.
async fn make_ready_and_ship(
    shared: &Shared,
    bucket: &Bucket,
    open: &Open,
    block: &BlockInfo,
) -> Result<Shipped, String> {
    let how = if shared.options.shipping.allow_xor2 { Rewrite::Clean } else { Rewrite::CleanAndPlain };
    let (db, id) = (open.clone(), block.id);
    let rewritten = tokio::task::spawn_blocking(move || db.db().rewrite(id, how, clock::now())).await;
    let rewritten = rewritten.map_err(|why| why.to_string())?.map_err(|error| error.to_string())?;
    let ready = match &rewritten {
        Rewritten::Untouched => block,
        Rewritten::Replaced(made) => {
            tracing::info!(component = "shipper", tenant = open.name(), id = %made.id, from = %id, "wrote a block anew before it is shipped");
            made
        }
        _ => return Ok(Shipped::Gone),
    };
    let is_new = ship_one(shared, bucket, open, ready).await?;
    Ok(Shipped::There { id: ready.id, is_new })
}

/// Uploads a block; whether it was not there before.
async fn ship_one(shared: &Shared, bucket: &Bucket, open: &Open, block: &BlockInfo) -> Result<bool, String> {
    let meta = amend(&block.meta, shared.external_labels(open.name()));
    let options = UploadOptions { now_ms: clock::now(), hashes: shared.options.shipping.hash_files };
    tracing::info!(component = "shipper", tenant = open.name(), id = %block.id, "upload new block");
    match upload(bucket, &block.directory, &meta, options).await {
        Ok(Uploaded::Complete { bytes, .. }) => {
            tracing::info!(component = "shipper", tenant = open.name(), id = %block.id, bytes, "uploaded block");
            Ok(true)
        }
        Ok(Uploaded::Present) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}

/// The meta as it lies in the bucket, as far as the uploader does not fill it in.
pub(super) fn amend(meta: &BlockMeta, labels: BTreeMap<String, String>) -> BlockMeta {
    let mut meta = meta.clone();
    let thanos = ThanosMeta { version: 1, labels, source: "receive".to_owned(), ..ThanosMeta::default() };
    meta.thanos = Some(thanos);
    meta
}

/// Lets go of blocks that are due by age or by size, and safe: in the bucket, or empty, or there is no bucket at all.
async fn let_go(open: &Open, shipped: Option<Vec<BlockId>>) {
    let (tenant, open) = (open.name().to_owned(), open.clone());
    let is_safe = move |block: &BlockInfo| {
        let empty = block.meta.stats.num_samples == 0;
        empty || shipped.as_ref().is_none_or(|ids| ids.contains(&block.id))
    };
    let retained = tokio::task::spawn_blocking(move || open.db().retain(is_safe)).await;
    match retained {
        Ok(Ok(report)) => {
            for id in report.removed {
                tracing::info!(tenant, id = %id, "retention: deleted a local block");
            }
        }
        Ok(Err(error)) => tracing::warn!(tenant, err = %error, "cannot delete local blocks"),
        Err(error) => tracing::warn!(tenant, err = %error, "cannot delete local blocks"),
    }
}
