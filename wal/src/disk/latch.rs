//! After one failed write or sync, whatever stands on those bytes refuses everything.
//!
//! A failed write leaves any part of itself behind, and after a failed sync the operating system may report the next
//! one as a success although bytes are gone. So there is no "try the sync again": the latch closes, everything that
//! waits or comes later gets [`Latched`] with the first reason, and the owner opens the log again, with back-off, at
//! the last synced position. A latch never opens again.

use std::io;
use std::sync::{Arc, OnceLock};

/// Why everything is refused: the first write or sync that failed.
#[derive(Debug, Clone, thiserror::Error)]
#[error("closed after a failed {operation}: {cause}")]
pub struct Latched {
    /// What failed, with the name of the file.
    pub operation: Arc<str>,
    /// What the disk said.
    pub cause: Arc<io::Error>,
}

impl Latched {
    /// Whether the disk was full, which often passes.
    pub fn is_full(&self) -> bool {
        matches!(self.cause.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
    }
}

/// Open until the first failure, then closed for good.
#[derive(Debug, Default)]
pub struct Latch(OnceLock<Latched>);

impl Latch {
    /// An open latch.
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// Fails once the latch is closed.
    ///
    /// # Errors
    /// The reason it was closed for.
    pub fn check(&self) -> Result<(), Latched> {
        self.0.get().map_or(Ok(()), |latched| Err(latched.clone()))
    }

    /// Closes the latch; if it is closed already, the first reason stays. Gives the reason that holds.
    pub fn close(&self, operation: impl Into<Arc<str>>, cause: io::Error) -> Latched {
        self.0.get_or_init(|| Latched { operation: operation.into(), cause: Arc::new(cause) }).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_stays() {
        let latch = Latch::new();
        assert!(latch.check().is_ok());
        latch.close("sync of 00000001", io::ErrorKind::StorageFull.into());
        latch.close("write of 00000002", io::ErrorKind::Other.into());
        let latched = latch.check().unwrap_err();
        assert_eq!(&*latched.operation, "sync of 00000001");
        assert!(latched.is_full());
    }
}
