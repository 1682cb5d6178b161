//! One job from start to end: read, work, verify, publish, mark. It can be broken off anywhere.
//!
//! The order is the argument. What is written counts for nothing until its meta is there, and the meta comes after everything was
//! read back from the bucket and found sound. Only then are the blocks that it was made of marked. Broken off before the meta,
//! there is half a block that nobody reads; broken off between meta and marks, there are blocks that are wholly in another
//! one, which the next look marks. A mark on damage is put only after the damage was seen while the block was there and unmarked.
//!
//! What waits runs here; what computes runs on a blocking thread and is awaited.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sarsen_block::{Block, BlockId, BlockMeta, Checks};
use sarsen_bucket::{
    Bucket, Deletions, Depth, Error as BucketError, Layout, MarkKind, Marker, Reading, Reason, SinkOptions,
    UploadSink, View, open_block, verify_block,
};
use sarsen_downsample::{Error as DownsampleError, Resolution};
use tokio::runtime::Handle;
use twox_hash::XxHash3_128;

use crate::aside::{Damage, has_mark, index_fault, put_mark};
use crate::budget::Need;
use crate::coarsen::coarsen;
use crate::error::Error;
use crate::merge::{Merging, merge_blocks, missing_samples};
use crate::observer::CompactorObserver;
use crate::options::Options;
use crate::plan::{Job, Outdated, Work};
use crate::watch::{Stop, Watch, Watched};

/// What Thanos writes into deletion marks.
const MERGED: &str = "source of compacted block";
const OUTDATED: &str = "outdated block";

/// The time during a round: what the caller said at its begin, and what has passed since by the bucket's timer.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    bucket: Bucket,
    begin_ms: i64,
    begin: Duration,
}

impl Clock {
    pub(crate) fn new(bucket: &Bucket, now_ms: i64) -> Self {
        Self { bucket: bucket.clone(), begin_ms: now_ms, begin: bucket.elapsed() }
    }

    pub(crate) fn passed(&self) -> Duration {
        self.bucket.elapsed().saturating_sub(self.begin)
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.begin_ms.saturating_add(i64::try_from(self.passed().as_millis()).unwrap_or(i64::MAX))
    }
}

/// How a job failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// These blocks are damaged.
    Damaged(Vec<(BlockId, Damage)>),
    /// The cause may pass; a block whose fault it is may be known.
    Passing { blamed: Option<BlockId>, why: String },
    /// The blocks are not what they were when the job was planned.
    Stale(String),
    /// It failed, and every block is sound.
    Unexplained(String),
    /// It was told to stop.
    Stopped,
}

impl Failure {
    /// For people.
    pub(crate) fn why(&self) -> String {
        match self {
            Self::Damaged(blocks) => {
                let each = blocks.iter().map(|(id, damage)| format!("{id}: {}", damage.details));
                each.collect::<Vec<_>>().join("; ")
            }
            Self::Passing { why, .. } | Self::Stale(why) | Self::Unexplained(why) => why.clone(),
            Self::Stopped => "told to stop".to_owned(),
        }
    }
}

/// An error of the store or of the disk that no block is blamed for.
impl From<BucketError> for Failure {
    fn from(error: BucketError) -> Self {
        Self::Passing { blamed: None, why: error.to_string() }
    }
}

/// What jobs are done with.
pub(crate) struct Shop {
    pub(crate) bucket: Bucket,
    /// A folder of our own.
    pub(crate) scratch: PathBuf,
    pub(crate) options: Options,
    pub(crate) observer: Arc<dyn CompactorObserver>,
    pub(crate) stop: Stop,
    /// Blocks that were read wholly since this process began, and found sound.
    pub(crate) sound: Mutex<BTreeSet<BlockId>>,
    /// Counts the names given.
    pub(crate) names: AtomicU64,
    /// Blocks that need no rewrite after all.
    pub(crate) idle: Idle,
}

/// Blocks in which there is nothing of what was deleted from the bucket, as their indexes say.
#[derive(Debug, Default)]
pub(crate) struct Idle(Mutex<BTreeMap<BlockId, BTreeSet<String>>>);

