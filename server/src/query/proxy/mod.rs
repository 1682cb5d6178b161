//! All endpoints as one store.
//!
//! Those that [may have](choose) what is asked for are asked all at once, each in a task of its own that ends with the request; their
//! series are [joined](join_streams) as they come. An endpoint that does not answer, breaks off or lies costs a warning and at most
//! its timeout, or the whole answer if the caller wants all or nothing. Texts are those of Thanos' proxy.

mod choose;
mod exemplars;
mod series;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use sarsen_block::{Labels, Matcher, TimeRange};
use sarsen_bucket::Selector;
use tokio::task::JoinSet;
use tonic::{Code, Status};

pub(crate) use choose::{Wanted, fits};

use self::choose::{taken, takes};

use self::series::Reader;
use super::client::{LABEL_NAMES, LABEL_VALUES};
use super::endpoints::{Endpoint, EndpointSet, Known};
use crate::metrics::{Counter, Registry};
use crate::net::grpc::go_text;
use crate::store::{
    EndpointHints, ExemplarsAnswer, ExemplarsQuery, Frame, FrameSender, Hints, LabelsAnswer, LabelsQuery,
    SeriesQuery, Store, StoreError, StoreInfo, Warnings, frames, join_streams, strip_external,
};
use crate::wire::generated::thanos::{LabelNamesResponse, LabelValuesResponse};
use crate::wire::storeapi::{label_names_request, label_values_request};

/// How much of one endpoint's answer may wait here, in bytes.
const ROOM: usize = 2 << 20;

/// What a querier takes of its endpoints.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProxyOptions {
    /// How long the next message of an endpoint may take; zero: as long as it likes.
    pub(crate) timeout: Duration,
    /// Labels that stand for all of it: told to those who ask who is there, and taken out of what they ask.
    pub(crate) labels: Labels,
    /// Which sets of external labels are taken; none: all.
    pub(crate) selector: Option<Selector>,
}

/// All endpoints as one store.
#[derive(Debug)]
pub(crate) struct ProxyStore {
    endpoints: Arc<EndpointSet>,
    options: ProxyOptions,
    empty: Arc<Counter>,
}

/// An endpoint that is asked, and what it is asked beside the question: of its external labels only some may be wanted.
struct Chosen {
    endpoint: Arc<Endpoint>,
    only: Vec<Matcher>,
}

impl ProxyStore {
    /// Over these endpoints.
    pub(crate) fn new(endpoints: Arc<EndpointSet>, options: ProxyOptions, registry: &Registry) -> Self {
        let empty = registry.family(
            "thanos_proxy_store_empty_stream_responses_total",
            "Total number of empty responses received.",
            &[],
        );
        Self { endpoints, options, empty: empty.with(&[]) }
    }

    /// Who is asked.
    pub(crate) const fn endpoints(&self) -> &Arc<EndpointSet> {
        &self.endpoints
    }

    fn chosen(&self, wanted: Wanted<'_>) -> Vec<Chosen> {
        let may_have = |endpoint: Arc<Endpoint>| {
            let known = endpoint.known();
            let only = self.only(&known)?;
            wanted.may_be_at(endpoint.address(), &known).then_some(Chosen { endpoint, only })
        };
        self.endpoints.asked().into_iter().filter_map(may_have).collect()
    }

    /// The matchers without those on our own labels; `None` if these do not fit.
    fn stripped(&self, matchers: &[Matcher]) -> Option<Vec<Matcher>> {
        strip_external(matchers, self.options.labels.as_ref())
    }

    /// The question without what our own labels answer; `None` if these do not fit.
    fn stripped_query(&self, mut query: Arc<SeriesQuery>) -> Option<Arc<SeriesQuery>> {
        if !self.options.labels.as_ref().is_empty() {
            Arc::make_mut(&mut query).matchers = self.stripped(&query.matchers)?;
        }
        Some(query)
    }

    /// What of the endpoint that says this is taken; `None` if nothing is.
    fn only(&self, known: &Known) -> Option<Vec<Matcher>> {
        self.options.selector.as_ref().map_or(Some(Vec::new()), |selector| taken(selector, &known.label_sets))
    }

