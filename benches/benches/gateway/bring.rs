//! Filling a store with what lies in a folder.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sarsen_bucket::{Bucket, ObjstoreConfig, Reloading};

/// Brings what lies in a folder into a store; how many objects.
pub(crate) async fn bring(from: &Path, objstore: &str) -> Result<usize> {
    let bucket = Reloading::open(ObjstoreConfig::parse(objstore, |_| None)?)?.bucket().build();
    let mut waiting = vec![PathBuf::new()];
    let mut files = Vec::new();
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(from.join(&folder))? {
            let entry = entry?;
            let name = folder.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                waiting.push(name);
            } else {
                files.push(name);
            }
        }
    }
    for some in files.chunks(16) {
        let puts: Vec<_> = some.iter().map(|name| put(&bucket, from, name)).collect();
        for put in futures_util::future::join_all(puts).await {
            put?;
        }
    }
    Ok(files.len())
}

async fn put(bucket: &Bucket, from: &Path, name: &Path) -> Result<()> {
    let text = name.to_str().context("a name that is no text")?;
    bucket.put(text, fs::read(from.join(name))?.into()).await?;
    Ok(())
}
