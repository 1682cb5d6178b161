//! What can go wrong with a bucket, and what to do about it.
//!
//! Errors of the object store are kept as the source; no caller matches on their text.

use std::fmt;
use std::path::PathBuf;

use sarsen_block::BlockId;

use crate::layout::Layout;

type Source = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Why an operation of this crate failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The configuration of the bucket is not usable.
    #[error("{place}{why}")]
    Config {
        /// Where in the text the fault is, if it is at a place.
        place: Place,
        /// What is wrong.
        why: String,
    },
    /// There is no such object.
    #[error("{name}: no such object")]
    NotFound {
        /// Name of the object in the bucket.
        name: String,
    },
    /// There is such an object already.
    #[error("{name}: exists already")]
    Exists {
        /// Name of the object in the bucket.
        name: String,
    },
    /// The store refused, or could not be reached.
    #[error("{operation} {name}: {source}")]
    Store {
        /// What was asked for.
        operation: crate::Operation,
        /// Name of the object in the bucket.
        name: String,
        /// Whether the same call may succeed later.
        passing: bool,
        /// The cause.
        #[source]
        source: Source,
    },
    /// An object is not what its format asks for.
    #[error("{name}: {why}")]
    Corrupt {
        /// Name of the object in the bucket.
        name: String,
        /// What was expected and what was found.
        why: String,
    },
    /// A local file could not be read or written.
    #[error("{}: {source}", path.display())]
    Local {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A request asked for more than it may have.
    #[error(transparent)]
    Exceeded(#[from] crate::read::Exceeded),
    /// The caller handed in something that has no place in a bucket.
    #[error("{what}: {why}")]
    Refused {
        /// The thing that was handed in.
        what: String,
        /// Why it is refused.
        why: String,
    },
}

/// A place in a configuration text. Lines and columns count from 1; 0 means that the place is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    /// Line.
    pub line: u64,
    /// Column.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 { Ok(()) } else { write!(f, "line {}, column {}: ", self.line, self.column) }
    }
}

/// What a caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// The cause may pass: the same call may succeed later.
    Retry,
    /// The input or the configuration is at fault: the same call will fail again.
    Refuse,
    /// The object is missing or damaged: go on without it.
    SetAside,
}

impl Error {
    pub(crate) fn config(why: impl Into<String>) -> Self {
        Self::Config { place: Place::default(), why: why.into() }
    }

    pub(crate) fn corrupt(name: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Corrupt { name: name.into(), why: why.into() }
    }

    pub(crate) fn local(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::Local { path: path.into(), source }
    }

    pub(crate) fn refused(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Refused { what: what.into(), why: why.into() }
    }

    pub(crate) fn store(operation: crate::Operation, name: &str, error: object_store::Error) -> Self {
        use object_store::Error as Store;
        let name = name.to_owned();
        match error {
            Store::NotFound { .. } => Self::NotFound { name },
            Store::AlreadyExists { .. } => Self::Exists { name },
            error => {
                let lasting = matches!(
                    error,
                    Store::InvalidPath { .. }
                        | Store::NotSupported { .. }
                        | Store::NotImplemented { .. }
                        | Store::Precondition { .. }
                        | Store::NotModified { .. }
                        | Store::PermissionDenied { .. }
                        | Store::Unauthenticated { .. }
                        | Store::UnknownConfigurationKey { .. }
                );
                Self::Store { operation, name, passing: !lasting, source: error.into() }
            }
        }
    }

    /// What an error of reading or writing the block `id` is an error of: where the store or a scratch file was the cause,
    /// that cause as it was; else damage, under the name of the object.
    pub fn of_block(id: BlockId, error: sarsen_block::Error) -> Self {
        match error {
            sarsen_block::Error::Corrupt(corrupt) => {
                let place = format!("{} at offset {}: {}", corrupt.object, corrupt.offset, corrupt.what);
                match corrupt.object.as_str() {
                    object if object.starts_with("chunks/") => Self::corrupt(Layout::file(id, object), place),
                    object if object.starts_with("index") => Self::corrupt(Layout::index(id), place),
                    _ => Self::corrupt(Layout::block(id), place),
                }
            }
            sarsen_block::Error::Io { what, source } => {
                Self::of_io(source).unwrap_or_else(|source| Self::local(format!("{id}: {what}"), source))
            }
            other => Self::refused(id.to_string(), other.to_string()),
        }
    }

    /// The error that [`into_io`](Self::into_io) hid in `error`, else `error` itself.
    fn of_io(error: std::io::Error) -> Result<Self, std::io::Error> {
        let kind = error.kind();
        let Some(inner) = error.get_ref() else { return Err(error) };
        if !inner.is::<Self>() {
            return Err(error);
        }
        match error.into_inner() {
            Some(inner) => inner.downcast::<Self>().map(|inner| *inner).map_err(|_| kind.into()),
            None => Err(kind.into()),
        }
    }

    /// The error as one of reading, for a [`Source`](sarsen_block::Source) or a [`BlockSink`](sarsen_block::BlockSink).
    pub(crate) fn into_io(self) -> std::io::Error {
        use std::io::ErrorKind;
        let kind = match &self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Exists { .. } => ErrorKind::AlreadyExists,
            Self::Corrupt { .. } => ErrorKind::InvalidData,
            Self::Local { source, .. } => source.kind(),
            Self::Config { .. } | Self::Refused { .. } => ErrorKind::InvalidInput,
            Self::Exceeded(_) => ErrorKind::QuotaExceeded,
            Self::Store { .. } => ErrorKind::Other,
        };
        std::io::Error::new(kind, self)
    }

    /// Retry, refuse or set aside. Lacking rights are worth another round later, though [`Retry`](crate::Retry) does not
    /// insist on them.
    pub fn advice(&self) -> Advice {
        match self {
            Self::Store { .. } | Self::Local { .. } => Advice::Retry,
            Self::Config { .. } | Self::Refused { .. } | Self::Exists { .. } | Self::Exceeded(_) => {
                Advice::Refuse
            }
            Self::NotFound { .. } | Self::Corrupt { .. } => Advice::SetAside,
        }
    }

    /// Whether the store cannot do what was asked, now or later.
    pub(crate) fn is_not_offered(&self) -> bool {
        use object_store::Error as Store;
        let Self::Store { source, .. } = self else { return false };
        let source = source.downcast_ref::<Store>();
        source
            .is_some_and(|source| matches!(source, Store::NotImplemented { .. } | Store::NotSupported { .. }))
    }

    /// Whether trying again at once, after a short wait, makes sense.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Store { passing: true, .. })
    }
}
