//! Rules, Targets, Metadata and Status of a querier: what its endpoints say, handed on.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tonic::{Request, Response, Status};

use crate::query::fleet::{Fleet, MetadataQuery};
use crate::query::surroundings::RulesQuery;
use crate::wire::generated::thanos::metadata_server::Metadata;
use crate::wire::generated::thanos::rules_server::Rules;
use crate::wire::generated::thanos::status_server::Status as StatusApi;
use crate::wire::generated::thanos::targets_server::Targets;
use crate::wire::generated::thanos::{
    MetricMetadata, MetricMetadataEntry, MetricMetadataRequest, MetricMetadataResponse,
    PartialResponseStrategy, RulesRequest, RulesResponse, TargetsRequest, TargetsResponse,
    TsdbStatisticsRequest, TsdbStatisticsResponse, metric_metadata_response, rules_request, rules_response,
    targets_response, tsdb_statistics_response,
};

#[derive(Clone)]
pub(super) struct Around(pub(super) Arc<Fleet>);

type Answers<T> = BoxStream<'static, Result<T, Status>>;

/// These answers, then the warnings.
fn answers<T: Send + 'static>(
    found: impl IntoIterator<Item = T, IntoIter: Send + 'static>,
    warnings: Vec<String>,
    warning: impl Fn(String) -> T + Send + 'static,
) -> Response<Answers<T>> {
    let warnings = warnings.into_iter().map(warning);
    Response::new(stream::iter(found.into_iter().chain(warnings).map(Ok)).boxed())
}

fn is_partial(strategy: PartialResponseStrategy) -> bool {
    strategy == PartialResponseStrategy::Warn
}

#[async_trait]
impl Rules for Around {
    type RulesStream = Answers<RulesResponse>;

    async fn rules(&self, request: Request<RulesRequest>) -> Result<Response<Self::RulesStream>, Status> {
        let request = request.into_inner();
        let kind = match request.r#type() {
            rules_request::Type::All => "",
            rules_request::Type::Alert => "alert",
            rules_request::Type::Record => "record",
        };
        let query = RulesQuery {
            kind: kind.to_owned(),
            partial: is_partial(request.partial_response_strategy()),
            names: request.rule_name,
            groups: request.rule_group,
            files: request.file,
            selectors: request.matcher_string,
        };
        let found = self.0.rule_groups(&query).await?.in_spoken_numbers();
        let group = |group| RulesResponse { result: Some(rules_response::Result::Group(group)) };
        let warning = |text| RulesResponse { result: Some(rules_response::Result::Warning(text)) };
        Ok(answers(found.groups.into_iter().map(group), found.warnings, warning))
    }
}

#[async_trait]
impl Targets for Around {
    type TargetsStream = Answers<TargetsResponse>;

    async fn targets(
        &self,
        request: Request<TargetsRequest>,
    ) -> Result<Response<Self::TargetsStream>, Status> {
        let request = request.into_inner();
        let partial = is_partial(request.partial_response_strategy());
        let found = self.0.all_targets(request.state(), partial).await?;
        let targets = TargetsResponse { result: Some(targets_response::Result::Targets(found.data)) };
        let warning = |text| TargetsResponse { result: Some(targets_response::Result::Warning(text)) };
        Ok(answers([targets], found.warnings, warning))
    }
}

#[async_trait]
impl Metadata for Around {
    type MetricMetadataStream = Answers<MetricMetadataResponse>;

    async fn metric_metadata(
        &self,
        request: Request<MetricMetadataRequest>,
    ) -> Result<Response<Self::MetricMetadataStream>, Status> {
        let request = request.into_inner();
        let partial = is_partial(request.partial_response_strategy());
        let query = MetadataQuery { limit: request.limit, partial, metric: request.metric };
        let found = self.0.all_metadata(&query).await?;
        let entry = |(metric, metas)| (metric, MetricMetadataEntry { metas });
        let metadata = MetricMetadata { metadata: found.data.into_iter().map(entry).collect() };
        let all =
            MetricMetadataResponse { result: Some(metric_metadata_response::Result::Metadata(metadata)) };
        let warning =
            |text| MetricMetadataResponse { result: Some(metric_metadata_response::Result::Warning(text)) };
        Ok(answers([all], found.warnings, warning))
    }
}

#[async_trait]
impl StatusApi for Around {
    type TSDBStatisticsStream = Answers<TsdbStatisticsResponse>;

    async fn tsdb_statistics(
        &self,
        request: Request<TsdbStatisticsRequest>,
    ) -> Result<Response<Self::TSDBStatisticsStream>, Status> {
        let found = self.0.statistics(request.get_ref()).await?;
        let one = |statistics| TsdbStatisticsResponse {
            result: Some(tsdb_statistics_response::Result::Statistics(statistics)),
        };
        let warning =
            |text| TsdbStatisticsResponse { result: Some(tsdb_statistics_response::Result::Warning(text)) };
        Ok(answers(found.data.into_iter().map(one), found.warnings, warning))
    }
}
