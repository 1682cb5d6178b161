//! Which tenants have a say in a request, and with what is left of its matchers.
//!
//! A tenant has none if a matcher on one of its external labels fails, or if the request ends before its oldest sample: one
//! without samples is never asked. A range that ends before it begins is asked all the same, as Thanos does: it stands for the
//! chunks that have both of its ends.

use std::sync::Arc;

use sarsen_block::{Labels, Matcher, TimeRange};
use sarsen_tsdb::{Db, Querier};

use crate::receive::Readable;
use crate::store::{BlockHint, strip_external};

/// A tenant that is asked.
pub(super) struct Part {
    pub(super) name: String,
    /// External labels.
    pub(super) labels: Labels,
    pub(super) db: Arc<Db>,
    /// Those that are not on external labels.
    pub(super) matchers: Vec<Matcher>,
    /// Time of the oldest sample.
    oldest: i64,
}

/// The tenants of a request.
#[derive(Default)]
pub(super) struct Choice {
    /// By name.
    pub(super) parts: Vec<Part>,
    /// Tenants that should be asked and are closed, and why.
    pub(super) shut: Vec<(String, String)>,
    range: Option<TimeRange>,
}

impl Choice {
    pub(super) fn of(tenants: Vec<Readable>, matchers: &[Matcher], range: TimeRange) -> Self {
        let mut choice = Self { range: Some(range), ..Self::default() };
        for Readable { name, labels, db } in tenants {
            let Some(matchers) = strip_external(matchers, labels.as_ref()) else { continue };
            match db {
                Err(why) => choice.shut.push((name, why)),
                Ok(db) => match db.oldest_time() {
                    Some(oldest) if oldest <= range.max => {
                        choice.parts.push(Part { name, labels, db, matchers, oldest });
                    }
                    _ => {}
                },
            }
        }
        choice
    }

    /// What the request says of time.
    pub(super) fn span(&self) -> Span {
        Span { asked: self.range.unwrap_or(TimeRange::ALL) }
    }
}

/// The times of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    asked: TimeRange,
}

impl Span {
    /// Whether it ends before it begins.
    pub(super) const fn is_turned(self) -> bool {
        self.asked.is_empty()
    }

    /// The range to be read: what can be in the answer has a share in it.
    pub(super) const fn read(self) -> TimeRange {
        if self.is_turned() { TimeRange::new(self.asked.max, self.asked.max) } else { self.asked }
    }

    /// Whether a chunk that was read is in the answer.
    pub(super) const fn takes(self, chunk: TimeRange) -> bool {
        chunk.min <= self.asked.max && self.asked.min <= chunk.max
    }
}

impl Part {
    pub(super) fn querier(&self, span: Span) -> Querier {
        self.db.querier(span.read())
    }

    /// The blocks that have a share in `range`, and the head if it has one, as those see it who ask what was read.
    pub(super) fn hints(&self, range: TimeRange) -> Vec<BlockHint> {
        let blocks = self.db.blocks().into_iter().map(|block| (block.id.to_string(), block.meta.range()));
        let stats = self.db.stats();
        let head = stats.min_time.zip(stats.max_time);
        let head = head.map(|(min, max)| (format!("head/{}", self.name), TimeRange::new(min, max)));
        let parts = blocks.chain(head).filter(|(_, own)| own.overlaps(range));
        parts.map(|(id, own)| BlockHint::new(id, 0, own)).collect()
    }

    /// How a warning names it: as Thanos does.
    pub(super) fn fault(&self, code: &str, why: &str) -> String {
        let Self { oldest, .. } = self;
        format!(
            "receive series from MinTime: {oldest} MaxTime: {}: rpc error: code = {code} desc = {why}",
            i64::MAX
        )
    }
}
