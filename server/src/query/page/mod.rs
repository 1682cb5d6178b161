//! The page at `/`: expressions as graphs and tables, what series there are, and the stores that are asked.
//!
//! Everything it needs is in the program; it loads nothing from anywhere and asks only the HTTP API, by relative addresses, so it works below
//! any prefix. Scripts stand in files of their own and text becomes markup nowhere, which the policy in its header holds it to. The charts are
//! drawn by uPlot 1.6.32, which is kept as it was published, beside its licence.

use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use sarsen_promql::Function;
use sarsen_promql::ast::{AggregateOp, ValueType};

use crate::html::escape;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

const INDEX: &str = include_str!("index.html");
/// What the page loads: address, kind, content.
const PARTS: &[(&str, &str, &str)] = &[
    ("/page/page.css", STYLE, include_str!("page.css")),
    ("/page/main.js", SCRIPT, include_str!("main.js")),
    ("/page/api.js", SCRIPT, include_str!("api.js")),
    ("/page/query.js", SCRIPT, include_str!("query.js")),
    ("/page/graph.js", SCRIPT, include_str!("graph.js")),
    ("/page/complete.js", SCRIPT, include_str!("complete.js")),
    ("/page/explain.js", SCRIPT, include_str!("explain.js")),
    ("/page/explore.js", SCRIPT, include_str!("explore.js")),
    ("/page/stores.js", SCRIPT, include_str!("stores.js")),
    ("/page/uPlot.iife.min.js", SCRIPT, include_str!("uPlot.iife.min.js")),
    ("/page/uPlot.min.css", STYLE, include_str!("uPlot.min.css")),
    ("/page/uPlot.LICENSE", "text/plain; charset=utf-8", include_str!("uPlot.LICENSE")),
];

/// The routes of the page, below `prefix`, which is empty or begins with a slash. `links` are other pages of this process, by their address
/// below the prefix and their name.
pub(crate) fn page(prefix: &str, links: &[(&str, &str)]) -> Router {
    let mut router = Router::new();
    let links: String =
        links.iter().map(|(to, name)| format!("<a href=\"{}\">{}</a>", escape(to), escape(name))).collect();
    let index = INDEX.replace("<!--links-->", &links);
    // Links that Prometheus makes lead to the second.
    for path in ["/", "/graph"] {
        let index = index.clone();
        router = router.route(&format!("{prefix}{path}"), get(|| async move { part(HTML, index.clone()) }));
    }
    if !prefix.is_empty() {
        let home = format!("{prefix}/");
        router = router.route(prefix, get(|| async move { Redirect::permanent(&home) }));
    }
    for (path, kind, content) in PARTS {
        router = router.route(&format!("{prefix}{path}"), get(|| async { part(kind, *content) }));
    }
    let words = words();
    router.route(
        &format!("{prefix}/page/words.json"),
        get(|| async move { part("application/json", words.clone()) }),
    )
}

fn part(kind: &'static str, content: impl IntoResponse) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (headers, content)
}

/// The words of the language for those who write it: `[{"text": "rate", "what": "function", "takes": "range vector"}, ...]`.
fn words() -> String {
    const KEYWORDS: [&str; 14] = [
        "and",
        "or",
        "unless",
        "atan2",
        "by",
        "without",
        "on",
        "ignoring",
        "group_left",
        "group_right",
        "bool",
        "offset",
        "start()",
        "end()",
    ];
    let functions = Function::all().iter().map(|function| {
        let takes: Vec<&str> = function.arguments.iter().map(|kind| ValueType::described(*kind)).collect();
        serde_json::json!({"text": function.name, "what": "function", "takes": takes.join(", ")})
    });
    let aggregations =
        AggregateOp::ALL.iter().map(|op| serde_json::json!({"text": op.name(), "what": "aggregation"}));
    let keywords = KEYWORDS.iter().map(|word| serde_json::json!({"text": word, "what": "keyword"}));
    serde_json::Value::from_iter(functions.chain(aggregations).chain(keywords)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_that_a_file_names_is_served() {
        let served = |name: &str| PARTS.iter().any(|(path, _, _)| *path == format!("/page/{name}"));
        let mut named = 0;
        let own = PARTS
            .iter()
            .filter(|(path, _, _)| !path.contains("uPlot"))
            .map(|(path, _, content)| (*path, *content));
        for (path, content) in own.chain([("/", INDEX)]) {
            let pages = content.split("\"page/").skip(1);
            let imports = content.split("from \"./").skip(1);
            for rest in pages.chain(imports) {
                let name = rest.split('"').next().unwrap();
                named += 1;
                assert!(served(name) || name == "words.json", "{path} names {name}");
            }
        }
        assert!(named > PARTS.len() / 2, "{named}");
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_no_text_becomes_markup() {
        for (path, _, content) in PARTS.iter().chain([&("/", HTML, INDEX)]) {
            if path.contains("uPlot") {
                continue;
            }
            for word in ["http:", "https:", "innerHTML", "outerHTML", "document.write", "eval("] {
                assert!(!content.contains(word), "{path} holds {word}");
            }
        }
    }

    #[test]
    fn all_functions_are_proposed() {
        let words: Vec<serde_json::Value> = serde_json::from_str(&words()).unwrap();
        for name in
            Function::all().iter().map(|function| function.name).chain(["sum", "limit_ratio", "offset"])
        {
            assert!(words.iter().any(|word| word["text"] == name), "{name}");
        }
    }
}
