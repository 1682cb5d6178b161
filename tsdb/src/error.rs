//! What can go wrong with a database, and what its owner should do about it.
//!
//! A sample that is too old or out of order is not an error: it is a [`Reason`](crate::Reason) in the outcome of a commit.

use std::io;

/// Why an operation on a database failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another process has the directory open, or this one has it open twice.
    #[error("{directory} is in use by another database")]
    InUse {
        /// The directory.
        directory: String,
    },
    /// The log is damaged in its middle, or behind what was acknowledged.
    #[error("{} {segment} is damaged at offset {offset}: {why}", if *in_checkpoint { "checkpoint" } else { "log segment" })]
    Damaged {
        /// In the checkpoint, not in a segment; `segment` is then the number of the checkpoint.
        in_checkpoint: bool,
        /// Number of the segment.
        segment: u64,
        /// Offset of the first byte that cannot be believed.
        offset: u64,
        /// What is wrong there.
        why: String,
    },
    /// A commit failed half way, and this database takes no more samples until it is opened anew.
    #[error("memory and log differ until the database is opened again: {why}")]
    Latched {
        /// What happened.
        why: String,
    },
    /// The log failed. After a failed write or sync it stays closed until the database is opened anew.
    #[error(transparent)]
    Log(#[from] sarsen_wal::Error),
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// A part of the head can take no more, because its references have run out.
    #[error("the head is full: {what}")]
    Full {
        /// What has run out.
        what: &'static str,
    },
    /// A setting or an argument makes no sense.
    #[error("invalid {what}: {why}")]
    Invalid {
        /// The setting or argument.
        what: &'static str,
        /// Why it is refused.
        why: String,
    },
    /// Reading or writing a block failed.
    #[error(transparent)]
    Block(#[from] sarsen_block::Error),
    /// The disk failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// What the owner of a database should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The cause may pass: the same call may succeed later.
    Retry,
    /// The argument is at fault.
    Refuse,
    /// Close this database and open it again, with back-off.
    Reopen,
    /// A person, or a policy, has to decide: the data on disk is damaged.
    Stop,
}

impl Error {
    pub(crate) fn invalid(what: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { what, why: why.into() }
    }

    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// Retry, refuse, reopen or stop.
    pub fn advice(&self) -> Advice {
        match self {
            Self::InUse { .. } | Self::Io { .. } => Advice::Retry,
            Self::Latched { .. } | Self::Closed => Advice::Reopen,
            Self::Invalid { .. } | Self::Full { .. } => Advice::Refuse,
            Self::Damaged { .. } => Advice::Stop,
            Self::Log(error) => match error.advice() {
                sarsen_wal::Advice::Retry => Advice::Retry,
                sarsen_wal::Advice::Reopen => Advice::Reopen,
                sarsen_wal::Advice::Refuse => Advice::Refuse,
                sarsen_wal::Advice::Stop => Advice::Stop,
            },
            Self::Block(error) => match error.advice() {
                sarsen_block::Advice::Retry => Advice::Retry,
                sarsen_block::Advice::Refuse => Advice::Refuse,
                sarsen_block::Advice::SetAside => Advice::Stop,
            },
        }
    }

    /// Whether a full disk is the cause.
    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::Log(error) => error.is_full(),
            Self::Io { source, .. } | Self::Block(sarsen_block::Error::Io { source, .. }) => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}

/// The spill stands on a latch as the log does, and its owner is to do the same.
impl From<sarsen_wal::Latched> for Error {
    fn from(latched: sarsen_wal::Latched) -> Self {
        Self::Log(latched.into())
    }
}
