//! What the JSON APIs of Prometheus' kind have in common: the envelope of answers, and the fields of a request.

use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request};
use axum::http::{StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

/// Most bytes of a form.
const FORM_BYTES: usize = 1 << 20;

/// Names and values in the order in which they were given.
pub(crate) type Pairs = Vec<(String, String)>;

/// Why there is no answer: status, type and text of the envelope.
#[derive(Debug)]
pub(crate) struct Fault {
    status: StatusCode,
    kind: &'static str,
    why: String,
}

impl Fault {
    /// The request asks for something that there is not.
    pub(crate) fn bad(why: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, kind: "bad_data", why: why.into() }
    }

    /// It could not be done.
    pub(crate) fn internal(why: impl Into<String>) -> Self {
        Self { status: StatusCode::INTERNAL_SERVER_ERROR, kind: "internal", why: why.into() }
    }

    /// It is switched off, or not there yet.
    #[cfg(feature = "standalone")]
    pub(crate) fn unavailable(why: impl Into<String>) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, kind: "unavailable", why: why.into() }
    }

    /// The answer.
    pub(crate) fn into_response(self) -> Response {
        let body = serde_json::json!({"status": "error", "errorType": self.kind, "error": self.why});
        json(self.status, body.to_string())
    }
}

/// An answer with data, which is JSON already.
pub(crate) fn success(data: &str) -> Response {
    json(StatusCode::OK, format!("{{\"status\":\"success\",\"data\":{data}}}"))
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// The fields of the address.
pub(crate) fn fields_of(uri: &Uri) -> Result<Pairs, Fault> {
    Query::<Pairs>::try_from_uri(uri).map(|query| query.0).map_err(|why| Fault::bad(why.to_string()))
}

/// The fields of the address and then those of a form in the body.
pub(crate) async fn fields_with_form(request: Request) -> Result<Pairs, Fault> {
    let (parts, body) = request.into_parts();
    let mut fields = fields_of(&parts.uri)?;
    let kind =
        parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/x-www-form-urlencoded") {
        fields.extend(fields_of_body(body).await?);
    }
    Ok(fields)
}

async fn fields_of_body(body: Body) -> Result<Pairs, Fault> {
    let bytes = to_bytes(body, FORM_BYTES).await.map_err(|why| Fault::bad(why.to_string()))?;
    let text = str::from_utf8(&bytes).map_err(|why| Fault::bad(why.to_string()))?;
    // A form is written as the query of an address is.
    let uri = Uri::builder().path_and_query(format!("/?{text}")).build();
    fields_of(&uri.map_err(|why| Fault::bad(why.to_string()))?)
}

/// The first value of a field that is not empty.
pub(crate) fn first<'a>(fields: &'a Pairs, name: &str) -> Option<&'a str> {
    fields.iter().find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn fields_of_address_and_form() {
        let request = Request::builder()
            .uri("/x?id=1&detail=a%20b")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from("action=DELETION&detail=c+d&empty="))
            .unwrap();
        let fields = fields_with_form(request).await.unwrap();
        assert_eq!(first(&fields, "id"), Some("1"));
        assert_eq!(first(&fields, "action"), Some("DELETION"));
        assert_eq!(first(&fields, "detail"), Some("a b"));
        assert_eq!((first(&fields, "empty"), fields.len()), (None, 5));
    }
}
