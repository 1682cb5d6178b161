//! Exemplars of all endpoints that keep some.
//!
//! They are asked with an expression, so selectors become one again: joined with `+`, which changes nothing in what they select. A
//! matcher on an external label of the endpoint is left out unless a querier is asked, since a sidecar hands the expression to a
//! Prometheus that does not know its own external labels.

use std::fmt::Write as _;
use std::sync::Arc;

use futures_util::future::join_all;
use sarsen_block::{Labels, Matcher};
use tonic::Status;

use super::{ProxyStore, Wanted, error_of, fits};
use crate::net::grpc::go_text;
use crate::query::client::EXEMPLARS;
use crate::query::endpoints::{Endpoint, Known, labels_of};
use crate::store::{ExemplarOut, ExemplarSeries, ExemplarsAnswer, ExemplarsQuery, StoreError};
use crate::wire::generated::thanos::{
    Exemplar, ExemplarsRequest, ExemplarsResponse, PartialResponseStrategy, exemplars_response,
};

/// What one endpoint is asked, `None` if nothing that it has can match.
fn expression(selectors: &[Vec<Matcher>], known: &Known) -> Option<String> {
    let is_external = |name: &[u8]| known.label_sets.iter().any(|labels: &Labels| labels.get(name).is_some());
    let mut text = String::new();
    for selector in selectors.iter().filter(|selector| fits(selector, &known.label_sets)) {
        text.push_str(if text.is_empty() { "{" } else { "+{" });
        let kept =
            selector.iter().filter(|matcher| known.component == "query" || !is_external(matcher.name()));
        for (at, matcher) in kept.enumerate() {
            // Writing to a text cannot fail.
            let _ = write!(text, "{}{matcher}", if at == 0 { "" } else { ", " });
        }
        text.push('}');
    }
    Some(text).filter(|text| !text.is_empty())
}

fn exemplar(sent: Exemplar) -> Option<ExemplarOut> {
    let labels = match &sent.labels {
        Some(labels) => labels_of(labels)?,
        None => Labels::default(),
    };
    Some(ExemplarOut { labels, value: sent.value, t: sent.ts })
}

impl ProxyStore {
    pub(super) async fn ask_exemplars(
        &self,
        mut query: ExemplarsQuery,
    ) -> Result<ExemplarsAnswer, StoreError> {
        query.selectors = query.selectors.iter().filter_map(|selector| self.stripped(selector)).collect();
        let mut endpoints = self.endpoints().asked();
        let wanted = Wanted { range: query.range, matchers: &[], stores: &query.stores };
        endpoints.retain(|endpoint| {
            let known = endpoint.known();
            known.offers.exemplars && wanted.chosen(endpoint.address(), &known) && self.only(&known).is_some()
        });
        let query = &query;
        let asked = endpoints.into_iter().filter_map(|endpoint| {
            let expression = expression(&query.selectors, &endpoint.known())?;
            Some(async move {
                let answer = self.within(exemplars_of(&endpoint, expression, query)).await;
                (endpoint, answer)
            })
        });
        let mut all = ExemplarsAnswer::default();
        for (endpoint, answer) in join_all(asked).await {
            match answer {
                Ok(answer) => {
                    all.series.extend(answer.series);
                    all.warnings.extend(answer.warnings);
                }
                Err(status) => {
                    let text = format!(
                        "fetching exemplars from exemplars client {}: {}",
                        endpoint.address(),
                        go_text(&status)
                    );
                    if query.abort {
                        return Err(error_of(&status, text));
                    }
                    all.warnings.push(text);
                }
            }
        }
        all.series.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(all)
    }
}

async fn exemplars_of(
    endpoint: &Arc<Endpoint>,
    expression: String,
    query: &ExemplarsQuery,
) -> Result<ExemplarsAnswer, Status> {
    let strategy = if query.abort { PartialResponseStrategy::Abort } else { PartialResponseStrategy::Warn };
    let request = ExemplarsRequest {
        query: expression.into(),
        start: query.range.min,
        end: query.range.max,
        partial_response_strategy: strategy.into(),
    };
    let client = endpoint.client();
    let mut answers =
        client.stream::<_, ExemplarsResponse>(EXEMPLARS, request, query.tenant.as_deref()).await?;
    let mut all = ExemplarsAnswer::default();
    while let Some(message) = answers.next().await? {
        match message.result {
            Some(exemplars_response::Result::Warning(text)) => all.warnings.push(text),
            Some(exemplars_response::Result::Data(data)) => {
                let labels = data.series_labels.as_ref().and_then(labels_of).unwrap_or_default();
                let exemplars = data.exemplars.into_iter().filter_map(exemplar).collect();
                all.series.push(ExemplarSeries { labels, exemplars });
            }
            None => {}
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sarsen_block::parse_selector;

    #[test]
    fn a_sidecar_is_not_asked_for_its_own_labels() {
        let selectors: Vec<_> = ["up{region=\"eu\",job=~\"a|b\"}", "{__name__=\"x\",region=\"us\"}"]
            .map(|text| parse_selector(text).unwrap())
            .into();
        let label_sets = vec![Labels::from_pairs([("region", "eu")]).unwrap()];
        let sidecar = Known { component: "sidecar", label_sets: label_sets.clone(), ..Known::anything() };
        assert_eq!(expression(&selectors, &sidecar).unwrap(), "{__name__=\"up\", job=~\"a|b\"}");
        let querier = Known { component: "query", label_sets, ..Known::anything() };
        assert_eq!(
            expression(&selectors, &querier).unwrap(),
            "{__name__=\"up\", region=\"eu\", job=~\"a|b\"}"
        );
        let other = Labels::from_pairs([("region", "asia")]).unwrap();
        assert_eq!(expression(&selectors, &Known { label_sets: vec![other], ..Known::anything() }), None);
    }
}
