//! What one request goes through, whatever it asks for: the blocks it asks, those it has to do without, and what it says about them.
//!
//! A block that is not there any more makes the request look at the bucket anew, since what stands in its place is there by now. A
//! block that cannot be read is left out with a warning, or ends the request where the caller wants all or nothing. When the store
//! does not answer for a while everything that still waits for it is given up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use sarsen_block::{BlockId, Matcher, TimeRange};
use sarsen_bucket::{Budget, Error};

use super::Gateway;
use super::choose::Ask;
use super::shelf::{Asked, Shelf};
use crate::store::StoreError;

/// Blocks that are asked at the same time by one request.
const BLOCKS_IN_FLIGHT: usize = 32;
/// How often one request looks at the bucket anew.
const LOOKS: u32 = 2;

/// How many damaged local files one request puts up with.
const LOCAL_FAULTS: u32 = 16;

/// A request on its way.
pub(super) struct Request<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) shelf: Arc<Shelf>,
    pub(super) terms: Terms<'a>,
    /// What it has taken and may still take.
    pub(super) budget: Budget,
    unreadable: BTreeSet<BlockId>,
    looks: u32,
    local_faults: u32,
}

/// What all requests say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'a> {
    pub(super) range: TimeRange,
    pub(super) max_resolution_ms: i64,
    pub(super) matchers: &'a [Matcher],
    pub(super) block_matchers: &'a [Matcher],
    /// Whether a block that cannot be read ends the request.
    pub(super) abort: bool,
    pub(super) tenant: Option<&'a str>,
}

/// A block that answered, and what.
pub(super) type Answer<T> = (Asked, T);
/// A block that is being asked.
pub(super) type Asking<T> = BoxFuture<'static, Result<T, Trouble>>;

impl<'a> Request<'a> {
    pub(super) fn new(gateway: &'a Gateway, terms: Terms<'a>) -> Self {
        let (shelf, budget) = (gateway.shelf(), gateway.budget(terms.tenant));
        Self { gateway, shelf, terms, budget, unreadable: BTreeSet::new(), looks: 0, local_faults: 0 }
    }

    /// Asks every block that `choose` names, until each has answered or is given up. `warnings` takes what is missing.
    pub(super) async fn ask<T: Send>(
        &mut self,
        choose: fn(&Shelf, &[Matcher], &Ask<'_>) -> Vec<Asked>,
        one: &(dyn Fn(&Shelf, Asked) -> Asking<T> + Send + Sync),
        warnings: &mut Vec<String>,
    ) -> Result<Vec<Answer<T>>, StoreError> {
        let mut answers: BTreeMap<BlockId, T> = BTreeMap::new();
        loop {
            let mut chosen = choose(&self.shelf, self.terms.matchers, &self.what());
            let open = chosen.iter().filter(|asked| !answers.contains_key(&asked.source.id()));
            let gateway = self.gateway;
            let open: Vec<_> = open
                .map(|asked| named(gateway, asked.source.id(), one(&self.shelf, asked.clone())))
                .collect();
            if open.is_empty() {
                let take = |asked: Asked| answers.remove(&asked.source.id()).map(|answer| (asked, answer));
                return Ok(chosen.drain(..).filter_map(take).collect());
            }
            let mut asked = futures_util::stream::iter(open).buffer_unordered(BLOCKS_IN_FLIGHT);
            let mut troubles = Vec::new();
            while let Some((id, answer)) = asked.next().await {
                match answer {
                    Ok(answer) => drop(answers.insert(id, answer)),
                    Err(trouble) => troubles.push((id, trouble)),
                }
            }
            drop(asked);
            for (id, trouble) in troubles {
                self.heed(id, trouble, warnings).await?;
            }
        }
    }

    /// Takes a block's trouble into account: afterwards the request may go on with another choice of blocks.
    pub(super) async fn heed(
        &mut self,
        id: BlockId,
        trouble: Trouble,
        warnings: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        let text = match trouble {
            Trouble::Refused(why) => return Err(why),
            Trouble::Away(why) => why,
            Trouble::Damaged(why) => format!("block {id} cannot be read: {why}"),
            Trouble::Unreadable(Error::Exceeded(why)) => {
                self.gateway.metrics().dropped(self.terms.tenant, why.reason());
                return Err(StoreError::Exhausted(why.to_string()));
            }
            Trouble::Unreadable(error) => {
                // A local header was damaged, and is gone by now: the next try makes it anew.
                if matches!(error, Error::Local { .. }) && self.local_faults < LOCAL_FAULTS {
                    self.local_faults += 1;
                    return Ok(());
                }
                // Another block of the same call may have made it look already.
                if matches!(error, Error::NotFound { .. }) && !self.shelf.sources.contains_key(&id) {
                    return Ok(());
                }
                if matches!(error, Error::NotFound { .. }) && self.looks < LOOKS {
                    self.looks += 1;
                    self.shelf = self.gateway.look_again(&self.shelf).await;
                    if !self.shelf.sources.contains_key(&id) {
                        return Ok(());
                    }
                }
                self.gateway.saw_trouble(&error);
                tracing::warn!(block = %id, err = %error, "a request has to do without a block");
                format!("block {id} cannot be read: {error}")
            }
        };
        if self.terms.abort {
            return Err(StoreError::Aborted(text));
        }
        if self.unreadable.insert(id) {
            self.gateway.metrics().unreadable(self.terms.tenant, 1);
            if !warnings.contains(&text) {
                warnings.push(text);
            }
        }
        Ok(())
    }

    /// The range that is asked for, as far as it is served.
    pub(super) fn range(&self) -> TimeRange {
        self.shelf.cut(self.terms.range)
    }

    fn what(&self) -> Ask<'_> {
        Ask {
            range: self.range(),
            max_resolution_ms: self.terms.max_resolution_ms,
            block_matchers: self.terms.block_matchers,
            unreadable: &self.unreadable,
        }
    }
}

/// What a block answers, with its name.
async fn named<T>(gateway: &Gateway, id: BlockId, asking: Asking<T>) -> (BlockId, Result<T, Trouble>) {
    (id, gateway.unless_away(asking).await)
}

/// Why a block did not answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The request asks for too much: it ends.
    Refused(StoreError),
    /// The store has not answered for a while.
    Away(String),
    /// A part of the block is not what it should be.
    Damaged(String),
    /// The block cannot be read, or not as far as the request asks.
    Unreadable(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Unreadable(error)
    }
}
