//! What can be wrong with bytes, and where.
//!
//! Every decoder of this crate returns [`Error::Corrupt`] for bytes that break a format, with the name of the object
//! that was read (a section, a file) and the offset in it. Nothing here is ever matched on by its text.

use std::io;

use crate::meta::BlockId;

/// Bytes that do not have the form their format asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{object} at offset {offset}: {what}")]
pub struct Corrupt {
    /// What was being read: a section (`"index symbols"`), or a file name where the caller knows one.
    pub object: String,
    /// Byte offset in that object at which the damage was noticed.
    pub offset: u64,
    /// What was expected and what was found.
    pub what: String,
}

/// Why an operation of this crate failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are damaged or of an unknown version.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The caller handed in something that a format cannot hold (labels out of order, a chunk outside its range).
    #[error("invalid {what}: {why}")]
    Invalid {
        /// The thing that was handed in.
        what: &'static str,
        /// Why it is refused.
        why: String,
    },
    /// Reading or writing the bytes failed.
    #[error("{what}: {source}")]
    Io {
        /// What was being read or written.
        what: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Something about one of the several blocks that an operation was given.
    #[error("block {id}: {source}")]
    Block {
        /// Which of them.
        id: BlockId,
        /// What about it.
        #[source]
        source: Box<Error>,
    },
}

/// What a caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The cause may pass: the same call may succeed later.
    Retry,
    /// The input is at fault: the same call will fail again, other input may succeed.
    Refuse,
    /// The stored object is damaged: set it aside, go on without it.
    SetAside,
}

impl Error {
    /// A [`Corrupt`] error.
    pub fn corrupt(object: impl Into<String>, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt(Corrupt { object: object.into(), offset, what: what.into() })
    }

    /// An [`Error::Invalid`].
    pub fn invalid(what: &'static str, why: impl Into<String>) -> Self {
        Self::Invalid { what, why: why.into() }
    }

    /// An [`Error::Io`].
    pub fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source }
    }

    /// The same error, said of one block among several.
    #[must_use]
    pub fn in_block(self, id: BlockId) -> Self {
        match self {
            Self::Block { .. } => self,
            other => Self::Block { id, source: Box::new(other) },
        }
    }

    /// The block that is at fault, if the operation was given several and one of them is.
    pub const fn block(&self) -> Option<BlockId> {
        match self {
            Self::Block { id, .. } => Some(*id),
            _ => None,
        }
    }

    /// Retry, refuse or set aside.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Corrupt(_) => Advice::SetAside,
            Self::Invalid { .. } => Advice::Refuse,
            Self::Io { .. } => Advice::Retry,
            Self::Block { source, .. } => source.advice(),
        }
    }
}
