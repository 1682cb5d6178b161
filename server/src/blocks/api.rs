//! The JSON API of a role that works with blocks, and the routes of its page.
//!
//! `/api/v1/blocks` and `/api/v1/blocks/mark` are Thanos', fields and error texts included; `NO_DOWNSAMPLING` is ours, and so is
//! taking marks off (`UNDO_DELETION` and so on). A
//! browser of another site may read (CORS, as with Thanos) and may not mark. Marking asks the store itself and nothing
//! that is remembered.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use sarsen_block::json::Json;
use sarsen_block::{BlockId, BlockMeta, TimeRange};
use sarsen_bucket::{Bucket, Layout, MarkKind, Marker, Reason};

use super::board::{Board, Look};
use super::page::{self, Ask, Frame};
use crate::clock;
use crate::metrics::HttpMetrics;
use crate::net::api::{Fault, Pairs, fields_of, fields_with_form, first, success};

/// The page and the API.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebOptions {
    /// The external label that titles groups (`--bucket-web-label`).
    pub(crate) label: Option<String>,
    /// Blocks may be marked (`--disable-admin-operations`).
    pub(crate) admin: bool,
    /// Pages of other sites may read (`--web.disable-cors`).
    pub(crate) cors: bool,
    /// A prefix under which everything is served too, with a slash before it; may be empty.
    pub(crate) prefix: String,
}

/// Whose page it is.
#[derive(Debug, Clone)]
pub(crate) struct Site {
    /// What the role knows.
    pub(crate) board: Board,
    /// Where marks are set.
    pub(crate) bucket: Bucket,
    /// Every flag with its value, for those who ask.
    pub(crate) flags: BTreeMap<String, String>,
    /// Whether the role has work to tell of.
    pub(crate) works: bool,
}

/// What the handlers share.
#[derive(Clone)]
struct Desk(Arc<Inner>);

struct Inner {
    board: Board,
    bucket: Bucket,
    web: WebOptions,
    frame: Frame,
    flags: String,
    started_ms: i64,
}

/// The routes, at the root and below the prefix. `/` leads to the page unless `front` has another one.
pub(crate) fn routes(site: Site, web: Option<&WebOptions>, http: &HttpMetrics, front: bool) -> Router {
    let Some(web) = web.cloned() else { return Router::new() };
    let Site { board, bucket, flags, works } = site;
    let (label, admin) = (web.label.clone(), web.admin);
    let frame = Frame { bucket: bucket.name().to_owned(), label, admin, works };
    let flags = serde_json::to_string(&flags).unwrap_or_default();
    let prefix = web.prefix.clone();
    let desk = Desk(Arc::new(Inner { board, bucket, web, frame, flags, started_ms: clock::now() }));
    let routes = desk.routes(http, front);
    let mut all = routes.clone();
    if front {
        all = all.route("/", get(async || Redirect::temporary("blocks")));
    }
    if prefix.is_empty() { all } else { all.nest(&prefix, routes) }
}

impl Desk {
    /// `alone`: nobody else in the process tells its status.
    fn routes(&self, http: &HttpMetrics, alone: bool) -> Router {
        let page = |loaded: bool| {
            let desk = self.clone();
            get(
                move |uri: Uri| async move { desk.page(&uri, loaded).await.unwrap_or_else(Fault::into_response) },
            )
        };
        let (blocks, mark, flags, build, runtime) =
            (self.clone(), self.clone(), self.clone(), self.clone(), self.clone());
        let watched = |name: &'static str, route| http.watch(name, route);
        let cors = self.0.web.cors;
        let mut api = Router::new()
            .route(
                "/api/v1/blocks",
                watched("blocks", get(move |uri: Uri| async move { blocks.blocks(&uri).await })),
            )
            .route(
                "/api/v1/blocks/mark",
                watched(
                    "blocks_mark",
                    post(move |request: Request| async move {
                        mark.mark(request).await.unwrap_or_else(Fault::into_response)
                    }),
                ),
            );
        if alone {
            api = api
                .route(
                    "/api/v1/status/flags",
                    watched("status_flags", get(move || async move { success(&flags.0.flags) })),
                )
                .route(
                    "/api/v1/status/buildinfo",
                    watched("status_build", get(move || async move { build.build_info() })),
                )
                .route(
                    "/api/v1/status/runtimeinfo",
                    watched("status_runtime", get(move || async move { runtime.runtime_info() })),
                );
        }
        let api = api.layer(middleware::from_fn(move |request, next| allow_reading(cors, request, next)));
        Router::new()
            .route("/blocks", watched("page", page(false)))
            .route("/global", watched("page", page(false)))
            .route("/loaded", watched("page", page(true)))
            .merge(api)
    }

