//! The HTTP API of Prometheus and Thanos: which paths there are, who may ask, what stands round every answer.
//!
//! A handler takes an [`Ask`] and gives an [`Answer`] or a [`Fault`]; status, envelope, headers, packing and counting are the same for all and stand
//! here and in `answer`. Which dialect is spoken is a setting.

mod answer;
mod exemplars;
mod explain;
mod labels;
mod others;
mod queries;
mod rule_pages;
mod status;
mod tenancy;

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{HttpBody as _, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use bytes::Bytes;
use sarsen_block::Matcher;

use self::answer::{Answer, Packing, respond};
pub(crate) use self::tenancy::{CertificateField, Tenancy, hold};
use super::dialect::Dialect;
use super::exec::Executor;
use super::fault::Fault;
use super::params::{Pairs, Params, fields, unescaped};
use super::surroundings::Surroundings;
use crate::clock;
use crate::metrics::{HttpMetrics, Request as Seen};
use crate::net::Subject;

/// Most bytes of a form, as in Go.
const FORM_BYTES: usize = 10 << 20;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the API is asked by, when a request does not say.
#[derive(Debug, Clone, Default)]
pub(crate) struct ApiSettings {
    pub(crate) dialect: Dialect,
    /// Pages of other sites may read.
    pub(crate) cors: bool,
    /// A prefix under which everything is served, with a slash before it; may be empty.
    pub(crate) prefix: String,
    pub(crate) tenancy: Tenancy,
    /// Labels that tell replicas apart.
    pub(crate) replica_labels: Vec<Bytes>,
    /// How replicas become one.
    pub(crate) replicas: super::Replicas,
    /// Whether answers may be partial: of queries, rules, targets, metadata, exemplars.
    pub(crate) partial: Partial,
    /// Without a wish of the caller, queries over a range read data as coarse as a fifth of the step.
    pub(crate) auto_downsampling: bool,
    /// How coarse data of queries at one time may be, if the caller says `auto`.
    pub(crate) instant_resolution_ms: i64,
    /// The least step, if the caller gives none.
    pub(crate) default_step: Duration,
    /// Of what time labels and series are asked for; zero: all.
    pub(crate) metadata_range: Duration,
    /// Every flag with its value, for those who ask.
    pub(crate) flags: BTreeMap<String, String>,
}

/// Whether answers may be partial.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Partial {
    pub(crate) queries: bool,
    pub(crate) rules: bool,
    pub(crate) targets: bool,
    pub(crate) metadata: bool,
    pub(crate) exemplars: bool,
}

impl Default for Partial {
    fn default() -> Self {
        Self { queries: true, rules: true, targets: true, metadata: true, exemplars: true }
    }
}

/// The API.
#[derive(Clone)]
pub(crate) struct Api(Arc<Inner>);

struct Inner {
    executor: Executor,
    around: Arc<dyn Surroundings>,
    settings: ApiSettings,
    http: HttpMetrics,
    started_ms: i64,
}

/// A request as handlers see it.
struct Ask {
    params: Params,
    /// Whose it is.
    tenant: String,
    /// The last but one part of the path: whose values are asked for. Bytes, because escapes may make any.
    name: Vec<u8>,
}

type Done = Pin<Box<dyn Future<Output = Result<Answer, Fault>> + Send>>;
type Act = fn(Api, Ask) -> Done;

/// A path with its handler.
struct Path {
    path: &'static str,
    /// As metrics call it.
    handler: &'static str,
    /// Whether it is asked by POST too.
    post: bool,
    act: Act,
}

/// `path!("/query", "query", GET POST, query)`.
macro_rules! path {
    ($path:literal, $handler:literal, $post:expr, $act:ident) => {
        Path {
            path: $path,
            handler: $handler,
            post: $post,
            act: |api, ask| Box::pin(async move { api.$act(ask).await }),
        }
    };
}

