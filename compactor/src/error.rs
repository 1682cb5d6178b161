//! What can go wrong while compacting, and what to do about it.
//!
//! Damage to a block is no error of a round: the block is set aside and the round goes on. An [`Error`] is what a single job
//! ended with, or what kept a round from beginning.

/// Why an operation of this crate failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting is not usable.
    #[error("{setting}: {why}")]
    Options {
        /// Which setting, in the words of [`Options`](crate::Options).
        setting: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The bucket refused, or an object in it is missing or damaged.
    #[error(transparent)]
    Bucket(#[from] sarsen_bucket::Error),
    /// A block cannot be read or written.
    #[error(transparent)]
    Block(#[from] sarsen_block::Error),
}

/// What a caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The cause may pass: try again later.
    Retry,
    /// The settings are at fault: trying again is of no use.
    Refuse,
    /// The block is missing or damaged: go on without it.
    SetAside,
}

impl Error {
    pub(crate) fn options(setting: &'static str, why: impl Into<String>) -> Self {
        Self::Options { setting, why: why.into() }
    }

    /// Retry, refuse or set aside.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Options { .. } => Advice::Refuse,
            Self::Bucket(error) => match error.advice() {
                sarsen_bucket::Advice::Retry => Advice::Retry,
                sarsen_bucket::Advice::Refuse => Advice::Refuse,
                sarsen_bucket::Advice::SetAside => Advice::SetAside,
            },
            Self::Block(error) => match error.advice() {
                sarsen_block::Advice::Retry => Advice::Retry,
                sarsen_block::Advice::Refuse => Advice::Refuse,
                sarsen_block::Advice::SetAside => Advice::SetAside,
            },
        }
    }
}
