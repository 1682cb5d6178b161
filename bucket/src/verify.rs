//! What is wrong with blocks as they lie in the bucket, found by looking at sizes or by reading every byte.
//!
//! A fault is something that will not pass by asking again; what the store says meanwhile is an error of the call and no fault.
//! Nothing is changed. Blocks are read from where they are: only the index takes room on the local disk, and not even that where the
//! store is a local directory.

use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sarsen_block::{BlockId, BlockMeta, BlockStats, Checks, Fault, Source, verify, verify_quick};

use crate::bucket::Bucket;
use crate::error::Error;
use crate::layout::Layout;
use crate::read::{BlockObjects, BlockSources, Reading, ended, forward};

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Depth {
    /// Whether every object is there, with the size that the meta says. Reads nothing.
    Sizes,
    /// Every byte against the block's checksums, which were taken when it was written; nothing is decoded and nothing written
    /// to the local disk. A block without checksums is looked at as with [`Depth::Quick`].
    Fast,
    /// Every byte is read and every checksum looked at; samples are counted and not decoded.
    Quick,
    /// Every byte is read and every sample decoded.
    Deep,
}

/// What was found out about a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The block.
    pub id: BlockId,
    /// What is wrong with it; files are named as in the block's folder.
    pub faults: Vec<Fault>,
    /// Faults that are not described.
    pub more_faults: u64,
    /// Whether the block went away while it was read. What was found until then does not count.
    pub gone: bool,
    /// What was counted, if every byte was read and the format was looked at.
    pub stats: Option<BlockStats>,
}

impl Verified {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.faults.is_empty()
    }

    fn of(id: BlockId, faults: Vec<Fault>) -> Self {
        Self { id, faults, more_faults: 0, gone: false, stats: None }
    }
}

/// Looks at a block.
///
/// # Errors
/// As the store says, and `Local` if the scratch directory cannot be used.
pub async fn verify_block(
    bucket: &Bucket,
    meta: &BlockMeta,
    depth: Depth,
    reading: &Reading,
) -> Result<Verified, Error> {
    match look(bucket, meta, depth, reading).await {
        Err(error @ (Error::NotFound { .. } | Error::Corrupt { .. })) => {
            // A block that is being removed loses its meta first.
            let gone = !bucket.exists(&Layout::meta(meta.id)).await?;
            let faults = if gone { Vec::new() } else { vec![fault_of(meta.id, &error)] };
            Ok(Verified { gone, ..Verified::of(meta.id, faults) })
        }
        looked => looked,
    }
}

async fn look(bucket: &Bucket, meta: &BlockMeta, depth: Depth, reading: &Reading) -> Result<Verified, Error> {
    let objects = BlockObjects::find(bucket, meta).await?;
    if depth == Depth::Sizes {
        return Ok(Verified::of(meta.id, Vec::new()));
    }
    if depth == Depth::Fast
        && let Some(text) = bucket.get_if_exists(&Layout::checks(meta.id)).await?
    {
        return against(bucket, meta.id, &text, objects, reading).await;
    }
    let mut sources = BlockSources::open(bucket, &objects, reading).await?;
    let trouble = Trouble::default();
    sources.index = trouble.watch(sources.index);
    sources.segments = sources.segments.into_iter().map(|source| trouble.watch(source)).collect();
    let id = meta.id;
    let meta = meta.clone();
    let search = if depth == Depth::Deep { verify } else { verify_quick };
    let read_all = move || sources.into_block(meta).map(|block| search(&block));
    let read = reading.runtime.spawn_blocking(read_all).await.map_err(|error| ended(id, error))?;
    if let Some(error) = trouble.take() {
        return Err(Error::of_block(id, sarsen_block::Error::io("reading a block", error)));
    }
    let report = read.map_err(|error| Error::of_block(id, error))?;
    let (more_faults, stats) = (report.more_faults, Some(report.stats));
    Ok(Verified { more_faults, stats, ..Verified::of(id, report.faults) })
}

/// Holds a block against its checksums.
async fn against(
    bucket: &Bucket,
    id: BlockId,
    text: &[u8],
    objects: BlockObjects,
    reading: &Reading,
) -> Result<Verified, Error> {
    let name = Layout::checks(id);
    let checks = Checks::parse(text).map_err(|error| Error::corrupt(&name, error.to_string()))?;
    if checks.id != id {
        return Err(Error::corrupt(name, format!("names the block {}", checks.id)));
    }
    let mut files = objects.segments;
    files.push(objects.index);
    let mut segments = forward(bucket, &files, reading).await?;
    let search = move || {
        let index = segments.pop();
        index.map_or(Ok(Vec::new()), |index| checks.verify(&*index, &segments))
    };
    let searched = reading.runtime.spawn_blocking(search).await.map_err(|error| ended(id, error))?;
    searched.map(|faults| Verified::of(id, faults)).map_err(|error| Error::of_block(id, error))
}

/// A fault for an object that is missing or not what it should be.
fn fault_of(id: BlockId, error: &Error) -> Fault {
    let (name, what) = match error {
        Error::NotFound { name } => (name.as_str(), "is missing".to_owned()),
        Error::Corrupt { name, why } => (name.as_str(), why.clone()),
        other => ("", other.to_string()),
    };
    let file = name.strip_prefix(&format!("{id}/")).unwrap_or(name).to_owned();
    Fault { file, offset: 0, what }
}

/// The first error of reading that was none of the bytes: a search for faults would take it for one.
#[derive(Debug, Clone, Default)]
struct Trouble(Arc<Mutex<Option<io::Error>>>);

impl Trouble {
    fn watch(&self, source: Arc<dyn Source>) -> Arc<dyn Source> {
        Arc::new(Watched { source, trouble: self.clone() })
    }

    fn take(&self) -> Option<io::Error> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A source whose errors are kept.
struct Watched {
    source: Arc<dyn Source>,
    trouble: Trouble,
}

impl Source for Watched {
    fn len(&self) -> u64 {
        self.source.len()
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        self.source.read(range).map_err(|error| {
            // A range outside the object comes from damaged bytes.
            if error.kind() == io::ErrorKind::UnexpectedEof {
                return error;
            }
            let kind = error.kind();
            self.trouble.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            kind.into()
        })
    }
}

/// How blocks are scrubbed.
#[derive(Debug, Clone)]
pub struct ScrubOptions {
    /// How much is looked at.
    pub depth: Depth,
    /// No more is read than this many bytes in a second.
    pub bytes_per_second: u64,
    /// How blocks are read.
    pub reading: Reading,
}

/// Looks at blocks one after another, within a bandwidth, and hands each result to `found`. The blocks come in
/// the order given, so whoever keeps the last id can go on behind it another time. Returns how many were looked at; `found` ends it
/// early by returning false.
///
/// # Errors
/// As [`verify_block`]; what was handed to `found` before is not affected.
pub async fn scrub(
    bucket: &Bucket,
    metas: impl IntoIterator<Item = &BlockMeta>,
    options: &ScrubOptions,
    mut found: impl FnMut(Verified) -> bool,
) -> Result<usize, Error> {
    let bucket = bucket.capped(options.bytes_per_second);
    let mut count = 0;
    for meta in metas {
        count += 1;
        if !found(verify_block(&bucket, meta, options.depth, &options.reading).await?) {
            break;
        }
    }
    Ok(count)
}
