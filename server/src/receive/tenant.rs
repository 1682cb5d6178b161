//! Who writes: from headers to a tenant's name, and what a name may be.
//!
//! A name becomes a directory, so it is refused if it could leave its place: no `/`, no NUL, not `.`, `..` or `lost+found`,
//! not empty, at most 255 bytes.

use axum::http::HeaderMap;

use super::options::TenancyOptions;

const SECOND_CHOICE: &str = "THANOS-TENANT";

/// The name given is none that a tenant can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct InvalidTenant;

/// Whether `name` can be a tenant.
pub(crate) fn is_valid(name: &str) -> bool {
    !matches!(name, "" | "." | ".." | "lost+found")
        && name.len() <= 255
        && !name.bytes().any(|byte| byte == b'/' || byte == 0)
}

/// The tenant that a request's headers name, or the default.
pub(super) fn of_request<'a>(
    headers: &'a HeaderMap,
    options: &'a TenancyOptions,
) -> Result<&'a str, InvalidTenant> {
    let given = [options.header.as_str(), SECOND_CHOICE]
        .into_iter()
        .filter_map(|name| headers.get(name))
        .find(|value| !value.is_empty());
    let name = match given {
        Some(value) => str::from_utf8(value.as_bytes()).map_err(|_| InvalidTenant)?,
        None => options.default_tenant.as_str(),
    };
    if is_valid(name) { Ok(name) } else { Err(InvalidTenant) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    fn tenant(headers: &[(&str, &[u8])], configured: &str) -> Result<String, InvalidTenant> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value).unwrap(),
            );
        }
        let options = TenancyOptions { header: configured.into(), ..TenancyOptions::default() };
        of_request(&map, &options).map(str::to_owned)
    }

    #[test]
    fn the_configured_header_wins_then_the_usual_one_then_the_default() {
        assert_eq!(tenant(&[("x-t", b"a"), ("thanos-tenant", b"b")], "X-T"), Ok("a".into()));
        assert_eq!(tenant(&[("x-t", b""), ("thanos-tenant", b"b")], "X-T"), Ok("b".into()));
        assert_eq!(tenant(&[], "X-T"), Ok("default-tenant".into()));
        assert_eq!(tenant(&[("thanos-tenant", "größe".as_bytes())], "THANOS-TENANT"), Ok("größe".into()));
    }

    #[test]
    fn names_that_could_leave_their_place_are_refused() {
        for name in ["a/b", "../up", ".", "..", "lost+found", &"x".repeat(256)] {
            assert_eq!(tenant(&[("thanos-tenant", name.as_bytes())], "THANOS-TENANT"), Err(InvalidTenant));
        }
        assert!(!is_valid("a\0b") && !is_valid("") && is_valid("with space") && is_valid("..."));
        assert_eq!(tenant(&[("thanos-tenant", b"\xFF\xFE")], "THANOS-TENANT"), Err(InvalidTenant));
    }
}
