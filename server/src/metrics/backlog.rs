//! What waits to be uploaded, how long the volume lasts, and which databases take nothing: read when somebody asks.

use super::{Page, Type};
use crate::receive::Snapshot;

/// Writes the sizes of the receive role that no database knows.
pub(crate) fn write(page: &mut Page, snapshot: &Snapshot) {
    let mut one = |name: &str, help: &str, value: f64| {
        page.family(name, Type::Gauge, help);
        page.sample(name, "", &[], value);
    };
    one(
        "sarsen_receive_backlog_blocks",
        "Complete local blocks that are not in the bucket yet.",
        snapshot.backlog.blocks as f64,
    );
    one(
        "sarsen_receive_backlog_bytes",
        "Bytes of complete local blocks that are not in the bucket yet.",
        snapshot.backlog.bytes as f64,
    );
    if let Some(room) = snapshot.room {
        one("sarsen_receive_volume_free_bytes", "Free bytes of the volume of --tsdb.path.", room.free as f64);
        one(
            "sarsen_receive_volume_full_hours",
            "Hours until the volume of --tsdb.path is full at the pace of the last hour; +Inf if it is not filling.",
            room.hours.unwrap_or(f64::INFINITY),
        );
    }
    let shut = snapshot.tenants.iter().filter(|(_, shut, _)| shut.is_some()).count();
    one("sarsen_receive_databases_closed", "Tenants whose database takes nothing now.", shut as f64);
}
