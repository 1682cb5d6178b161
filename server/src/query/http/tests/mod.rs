//! The recorded answers of a Prometheus, asked of the API: status, headers and body.

mod store;

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, header};
use serde::Deserialize;
use serde_json::Value as Json;
use tower::ServiceExt as _;

use super::{Api, ApiSettings};
use crate::metrics::{HttpMetrics, QueryMetrics, Registry};
use crate::net::{Probe, admin_routes};
use crate::query::{Alone, Dialect, ExecOptions, Executor};
use store::{Recorded, lines};

/// A request with its answer.
#[derive(Deserialize)]
struct Case {
    id: String,
    group: String,
    #[serde(default)]
    method: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    params: Vec<(String, String)>,
    #[serde(default)]
    params_in_body: bool,
    status: u16,
    content_type: Option<String>,
    body: Option<Json>,
    body_text: Option<String>,
    /// Of queries.
    #[serde(rename = "type", default)]
    kind: String,
    query: Option<String>,
    time: Option<String>,
    start: Option<String>,
    end: Option<String>,
    step: Option<String>,
    #[serde(default)]
    ordered: bool,
}

/// The features of the servers that answered.
fn features(group: &str) -> Vec<String> {
    let names: &[&str] = match group {
        "delayed-name-removal" => &["promql-delayed-name-removal"],
        "experimental" => &[
            "promql-experimental-functions",
            "promql-extended-range-selectors",
            "promql-binop-fill-modifiers",
        ],
        "type-and-unit-labels" => &["type-and-unit-labels"],
        _ => &[],
    };
    names.iter().map(|name| (*name).to_owned()).collect()
}

/// The API over the golden data.
fn api(dialect: Dialect, features: Vec<String>, settings: ApiSettings) -> Router {
    let registry = Registry::default();
    let options = ExecOptions { dialect, features, ..ExecOptions::default() };
    let metrics = QueryMetrics::new(&registry, 20, 4);
    let executor = Executor::new(Arc::new(Recorded::golden()), options, metrics);
    let settings = ApiSettings { dialect, cors: true, ..settings };
    Api::new(executor, Arc::new(Alone), settings, HttpMetrics::of_querier(&registry)).routes()
}

struct Answered {
    status: u16,
    content_type: Option<String>,
    body: Vec<u8>,
}

async fn ask(router: &Router, method: &str, path: &str, params: &[(String, String)], form: bool) -> Answered {
    let url = reqwest::Url::parse_with_params("http://x/", params).unwrap();
    let fields = url.query().unwrap_or_default();
    let mut request = Request::builder().method(method);
    request = if form {
        request.uri(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
    } else {
        request.uri(format!("{path}?{fields}"))
    };
    let body = if form { Body::from(fields.to_owned()) } else { Body::empty() };
    let response = router.clone().oneshot(request.body(body).unwrap()).await.unwrap();
    let kind = response.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
    Answered {
        status: response.status().as_u16(),
        content_type: kind,
        body: to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec(),
    }
}

/// What does not depend on an order that Prometheus does not keep either.
fn settled(mut body: Json, ordered: bool) -> Json {
    for list in ["warnings", "infos"] {
        if let Some(texts) = body.get_mut(list).and_then(Json::as_array_mut) {
            texts.sort_by_key(Json::to_string);
        }
    }
    let is_vector = body["data"]["resultType"] == "vector";
    let rows = body.pointer_mut("/data/result").and_then(Json::as_array_mut);
    if let Some(rows) = rows.filter(|_| is_vector && !ordered) {
        rows.sort_by_key(|row| row["metric"].to_string());
    }
    body
}

/// Whether two answers are the same, values of which the last digits may differ taken to a thousand-millionth.
fn same(ours: &Json, theirs: &Json) -> bool {
    match (ours, theirs) {
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len()
                && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| same(value, other)))
        }
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Json::String(a), Json::String(b)) => a == b || close(a, b),
        (Json::Number(a), Json::Number(b)) => a.as_f64() == b.as_f64(),
        _ => ours == theirs,
    }
}