const PATHS: &[Path] = &[
    path!("/query", "query", true, query),
    path!("/query_range", "query_range", true, query_range),
    path!("/query_explain", "query", true, query_explain),
    path!("/query_range_explain", "query", true, query_range_explain),
    path!("/query_exemplars", "exemplars", true, exemplars),
    path!("/format_query", "format_query", true, format_query),
    path!("/parse_query", "parse_query", true, parse_query),
    path!("/labels", "label_names", true, label_names),
    path!("/label/{name}/values", "label_values", false, label_values),
    path!("/series", "series", true, series),
    path!("/stores", "stores", false, stores),
    path!("/rules", "rules", false, rules),
    path!("/alerts", "alerts", false, alerts),
    path!("/alertmanagers", "alertmanagers", false, alertmanagers),
    path!("/targets", "targets", false, targets),
    path!("/targets/metadata", "targets_metadata", false, targets_metadata),
    path!("/metadata", "metadata", false, metadata),
    path!("/status/buildinfo", "status_build", false, build_info),
    path!("/status/runtimeinfo", "status_runtime", false, runtime_info),
    path!("/status/flags", "status_flags", false, flags),
    path!("/status/config", "status_config", false, config),
    path!("/status/tsdb", "status_tsdb", false, cardinality),
];

impl Api {
    /// Over an executor and what is round it.
    pub(crate) fn new(
        executor: Executor,
        around: Arc<dyn Surroundings>,
        settings: ApiSettings,
        http: HttpMetrics,
    ) -> Self {
        Self(Arc::new(Inner { executor, around, settings, http, started_ms: clock::now() }))
    }

    /// The routes: at the root, and below the prefix too.
    pub(crate) fn routes(&self) -> Router {
        match self.0.settings.prefix.as_str() {
            "" => self.below(""),
            prefix => self.below("").merge(self.below(prefix)),
        }
    }

    fn below(&self, prefix: &str) -> Router {
        let mut router = Router::new();
        for path in PATHS {
            let api = self.clone();
            let serve = any(move |request: Request| async move { api.serve(path, request).await });
            router = router.route(&format!("{prefix}/api/v1{}", path.path), serve);
        }
        let api = self.clone();
        let other = any(move |request: Request| async move {
            match *request.method() {
                Method::OPTIONS => api.dressed(request.headers(), StatusCode::NO_CONTENT.into_response()),
                _ => nowhere().await,
            }
        });
        router.route(&format!("{prefix}/api/v1/{{*rest}}"), other)
    }

    /// One request, from its headers to its answer.
    async fn serve(self, path: &'static Path, request: Request) -> Response {
        let method = request.method().clone();
        let headers = request.headers().clone();
        let response = match method {
            Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
            Method::GET => self.counted(path, request).await,
            Method::POST if path.post => self.counted(path, request).await,
            _ => {
                let allowed = if path.post { "GET, OPTIONS, POST" } else { "GET, OPTIONS" };
                let refused = text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed\n");
                return ([(header::ALLOW, allowed)], refused).into_response();
            }
        };
        self.dressed(&headers, response)
    }

    async fn counted(&self, path: &Path, request: Request) -> Response {
        let began = clock::moment();
        let name = unescaped_path(request.uri().path().rsplit('/').nth(1).unwrap_or_default());
        if name.is_empty() || name.contains(&b'/') {
            // Decoded, this is another path, which nobody serves.
            return nowhere().await;
        }
        let (method, headers) = (request.method().clone(), request.headers().clone());
        let dialect = self.0.settings.dialect;
        let peer = request.extensions().get::<Arc<Subject>>().cloned();
        let (tenant, tenant_fault) = match self.0.settings.tenancy.tenant_of(&headers, peer.as_deref()) {
            Ok(tenant) => (tenant, None),
            Err(why) => (self.0.settings.tenancy.default.clone(), Some(Fault::bad(why))),
        };
        let seen = self.0.http.begun(path.handler, method.as_str(), &tenant);
        let bytes = request.headers().get(header::CONTENT_LENGTH);
        let bytes = bytes.and_then(|length| length.to_str().ok()?.parse().ok()).unwrap_or_default();
        let answer = match (tenant_fault, read_fields(request).await) {
            (Some(fault), _) | (None, Err(fault)) => Err(fault),
            (None, Ok(fields)) => {
                let ask = Ask { params: Params { dialect, fields }, tenant: tenant.clone(), name };
                (path.act)(self.clone(), ask).await
            }
        };
        let response = respond(dialect, answer, Packing::of(&headers)).await;
        seen.answered(Seen {
            code: response.status().as_u16(),
            took: began.elapsed(),
            request_bytes: bytes,
            response_bytes: response.body().size_hint().exact(),
        });
        response
    }

