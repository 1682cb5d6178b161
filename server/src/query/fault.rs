//! Why a request has no answer.

use super::dialect::Kind;

/// Kind and text of an answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: Kind,
    pub(crate) why: String,
}

impl Fault {
    /// A fault of this kind.
    pub(crate) fn new(kind: Kind, why: impl Into<String>) -> Self {
        Self { kind, why: why.into() }
    }

    /// The request makes no sense.
    pub(crate) fn bad(why: impl Into<String>) -> Self {
        Self::new(Kind::BadData, why)
    }
}
