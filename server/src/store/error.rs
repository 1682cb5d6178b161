//! Why a store cannot answer, in the kinds that a caller treats differently.
//!
//! The texts go to the caller as they are. Which gRPC code stands for a kind is known in `service` alone.

use sarsen_block::{Advice, Error};

/// Why a request was not answered, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StoreError {
    /// The request makes no sense: a matcher is broken, or none is left.
    #[error("{0}")]
    Invalid(String),
    /// The request asks for more than it may.
    #[error("{0}")]
    Exhausted(String),
    /// A part could not be read and the caller wants all or nothing.
    #[error("{0}")]
    Aborted(String),
    /// Something is broken here.
    #[error("{0}")]
    Internal(String),
    /// Not now: not started, stopping, or what it stands on is away.
    #[error("{0}")]
    Unavailable(String),
    /// It took longer than the caller waits.
    #[error("{0}")]
    Deadline(String),
    /// Something else; what, only the text says.
    #[error("{0}")]
    Unknown(String),
    /// Nobody listens any more.
    #[error("the caller has gone")]
    Gone,
}

impl From<super::Gone> for StoreError {
    fn from(_: super::Gone) -> Self {
        Self::Gone
    }
}

impl From<Error> for StoreError {
    /// A wrong argument is the caller's fault, everything else ours.
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid { why, .. } => Self::Invalid(why),
            error if error.advice() == Advice::Retry => Self::Unavailable(error.to_string()),
            error => Self::Internal(error.to_string()),
        }
    }
}
