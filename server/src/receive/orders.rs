//! What an operator can order of one tenant's database, besides writing to it.

use sarsen_block::{Matcher, TimeRange};
use sarsen_tsdb::{Db, Error, Rewrite};

use super::role::{Receiver, Shared};
use super::tenants::Open;
use super::{shipped, tenant};
use crate::clock;

/// Directory of snapshots in that of a database, as Prometheus has it.
const SNAPSHOTS: &str = "snapshots";

/// An order.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Delete the samples in `range` of series that one of the selectors accepts.
    Delete { selectors: Vec<Vec<Matcher>>, range: TimeRange },
    /// Write blocks anew that have something deleted in them and are in no bucket.
    CleanTombstones,
    /// Make a snapshot with this name.
    Snapshot(String),
}

impl Receiver {
    /// The tenant that headers name; the fault is for people.
    pub(crate) fn tenant_of(&self, headers: &axum::http::HeaderMap) -> Result<String, String> {
        let tenant = tenant::of_request(headers, &self.0.options.tenancy);
        tenant.map(str::to_owned).map_err(|_| "tenant name not valid".to_owned())
    }

    /// Does what is ordered, on a thread that may block. A tenant that does not exist has nothing to be done.
    pub(crate) async fn carry_out(&self, tenant: String, order: Order) -> Result<(), String> {
        let shared = std::sync::Arc::clone(&self.0);
        let work = tokio::task::spawn_blocking(move || {
            let open = shared.tenants.all_open().into_iter().find(|open| open.name() == tenant);
            let open = open.ok_or_else(|| format!("there is no open database of tenant {tenant}"))?;
            carry_out(&shared, &open, &order).map_err(|error| error.to_string())
        });
        work.await.map_err(|why| why.to_string())?
    }
}

fn carry_out(shared: &Shared, open: &Open, order: &Order) -> Result<(), Error> {
    let db = open.db();
    match order {
        Order::Delete { selectors, range } => {
            selectors.iter().try_for_each(|matchers| db.delete(matchers, *range).map(drop))
        }
        Order::CleanTombstones => clean(shared, open, db),
        Order::Snapshot(name) => {
            let directory = open.directory().join(SNAPSHOTS);
            let failed = |source| Error::Io { what: format!("making {}", directory.display()), source };
            shared.disk.create_dir_all(&directory).map_err(failed)?;
            db.snapshot(directory.join(name), clock::now()).map(drop)
        }
    }
}

fn clean(shared: &Shared, open: &Open, db: &Db) -> Result<(), Error> {
    // Without its note every block counts as not shipped, and the bucket is asked before the next upload.
    let noted = shipped::read(shared.disk.as_ref(), open.directory()).unwrap_or_default();
    for block in db.blocks() {
        if !noted.contains(&block.id) {
            db.rewrite(block.id, Rewrite::Clean, clock::now())?;
        }
    }
    Ok(())
}
