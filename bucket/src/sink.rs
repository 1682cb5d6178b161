//! A block that goes up while it is being written, so that it never lies on the local disk as a whole.
//!
//! Files are written into a scratch directory. A chunk segment that is finished goes up and is removed, while the next one is written;
//! the index goes last, so there are at most two segments and the index on the disk. Into a directory on the same file system a file
//! is moved, into any other store it is uploaded in parts. Where the disk has no room for the index it goes up while it is made. When all has arrived it is read back from the bucket, every record and the
//! whole index ([`UploadSink::verify`]): what is not found sound there is never published. Until [`UploadSink::publish`] has put
//! `meta.json` the bucket holds half a block. A sink that is dropped before takes back what it brought, as far as it can. The calls
//! of [`BlockSink`] wait for the store: they must come from a thread that may wait.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;

use aws_lc_rs::digest::{Context, SHA256};
use sarsen_block::{BlockFile, BlockId, BlockMeta, BlockSink, BlockStats, Checks};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::bucket::Bucket;
use crate::error::Error;
use crate::growing::GrowingObject;
use crate::layout::Layout;
use crate::read::{Reading, ended};
use crate::upload::{file_hash, list_files};
use crate::verify::{Depth, Verified, verify_block};

/// Of a segment so much is read back at once, in bytes.
const STRETCH: u64 = 1 << 20;

/// How an [`UploadSink`] works.
#[derive(Debug, Clone)]
pub struct SinkOptions {
    /// The block's name. Every attempt needs a new one: what a broken-off attempt left is removed in the background.
    pub id: BlockId,
    /// A local directory for what is being written; made if need be. The sink uses a directory in it with the block's name.
    pub scratch: PathBuf,
    /// Runs the uploads. The thread that writes the block must not be one that drives it.
    pub runtime: Handle,
    /// Whether the SHA-256 of every file is noted in the meta.
    pub hashes: bool,
    /// Whether a block without external labels is taken: those of a local database have none.
    pub unlabelled: bool,
    /// Whether the index goes up while it is made. Then it takes no disk, and an upload that fails cannot be tried again.
    pub stream_index: bool,
}

/// Where a block is written to that goes into a bucket.
#[derive(Debug)]
pub struct UploadSink {
    bucket: Bucket,
    options: SinkOptions,
    directory: PathBuf,
    /// The file that is on its way.
    upload: Option<Upload>,
    /// What has arrived.
    files: Vec<BlockFile>,
    /// What was counted in it when it was read back and found sound.
    counted: Option<BlockStats>,
    /// Whether something may lie in the bucket that is no complete block.
    unpublished: bool,
}

/// A file on its way.
#[derive(Debug)]
struct Upload(JoinHandle<Result<BlockFile, Error>>);

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A file of the block while it is written.
#[derive(Debug)]
pub struct SinkFile {
    rel_path: String,
    place: Place,
    length: u64,
    hash: Option<HashContext>,
}

/// Where the bytes of a file go.
#[derive(Debug)]
enum Place {
    /// On the local disk, to be brought into the bucket when it is whole.
    Disk { path: PathBuf, file: File },
    /// Into the bucket.
    Bucket { object: Option<GrowingObject>, runtime: Handle },
}

impl Place {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Disk { file, .. } => file.write(bytes),
            Self::Bucket { object: Some(object), runtime } => {
                runtime.block_on(object.add(bytes)).map(|()| bytes.len()).map_err(Error::into_io)
            }
            Self::Bucket { object: None, .. } => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Self::Bucket { object, runtime } = self
            && let Some(object) = object.take()
        {
            // Nobody waits for it.
            drop(runtime.spawn(object.abort()));
        }
    }
}

/// A SHA-256 on its way.
struct HashContext(Context);

impl std::fmt::Debug for HashContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashContext")
    }
}

impl Write for SinkFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.place.write(bytes)?;
        self.length += written as u64;
        if let (Some(HashContext(context)), Some(bytes)) = (&mut self.hash, bytes.get(..written)) {
            context.update(bytes);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.place {
            Place::Disk { file, .. } => file.flush(),
            Place::Bucket { .. } => Ok(()),
        }
    }
}

impl BlockSink for UploadSink {
    type File = SinkFile;

