//! Who brings logs to disk: a few threads for all requests that wait.
//!
//! A log that has somebody waiting is led by one thread until nobody waits any more, so that the next sync begins when the
//! last has ended, however many requests wait. With more such logs than threads they take turns, one sync each.

use std::sync::Arc;

use sarsen_tsdb::Lead;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Logs that are brought to disk at the same time.
const THREADS: usize = 64;

/// The threads, as places to be had.
#[derive(Debug, Clone)]
pub(super) struct Syncs(Arc<Semaphore>);

impl Default for Syncs {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(THREADS)))
    }
}

impl Syncs {
    /// Leads every log. Call it on a thread of the runtime that may block: it leads one of them itself.
    pub(super) fn lead(&self, leads: Vec<Lead>) {
        let mut leads = leads.into_iter();
        let own = leads.next();
        leads.for_each(|lead| self.queue(lead));
        match (own, Arc::clone(&self.0).try_acquire_owned()) {
            (Some(lead), Ok(place)) => self.run(lead, place),
            (Some(lead), Err(_)) => self.queue(lead),
            (None, _) => {}
        }
    }

    fn queue(&self, lead: Lead) {
        let syncs = self.clone();
        Handle::current().spawn(async move {
            // The places are never closed.
            let Ok(place) = Arc::clone(&syncs.0).acquire_owned().await else { return };
            tokio::task::spawn_blocking(move || syncs.run(lead, place));
        });
    }

    fn run(&self, lead: Lead, place: OwnedSemaphorePermit) {
        let mut next = lead.run();
        while let Some(lead) = next.take() {
            if self.0.available_permits() == 0 {
                drop(place);
                return self.queue(lead);
            }
            next = lead.run();
        }
    }
}
