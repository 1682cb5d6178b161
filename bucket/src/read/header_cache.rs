//! Headers of indexes on the local disk: made once from ranges of an index, opened when they are asked for, closed when they are not.
//!
//! Each lies in the folder of its block, `<directory>/<block>/sarsen-index-header`. A file that is damaged, cut off or of another
//! index is made anew. It is not synced: what a power failure leaves of it is found by its checksums. Where
//! the disk takes nothing the header is kept in memory instead. However many ask for the same header at once, it is
//! made or opened by one of them.
//!
//! The table of open headers is behind one lock, which is held for a look into it. Files are opened and written on
//! threads that may wait.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use sarsen_block::{BlockId, HeaderBuilder, IndexHeader, Source};
use tokio::sync::OnceCell;

use super::LocalFile;
use crate::bucket::Bucket;
use crate::error::Error;
use crate::layout::Layout;

/// Name of a header in the folder of its block.
const FILE: &str = "sarsen-index-header";

/// Hears of headers.
pub trait HeaderObserver: Send + Sync {
    /// A header was made from the bucket, in this time; or that failed.
    fn made(&self, _took: Duration, _well: bool) {}
    /// A header was opened from the local disk, in this time; or that failed, and it will be made anew.
    fn opened(&self, _took: Duration, _well: bool) {}
    /// A header that nobody asked for was closed.
    fn closed(&self) {}
}

/// An observer that does not listen.
#[derive(Debug, Clone, Copy, Default)]
pub struct UncountedHeaders;

impl HeaderObserver for UncountedHeaders {}

/// The headers of a bucket's blocks.
pub struct HeaderCache {
    /// `None`: in memory only.
    directory: Option<PathBuf>,
    open: Mutex<BTreeMap<BlockId, Arc<Slot>>>,
    observer: Arc<dyn HeaderObserver>,
}

impl std::fmt::Debug for HeaderCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "HeaderCache({:?}, {} open)", self.directory, self.table().len())
    }
}

/// A header that is open, or is being made.
#[derive(Default)]
struct Slot {
    header: OnceCell<IndexHeader>,
    /// When it was last asked for, in milliseconds of the bucket's timer.
    asked_ms: AtomicU64,
}

/// What is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpenHeaders {
    /// How many headers.
    pub count: u64,
    /// Bytes that they take in memory.
    pub memory: u64,
}

impl HeaderCache {
    /// Headers in `directory`, which is made when it is needed; without one in memory only.
    pub fn new(directory: Option<PathBuf>, observer: Arc<dyn HeaderObserver>) -> Self {
        Self { directory, open: Mutex::default(), observer }
    }

    /// The header of the index of `block`, which is `index_size` bytes long. Its owner may keep it for as long as it likes; it
    /// asks again when it is used again, because that keeps it open.
    ///
    /// # Errors
    /// `NotFound` if there is no index, `Corrupt` if it is damaged or of another size; otherwise as the store says.
    pub async fn header(
        &self,
        bucket: &Bucket,
        block: BlockId,
        index_size: u64,
    ) -> Result<IndexHeader, Error> {
        let slot = Arc::clone(self.table().entry(block).or_default());
        let now_ms = u64::try_from(bucket.elapsed().as_millis()).unwrap_or(u64::MAX);
        slot.asked_ms.store(now_ms, Ordering::Relaxed);
        let header = slot.header.get_or_try_init(|| self.open_or_make(bucket, block, index_size)).await;
        if header.is_err() {
            self.forget(block, &slot);
        }
        header.cloned()
    }

    /// Lets go of a header in which damage was found. The next one who asks gets a new one.
    pub async fn discard(&self, block: BlockId) {
        self.table().remove(&block);
        if let Some(path) = self.path(block) {
            // If it cannot be removed it is as it was, and found damaged again.
            let _ = tokio::fs::remove_file(path).await;
        }
    }

    /// Closes headers that nobody asked for since `idle`; how many.
    pub fn close_idle(&self, bucket: &Bucket, idle: Duration) -> usize {
        let idle_ms = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let now_ms = u64::try_from(bucket.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut closed = 0;
        self.table().retain(|_, slot| {
            let unused = now_ms.saturating_sub(slot.asked_ms.load(Ordering::Relaxed)) >= idle_ms;
            // One that is just being made has somebody who waits for it.
            let close = unused && slot.header.initialized();
            closed += usize::from(close);
            !close
        });
        (0..closed).for_each(|_| self.observer.closed());
        closed
    }

    /// Closes and removes what is there of blocks that `keep` does not know, their folders included; how many folders. What is not
    /// named like a block is left alone. Blocks the thread.
    ///
    /// # Errors
    /// `Local` if the directory cannot be read, or a folder not removed; the others are.
    pub fn sweep(&self, keep: impl Fn(BlockId) -> bool) -> Result<usize, Error> {
        self.table().retain(|block, _| keep(*block));
        let Some(directory) = &self.directory else { return Ok(0) };
        let entries = match std::fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(Error::local(directory, error)),
        };
        let (mut gone, mut fault) = (0, None);
        for entry in entries {
            let entry = entry.map_err(|e| Error::local(directory, e))?;
            let block = entry.file_name().to_str().and_then(Layout::block_of);
            if block.is_none_or(&keep) || !entry.path().is_dir() {
                continue;
            }
            match std::fs::remove_dir_all(entry.path()) {
                Ok(()) => gone += 1,
                Err(error) => fault = Some(Error::local(entry.path(), error)),
            }
        }
        fault.map_or(Ok(gone), Err)
    }

