//! What is deleted from the whole bucket: not shown from here either, whether it is uploaded yet or not.
//!
//! The list is one small object, looked at every so often. If it cannot be read, the last one stays in force.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use sarsen_block::{Labels, Matcher, TimeRange};
use sarsen_bucket::{Bucket, Deletions};
use tokio_util::sync::CancellationToken;

/// Time between two looks.
const PAUSE: Duration = Duration::from_secs(15);

/// The list as of the last look.
#[derive(Clone, Default)]
pub(super) struct Hidden(Arc<RwLock<Arc<Deletions>>>);

impl Hidden {
    /// The list.
    pub(super) fn get(&self) -> Arc<Deletions> {
        Arc::clone(&self.0.read())
    }

    /// Looks at the bucket again and again, until told to stop.
    pub(super) async fn follow(&self, bucket: Bucket, stop: CancellationToken) {
        let mut is_told = false;
        loop {
            match Deletions::fetch(&bucket).await {
                Ok(found) => {
                    is_told = false;
                    let mut list = self.0.write();
                    if **list != found {
                        *list = Arc::new(found);
                    }
                }
                Err(error) if !is_told => {
                    is_told = true;
                    tracing::warn!(err = %error, "cannot read what is deleted from the bucket, the last list stays in force");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }
}

/// What of the list concerns series with these external labels.
pub(super) fn hidden_of(deletions: &Deletions, external: &Labels) -> Vec<(Vec<Matcher>, TimeRange)> {
    let has = |(name, value): (&String, &String)| external.get(name.as_bytes()) == Some(value.as_bytes());
    let concerns = deletions.iter().filter(|deletion| deletion.labels.iter().all(has));
    concerns.map(|deletion| (deletion.matchers().to_vec(), deletion.range)).collect()
}
