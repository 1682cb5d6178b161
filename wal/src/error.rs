//! What went wrong with a log, and what its owner should do about it.

use std::io;
use std::path::Path;

use crate::disk::Latched;

/// Why an operation of this crate failed. Damage found by a replay is not an error but a value:
/// [`Damage`](crate::Damage).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The disk failed outside of an open log's writes: opening, listing, reading, cutting.
    #[error("{operation}: {source}")]
    Io {
        /// What was done to which path.
        operation: String,
        /// What the disk said.
        #[source]
        source: io::Error,
    },
    /// A write or sync of this open log failed, now or earlier, and it refuses everything since.
    #[error(transparent)]
    Latched(#[from] Latched),
    /// The bytes of a record passed their checksum and still are not a record.
    #[error(transparent)]
    Record(#[from] sarsen_block::Error),
    /// The log was written by a newer version of this crate.
    #[error("{object} has {what} {found}, which this version cannot read")]
    Unsupported {
        /// The file or record.
        object: String,
        /// Which of its marks is unknown.
        what: &'static str,
        /// The mark that was found.
        found: u64,
    },
    /// The caller handed in something that a log cannot hold, or options that make no sense.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// The thing that was handed in.
        what: &'static str,
        /// Why it is refused.
        why: String,
    },
}

/// What the owner of a log should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The cause may pass: the same call may succeed later.
    Retry,
    /// Close the log, and with back-off open it again at its last synced position.
    Reopen,
    /// The input is at fault: the same call will fail again, other input may succeed.
    Refuse,
    /// Neither waiting nor other input helps; a person has to look.
    Stop,
}

impl Error {
    pub(crate) fn io(operation: &str, path: &Path, source: io::Error) -> Self {
        Self::Io { operation: format!("{operation} {}", path.display()), source }
    }

    /// An error with a sentence, for `map_err` on calls of the disk.
    pub(crate) fn on<'a>(operation: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::io(operation, path, source)
    }

    /// Retry, reopen, refuse or stop.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Io { .. } => Advice::Retry,
            Self::Latched(_) => Advice::Reopen,
            Self::Invalid { .. } => Advice::Refuse,
            Self::Record(_) | Self::Unsupported { .. } => Advice::Stop,
        }
    }

    /// Whether a full disk is the cause.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Latched(latched) => latched.is_full(),
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}
