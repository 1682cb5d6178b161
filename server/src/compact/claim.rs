//! The bucket for this process alone: a lease that is claimed, kept, and given back.
//!
//! Kept means renewed after a third of its term. When it could not be renewed until its end, or was taken by another
//! process, work has to stop: [`Claim::keep`] comes back with the reason. Where there is no lease (`--compact.lease=off`) the
//! claim holds for ever.

use std::time::Duration;

use sarsen_bucket::{Bucket, Error, Lease, LeaseTerms, Leasing, Renewal};

use crate::clock;

/// What is claimed.
const NAME: &str = "compactor";
/// For how long at a time.
const TERM: Duration = Duration::from_secs(60);
/// How long a stop waits for the store to hear of it.
const LAST_WORD: Duration = Duration::from_secs(5);
/// Wait between two tries.
pub(super) const RETRY: Duration = Duration::from_secs(10);

/// A bucket that is ours.
#[derive(Debug)]
pub(super) struct Claim(Option<Held>);

#[derive(Debug)]
struct Held {
    lease: Lease,
    until_ms: i64,
}

/// How a try ended.
#[derive(Debug)]
pub(super) enum Tried {
    Ours(Claim),
    /// Another one has it.
    Busy {
        holder: String,
        until_ms: i64,
    },
    /// The store has no leases, for this reason.
    NotOffered(String),
}

fn term_ms() -> i64 {
    i64::try_from(TERM.as_millis()).unwrap_or(i64::MAX)
}

impl Claim {
    /// A claim that nobody has to grant.
    pub(super) fn unasked() -> Self {
        Self(None)
    }

    /// Asks for the bucket once.
    pub(super) async fn ask(bucket: &Bucket, holder: &str) -> Result<Tried, Error> {
        let terms = LeaseTerms { name: NAME.to_owned(), holder: holder.to_owned(), term_ms: term_ms() };
        let now = clock::now();
        Ok(match Lease::take(bucket, &terms, now).await? {
            Leasing::Held(lease) => {
                Tried::Ours(Self(Some(Held { lease, until_ms: now.saturating_add(terms.term_ms) })))
            }
            Leasing::Busy { holder, until_ms } => Tried::Busy { holder, until_ms },
            Leasing::NotOffered { why } => Tried::NotOffered(why),
        })
    }

    /// Renews it again and again; comes back when it is lost, with the reason.
    pub(super) async fn keep(&mut self) -> String {
        let Some(held) = &mut self.0 else { return std::future::pending().await };
        let mut pause = TERM / 3;
        loop {
            tokio::time::sleep(pause).await;
            let now = clock::now();
            let left = held.until_ms.saturating_sub(now).max(0).unsigned_abs();
            let renewed = tokio::time::timeout(Duration::from_millis(left), held.lease.renew(now)).await;
            let Ok(renewed) = renewed else {
                return "the bucket's lease could not be renewed in time".to_owned();
            };
            match renewed {
                Ok(Renewal::Held) => {
                    held.until_ms = now.saturating_add(term_ms());
                    pause = TERM / 3;
                }
                Ok(Renewal::Lost { holder }) => return format!("{holder} has taken the bucket's lease"),
                Err(why) => {
                    tracing::warn!(err = %why, "cannot renew the bucket's lease, trying again");
                    pause = TERM / 12;
                }
            }
        }
    }

    /// Gives it back, so that another one need not wait.
    pub(super) async fn give_back(self) {
        let Some(held) = self.0 else { return };
        let given = tokio::time::timeout(LAST_WORD, held.lease.give_back()).await;
        if let Ok(Err(why)) = given {
            tracing::warn!(err = %why, "cannot give the bucket's lease back, it runs out by itself");
        }
    }
}
