//! An object of a local directory as a source: the file that it is, read by position.
//!
//! Nothing is copied beforehand, read ahead or kept: the disk's cache does that better. The file stays readable when its name goes, so
//! what is removed meanwhile is read to its end. Every read is told to the bucket's observer and waits for its bound, as a request
//! to any other store.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sarsen_block::Source;
use tokio::runtime::Handle;

use super::Reading;
use crate::bucket::{Bucket, Object};
use crate::error::Error;

/// One object.
pub(super) struct Placed {
    bucket: Bucket,
    name: String,
    file: File,
    length: u64,
    runtime: Handle,
    /// Counts the bytes that were read.
    fetched: Option<Arc<AtomicU64>>,
}

impl Placed {
    /// `file` is `object`. Whether its bytes are counted, `counted` tells.
    pub(super) fn new(
        bucket: &Bucket,
        object: &Object,
        file: File,
        reading: &Reading,
        counted: bool,
    ) -> Self {
        Self {
            bucket: bucket.clone(),
            name: object.name.clone(),
            file,
            length: object.size,
            runtime: reading.runtime.clone(),
            fetched: counted.then(|| Arc::clone(&reading.fetched)),
        }
    }
}

impl Source for Placed {
    fn len(&self) -> u64 {
        self.length
    }

    fn read(&self, range: Range<u64>) -> io::Result<Bytes> {
        if range.start > range.end || range.end > self.length {
            let why = format!("bytes {}..{} of {}", range.start, range.end, self.length);
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, why));
        }
        let read = self.bucket.read_begun(&self.name, &self.file, range, &self.runtime);
        let bytes = read.map_err(Error::into_io)?;
        if let Some(fetched) = &self.fetched {
            fetched.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(bytes)
    }
}