fn close(a: &str, b: &str) -> bool {
    let (Ok(a), Ok(b)) = (a.parse::<f64>(), b.parse::<f64>()) else { return false };
    (a - b).abs() <= 1e-9 * a.abs().max(b.abs())
}

fn fault(case: &Case, answer: &Answered) -> Option<String> {
    let text = String::from_utf8_lossy(&answer.body);
    let short = |text: &str| text.chars().take(700).collect::<String>();
    if (answer.status, &answer.content_type) != (case.status, &case.content_type) && case.query.is_none() {
        return Some(format!(
            "status {} {:?}, not {}: {}",
            answer.status,
            answer.content_type,
            case.status,
            short(&text)
        ));
    }
    if let Some(expected) = &case.body_text {
        return (text != *expected).then(|| format!("{text:?}"));
    }
    let Some(expected) = &case.body else { return (!answer.body.is_empty()).then(|| short(&text)) };
    let Ok(body) = serde_json::from_slice::<Json>(&answer.body) else {
        return Some(format!("no JSON: {text}"));
    };
    let (ours, theirs) = (settled(body, case.ordered), settled(expected.clone(), case.ordered));
    let equal = answer.status == case.status && same(&ours, &theirs);
    (!equal).then(|| {
        format!(
            "\n  ours   {} {}\n  theirs {} {}",
            answer.status,
            short(&ours.to_string()),
            case.status,
            short(&theirs.to_string())
        )
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_as_recorded() {
    let registry = Registry::default();
    let probe = Probe::new(&registry, "query");
    probe.speak_as_prometheus();
    probe.healthy();
    probe.ready();
    let router = api(Dialect::Prometheus, Vec::new(), ApiSettings::default())
        .merge(admin_routes(probe, registry))
        .fallback(super::nowhere);
    let mut faults = Vec::new();
    for case in lines::<Case>("api") {
        let answer = ask(&router, &case.method, &case.path, &case.params, case.params_in_body).await;
        let fault = if case.method == "HEAD" { None } else { fault(&case, &answer) };
        faults.extend(fault.map(|fault| format!("{} {} {:?}: {fault}", case.id, case.path, case.params)));
    }
    assert!(faults.is_empty(), "{} differ:\n{}", faults.len(), faults.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_as_recorded() {
    let cases = lines::<Case>("cases");
    let groups: BTreeSet<&str> = cases.iter().map(|case| case.group.as_str()).collect();
    let mut faults = Vec::new();
    for group in groups {
        let router = api(Dialect::Prometheus, features(group), ApiSettings::default());
        for case in cases.iter().filter(|case| case.group == group) {
            let fields = [
                ("query", &case.query),
                ("time", &case.time),
                ("start", &case.start),
                ("end", &case.end),
                ("step", &case.step),
            ];
            let fields =
                fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?)));
            let params: Vec<(String, String)> = fields.collect();
            let path = if case.kind == "range" { "/api/v1/query_range" } else { "/api/v1/query" };
            let answer = ask(&router, "POST", path, &params, true).await;
            let text = case.query.as_deref().unwrap_or_default();
            faults.extend(fault(case, &answer).map(|fault| format!("{} {group} {text}: {fault}", case.id)));
        }
    }
    assert!(faults.is_empty(), "{} differ:\n{}", faults.len(), faults.join("\n"));
}

/// What Prometheus 3.14.0 and Thanos 0.42.4 said to requests at the edges of what parameters can be: status, and how the text goes.
#[tokio::test(flavor = "multi_thread")]
async fn odd_requests_as_the_originals_answer_them() {
    let thanos = api(Dialect::Thanos, Vec::new(), ApiSettings::default()).fallback(super::nowhere);
    let prometheus = api(Dialect::Prometheus, Vec::new(), ApiSettings::default()).fallback(super::nowhere);
    let vector = "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[1000,\"1000\"]}]";
    let nothing = "{\"status\":\"success\",\"data\":[]}";
    let nowhere = "404 page not found\n";
    let timed_out =
        r#"{"status":"error","errorType":"timeout","error":"query timed out in query execution"}"#;
    let bad = r#"{"status":"error","errorType":"bad_data","error":""#;
    let wrapped = format!("{bad}bad_data: ");
    for (router, url, status, text) in [
        (&prometheus, "query?query=vector(time())&time=1_000", 200, vector),
        (&thanos, "query?query=vector(time())&time=1_000", 200, vector),
        (&prometheus, "query?query=vector(1)&timeout=0", 503, timed_out),
        (&thanos, "query?query=vector(1)&timeout=-1", 503, timed_out),
        (&prometheus, "query_exemplars?query=up&start=NaN&end=5", 200, nothing),
        (&thanos, "labels?end=NaN", 400, &format!("{wrapped}end timestamp must not be before start time")),
        (&thanos, "labels?start=abc", 400, &format!("{wrapped}Invalid time value for 'start': cannot parse")),
        (&thanos, "query?query=1&time=-292273086-05-16T16:47:06Z", 400, &format!("{bad}Invalid time value")),
        (
            &thanos,
            "series?match[]=up[5m]",
            400,
            &format!("{bad}expected type *parser.VectorSelector, got *parser.MatrixSelector"),
        ),
        (
            &thanos,
            "labels?match[]=1",
            400,
            &format!("{bad}expected type *parser.VectorSelector, got *parser.NumberLiteral"),
        ),
        (
            &thanos,
            "query?query=1&storeMatch[]=",
            400,
            &format!("{bad}unknown position: parse error: no expression found in input"),
        ),
        (&thanos, "query_exemplars?query=1", 200, nothing),
        (
            &thanos,
            "query_exemplars?query=sum(",
            500,
            r#"{"status":"error","errorType":"internal","error":"retrieving exemplars: proxy Exemplars: 1:5: parse error: unclosed left parenthesis"}"#,
        ),
        (&prometheus, "label//values", 404, nowhere),
        (&prometheus, "label/U__/values", 400, &format!("{bad}invalid label name: \\\"\\\"")),
        (&prometheus, "label/a%2Fb/values", 404, nowhere),
        (&prometheus, "label/%ff/values", 400, &format!("{bad}invalid label name: \\\"\\\\xff\\\"")),
        (
            &prometheus,
            "rules?exclude_alerts=x",
            400,
            &format!(
                "{bad}invalid parameter \\\"exclude_alerts\\\": error converting exclude_alerts: strconv.ParseBool: parsing \\\"x\\\": invalid syntax"
            ),
        ),
        (
            &prometheus,
            "rules?group_limit=x",
            400,
            &format!("{bad}invalid parameter \\\"group_limit\\\": group_limit needs to be a valid number"),
        ),
        (
            &prometheus,
            "rules?group_next_token=x",
            400,
            &format!("{bad}invalid parameter \\\"group_next_token\\\": group_limit needs to be present"),
        ),
    ] {
        let request = Request::builder().uri(format!("/api/v1/{url}")).body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let seen = response.status().as_u16();
        let body = to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body = String::from_utf8_lossy(&body);
        assert!(seen == status && body.starts_with(text), "{url}: {seen} {body}");
    }
}

/// What may be asked is said beside the refusal.
#[tokio::test(flavor = "multi_thread")]
async fn methods_that_a_path_does_not_know() {
    let prometheus = api(Dialect::Prometheus, Vec::new(), ApiSettings::default());
    for (path, allowed) in [("/api/v1/query", "GET, OPTIONS, POST"), ("/api/v1/rules", "GET, OPTIONS")] {
        let request = Request::builder().method("PUT").uri(path).body(Body::empty()).unwrap();
        let response = prometheus.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status().as_u16(), 405);
        assert_eq!(response.headers()[header::ALLOW], allowed);
    }
}