    async fn page(&self, uri: &Uri, loaded: bool) -> Result<Response, Fault> {
        let ask = ask(&fields_of(uri)?, loaded)?;
        let (known, desk) = (self.0.board.known(), self.clone());
        let now = clock::now();
        // A page of thousands of blocks is written away from the threads that serve connections.
        let html = tokio::task::spawn_blocking(move || page::render(&known, &desk.0.frame, &ask, now)).await;
        html.map(|html| Html(html).into_response()).map_err(|why| Fault::internal(why.to_string()))
    }

    async fn blocks(&self, uri: &Uri) -> Response {
        let loaded = fields_of(uri).is_ok_and(|fields| first(&fields, "view") == Some("loaded"));
        let known = self.0.board.known();
        let look = if loaded { known.loaded } else { known.global };
        let label = self.0.web.label.clone().unwrap_or_default();
        let listing = tokio::task::spawn_blocking(move || listing(&look, label)).await;
        listing.map_or_else(|why| Fault::internal(why.to_string()).into_response(), |text| success(&text))
    }

    async fn mark(&self, request: Request) -> Result<Response, Fault> {
        if !self.0.web.admin {
            return Err(Fault::bad("Admin operations are disabled"));
        }
        if comes_from_elsewhere(request.headers()) {
            return Err(Fault::bad("a page of another site must not mark blocks"));
        }
        let wants_page = accepts_html(request.headers());
        let fields = fields_with_form(request).await?;
        let id = first(&fields, "id").ok_or_else(|| Fault::bad("ID cannot be empty"))?;
        let action = first(&fields, "action").ok_or_else(|| Fault::bad("Action cannot be empty"))?;
        let id: BlockId =
            id.parse().map_err(|why| Fault::bad(format!("ULID \"{id}\" is not valid: {why}")))?;
        let (undo, name) = action.strip_prefix("UNDO_").map_or((false, action), |name| (true, name));
        let kind = match name {
            "DELETION" => MarkKind::Deletion,
            "NO_COMPACTION" => MarkKind::NoCompact,
            "NO_DOWNSAMPLING" => MarkKind::NoDownsample,
            _ => return Err(Fault::bad(format!("not supported marker {action}"))),
        };
        let marker = marker(id, kind, first(&fields, "detail").unwrap_or_default());
        self.put_or_take(&marker, undo).await?;
        if wants_page {
            let back = format!("../../../blocks?block={id}#block");
            return Ok((StatusCode::SEE_OTHER, [(header::LOCATION, back)]).into_response());
        }
        Ok(([(header::CONTENT_TYPE, "application/json")], "{\"status\":\"success\"}").into_response())
    }

    async fn put_or_take(&self, marker: &Marker, undo: bool) -> Result<(), Fault> {
        let failed = |why: sarsen_bucket::Error| Fault::bad(why.to_string());
        let (bucket, id) = (&self.0.bucket, marker.id);
        if !bucket.exists(&Layout::meta(id)).await.map_err(failed)? {
            return Err(Fault::bad(format!("there is no block {id}")));
        }
        let (mark, details) = (marker.kind.file_name(), marker.details.as_str());
        let changed = if undo {
            Marker::remove(bucket, id, marker.kind).await.map(|()| true)
        } else {
            marker.put(bucket).await
        };
        let changed = changed.map_err(failed)?;
        tracing::info!(id = %id, mark, details, undo, changed, "block marked by the API");
        if changed {
            // The next look at the bucket would find it; a page that is shown at once should already.
            self.0.board.change(|known| {
                for look in [&mut known.global, &mut known.loaded] {
                    let marks = Arc::make_mut(&mut look.view).marks.entry(id).or_default();
                    marks.retain(|other| other.kind != marker.kind);
                    marks.extend((!undo).then(|| marker.clone()));
                }
            });
        }
        Ok(())
    }