    /// What is open now.
    pub fn open_headers(&self) -> OpenHeaders {
        let table = self.table();
        let open = table.values().filter_map(|slot| slot.header.get());
        open.fold(OpenHeaders::default(), |sum, header| OpenHeaders {
            count: sum.count + 1,
            memory: sum.memory + header.memory() as u64,
        })
    }

    fn table(&self) -> MutexGuard<'_, BTreeMap<BlockId, Arc<Slot>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, block: BlockId) -> Option<PathBuf> {
        self.directory.as_ref().map(|directory| directory.join(block.to_string()).join(FILE))
    }

    /// Takes a slot out in which nothing came to be, unless there is another one by now or somebody else is just trying.
    fn forget(&self, block: BlockId, slot: &Arc<Slot>) {
        let mut table = self.table();
        let same = table.get(&block).is_some_and(|there| Arc::ptr_eq(there, slot));
        // Two: the table's and the caller's.
        if same && Arc::strong_count(slot) <= 2 && !slot.header.initialized() {
            table.remove(&block);
        }
    }

    async fn open_or_make(
        &self,
        bucket: &Bucket,
        block: BlockId,
        index_size: u64,
    ) -> Result<IndexHeader, Error> {
        let path = self.path(block);
        if let Some(path) = &path {
            let start = bucket.elapsed();
            let opened = match open_at_hand(path) {
                Some(header) => Ok(Some(header)),
                None => {
                    let path = path.clone();
                    on_a_waiting_thread(move || open(&path)).await
                }
            };
            let took = bucket.elapsed().saturating_sub(start);
            match opened {
                Ok(Some(header)) if header.index_size() == index_size => {
                    self.observer.opened(took, true);
                    return Ok(header);
                }
                Ok(None) => {}
                // Damaged, or of another index: made anew.
                _ => self.observer.opened(took, false),
            }
        }
        let start = bucket.elapsed();
        let made = make(bucket, block, index_size, path).await;
        self.observer.made(bucket.elapsed().saturating_sub(start), made.is_ok());
        made
    }
}

/// The header in a file, if it is in the system's memory. What is wrong with it is told by [`open`].
fn open_at_hand(path: &Path) -> Option<IndexHeader> {
    let file = Arc::new(LocalFile::at_hand(path)?);
    let header = IndexHeader::open(Arc::clone(&file) as Arc<dyn Source>).ok()?;
    file.wait();
    Some(header)
}

/// The header in a file; `None` if there is no file.
fn open(path: &Path) -> Result<Option<IndexHeader>, Error> {
    let file = match LocalFile::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::local(path, error)),
    };
    let corrupt = |error: sarsen_block::Error| Error::corrupt(path.display().to_string(), error.to_string());
    IndexHeader::open(Arc::new(file)).map(Some).map_err(corrupt)
}

/// Makes the header from ranges of the index.
async fn make(
    bucket: &Bucket,
    block: BlockId,
    index_size: u64,
    path: Option<PathBuf>,
) -> Result<IndexHeader, Error> {
    let name = Layout::index(block);
    let mut builder = HeaderBuilder::new(index_size).map_err(|error| Error::of_block(block, error))?;
    loop {
        let wanted = builder.wanted();
        if wanted.is_empty() {
            break;
        }
        let fetched = try_join_all(wanted.iter().map(|range| bucket.get_range(&name, range.clone()))).await?;
        for (range, bytes) in wanted.into_iter().zip(fetched) {
            builder.give(range.start, bytes).map_err(|error| Error::of_block(block, error))?;
        }
    }
    on_a_waiting_thread(move || write(&builder, block, path.as_deref())).await
}

/// Writes the header into its file and opens it; keeps it in memory where that is not possible.
fn write(builder: &HeaderBuilder, block: BlockId, path: Option<&Path>) -> Result<IndexHeader, Error> {
    if let Some(path) = path
        && write_file(builder, path).is_ok()
        && let Ok(Some(header)) = open(path)
    {
        return Ok(header);
    }
    let mut bytes = Vec::new();
    builder.write(&mut bytes).map_err(|error| Error::of_block(block, error))?;
    let source: Arc<dyn Source> = Arc::new(Bytes::from(bytes));
    IndexHeader::open(source).map_err(|error| Error::of_block(block, error))
}

fn write_file(builder: &HeaderBuilder, path: &Path) -> Result<(), Error> {
    let failed = |e: io::Error| Error::local(path, e);
    let temporary = path.with_extension("new");
    let written = || -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let mut out = BufWriter::new(std::fs::File::create(&temporary).map_err(failed)?);
        builder
            .write(&mut out)
            .map_err(|error| Error::corrupt(path.display().to_string(), error.to_string()))?;
        out.flush().map_err(failed)?;
        std::fs::rename(&temporary, path).map_err(failed)
    };
    let written = written();
    if written.is_err() {
        // Room that half a file takes on a full disk.
        let _ = std::fs::remove_file(&temporary);
    }
    written
}

/// Runs what waits for the disk on a thread that may.
async fn on_a_waiting_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|stopped| Err(Error::local("the local disk", io::Error::other(stopped))))
}
