//! Why a block could not be downsampled.

use sarsen_block::Advice;

use crate::window::Resolution;

/// Why an operation of this crate failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Reading the source, or writing the result, failed.
    #[error(transparent)]
    Block(#[from] sarsen_block::Error),
    /// The source is as coarse as the result would be, or of a resolution that is not one of ours.
    #[error("a block with {from} ms between samples cannot become one with {to}", to = to.ms())]
    NotFiner {
        /// Milliseconds between the samples of the source.
        from: i64,
        /// What was asked for.
        to: Resolution,
    },
}

impl Error {
    /// Retry, refuse or set aside.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Block(error) => error.advice(),
            Self::NotFiner { .. } => Advice::Refuse,
        }
    }
}
