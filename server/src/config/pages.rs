//! Flags of the page of blocks and its API: `--web.*`, `--bucket-web-label`, `--disable-admin-operations`.

use super::flags::Given;
#[cfg(any(feature = "compact", feature = "store"))]
use crate::blocks::WebOptions;

/// What the flags say, as far as the role has them; `None`: no page and no API.
#[cfg(any(feature = "compact", feature = "store"))]
pub(crate) fn web(given: &Given) -> Option<WebOptions> {
    let web = WebOptions {
        label: given.text_if_any("bucket-web-label"),
        admin: !given.is_on("disable-admin-operations"),
        cors: !given.is_on("web.disable-cors"),
        prefix: prefix(given),
    };
    (!given.is_on("web.disable")).then_some(web)
}

/// The prefix with a slash before it and none behind; empty if there is none.
/// The prefix of `--web.route-prefix` or `--web.external-prefix`, with a slash before it; may be empty.
pub(super) fn prefix(given: &Given) -> String {
    let text =
        given.text_if_any("web.route-prefix").unwrap_or_else(|| given.text("web.external-prefix").to_owned());
    // The external prefix may be a whole address.
    let path = text
        .split_once("://")
        .map_or(text.as_str(), |(_, rest)| rest.split_once('/').map_or("", |(_, path)| path));
    match path.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    }
}
