//! A block, or one file of it, to a local directory, checked.
//!
//! The block is written beside its place under a temporary name and renamed when it is whole, so a directory named by an id is always a
//! whole block. Sizes, and hashes where the meta has them, must agree with the meta.

use std::path::{Path, PathBuf};

use sarsen_block::{BlockFile, BlockId, BlockMeta};
use tokio::io::AsyncWriteExt as _;

use crate::bucket::{Bucket, Object};
use crate::error::Error;
use crate::layout::Layout;
use crate::read::save;
use crate::upload::sha256;

/// Objects larger than this are fetched by ranges of this size, in bytes, so that memory stays bounded.
const STRETCH: u64 = 8 << 20;

/// Fetches a block into `<parent>/<id>` and returns that directory. Marks are not fetched. A directory of that name that is
/// there already is an error.
///
/// # Errors
/// `NotFound` if there is no complete block; `Corrupt` if an object is not what the meta says; otherwise what the store or the
/// disk says. Nothing is left behind then, but for what the disk refuses to remove.
pub async fn download(bucket: &Bucket, id: BlockId, parent: &Path) -> Result<PathBuf, Error> {
    let target = parent.join(id.to_string());
    if tokio::fs::try_exists(&target).await.map_err(|e| Error::local(&target, e))? {
        return Err(Error::refused(target.display().to_string(), "is there already"));
    }
    let scratch = parent.join(format!("{id}.tmp-download"));
    let fetched = fetch_block(bucket, id, &scratch).await;
    let moved = match fetched {
        Ok(()) => tokio::fs::rename(&scratch, &target).await.map_err(|e| Error::local(&target, e)),
        Err(error) => Err(error),
    };
    match moved {
        Ok(()) => sync_dir(parent).await.map(|()| target),
        Err(error) => {
            // The error that counts is the first one.
            let _ = tokio::fs::remove_dir_all(&scratch).await;
            Err(error)
        }
    }
}

async fn fetch_block(bucket: &Bucket, id: BlockId, scratch: &Path) -> Result<(), Error> {
    let name = Layout::meta(id);
    let text = bucket.get(&name).await?;
    let meta = BlockMeta::parse(&text).map_err(|error| Error::corrupt(&name, error.to_string()))?;
    match tokio::fs::remove_dir_all(scratch).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(Error::local(scratch, error));
        }
        _ => {}
    }
    let chunks = scratch.join(Layout::CHUNKS);
    tokio::fs::create_dir_all(&chunks).await.map_err(|e| Error::local(&chunks, e))?;
    let known: &[BlockFile] = meta.thanos.as_ref().map_or(&[], |thanos| &thanos.files);
    for object in bucket.list(&Layout::block(id)).await? {
        let Some((_, rel_path)) = Layout::split(&object.name) else { continue };
        if rel_path == Layout::INDEX || rel_path.starts_with("chunks/") {
            let file = known.iter().find(|file| file.rel_path == rel_path);
            check_name(rel_path, &object.name)?;
            fetch_file(bucket, &object, file, &scratch.join(rel_path)).await?;
        }
    }
    for file in known.iter().filter(|file| file.rel_path != Layout::META) {
        let path = scratch.join(&file.rel_path);
        if !tokio::fs::try_exists(&path).await.map_err(|e| Error::local(&path, e))? {
            return Err(Error::corrupt(
                Layout::file(id, &file.rel_path),
                "is in the meta but not in the bucket",
            ));
        }
    }
    let path = scratch.join(Layout::META);
    write_synced(&path, &text).await?;
    sync_dir(&chunks).await?;
    sync_dir(scratch).await
}

/// A name from the bucket must not lead out of the directory.
fn check_name(rel_path: &str, name: &str) -> Result<(), Error> {
    let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    if rel_path.split('/').count() <= 2 && rel_path.split('/').all(plain) {
        Ok(())
    } else {
        Err(Error::corrupt(name, "no name for a file of a block"))
    }
}

async fn fetch_file(
    bucket: &Bucket,
    object: &Object,
    known: Option<&BlockFile>,
    path: &Path,
) -> Result<(), Error> {
    let local = |e| Error::local(path, e);
    if let Some(file) = known
        && file.size_bytes != 0
        && file.size_bytes != object.size
    {
        let why = format!("{} bytes, {} in the meta", object.size, file.size_bytes);
        return Err(Error::corrupt(&object.name, why));
    }
    let mut out = tokio::fs::File::create(path).await.map_err(local)?;
    save(bucket, object, 0, &mut out, STRETCH).await.map_err(|fault| fault.at(path))?;
    out.sync_all().await.map_err(local)?;
    if let Some(expected) = known.and_then(|file| file.hash.as_ref())
        && expected.function == "SHA256"
    {
        let found = sha256(path).await?;
        if found.value != expected.value {
            return Err(Error::corrupt(
                &object.name,
                format!("SHA-256 {}, {} in the meta", found.value, expected.value),
            ));
        }
    }
    Ok(())
}

async fn write_synced(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let local = |e| Error::local(path, e);
    let mut file = tokio::fs::File::create(path).await.map_err(local)?;
    file.write_all(bytes).await.map_err(local)?;
    file.flush().await.map_err(local)?;
    file.sync_all().await.map_err(local)
}

async fn sync_dir(path: &Path) -> Result<(), Error> {
    let dir = tokio::fs::File::open(path).await.map_err(|e| Error::local(path, e))?;
    dir.sync_all().await.map_err(|e| Error::local(path, e))
}