    fn build_info(&self) -> Response {
        let version = env!("CARGO_PKG_VERSION");
        let data = serde_json::json!({
            "version": version, "revision": crate::metrics::REVISION, "branch": "", "buildUser": "", "buildDate": "", "goVersion": "",
        });
        success(&data.to_string())
    }

    fn runtime_info(&self) -> Response {
        let folder = std::env::current_dir().map(|path| path.display().to_string()).unwrap_or_default();
        let data = serde_json::json!({"startTime": rfc3339(self.0.started_ms), "CWD": folder});
        success(&data.to_string())
    }
}

fn ask(fields: &Pairs, loaded: bool) -> Result<Ask, Fault> {
    let number = |name: &str| {
        let text = first(fields, name);
        text.map(str::parse::<i64>)
            .transpose()
            .map_err(|_| Fault::bad(format!("{name} is no time in milliseconds")))
    };
    let block = first(fields, "block").map(str::parse::<BlockId>).transpose();
    let window = match (number("min")?, number("max")?) {
        (Some(min), Some(max)) if min <= max => Some(TimeRange::new(min, max)),
        _ => None,
    };
    Ok(Ask {
        loaded,
        group: first(fields, "group").unwrap_or_default().to_owned(),
        window,
        block: block.map_err(|why| Fault::bad(format!("block: {why}")))?,
    })
}

fn marker(id: BlockId, kind: MarkKind, details: &str) -> Marker {
    let reason = (kind != MarkKind::Deletion).then_some(Reason::Manual);
    Marker { id, kind, details: details.to_owned(), time: clock::now() / 1000, reason }
}

/// What Thanos calls the blocks info: the metas of a view, oldest first.
fn listing(look: &Look, label: String) -> String {
    let mut metas: Vec<&Arc<BlockMeta>> = look.view.blocks.values().collect();
    metas.sort_by_key(|meta| (meta.min_time, meta.max_time, meta.id));
    let read = |meta: &&Arc<BlockMeta>| Json::parse(Layout::META, &meta.to_bytes()).ok();
    let fields = [
        ("label", Json::text(label)),
        ("blocks", Json::list(metas.iter().filter_map(read))),
        ("refreshedAt", Json::text(look.at_ms.map_or_else(|| "0001-01-01T00:00:00Z".to_owned(), rfc3339))),
        ("err", look.fault.clone().map_or(Json::Null, Json::text)),
    ];
    Json::object(fields).compact()
}

fn rfc3339(ms: i64) -> String {
    let date = chrono::DateTime::<chrono::Utc>::from_timestamp_millis(ms).unwrap_or_default();
    date.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn text_of<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Whether a browser says that a page of another site made it ask.
fn comes_from_elsewhere(headers: &HeaderMap) -> bool {
    matches!(text_of(headers, "sec-fetch-site"), "cross-site" | "same-site")
}

fn accepts_html(headers: &HeaderMap) -> bool {
    text_of(headers, "accept").contains("text/html")
}

/// Lets pages of other sites read the answer, as Thanos does.
async fn allow_reading(cors: bool, request: Request, next: Next) -> Response {
    const ALLOW: [(&str, &str); 4] = [
        ("access-control-allow-headers", "Accept, Accept-Encoding, Authorization, Content-Type, Origin"),
        ("access-control-allow-methods", "GET, OPTIONS"),
        ("access-control-allow-origin", "*"),
        ("access-control-expose-headers", "Date"),
    ];
    let mut response = next.run(request).await;
    if cors {
        for (name, value) in ALLOW {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
    }
    response
}
