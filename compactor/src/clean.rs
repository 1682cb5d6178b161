//! Removes what has been marked long enough, and half blocks that stayed half.
//!
//! Nothing here trusts the look that it works from further than it must: before a marked block goes, its mark is asked for once more
//! (somebody may have taken it off), and before a half block goes, its meta is (the upload may have come to its end). A folder
//! whose meta is there but cannot be read is never removed: that is damage, and somebody may mend it.
//!
//! What fails here fails for one block; it is told and tried again in the next round.

use futures_util::StreamExt;
use sarsen_block::BlockId;
use sarsen_bucket::{Bucket, Layout, MarkKind, Marker, Partial, View, remove};

use crate::error::Error;
use crate::observer::{CompactorObserver, Removed};
use crate::options::Options;
use crate::report::CleanReport;

/// Folders that are worked on at the same time.
const IN_FLIGHT: usize = 16;

/// Removes from the bucket that was just seen as `view` what has been marked long enough at `now_ms` (milliseconds since the Unix
/// epoch), and half blocks that have not changed for long. Can be called beside a round.
pub async fn clean(
    bucket: &Bucket,
    view: &View,
    now_ms: i64,
    options: &Options,
    observer: &dyn CompactorObserver,
) -> CleanReport {
    let mut report = CleanReport::default();
    let due = due(view, now_ms, options.delete_delay_ms);
    let halves = stale_halves(view, now_ms, options.partial_delay_ms);
    for (ids, why) in [(due, Removed::Marked), (halves, Removed::Half)] {
        let removals =
            futures_util::stream::iter(ids).map(|id| async move { (id, remove_one(bucket, id, why).await) });
        let mut removals: Vec<(BlockId, Result<bool, Error>)> =
            removals.buffer_unordered(IN_FLIGHT).collect().await;
        removals.sort_by_key(|(id, _)| *id);
        for (id, removed) in removals {
            match removed {
                Ok(true) => {
                    observer.removed(id, why);
                    let list = if why == Removed::Marked { &mut report.removed } else { &mut report.halves };
                    list.push(id);
                }
                Ok(false) => {}
                Err(error) => {
                    observer.removal_failed(id, why, &error);
                    report.failed.push((id, error.to_string()));
                }
            }
        }
    }
    report
}

/// Removes a block if the reason still holds; whether it did.
async fn remove_one(bucket: &Bucket, id: BlockId, why: Removed) -> Result<bool, Error> {
    let holds = match why {
        Removed::Marked => bucket.exists(&Layout::mark(id, MarkKind::Deletion)).await?,
        Removed::Half => !bucket.exists(&Layout::meta(id)).await?,
    };
    if holds {
        remove(bucket, id).await?;
    }
    Ok(holds)
}

/// The blocks whose deletion mark is older than `delay_ms` at `now_ms`, those of which only a part is left included. Without a delay
/// every marked block is due.
fn due(view: &View, now_ms: i64, delay_ms: i64) -> Vec<BlockId> {
    let is_old = |mark: &Marker| {
        let age_s = now_ms.div_euclid(1000).saturating_sub(mark.time);
        delay_ms == 0 || age_s > delay_ms.div_euclid(1000)
    };
    let marks = view.marks.values().flatten();
    marks.filter(|mark| mark.kind == MarkKind::Deletion && is_old(mark)).map(|mark| mark.id).collect()
}

/// Folders without a meta in which nothing has happened for `delay_ms`, unless they are marked for deletion: those go with the
/// marked ones.
fn stale_halves(view: &View, now_ms: i64, delay_ms: i64) -> Vec<BlockId> {
    let stale = |id: BlockId, partial: &Partial| {
        matches!(partial, Partial::NoMeta { .. })
            && now_ms.saturating_sub(partial.touched_ms(id)) > delay_ms
            && view.mark(id, MarkKind::Deletion).is_none()
    };
    view.partial.iter().filter(|&(&id, partial)| stale(id, partial)).map(|(&id, _)| id).collect()
}
