//! The compactor over a local directory of blocks, as one call that blocks.
//!
//! A directory is a bucket. Blocks without external labels are worked on, nothing rests and nothing is kept after its mark: the
//! directory belongs to the caller, who must not write blocks into it at the same time.

use std::path::Path;
use std::sync::Arc;

use sarsen_bucket::{ObjstoreConfig, Reloading};

use crate::error::Error;
use crate::observer::Unobserved;
use crate::options::Options;
use crate::report::RoundReport;
use crate::round::Compactor;

/// Merges the blocks in `directory`, downsamples them to both resolutions and removes what is too old or has become part of others, as far as
/// that is due at `now_ms`, milliseconds since the Unix epoch. Of `options` the delays and `unlabelled` are not used. Blocks until
/// all is done; must not be called on a thread that drives a runtime of tokio.
///
/// # Errors
/// `Options` if the settings make no sense, otherwise if the directory cannot be read. What is wrong with single blocks is told in
/// the report.
pub fn maintain_directory(directory: &Path, now_ms: i64, options: &Options) -> Result<RoundReport, Error> {
    let options =
        Options { unlabelled: true, consistency_delay_ms: 0, delete_delay_ms: 0, ..options.clone() };
    let bucket = Reloading::open(ObjstoreConfig::directory(directory))?.bucket().build();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|error| sarsen_block::Error::io("starting a runtime", error))?;
    let mut compactor = Compactor::new(bucket, directory, options, Arc::new(Unobserved))?;
    runtime.block_on(compactor.round(now_ms))
}