impl Idle {
    fn note(&self, blocks: &[Arc<BlockMeta>], deletions: &Deletions) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for meta in blocks {
            let looked_for = deletions.pending(meta).map(|deletion| deletion.id.clone());
            known.entry(meta.id).or_default().extend(looked_for);
        }
    }

    /// The blocks of a view in which there is nothing of all that is pending. Forgets blocks that are gone.
    pub(crate) fn blocks(&self, view: &View, deletions: &Deletions) -> Vec<BlockId> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|id, _| view.blocks.contains_key(id));
        let idle = |(id, looked_for): (&BlockId, &BTreeSet<String>)| {
            let meta = view.blocks.get(id)?;
            deletions.pending(meta).all(|deletion| looked_for.contains(&deletion.id)).then_some(*id)
        };
        known.iter().filter_map(idle).collect()
    }
}

/// A job under way.
pub(crate) struct Bench<'a> {
    shop: &'a Shop,
    job: Arc<Job>,
    clock: Clock,
    need: Need,
    deletions: Arc<Deletions>,
    /// Bytes read of its blocks.
    read: Arc<AtomicU64>,
    /// A folder of its own, which goes with it.
    room: PathBuf,
    /// Told when it goes: what still computes for it ends then.
    left: Stop,
}

impl Drop for Bench<'_> {
    fn drop(&mut self) {
        self.left.stop();
        // What stays is swept when the next round begins.
        let _ = std::fs::remove_dir_all(&self.room);
    }
}

impl<'a> Bench<'a> {
    pub(crate) fn new(
        shop: &'a Shop,
        job: Arc<Job>,
        need: Need,
        clock: Clock,
        deletions: Arc<Deletions>,
    ) -> Self {
        let room = shop.scratch.join(shop.names.fetch_add(1, Ordering::Relaxed).to_string());
        Self { shop, job, clock, need, deletions, read: Arc::default(), room, left: Stop::default() }
    }

    /// Does the job. Returns the metas of the blocks that it made.
    pub(crate) async fn run(&self, view: &View) -> Result<Vec<BlockMeta>, Failure> {
        let done = match &self.job.work {
            Work::Merge { overlapping } => self.merge(*overlapping).await,
            Work::Rewrite => self.merge(false).await,
            Work::Coarsen { to } => self.coarsen(to).await,
            Work::Bar { reason } => self.bar(reason).await,
            Work::Delete { reason, covered_by } => self.delete(*reason, covered_by, view).await,
        };
        match done {
            Err(_) if self.shop.stop.is_stopped() => Err(Failure::Stopped),
            done => done,
        }
    }

