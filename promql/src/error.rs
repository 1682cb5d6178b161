//! Why there is no answer.

use crate::ast::Place;

/// What is wrong with a query's text, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: parse error: {message}", position(*line, *column))]
pub struct ParseError {
    /// Prometheus' own words.
    pub message: String,
    /// Where.
    pub place: Place,
    /// The line, from 1; 0 if there is no text to count in.
    pub line: u32,
    /// The column in it in bytes, from 1.
    pub column: u32,
}

fn position(line: u32, column: u32) -> String {
    if line == 0 { "unknown position".to_owned() } else { format!("{line}:{column}") }
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no query.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It cannot be evaluated on these data; the text is Prometheus' own.
    #[error("{0}")]
    Execution(String),
    /// It holds more samples in memory than the budget allows.
    #[error("query processing would load too many samples into memory in query execution")]
    TooManySamples,
    /// It holds more bytes in memory than the budget allows.
    #[error("query processing would use more than {limit} bytes of memory")]
    TooManyBytes {
        /// What is allowed.
        limit: u64,
    },
    /// Its time is over.
    #[error("query timed out in expression evaluation")]
    Timeout,
    /// Its caller went.
    #[error("query was canceled in expression evaluation")]
    Canceled,
    /// The data could not be read.
    #[error("{0}")]
    Data(String),
}
