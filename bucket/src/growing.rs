//! An object that goes up in parts while it is still being made, so that it lies nowhere as a whole before it is one.
//!
//! At most a few parts are in memory. A part is repeated by the store's client; the whole cannot be, since what has gone up is no longer
//! at hand. Until [`GrowingObject::finish`] there is no such object; one that is dropped before is called off, as far as can be.

use object_store::WriteMultipart;

use crate::bucket::Bucket;
use crate::error::Error;
use crate::observer::Operation;

/// An object on its way.
pub(crate) struct GrowingObject {
    bucket: Bucket,
    name: String,
    /// `None` once it has come to its end.
    parts: Option<WriteMultipart>,
    in_flight: usize,
    length: u64,
}

impl std::fmt::Debug for GrowingObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GrowingObject").field("name", &self.name).finish_non_exhaustive()
    }
}

impl GrowingObject {
    pub(crate) const fn new(bucket: Bucket, name: String, parts: WriteMultipart, in_flight: usize) -> Self {
        Self { bucket, name, parts: Some(parts), in_flight, length: 0 }
    }

    fn failed(&self, error: object_store::Error) -> Error {
        Error::store(Operation::Upload, &self.name, error)
    }

    /// Adds bytes at the end. Waits while too many parts are on their way.
    ///
    /// # Errors
    /// As the store says of this part or of one before.
    pub(crate) async fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(parts) = &mut self.parts else {
            return Err(Error::refused(&self.name, "it has come to its end"));
        };
        if let Err(error) = parts.wait_for_capacity(self.in_flight).await {
            return Err(self.failed(error));
        }
        parts.write(bytes);
        self.length += bytes.len() as u64;
        self.bucket.moved(bytes.len() as u64);
        Ok(())
    }

    /// Makes it an object; its size in bytes.
    ///
    /// # Errors
    /// As the store says.
    pub(crate) async fn finish(mut self) -> Result<u64, Error> {
        let Some(parts) = self.parts.take() else { return Ok(self.length) };
        match parts.finish().await {
            Ok(_) => Ok(self.length),
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Calls it off.
    pub(crate) async fn abort(mut self) {
        if let Some(parts) = self.parts.take() {
            // The parts are lost either way; that the store forgets them is all that can be asked.
            let _ = parts.abort().await;
            self.bucket.tidy(&self.name).await;
        }
    }
}
