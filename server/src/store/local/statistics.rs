//! What the heads of the tenants hold: how many series have which labels.

use std::collections::BTreeMap;

use sarsen_block::TimeRange;
use sarsen_tsdb::{Arrangement, Error};

use super::parts::{Choice, Part};
use crate::store::{Counts, Statistics, StatisticsQuery, StoreError};

/// By tenant. Labels are those that are stored; external ones only choose tenants.
pub(super) fn of(
    choice: Choice,
    query: &StatisticsQuery,
) -> Result<BTreeMap<String, Statistics>, StoreError> {
    let asked = |part: &Part| query.tenant.as_ref().is_none_or(|tenant| *tenant == part.name);
    let mut found = BTreeMap::new();
    for part in choice.parts.into_iter().filter(asked) {
        let fault = |why| StoreError::Unknown(format!("get TSDB statistics for tenant {}: {why}", part.name));
        let statistics = head_of(&part, query.limit).map_err(fault)?;
        found.insert(part.name, statistics);
    }
    Ok(found)
}

fn head_of(part: &Part, limit: usize) -> Result<Statistics, Error> {
    let stats = part.db.stats();
    let bounds = stats.min_time.zip(stats.max_time);
    let range = bounds.map_or(TimeRange::new(i64::MAX, i64::MIN), |(min, max)| TimeRange::new(min, max));
    let mut counts = Counts::default();
    if !range.is_empty() {
        let wanted = Arrangement { matchers: &[], ..Arrangement::default() };
        let series = part.db.querier(range).arrange(&wanted)?;
        let mut bytes = Vec::new();
        (0..series.len()).for_each(|at| counts.add(series.labels(at, &mut bytes).iter()));
    }
    Ok(Statistics { chunks: stats.chunks, ..counts.finish(limit, range) })
}
