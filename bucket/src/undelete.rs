//! Takes the deletion mark off a block that is still whole.
//!
//! Only within the delete delay: behind it a compactor may be removing the block at this moment. The block is looked at before
//! and after, so that nothing is called restored that is not there.

use sarsen_block::{BlockId, BlockMeta};

use crate::bucket::Bucket;
use crate::error::Error;
use crate::layout::Layout;
use crate::marker::{MarkKind, Marker};
use crate::read::BlockObjects;

/// How an attempt to bring a block back ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Undeleted {
    /// It is no longer marked, and complete. A compactor that finds all of its data in another block will mark it again.
    Restored {
        /// The mark that was on it; `None` if it could not be read.
        mark: Option<Marker>,
    },
    /// It was not marked.
    NotMarked,
    /// The delete delay is over; the mark stays.
    TooLate {
        /// When it was marked, in seconds since the Unix epoch.
        marked_s: i64,
    },
    /// Something of it is missing. The mark stays, unless it was removed before this was seen.
    Incomplete {
        /// What.
        why: String,
    },
}

/// Takes the deletion mark off the block `id` if it was made at most `delay_s` before `now_s` (seconds since the Unix epoch).
///
/// # Errors
/// As the store says.
pub async fn undelete(bucket: &Bucket, id: BlockId, now_s: i64, delay_s: i64) -> Result<Undeleted, Error> {
    let mark = match Marker::get(bucket, id, MarkKind::Deletion).await {
        Ok(None) => return Ok(Undeleted::NotMarked),
        Ok(mark) => mark,
        // A mark that cannot be read counts as absent for everybody.
        Err(Error::Corrupt { .. }) => None,
        Err(error) => return Err(error),
    };
    if let Some(mark) = &mark
        && now_s.saturating_sub(mark.time) > delay_s
    {
        return Ok(Undeleted::TooLate { marked_s: mark.time });
    }
    if let Some(why) = missing(bucket, id).await? {
        return Ok(Undeleted::Incomplete { why });
    }
    Marker::remove(bucket, id, MarkKind::Deletion).await?;
    Ok(match missing(bucket, id).await? {
        Some(why) => Undeleted::Incomplete { why },
        None => Undeleted::Restored { mark },
    })
}

/// What keeps the block from being complete.
async fn missing(bucket: &Bucket, id: BlockId) -> Result<Option<String>, Error> {
    let name = Layout::meta(id);
    let Some(text) = bucket.get_if_exists(&name).await? else {
        return Ok(Some(Error::NotFound { name }.to_string()));
    };
    let meta = match BlockMeta::parse(&text) {
        Ok(meta) => meta,
        Err(error) => return Ok(Some(format!("{name}: {error}"))),
    };
    match BlockObjects::find(bucket, &meta).await {
        Ok(_) => Ok(None),
        Err(error @ (Error::NotFound { .. } | Error::Corrupt { .. })) => Ok(Some(error.to_string())),
        Err(error) => Err(error),
    }
}
