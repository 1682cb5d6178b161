//! Settings of the compact role as plain data, filled by `config` from flags.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::blocks::WebOptions;
use crate::config::compact::Settings;

/// Everything the compact role has to know.
#[derive(Debug, Clone)]
pub(crate) struct RoleOptions {
    /// Directory for work under way (`--data-dir`).
    pub(crate) scratch: PathBuf,
    /// Pause between rounds (`--wait`, `--wait-interval`); `None`: one round, then the end.
    pub(crate) wait: Option<Duration>,
    /// Time between removals beside the rounds (`--compact.cleanup-interval`); zero: none.
    pub(crate) cleanup: Duration,
    /// Time between counts of what is to be done (`--compact.progress-interval`); zero: none.
    pub(crate) progress: Duration,
    /// Time between looks at the whole bucket for the page (`--block-viewer.global.sync-block-interval`).
    pub(crate) viewer: Duration,
    /// How long such a look may take (`--block-viewer.global.sync-block-timeout`).
    pub(crate) viewer_timeout: Duration,
    /// Work only while the bucket's lease is held (`--compact.lease`).
    pub(crate) lease: bool,
    /// What the compactor is told, round by round.
    pub(crate) settings: Settings,
    /// The page and the API; `None`: neither.
    pub(crate) web: Option<WebOptions>,
    /// Every flag with its value, for those who ask.
    pub(crate) flags: BTreeMap<String, String>,
}
