//! One database, one process.

use std::path::Path;

use sarsen_wal::{Disk, Lock};

use crate::error::Error;

/// Name of the lock file, as Prometheus has it.
pub(crate) const NAME: &str = "lock";

/// The directory is ours as long as this lives.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _held: Box<dyn Lock>,
}

impl DirectoryLock {
    /// Takes a directory. Never waits.
    ///
    /// # Errors
    /// [`Error::InUse`] if somebody else has it, [`Error::Io`] if the disk fails.
    pub(crate) fn take(disk: &dyn Disk, directory: &Path) -> Result<Self, Error> {
        let path = directory.join(NAME);
        match disk.lock(&path).map_err(|e| Error::io(format!("locking {}", path.display()), e))? {
            Some(held) => Ok(Self { _held: held }),
            None => Err(Error::InUse { directory: directory.display().to_string() }),
        }
    }
}