    fn create(&mut self, rel_path: &str) -> io::Result<SinkFile> {
        let place = if self.options.stream_index && rel_path == Layout::INDEX {
            let runtime = self.options.runtime.clone();
            let object = runtime.block_on(self.bucket.grow(&Layout::file(self.options.id, rel_path)));
            Place::Bucket { object: Some(object.map_err(Error::into_io)?), runtime }
        } else {
            let path = self.directory.join(rel_path);
            let local = |e| Error::local(&path, e).into_io();
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent).map_err(local)?;
            }
            let file = File::create(&path).map_err(local)?;
            Place::Disk { path, file }
        };
        let hash = self.options.hashes.then(|| HashContext(Context::new(&SHA256)));
        Ok(SinkFile { rel_path: rel_path.to_owned(), place, length: 0, hash })
    }

    fn finish(&mut self, file: SinkFile) -> io::Result<()> {
        let runtime = self.options.runtime.clone();
        runtime.block_on(self.arrived()).map_err(Error::into_io)?;
        let SinkFile { rel_path, mut place, length, hash } = file;
        let hash = hash.map(|HashContext(context)| file_hash(context));
        let file = BlockFile { rel_path, size_bytes: length, hash };
        let (bucket, id) = (self.bucket.clone(), self.options.id);
        let arriving = match &mut place {
            Place::Disk { path, .. } => runtime.spawn(bring(bucket, id, std::mem::take(path), file)),
            Place::Bucket { object, .. } => runtime.spawn(end(id, object.take(), file)),
        };
        self.upload = Some(Upload(arriving));
        Ok(())
    }
}

