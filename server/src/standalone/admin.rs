//! Prometheus' admin API: delete series, write blocks anew without what is deleted, take a snapshot.
//!
//! Off unless `--web.enable-admin-api` says so. The tenant header says whose database is meant, as with writes. Deletes are seen at
//! once. `clean_tombstones` leaves blocks alone that are in the bucket already: under a new name they would be uploaded again.

use axum::Router;
use axum::extract::{Path, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use chrono::{DateTime, Utc};
use sarsen_block::{Matcher, TimeRange, parse_selector};

use crate::clock;
use crate::net::api::{Fault, Pairs, fields_with_form, success};
use crate::receive::{Order, Receiver};

/// The routes. If `enabled` is not set, each of them says so.
pub(crate) fn routes(receiver: Receiver, enabled: bool) -> Router {
    let act = move |Path(action): Path<String>, request: Request| {
        let receiver = receiver.clone();
        async move {
            let answer = if enabled {
                act(receiver, &action, request).await
            } else {
                Err(Fault::unavailable("admin APIs disabled"))
            };
            answer.unwrap_or_else(Fault::into_response)
        }
    };
    Router::new().route("/api/v1/admin/tsdb/{action}", any(act))
}

async fn act(receiver: Receiver, action: &str, request: Request) -> Result<Response, Fault> {
    if !matches!(*request.method(), Method::POST | Method::PUT) {
        return Ok(StatusCode::METHOD_NOT_ALLOWED.into_response());
    }
    let tenant = receiver.tenant_of(request.headers()).map_err(Fault::bad)?;
    let form = fields_with_form(request).await?;
    let (order, name) = match action {
        "delete_series" => (delete(&form)?, None),
        "clean_tombstones" => (Order::CleanTombstones, None),
        "snapshot" => {
            let name = snapshot_name();
            (Order::Snapshot(name.clone()), Some(name))
        }
        _ => return Ok(StatusCode::NOT_FOUND.into_response()),
    };
    receiver.carry_out(tenant, order).await.map_err(Fault::internal)?;
    Ok(match name {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(name) => success(&serde_json::json!({"name": name}).to_string()),
    })
}

fn delete(form: &Pairs) -> Result<Order, Fault> {
    let all =
        |name: &'static str| form.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str());
    let selector = |text: &str| {
        parse_selector(text).map_err(|why| Fault::bad(format!("invalid parameter \"match[]\": {why}")))
    };
    let selectors = all("match[]").map(selector).collect::<Result<Vec<Vec<Matcher>>, _>>()?;
    if selectors.is_empty() {
        return Err(Fault::bad("no match[] parameter provided"));
    }
    let time = |name: &'static str, otherwise: i64| match all(name).next().filter(|text| !text.is_empty()) {
        None => Ok(otherwise),
        Some(text) => parse_time(text).ok_or_else(|| {
            Fault::bad(format!("invalid parameter \"{name}\": cannot parse \"{text}\" to a valid timestamp"))
        }),
    };
    let range = TimeRange::new(time("start", i64::MIN)?, time("end", i64::MAX)?);
    Ok(Order::Delete { selectors, range })
}

/// Seconds since 1970, with a fraction; or a date as in RFC 3339. In milliseconds.
fn parse_time(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return seconds.is_finite().then(|| (seconds * 1000.0).round() as i64);
    }
    Some(DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis())
}

/// As Prometheus names them: when, and a number that nobody else has drawn.
fn snapshot_name() -> String {
    let now = DateTime::<Utc>::from_timestamp_millis(clock::now()).unwrap_or_default();
    format!("{}-{:016x}", now.format("%Y%m%dT%H%M%SZ"), clock::seed()[0] >> 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_both_kinds() {
        assert_eq!(parse_time("1709251200"), Some(1_709_251_200_000));
        assert_eq!(parse_time("1709251200.5"), Some(1_709_251_200_500));
        assert_eq!(parse_time("2024-03-01T00:00:00Z"), Some(1_709_251_200_000));
        assert_eq!(parse_time("2024-03-01T01:00:00+01:00"), Some(1_709_251_200_000));
        assert_eq!(parse_time("NaN"), None);
        assert_eq!(parse_time("yesterday"), None);
    }

    #[test]
    fn names_of_snapshots() {
        let name = snapshot_name();
        let (time, number) = name.split_once('-').unwrap();
        assert!(time.len() == 16 && time.ends_with('Z') && number.len() == 16, "{name}");
    }
}
