//! Statistics of the databases behind endpoints, as they say them: each answer is passed on.

use super::Fleet;
use crate::query::client::STATUS;
use crate::query::surroundings::Found;
use crate::store::StoreError;
use crate::wire::generated::thanos::{
    PartialResponseStrategy, TsdbStatistics, TsdbStatisticsRequest, TsdbStatisticsResponse,
    tsdb_statistics_response,
};

impl Fleet {
    /// The statistics of all endpoints that have some.
    pub(crate) async fn statistics(
        &self,
        request: &TsdbStatisticsRequest,
    ) -> Result<Found<Vec<TsdbStatistics>>, StoreError> {
        let partial = request.partial_response_strategy() == PartialResponseStrategy::Warn;
        let what = (STATUS, "TSDB statistics", "status");
        let (all, warnings) = self.ask_all(|offers| offers.status, what, request, partial).await?;
        let mut found = Found { data: Vec::new(), warnings };
        for answer in all.into_iter().flatten() {
            match answer {
                TsdbStatisticsResponse {
                    result: Some(tsdb_statistics_response::Result::Statistics(statistics)),
                } => found.data.push(statistics),
                TsdbStatisticsResponse { result: Some(tsdb_statistics_response::Result::Warning(text)) } => {
                    found.warnings.push(text);
                }
                TsdbStatisticsResponse { result: None } => {}
            }
        }
        Ok(found)
    }
}
