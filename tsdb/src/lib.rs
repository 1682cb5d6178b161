//! The embedded time series database: append, query, cut blocks.

#![forbid(unsafe_code)]

mod error;
mod observer;
mod options;
mod outcome;
mod report;
mod stats;

pub use error::{Advice, Error};
pub use observer::TsdbObserver;
pub use options::{OnDamage, Options};
pub use outcome::{Committed, Reason, Refusal};
pub use report::{CutReport, Lost, MaintainReport, OpenReport, SetAside};
pub use stats::{HeadBytes, Stats};