impl UploadSink {
    /// Begins a block that is not in the bucket.
    ///
    /// # Errors
    /// `Exists` if there is a complete block of this name, `Local` if the scratch directory cannot be used; otherwise as the
    /// store says.
    pub async fn begin(bucket: &Bucket, options: SinkOptions) -> Result<Self, Error> {
        let name = Layout::meta(options.id);
        if bucket.exists(&name).await? {
            return Err(Error::Exists { name });
        }
        let directory = options.scratch.join(options.id.to_string());
        match tokio::fs::remove_dir_all(&directory).await {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::local(&directory, error));
            }
            _ => {}
        }
        tokio::fs::create_dir_all(&directory).await.map_err(|e| Error::local(&directory, e))?;
        Ok(Self {
            bucket: bucket.clone(),
            options,
            directory,
            upload: None,
            files: Vec::new(),
            counted: None,
            unpublished: true,
        })
    }

    /// Waits for the file on its way.
    async fn arrived(&mut self) -> Result<(), Error> {
        if let Some(mut upload) = self.upload.take() {
            let file = (&mut upload.0).await.map_err(|error| ended(self.options.id, error))??;
            self.files.push(file);
        }
        Ok(())
    }

    /// Reads back what was written, once all of it has arrived: every record's checksum, the whole index, and whether `meta` counts what is
    /// there. So a block is looked at before it exists.
    ///
    /// # Errors
    /// As the disk or the store says. What is wrong with the block is no error.
    pub async fn verify(&mut self, meta: &BlockMeta, reading: &Reading) -> Result<Verified, Error> {
        self.arrived().await?;
        let verified = verify_block(&self.bucket, meta, Depth::Quick, reading).await?;
        self.counted = verified.stats.filter(|_| verified.is_sound() && !verified.gone);
        Ok(verified)
    }

    /// Makes the block exist: its checksums, as the writer took them before a byte reached the disk, and then `meta.json`, from the
    /// caller's meta with the list of files and `now_ms`, milliseconds since the Unix epoch, as the time of upload. Returns it as it
    /// lies there. If it cannot be put, what was brought is taken back. What was not [verified](Self::verify) is verified before.
    ///
    /// # Errors
    /// `Corrupt` if what lies in the bucket is damaged; `Refused` if the meta has another id or no external labels, or meta or checksums
    /// are not about what was written; otherwise as the disk or the store says.
    pub async fn publish(
        mut self,
        meta: &BlockMeta,
        checks: &Checks,
        now_ms: i64,
    ) -> Result<BlockMeta, Error> {
        let published = self.complete(meta, checks, now_ms).await;
        match published {
            Ok(_) => {
                self.unpublished = false;
                self.clear();
            }
            // The first error is the one to tell of.
            Err(_) => drop(self.discard().await),
        }
        published
    }

    async fn complete(&mut self, meta: &BlockMeta, checks: &Checks, now_ms: i64) -> Result<BlockMeta, Error> {
        self.arrived().await?;
        let mut meta = meta.clone();
        let refused = |why: String| Error::refused(self.options.id.to_string(), why);
        if meta.id != self.options.id {
            return Err(refused(format!("the meta is that of {}", meta.id)));
        }
        // Segments by number, then the index.
        self.files.sort_by(|a, b| {
            (a.rel_path == Layout::INDEX, &a.rel_path).cmp(&(b.rel_path == Layout::INDEX, &b.rel_path))
        });
        if self.files.last().is_none_or(|file| file.rel_path != Layout::INDEX) {
            return Err(refused("no index was written".to_owned()));
        }
        let unlabelled = self.options.unlabelled;
        let Some(thanos) = meta.thanos.as_mut().filter(|thanos| unlabelled || !thanos.labels.is_empty())
        else {
            return Err(refused("a block without external labels is not uploaded".to_owned()));
        };
        list_files(thanos, &self.files, now_ms);
        let checks = Checks { id: meta.id, ..checks.clone() };
        if lengths(&checks) != self.files.iter().map(|file| file.size_bytes).collect::<Vec<_>>() {
            return Err(refused("the checksums are those of other files".to_owned()));
        }
        self.check_counts(&meta).await?;
        self.bucket.put(&Layout::checks(meta.id), checks.to_bytes().into()).await?;
        self.bucket.put(&Layout::meta(meta.id), meta.to_bytes().into()).await?;
        Ok(meta)
    }

    /// Holds what was counted in the bucket against what the meta says.
    async fn check_counts(&mut self, meta: &BlockMeta) -> Result<(), Error> {
        if self.counted.is_none() {
            let reading = Reading {
                scratch: self.directory.clone(),
                stretch: STRETCH,
                copy_index: !self.options.stream_index,
                runtime: self.options.runtime.clone(),
                fetched: Default::default(),
            };
            let verified = self.verify(meta, &reading).await?;
            if let Some(fault) = verified.faults.first() {
                let what = fault.to_string();
                return Err(match fault.file.as_str() {
                    Layout::META => Error::refused(meta.id.to_string(), what),
                    file => Error::corrupt(Layout::file(meta.id, file), what),
                });
            }
        }
        let refused = |why| Error::refused(meta.id.to_string(), why);
        let Some(found) = self.counted else { return Err(refused("it cannot be read back".to_owned())) };
        for (what, told, found) in [
            ("series", meta.stats.num_series, found.num_series),
            ("chunks", meta.stats.num_chunks, found.num_chunks),
            ("samples", meta.stats.num_samples, found.num_samples),
        ] {
            if told != found {
                return Err(refused(format!("the meta says {told} {what}, {found} were written")));
            }
        }
        Ok(())
    }

    /// Takes back what was brought, and waits until that is done.
    ///
    /// # Errors
    /// As the store says; what is left is then a half block.
    pub async fn discard(mut self) -> Result<(), Error> {
        drop(self.upload.take());
        self.unpublished = false;
        self.clear();
        crate::remove::remove(&self.bucket, self.options.id).await.map(|_| ())
    }

    /// Bytes that have arrived in the bucket.
    pub fn uploaded(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).sum()
    }

    /// Removes the scratch directory.
    fn clear(&self) {
        // Its owner empties what stays.
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

impl Drop for UploadSink {
    fn drop(&mut self) {
        if self.unpublished {
            drop(self.upload.take());
            self.clear();
            let (bucket, id) = (self.bucket.clone(), self.options.id);
            // Nobody waits for it. What it leaves is half a block, which is recognised and cleaned later.
            drop(self.options.runtime.spawn(async move { crate::remove::remove(&bucket, id).await }));
        }
    }
}

/// Brings a finished file into the bucket; here it is gone then.
async fn bring(bucket: Bucket, id: BlockId, path: PathBuf, file: BlockFile) -> Result<BlockFile, Error> {
    let name = Layout::file(id, &file.rel_path);
    let written = bucket.take_file(&name, &path).await?;
    same_size(name, written, file)
}

/// Makes an object of a file that went up while it was made.
async fn end(id: BlockId, object: Option<GrowingObject>, file: BlockFile) -> Result<BlockFile, Error> {
    let name = Layout::file(id, &file.rel_path);
    let Some(object) = object else { return Err(Error::refused(name, "it was finished before")) };
    same_size(name, object.finish().await?, file)
}

fn same_size(name: String, arrived: u64, file: BlockFile) -> Result<BlockFile, Error> {
    if arrived != file.size_bytes {
        let why = format!("{arrived} bytes were uploaded, {} were written", file.size_bytes);
        return Err(Error::corrupt(name, why));
    }
    Ok(file)
}

/// Bytes of the files that checksums are about: segments by number, then the index.
fn lengths(checks: &Checks) -> Vec<u64> {
    let index = checks.index.iter().fold(0u64, |sum, section| sum.saturating_add(section.length));
    checks.segments.iter().map(|segment| segment.length).chain([index]).collect()
}