    /// Tells which endpoints are not asked, and why.
    async fn tell_left_out(
        &self,
        wanted: Wanted<'_>,
        chosen: &[Chosen],
        out: &FrameSender,
    ) -> Result<(), StoreError> {
        for status in self.endpoints.status() {
            if chosen.iter().any(|chosen| chosen.endpoint.address() == status.address) {
                continue;
            }
            let why = match (status.asked, wanted.why_not_at(&status.address, &status.known)) {
                (false, _) => match status.last_error {
                    Some(why) => format!("unhealthy: {why}"),
                    None => "it has not said who it is".to_owned(),
                },
                (true, Some(why)) => why.to_owned(),
                (true, None) if self.only(&status.known).is_none() => "selector.relabel-config".to_owned(),
                (true, None) => "another one of its group has its turn".to_owned(),
            };
            let endpoint = EndpointHints {
                address: status.address,
                component: status.known.component,
                left_out: Some(why),
                ..EndpointHints::default()
            };
            let hints = Hints { endpoint: Some(Box::new(endpoint)), ..Hints::default() };
            out.send(Frame::Hints(Box::new(hints))).await?;
        }
        Ok(())
    }

    fn timeout(&self) -> Option<Duration> {
        Some(self.options.timeout).filter(|timeout| !timeout.is_zero())
    }

    /// What comes of a call within the time that an answer may take.
    async fn within<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let Some(timeout) = self.timeout() else { return call.await };
        let late = |_| Status::deadline_exceeded("context deadline exceeded");
        tokio::time::timeout(timeout, call).await.map_err(late)?
    }

    /// Names or values of all endpoints that may have some.
    async fn labels<F: Future<Output = Result<LabelsAnswer, Status>>>(
        &self,
        what: &str,
        mut query: LabelsQuery,
        ask: impl Fn(Arc<Endpoint>, LabelsQuery) -> F,
    ) -> Result<LabelsAnswer, StoreError> {
        let Some(matchers) = self.stripped(&query.matchers) else { return Ok(LabelsAnswer::default()) };
        query.matchers = matchers;
        let chosen =
            self.chosen(Wanted { range: query.range, matchers: &query.matchers, stores: &query.stores });
        let asked = chosen.into_iter().map(|Chosen { endpoint, only }| {
            let mut query = query.clone();
            query.matchers.extend(only);
            let call = ask(Arc::clone(&endpoint), query);
            async move { (endpoint, self.within(call).await) }
        });
        let (mut values, mut warnings) = (BTreeSet::new(), Vec::new());
        for (endpoint, answer) in join_all(asked).await {
            match answer {
                Ok(answer) => {
                    values.extend(answer.values);
                    warnings.extend(answer.warnings);
                }
                Err(status) => {
                    let text = format!("fetch label {what} from store {endpoint}: {}", go_text(&status));
                    if query.abort {
                        return Err(error_of(&status, text));
                    }
                    warnings.push(text);
                }
            }
        }
        let limit = usize::try_from(query.limit).ok().filter(|limit| *limit > 0).unwrap_or(usize::MAX);
        Ok(LabelsAnswer { values: values.into_iter().take(limit).collect(), warnings, blocks: None })
    }
}

/// The fault of an endpoint as ours, with this text.
pub(crate) fn error_of(status: &Status, text: String) -> StoreError {
    match status.code() {
        Code::InvalidArgument => StoreError::Invalid(text),
        Code::ResourceExhausted => StoreError::Exhausted(text),
        Code::Aborted => StoreError::Aborted(text),
        Code::Internal => StoreError::Internal(text),
        Code::Unavailable => StoreError::Unavailable(text),
        Code::DeadlineExceeded => StoreError::Deadline(text),
        _ => StoreError::Unknown(text),
    }
}

/// The values without those that are not to be seen.
fn visible(values: Vec<Bytes>, without: &[Bytes]) -> Vec<Bytes> {
    values.into_iter().filter(|value| without.binary_search(value).is_err()).collect()
}