    async fn merge(&self, overlapping: bool) -> Result<Vec<BlockMeta>, Failure> {
        let blocks = self.open().await?;
        if matches!(self.job.work, Work::Rewrite) && blocks.iter().all(|block| block.tombstones().is_empty())
        {
            self.shop.idle.note(&self.job.blocks, &self.deletions);
            return Ok(Vec::new());
        }
        // Where samples cannot be counted afterwards, what would be lost has to be seen before.
        if overlapping || blocks.iter().any(|block| block.meta().stats.num_samples == 0) {
            self.check_indexes(&blocks).await?;
        }
        let (id, penalty) = (self.name(), self.shop.options.penalty);
        let sink = self.watched(id).await?;
        let (job, inputs, deletions) = (Arc::clone(&self.job), blocks.clone(), Arc::clone(&self.deletions));
        let merged = compute(move || {
            merge_blocks(&job, &inputs, sink, Merging { id, penalty, deletions: &deletions })
        });
        let merged = merged.await?;
        let merged = match merged {
            Ok(merged) => merged,
            Err(error) => return Err(self.blame(error).await),
        };
        let (empty, stats, checks) = (merged.is_empty(), merged.written.stats, merged.written.checks);
        let sink = merged.written.sink.into_inner();
        if let Some(why) = missing_samples(&blocks, &stats) {
            sink.discard().await?;
            return Err(self.search(why).await);
        }
        let made = if empty {
            sink.discard().await?;
            Vec::new()
        } else {
            vec![self.publish(sink, merged.meta, &checks).await?]
        };
        for meta in &self.job.blocks {
            let mark = Marker::deletion(meta.id, self.clock.now_ms().div_euclid(1000), MERGED);
            match put_mark(&self.shop.bucket, &mark).await {
                Ok(true) => self.shop.observer.marked(&mark),
                Ok(false) => {}
                // Its content is in the new block, which the next look sees: then it is marked.
                Err(_) if !empty => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(made)
    }

    async fn coarsen(&self, to: &[Resolution]) -> Result<Vec<BlockMeta>, Failure> {
        let mut blocks = self.open().await?;
        self.check_indexes(&blocks).await?;
        let (Some(block), Some(like)) = (blocks.pop(), self.job.blocks.first().cloned()) else {
            return Err(Failure::Stale("there is no block to downsample".to_owned()));
        };
        let mut targets = Vec::new();
        for &resolution in to {
            let id = self.name();
            targets.push((self.watched(id).await?, id, resolution));
        }
        let deletions = Arc::clone(&self.deletions);
        let made = compute(move || coarsen(&block, &like, targets, &deletions)).await?;
        let made = match made {
            Ok(made) => made,
            Err(DownsampleError::Block(error)) => return Err(self.blame(error).await),
            Err(error) => return Err(Failure::Unexplained(error.to_string())),
        };
        let mut metas = Vec::new();
        for rewritten in made {
            // Even an empty block is published: it says that nothing is left to be downsampled.
            let written = rewritten.written;
            metas.push(self.publish(written.sink.into_inner(), rewritten.meta, &written.checks).await?);
        }
        Ok(metas)
    }

    async fn bar(&self, reason: &Reason) -> Result<Vec<BlockMeta>, Failure> {
        for id in self.job.ids() {
            let (details, reason) = (self.job.why.clone(), Some(reason.clone()));
            let time = self.clock.now_ms().div_euclid(1000);
            let mark = Marker { id, kind: MarkKind::NoCompact, details, time, reason };
            if put_mark(&self.shop.bucket, &mark).await? {
                self.shop.observer.marked(&mark);
            }
        }
        Ok(Vec::new())
    }

    /// Marks for deletion, if what holds the content is sound.
    async fn delete(
        &self,
        reason: Outdated,
        covers: &[BlockId],
        view: &View,
    ) -> Result<Vec<BlockMeta>, Failure> {
        for id in covers {
            let Some(meta) = view.blocks.get(id) else {
                return Err(Failure::Stale(format!("{id} is no longer there")));
            };
            self.prove(meta).await?;
        }
        for id in self.job.ids() {
            let details = match reason {
                Outdated::Duplicate => OUTDATED,
                Outdated::Age => self.job.why.as_str(),
            };
            let mark = Marker::deletion(id, self.clock.now_ms().div_euclid(1000), details);
            if put_mark(&self.shop.bucket, &mark).await? {
                self.shop.observer.marked(&mark);
            }
        }
        Ok(Vec::new())
    }

    /// Reads all of a block, unless that was done before.
    async fn prove(&self, meta: &BlockMeta) -> Result<(), Failure> {
        let known = |sound: &Mutex<BTreeSet<BlockId>>| {
            sound.lock().unwrap_or_else(PoisonError::into_inner).contains(&meta.id)
        };
        if known(&self.shop.sound) {
            return self.is_there(meta.id).await;
        }
        let verified = verify_block(&self.shop.bucket, meta, Depth::Quick, &self.reading()).await?;
        if verified.gone {
            return Err(Failure::Stale(format!("{} went away", meta.id)));
        }
        if let Some(fault) = verified.faults.first() {
            return Err(Failure::Damaged(vec![(meta.id, Damage::of_fault(fault))]));
        }
        self.shop.sound.lock().unwrap_or_else(PoisonError::into_inner).insert(meta.id);
        Ok(())
    }

    /// Opens the blocks, or says which cannot be opened.
    async fn open(&self) -> Result<Vec<Block>, Failure> {
        let mut reading = self.reading();
        reading.fetched = Arc::clone(&self.read);
        let (mut blocks, mut damaged) = (Vec::new(), Vec::new());
        for meta in &self.job.blocks {
            self.is_there(meta.id).await?;
            match open_block(&self.shop.bucket, meta, &reading).await {
                Ok(block) => blocks.push(block),
                Err(error) => match Damage::of(meta.id, &error) {
                    Some(damage) => damaged.push((meta.id, damage)),
                    None => return Err(Failure::Passing { blamed: Some(meta.id), why: error.to_string() }),
                },
            }
        }
        if damaged.is_empty() { self.hidden(blocks).await } else { Err(self.confirmed(damaged).await) }
    }

    /// Hides what was deleted from the whole bucket.
    async fn hidden(&self, blocks: Vec<Block>) -> Result<Vec<Block>, Failure> {
        if blocks.iter().all(|block| self.deletions.pending(block.meta()).next().is_none()) {
            return Ok(blocks);
        }
        let deletions = Arc::clone(&self.deletions);
        let hide = move || -> Result<Vec<Block>, (BlockId, sarsen_block::Error)> {
            let hide = |block: Block| match deletions.tombstones(&block) {
                Ok(tombstones) => Ok(block.with_tombstones(tombstones)),
                Err(error) => Err((block.meta().id, error)),
            };
            blocks.into_iter().map(hide).collect()
        };
        match compute(hide).await? {
            Ok(blocks) => Ok(blocks),
            Err((id, error)) => Err(self.of_block(id, error).await),
        }
    }

    /// Whether a block is still complete and unmarked.
    async fn is_there(&self, id: BlockId) -> Result<(), Failure> {
        let bucket = &self.shop.bucket;
        if !bucket.exists(&Layout::meta(id)).await? {
            return Err(Failure::Stale(format!("{id} is no longer there")));
        }
        if has_mark(bucket, id, MarkKind::Deletion).await? {
            return Err(Failure::Stale(format!("{id} has been marked for deletion")));
        }
        Ok(())
    }

    /// Damage is damage only to blocks that are still there: one that is being removed loses its objects.
    async fn confirmed(&self, damaged: Vec<(BlockId, Damage)>) -> Failure {
        for (id, _) in &damaged {
            if let Err(failure) = self.is_there(*id).await {
                return failure;
            }
        }
        Failure::Damaged(damaged)
    }

    /// Looks through the indexes: what lies outside its block would be lost, or land in the range of another.
    async fn check_indexes(&self, blocks: &[Block]) -> Result<(), Failure> {
        let inputs = blocks.to_vec();
        let look = move || -> Result<Vec<_>, (BlockId, sarsen_block::Error)> {
            let mut damaged = Vec::new();
            for block in &inputs {
                let id = block.meta().id;
                damaged.extend(index_fault(block).map_err(|error| (id, error))?.map(|damage| (id, damage)));
            }
            Ok(damaged)
        };
        match compute(look).await? {
            Ok(damaged) if damaged.is_empty() => Ok(()),
            Ok(damaged) => Err(self.confirmed(damaged).await),
            Err((id, error)) => Err(self.of_block(id, error).await),
        }
    }

    /// Who is to blame for an error of the work.
    async fn blame(&self, error: sarsen_block::Error) -> Failure {
        let (named, error) = match (error, &self.job.blocks[..]) {
            (sarsen_block::Error::Block { id, source }, _) => (Some(id), *source),
            (error, [alone]) => (Some(alone.id), error),
            (error, _) => (None, error),
        };
        match named {
            Some(id) => self.of_block(id, error).await,
            None => match BucketError::of_block(BlockId::NONE, error) {
                passing @ (BucketError::Store { .. } | BucketError::Local { .. }) => passing.into(),
                other => self.search(other.to_string()).await,
            },
        }
    }

    /// What an error about block `id` comes to.
    async fn of_block(&self, id: BlockId, error: sarsen_block::Error) -> Failure {
        let error = BucketError::of_block(id, error);
        match Damage::of(id, &error) {
            None => Failure::Passing { blamed: Some(id), why: error.to_string() },
            Some(damage) => {
                let better = self.out_of_order(id).await;
                self.confirmed(vec![(id, better.unwrap_or(damage))]).await
            }
        }
    }

    /// Whether the fault of a block is one of its index' order, for which there is a reason of its own.
    async fn out_of_order(&self, id: BlockId) -> Option<Damage> {
        let meta = self.job.blocks.iter().find(|meta| meta.id == id)?;
        let block = open_block(&self.shop.bucket, meta, &self.reading()).await.ok()?;
        compute(move || index_fault(&block)).await.ok()?.ok()?
    }

    /// Reads every block of the job to the last sample to find the one that is at fault.
    async fn search(&self, why: String) -> Failure {
        let mut damaged = Vec::new();
        for meta in &self.job.blocks {
            match verify_block(&self.shop.bucket, meta, Depth::Deep, &self.reading()).await {
                Ok(verified) if verified.gone => return Failure::Stale(format!("{} went away", meta.id)),
                Ok(verified) => {
                    if let Some(fault) = verified.faults.first() {
                        let better = self.out_of_order(meta.id).await;
                        damaged.push((meta.id, better.unwrap_or_else(|| Damage::of_fault(fault))));
                    }
                }
                Err(error) => return error.into(),
            }
        }
        if damaged.is_empty() { Failure::Unexplained(why) } else { self.confirmed(damaged).await }
    }

    /// Reads back what was written and makes it exist.
    async fn publish(
        &self,
        mut sink: UploadSink,
        meta: BlockMeta,
        checks: &Checks,
    ) -> Result<BlockMeta, Failure> {
        let verified = sink.verify(&meta, &self.reading()).await;
        let why = match verified {
            Ok(verified) if verified.gone => Some("an object of the new block is missing".to_owned()),
            Ok(verified) => verified.faults.first().map(|fault| format!("the new block: {fault}")),
            Err(error) => {
                sink.discard().await?;
                return Err(error.into());
            }
        };
        if let Some(why) = why {
            sink.discard().await?;
            return Err(self.search(why).await);
        }
        if self.shop.stop.is_stopped() {
            sink.discard().await?;
            return Err(Failure::Stopped);
        }
        let meta = sink.publish(&meta, checks, self.clock.now_ms()).await?;
        self.shop.sound.lock().unwrap_or_else(PoisonError::into_inner).insert(meta.id);
        Ok(meta)
    }

    fn reading(&self) -> Reading {
        let mut reading = Reading::new(self.room.join("read"));
        reading.stretch = self.need.stretch;
        reading.copy_index = self.need.copies_indexes;
        reading
    }

    /// A sink for a new block, watched.
    async fn watched(&self, id: BlockId) -> Result<Watched<UploadSink>, Failure> {
        let options = SinkOptions {
            id,
            scratch: self.room.join("write"),
            runtime: Handle::current(),
            hashes: self.shop.options.hashes,
            unlabelled: self.shop.options.unlabelled,
            stream_index: !self.need.copies_indexes,
        };
        let sink = UploadSink::begin(&self.shop.bucket, options).await?;
        let observer = Arc::clone(&self.shop.observer);
        let stops = [self.shop.stop.clone(), self.left.clone()];
        Ok(Watch::new(Arc::clone(&self.job), observer, stops, Arc::clone(&self.read)).over(sink))
    }

    /// A name that no other attempt has: of the time, and of what the block is made of. So there is nothing of chance in it.
    fn name(&self) -> BlockId {
        let now_ms = self.clock.now_ms();
        let count = self.shop.names.fetch_add(1, Ordering::Relaxed);
        let mut text = format!("{count} {now_ms} {} {:?}", self.job.group, self.job.work);
        self.job.ids().for_each(|id| text.push_str(&id.to_string()));
        BlockId::from_parts(u64::try_from(now_ms).unwrap_or(0), XxHash3_128::oneshot(text.as_bytes()))
    }
}

/// Runs what computes on a thread that may.
async fn compute<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let ended = |error: tokio::task::JoinError| Failure::Unexplained(error.to_string());
    tokio::task::spawn_blocking(work).await.map_err(ended)
}

/// An error that kept a mark from being put.
impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Passing { blamed: None, why: error.to_string() }
    }
}
