//! Chunks, index, checksums, then meta: a block exists when its meta does.
//!
//! `meta.json` is made here from the caller's, with the list of files and the time of upload, and is written last. If anything
//! fails, what was written is taken away again as far as the store allows; what stays is a half block that the
//! [`View`](crate::View) recognises. A complete block of the same id is never touched. Tombstones are not uploaded: a block with
//! deletions is rewritten first.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use sarsen_block::{
    Block, BlockFile, BlockMeta, Checks, FileHash, Source, ThanosMeta, Tombstones, UploadTime,
};
use tokio::io::AsyncReadExt as _;

use crate::bucket::Bucket;
use crate::error::Error;
use crate::layout::Layout;
use crate::read::{LocalFile, segment_number};

/// How a block is uploaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UploadOptions {
    /// Now, in milliseconds since the Unix epoch: becomes the time of upload.
    pub now_ms: i64,
    /// Whether the SHA-256 of every file is noted in the meta.
    pub hashes: bool,
}

/// What an upload did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Uploaded {
    /// The block is complete in the bucket.
    Complete {
        /// Its meta as it lies there.
        meta: Box<BlockMeta>,
        /// Bytes written.
        bytes: u64,
    },
    /// A complete block of this id was there already; nothing was written.
    Present,
}

/// Uploads the block in the directory `dir`. `meta` is the block's meta with the Thanos section that it shall have: labels,
/// resolution, source and index statistics are the caller's, the rest is filled in.
///
/// # Errors
/// `Refused` if there are no external labels or a file is missing; otherwise what the disk or the store says. What was
/// written before the error has been removed as far as possible.
pub async fn upload(
    bucket: &Bucket,
    dir: &Path,
    meta: &BlockMeta,
    options: UploadOptions,
) -> Result<Uploaded, Error> {
    let mut meta = meta.clone();
    if meta.thanos.as_ref().is_none_or(|thanos| thanos.labels.is_empty()) {
        return Err(Error::refused(meta.id.to_string(), "a block without external labels is not uploaded"));
    }
    if bucket.exists(&Layout::meta(meta.id)).await? {
        return Ok(Uploaded::Present);
    }
    let files = files_of(dir, options.hashes).await?;
    if let Some(thanos) = &mut meta.thanos {
        thanos.version = 1;
        list_files(thanos, &files, options.now_ms);
    }
    match put_all(bucket, dir, &meta, &files).await {
        Ok(bytes) => Ok(Uploaded::Complete { meta: Box::new(meta), bytes }),
        Err(error) => {
            take_back(bucket, &meta).await;
            Err(error)
        }
    }
}

/// Notes in a meta which files the block has, `meta.json` last and bare, and when it was uploaded.
pub(crate) fn list_files(thanos: &mut ThanosMeta, files: &[BlockFile], now_ms: i64) {
    let segments = files.iter().filter_map(|file| file.rel_path.strip_prefix("chunks/"));
    thanos.segment_files = segments.map(str::to_owned).collect();
    thanos.files = files.to_vec();
    thanos.files.push(BlockFile { rel_path: Layout::META.to_owned(), ..BlockFile::default() });
    thanos.upload_time = UploadTime::from_unix_ms(now_ms);
}

async fn put_all(bucket: &Bucket, dir: &Path, meta: &BlockMeta, files: &[BlockFile]) -> Result<u64, Error> {
    let checks = checks_of(dir, meta, files).await;
    let mut bytes = 0;
    for file in files {
        let name = Layout::file(meta.id, &file.rel_path);
        let written = bucket.put_file(&name, &dir.join(&file.rel_path)).await?;
        if written != file.size_bytes {
            let why = format!("{written} bytes were written, {} were there before", file.size_bytes);
            return Err(Error::refused(name, why));
        }
        bytes += written;
    }
    if let Some(checks) = checks {
        bytes += checks.len() as u64;
        bucket.put(&Layout::checks(meta.id), checks.into()).await?;
    }
    let text = meta.to_bytes();
    bytes += text.len() as u64;
    bucket.put(&Layout::meta(meta.id), text.into()).await?;
    Ok(bytes)
}

/// The text of the side object: the one in the directory, which may be older than damage there, else one made now. Without it the
/// block is no worse, so a block that cannot be opened has none.
async fn checks_of(dir: &Path, meta: &BlockMeta, files: &[BlockFile]) -> Option<Vec<u8>> {
    if let Ok(text) = tokio::fs::read(dir.join(Layout::CHECKS)).await
        && Checks::parse(&text).is_ok_and(|checks| checks.id == meta.id)
    {
        return Some(text);
    }
    let paths: Vec<PathBuf> = files.iter().map(|file| dir.join(&file.rel_path)).collect();
    let meta = meta.clone();
    let made = tokio::task::spawn_blocking(move || {
        let open = |path: &PathBuf| LocalFile::open(path).ok().map(|file| Arc::new(file) as Arc<dyn Source>);
        let mut sources = paths.iter().map(open).collect::<Option<Vec<_>>>()?;
        // Segments in order, then the index.
        let index = sources.pop()?;
        let block = Block::open(index, sources, meta, Tombstones::default()).ok()?;
        Checks::of(&block).ok().map(|checks| checks.to_bytes())
    });
    made.await.ok().flatten()
}

/// Removes what a failed upload left. The meta may have arrived although the answer did not, so it goes first.
async fn take_back(bucket: &Bucket, meta: &BlockMeta) {
    // Nobody can do more about a failure here: the rest is a half block, which is recognised and cleaned later.
    let _ = crate::remove::remove(bucket, meta.id).await;
}

/// Segments in order, then the index.
async fn files_of(dir: &Path, hashes: bool) -> Result<Vec<BlockFile>, Error> {
    let chunks = dir.join(Layout::CHUNKS);
    let mut names = Vec::new();
    let mut listing = tokio::fs::read_dir(&chunks).await.map_err(|e| Error::local(&chunks, e))?;
    while let Some(entry) = listing.next_entry().await.map_err(|e| Error::local(&chunks, e))? {
        let name = entry.file_name().to_string_lossy().into_owned();
        let rel_path = format!("{}/{name}", Layout::CHUNKS);
        if segment_number(&rel_path).is_some() {
            names.push(rel_path);
        }
    }
    names.sort_unstable();
    names.push(Layout::INDEX.to_owned());
    let mut files = Vec::with_capacity(names.len());
    for rel_path in names {
        let path: PathBuf = dir.join(&rel_path);
        let size_bytes = tokio::fs::metadata(&path).await.map_err(|e| Error::local(&path, e))?.len();
        let hash = if hashes { Some(sha256(&path).await?) } else { None };
        files.push(BlockFile { rel_path, size_bytes, hash });
    }
    Ok(files)
}

/// The SHA-256 of a file.
pub(crate) async fn sha256(path: &Path) -> Result<FileHash, Error> {
    let local = |e| Error::local(path, e);
    let mut file = tokio::fs::File::open(path).await.map_err(local)?;
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = file.read(&mut buffer).await.map_err(local)?;
        if read == 0 {
            break;
        }
        context.update(buffer.get(..read).unwrap_or_default());
    }
    Ok(file_hash(context))
}

/// What a meta says of a file whose bytes went through `context`.
pub(crate) fn file_hash(context: Context) -> FileHash {
    let value = context.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    FileHash { function: "SHA256".to_owned(), value }
}