    /// The answer with the headers that each has.
    fn dressed(&self, asked: &HeaderMap, mut response: Response) -> Response {
        let headers = response.headers_mut();
        let id = asked.get(REQUEST_ID).cloned();
        headers.insert(REQUEST_ID, id.unwrap_or_else(request_id));
        let prometheus = self.0.settings.dialect.is_prometheus();
        if prometheus {
            headers.append(header::VARY, HeaderValue::from_static("Origin"));
        }
        if self.0.settings.cors && (!prometheus || asked.contains_key(header::ORIGIN)) {
            let allowed = if prometheus {
                "Accept, Authorization, Content-Type, Origin"
            } else {
                "Accept, Accept-Encoding, Authorization, Content-Type, Origin"
            };
            for (name, value) in [
                (header::ACCESS_CONTROL_ALLOW_HEADERS, allowed),
                (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS"),
                (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
                (header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date"),
            ] {
                headers.insert(name, HeaderValue::from_static(value));
            }
        }
        response
    }
}

impl Ask {
    /// Sets of matchers, held to the tenant if that is enforced: without any, to the tenant's series.
    fn held_selectors(&self, api: &Api) -> Result<Vec<Vec<Matcher>>, Fault> {
        let mut selectors = match self.params.dialect {
            Dialect::Prometheus => self.params.selectors("match[]")?,
            Dialect::Thanos => api.selectors(self, "match[]")?,
        };
        if let Some(matcher) = api.0.settings.tenancy.enforced(&self.tenant) {
            if selectors.is_empty() {
                selectors.push(Vec::new());
            }
            selectors.iter_mut().for_each(|selector| tenancy::hold(selector, &matcher));
        }
        Ok(selectors)
    }
}

/// The fields of a form, and behind them those of the address.
async fn read_fields(request: Request) -> Result<Pairs, Fault> {
    let (parts, body) = request.into_parts();
    let kind =
        parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let mut read = Vec::new();
    if parts.method == Method::POST && kind.starts_with("application/x-www-form-urlencoded") {
        let body =
            to_bytes(body, FORM_BYTES).await.map_err(|why| Fault::bad(format!("parse form: {why}")))?;
        read = fields(&body);
    }
    read.extend(fields(parts.uri.query().unwrap_or_default().as_bytes()));
    Ok(read)
}

/// A part of a path without its escapes; a plus is a plus there.
fn unescaped_path(part: &str) -> Vec<u8> {
    unescaped(part.replace('+', "%2B").as_bytes())
}

/// What is answered on paths that nobody serves.
pub(crate) async fn nowhere() -> Response {
    text(StatusCode::NOT_FOUND, "404 page not found\n")
}

fn text(status: StatusCode, text: &'static str) -> Response {
    let kind =
        [(header::CONTENT_TYPE, "text/plain; charset=utf-8"), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")];
    (status, kind, text).into_response()
}

fn request_id() -> HeaderValue {
    let [a, b, ..] = clock::seed();
    HeaderValue::from_str(&format!("{a:016x}{b:016x}")).unwrap_or_else(|_| HeaderValue::from_static("-"))
}

#[cfg(test)]
mod tests;
