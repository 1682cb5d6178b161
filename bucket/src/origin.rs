//! Where the bytes of an upload come from, part by part: a local file, or an object in a bucket.
//!
//! A part is in memory whole, once; the one behind it is not read before it is asked for.

use std::path::Path;

use bytes::Bytes;
use tokio::io::AsyncReadExt as _;

use crate::bucket::Bucket;
use crate::error::Error;

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
    File(&'a Path, tokio::fs::File),
    Object { bucket: &'a Bucket, name: &'a str, at: u64, length: u64 },
}

impl<'a> Origin<'a> {
    pub(crate) async fn open(self) -> Result<Parts<'a>, Error> {
        match self {
            Self::File(path) => {
                let file = tokio::fs::File::open(path).await.map_err(|e| Error::local(path, e))?;
                Ok(Parts::File(path, file))
            }
            Self::Object(bucket, name, length) => Ok(Parts::Object { bucket, name, at: 0, length }),
        }
    }
}

impl Parts<'_> {
    /// The next bytes, `size` of them unless the origin ends before; none at its end.
    pub(crate) async fn next(&mut self, size: usize) -> Result<Bytes, Error> {
        match self {
            Self::File(path, file) => {
                let mut part = Vec::new();
                let mut rest = file.take(size as u64);
                rest.read_to_end(&mut part).await.map_err(|e| Error::local(*path, e))?;
                Ok(part.into())
            }
            Self::Object { bucket, name, at, length } => {
                let end = at.saturating_add(size as u64).min(*length);
                let part = bucket.get_range(name, *at..end).await?;
                *at = end;
                Ok(part)
            }
        }
    }
}