#[async_trait]
impl Store for ProxyStore {
    fn info(&self) -> StoreInfo {
        let mut all = StoreInfo { ready: true, exemplars: Some(TimeRange::ALL), ..StoreInfo::empty("query") };
        let mut label_sets: BTreeSet<Labels> = BTreeSet::new();
        let known = self.endpoints.asked().into_iter().map(|endpoint| endpoint.known());
        for known in known.filter(|known| known.offers.store) {
            all.range =
                TimeRange::new(all.range.min.min(known.range.min), all.range.max.max(known.range.max));
            let taken = |labels: &Labels| {
                self.options.selector.as_ref().is_none_or(|selector| takes(selector, labels))
            };
            label_sets.extend(known.label_sets.iter().filter(|labels| taken(labels)).cloned());
            all.tsdb_infos.extend(known.tsdb_infos.iter().filter(|(labels, _)| taken(labels)).cloned());
        }
        if all.range.min > all.range.max {
            // Nobody there yet: as Thanos, rather be asked in vain than not.
            all.range = TimeRange::ALL;
        }
        let own = &self.options.labels;
        if !own.as_ref().is_empty() {
            let with_own = |labels: &Labels| {
                let kept = labels.iter().filter(|(name, _)| own.get(name).is_none());
                // Both are sets of labels, and have no name in common.
                Labels::from_pairs(kept.chain(own.iter())).unwrap_or_default()
            };
            label_sets = label_sets.iter().map(with_own).collect();
            if label_sets.is_empty() {
                label_sets.insert(own.clone());
            }
        }
        all.label_sets = label_sets.into_iter().collect();
        all
    }

    async fn series(&self, query: Arc<SeriesQuery>, out: FrameSender) -> Result<(), StoreError> {
        let Some(query) = self.stripped_query(query) else { return Ok(()) };
        if query.matchers.is_empty() {
            return Err(StoreError::Invalid("no matchers specified (excluding selector labels)".to_owned()));
        }
        if query.abort && self.endpoints.asked().is_empty() {
            return Err(StoreError::Unknown("No StoreAPIs available".to_owned()));
        }
        let wanted = Wanted { range: query.range, matchers: &query.matchers, stores: &query.stores };
        let chosen = self.chosen(wanted);
        if query.stats {
            self.tell_left_out(wanted, &chosen, &out).await?;
        }
        let (mut streams, mut asked) = (Vec::new(), JoinSet::new());
        for Chosen { endpoint, only } in chosen {
            let (into, rest) = frames(ROOM);
            streams.push(rest);
            let mut query = Arc::clone(&query);
            if !only.is_empty() {
                Arc::make_mut(&mut query).matchers.extend(only);
            }
            let reader = Reader { endpoint, query, timeout: self.timeout(), out: into };
            let empty = Arc::clone(&self.empty);
            asked.spawn(async move {
                let messages = reader.run().await;
                empty.add(u64::from(messages == 0));
            });
        }
        let warnings = if query.abort { Warnings::Abort } else { Warnings::Pass };
        join_streams(&mut streams, query.limit, warnings, &out).await?;
        // Endpoints that have more than is wanted are told so.
        drop(streams);
        asked.abort_all();
        while let Some(ended) = asked.join_next().await {
            if ended.is_err_and(|why| why.is_panic()) {
                return Err(StoreError::Internal("a part of the query ended without an answer".to_owned()));
            }
        }
        Ok(())
    }

    async fn label_names(&self, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        let ask = |endpoint: Arc<Endpoint>, query: LabelsQuery| {
            let request = label_names_request(&query);
            async move {
                let answer: LabelNamesResponse =
                    endpoint.client().unary(LABEL_NAMES, request, query.tenant.as_deref()).await?;
                let values = visible(answer.names, &query.without);
                Ok(LabelsAnswer { values, warnings: answer.warnings, blocks: None })
            }
        };
        self.labels("names", query, ask).await
    }

    async fn label_values(&self, name: Bytes, query: LabelsQuery) -> Result<LabelsAnswer, StoreError> {
        if name.is_empty() {
            return Err(StoreError::Invalid("label name parameter cannot be empty".to_owned()));
        }
        if query.without.binary_search(&name).is_ok() {
            return Ok(LabelsAnswer::default());
        }
        let ask = |endpoint: Arc<Endpoint>, query: LabelsQuery| {
            let request = label_values_request(&name, &query);
            async move {
                let answer: LabelValuesResponse =
                    endpoint.client().unary(LABEL_VALUES, request, query.tenant.as_deref()).await?;
                Ok(LabelsAnswer { values: answer.values, warnings: answer.warnings, blocks: None })
            }
        };
        self.labels("values", query, ask).await
    }

    async fn exemplars(&self, query: ExemplarsQuery) -> Result<ExemplarsAnswer, StoreError> {
        self.ask_exemplars(query).await
    }
}
