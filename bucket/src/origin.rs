//! Where the bytes of an upload come from, part by part: a local file, or an object in a bucket.
//!
//! A part is in memory whole, once; the one behind it is not read before it is asked for.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::bucket::Bucket;
use crate::error::Error;
use crate::room::Room;

/// An upload that is tried again begins here again.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin<'a> {
    File(&'a Path),
    /// The bucket, the name and the size in bytes.
    Object(&'a Bucket, &'a str, u64),
}

/// What is left of an origin.
#[derive(Debug)]
pub(crate) enum Parts<'a> {
    File(LocalParts<'a>),
    Object { bucket: &'a Bucket, name: &'a str, at: u64, length: u64 },
}

impl<'a> Origin<'a> {
    /// Parts of a file lie in `room`.
    pub(crate) async fn open(self, room: &Room) -> Result<Parts<'a>, Error> {
        match self {
            Self::File(path) => {
                let local = |e| Error::local(path, e);
                let file = tokio::fs::File::open(path).await.map_err(local)?;
                let length = file.metadata().await.map_err(local)?.len();
                let file = Arc::new(file.into_std().await);
                Ok(Parts::File(LocalParts { path, file, left: length, room: room.clone() }))
            }
            Self::Object(bucket, name, length) => Ok(Parts::Object { bucket, name, at: 0, length }),
        }
    }
}

/// What is left of a local file.
#[derive(Debug)]
pub(crate) struct LocalParts<'a> {
    path: &'a Path,
    file: Arc<File>,
    /// Bytes.
    left: u64,
    room: Room,
}

impl LocalParts<'_> {
    async fn next(&mut self, size: usize) -> Result<Bytes, Error> {
        let size = usize::try_from(self.left).unwrap_or(usize::MAX).min(size);
        if size == 0 {
            return Ok(Bytes::new());
        }
        let (file, mut part) = (Arc::clone(&self.file), self.room.take(size));
        let read = tokio::task::spawn_blocking(move || {
            (&*file).take(size as u64).read_to_end(&mut part.bytes).map(|_| part)
        });
        let part = read.await.map_err(io::Error::other).and_then(|part| part);
        let part = part.map_err(|e| Error::local(self.path, e))?;
        // A file that has become shorter is at its end; who uploads it counts the bytes.
        self.left = if part.bytes.len() < size { 0 } else { self.left - size as u64 };
        Ok(part.into_bytes())
    }
}

impl Parts<'_> {
    /// The next bytes, `size` of them unless the origin ends before; none at its end.
    pub(crate) async fn next(&mut self, size: usize) -> Result<Bytes, Error> {
        match self {
            Self::File(parts) => parts.next(size).await,
            Self::Object { bucket, name, at, length } => {
                let end = at.saturating_add(size as u64).min(*length);
                let part = bucket.get_range(name, *at..end).await?;
                *at = end;
                Ok(part)
            }
        }
    }
}
