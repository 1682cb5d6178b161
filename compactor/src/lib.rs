//! Plan, merge, deduplicate, downsample, retain: jobs over a bucket of blocks.
//!
//! [`plan`] says what is due: a pure function from what a bucket holds ([`Situation`]), a time and the [`Options`] to [`Job`]s.
//! It reads no block and changes nothing.
//!
//! ```
//! use std::collections::BTreeSet;
//! use sarsen_bucket::{Deletions, View};
//! use sarsen_compactor::{Options, Situation, plan};
//!
//! let options = Options::default();
//! options.check()?;
//! let situation = Situation {
//!     view: &View::default(),
//!     now_ms: 1_700_000_000_000,
//!     resting: &BTreeSet::new(),
//!     damaged: &BTreeSet::new(),
//!     deletions: &Deletions::default(),
//! };
//! assert!(plan(&situation, &options).jobs.is_empty());
//! # Ok::<(), sarsen_compactor::Error>(())
//! ```
//!
//! [`Compactor::round`] does it, over any bucket; [`maintain_directory`] is the same as one blocking call on a local directory of blocks.
//!
//! The rooms, in reading order: `options`; `group` (which blocks may meet), `sift` (which are looked at), `select` and `choose` (what is
//! merged next), `grow` (the merges of a group), `cover`, `retain` and `due` (what a single block needs), `plan` (all of it);
//! `merge` and `coarsen` (what computes), `job` (one from start to end), `aside` (what is left out), `clean`, `budget`, `watch`, `round` (all of it
//! again), `directory`; `observer` and `report` tell.
//! `DESIGN.md` argues why.

#![forbid(unsafe_code)]

mod aside;
mod budget;
mod choose;
mod clean;
mod coarsen;
mod cover;
mod directory;
mod due;
mod error;
mod group;
mod grow;
mod job;
mod merge;
mod observer;
mod options;
mod plan;
mod report;
mod retain;
mod round;
mod select;
mod sift;
mod watch;

pub use aside::{SetAside, Until, unusable};
pub use choose::{Choice, Limits, choose};
pub use clean::clean;
pub use directory::maintain_directory;
pub use error::{Advice, Error};
pub use group::{Group, GroupKey, shared_extensions};
pub use observer::{CompactorObserver, Progress, Removed, Unobserved};
pub use options::{Options, Retention, RetentionOverride};
pub use plan::{Backlog, Job, Kept, Later, Outdated, Plan, Situation, Stage, Work, plan};
pub use report::{CleanReport, Done, Failed, RoundReport};
pub use retain::retain;
pub use round::Compactor;
pub use select::{Candidate, Cause, Rules, Selected, select};
pub use watch::Stop;
