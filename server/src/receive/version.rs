//! Which version of remote write a request speaks, from its headers.
//!
//! Thanos asks `X-Prometheus-Remote-Write-Version` first and believes the content type only if that says exactly `2.0.0`; Prometheus
//! goes by the content type alone. Messages of version 2.0 are not read yet, and say so instead of being lost.

use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};

use super::ingest::Failure;

const VERSION_HEADER: &str = "x-prometheus-remote-write-version";
const MEDIA_TYPE: &str = "application/x-protobuf";
const V1: &str = "prometheus.WriteRequest";
const V2: &str = "io.prometheus.write.v2.Request";

/// Whether this is a message of version 1.0, by Thanos' rules.
pub(super) fn version_for_thanos(headers: &HeaderMap) -> Result<(), Failure> {
    if headers.get(VERSION_HEADER).is_none_or(|version| version != "2.0.0") {
        return Ok(());
    }
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    match content_type {
        b"" => Err(Failure::Version("missing Content-Type header")),
        b"application/x-protobuf" | b"application/x-protobuf;proto=prometheus.WriteRequest" => Ok(()),
        b"application/x-protobuf;proto=io.prometheus.write.v2.Request" => Err(Failure::Version2),
        _ => Err(Failure::Version(
            "required headers Content-Type and/or X-Prometheus-Remote-Write-Version do not fit together",
        )),
    }
}

/// Whether content type and encoding are those of version 1.0, by Prometheus' rules; if not, why.
pub(super) fn media_type_for_prometheus(headers: &HeaderMap) -> Result<(), &'static str> {
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes).unwrap_or_default() {
        b"" | b"snappy" => {}
        _ => return Err("only snappy is accepted as Content-Encoding"),
    }
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let Ok(text) = content_type.to_str() else { return Err("the Content-Type is not ASCII") };
    if text.is_empty() {
        return Ok(());
    }
    let mut parts = text.split(';').map(str::trim);
    if !parts.next().is_some_and(|media| media.eq_ignore_ascii_case(MEDIA_TYPE)) {
        return Err("only application/x-protobuf is accepted as Content-Type");
    }
    for part in parts {
        let Some((name, value)) = part.split_once('=') else { return Err("a broken Content-Type") };
        if !name.trim().eq_ignore_ascii_case("proto") {
            continue;
        }
        match value.trim().trim_matches('"') {
            V1 => {}
            V2 => return Err("remote write 2.0 is not supported yet, send prometheus.WriteRequest"),
            _ => return Err("an unknown message in the proto parameter of the Content-Type"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn thanos_looks_at_the_content_type_only_for_version_2() {
        let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        let ask = |pairs: &[(&'static str, &'static str)]| version_for_thanos(&headers(pairs));
        assert!(ask(&[("content-type", "application/json")]).is_ok());
        assert!(ask(&[("content-type", v2)]).is_ok());
        assert!(ask(&[(VERSION_HEADER, "2.0"), ("content-type", v2)]).is_ok());
        assert!(ask(&[(VERSION_HEADER, "2.0.0"), ("content-type", MEDIA_TYPE)]).is_ok());
        assert!(matches!(ask(&[(VERSION_HEADER, "2.0.0"), ("content-type", v2)]), Err(Failure::Version2)));
        assert!(matches!(ask(&[(VERSION_HEADER, "2.0.0")]), Err(Failure::Version(_))));
        let spaced = "application/x-protobuf; proto=io.prometheus.write.v2.Request";
        assert!(matches!(
            ask(&[(VERSION_HEADER, "2.0.0"), ("content-type", spaced)]),
            Err(Failure::Version(_))
        ));
    }

    #[test]
    fn prometheus_goes_by_the_content_type() {
        let ask = |pairs: &[(&'static str, &'static str)]| media_type_for_prometheus(&headers(pairs));
        assert!(ask(&[]).is_ok());
        assert!(ask(&[("content-type", "application/x-protobuf; proto=prometheus.WriteRequest")]).is_ok());
        assert!(ask(&[("content-type", "application/json")]).is_err());
        assert!(ask(&[("content-type", "application/x-protobuf;proto=other")]).is_err());
        assert!(ask(&[("content-encoding", "gzip")]).is_err());
        assert!(ask(&[("content-encoding", "snappy")]).is_ok());
    }
}
