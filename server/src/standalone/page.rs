//! The page at `/tenants`: what this process is, what it holds, and what waits.

use std::fmt::Write as _;

use axum::Router;
use axum::response::Html;
use axum::routing::get;

use crate::html::{self, escape};
use crate::receive::{Receiver, Snapshot};

/// The route of the page.
pub(crate) fn page(receiver: Receiver) -> Router {
    let show = move || {
        let receiver = receiver.clone();
        async move {
            // Sizes are read on a thread that may block.
            let snapshot = tokio::task::spawn_blocking(move || receiver.snapshot()).await;
            Html(snapshot.map_or_else(|why| why.to_string(), |snapshot| render(&snapshot)))
        }
    };
    Router::new().route("/tenants", get(show))
}

fn render(snapshot: &Snapshot) -> String {
    let mut html = html::head("Tenants", "td,th{text-align:right}");
    let _ = write!(
        html,
        "<p>Version {}. Takes remote write 1.0 at <code>/api/v1/write</code> and <code>/api/v1/receive</code>. \
         Metrics are at <a href=\"/metrics\">/metrics</a>, the blocks of the bucket at <a href=\"/blocks\">/blocks</a>, queries at <a href=\"/\">/</a>.</p>",
        env!("CARGO_PKG_VERSION")
    );
    html.push_str(
        "<table><tr><th>tenant<th>series<th>samples taken<th>log bytes<th>local blocks<th>state</tr>",
    );
    for (name, shut, stats) in &snapshot.tenants {
        let _ = write!(html, "<tr><td>{}", escape(name));
        match stats {
            Some(stats) => {
                let (series, samples) = (stats.series, stats.samples);
                let _ = write!(html, "<td>{series}<td>{samples}<td>{}<td>{}", stats.log_bytes, stats.blocks);
            }
            None => html.push_str("<td>-<td>-<td>-<td>-"),
        }
        let _ = write!(html, "<td>{}</tr>", shut.as_deref().map_or_else(|| "open".into(), escape));
    }
    let backlog = snapshot.backlog;
    let _ = write!(
        html,
        "</table><h2>Bucket</h2><p>{} blocks ({} bytes) wait to be uploaded.",
        backlog.blocks, backlog.bytes
    );
    if let Some(room) = snapshot.room {
        let _ = write!(html, " The volume has {} bytes free", room.free);
        if let Some(hours) = room.hours {
            let _ = write!(html, ", which lasts {hours:.0} hours at the pace of the last hour");
        }
        html.push('.');
    }
    html.push_str("</p></html>");
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_write_markup() {
        let snapshot = Snapshot {
            tenants: vec![("<b>".into(), Some("a & b".into()), None)],
            backlog: Default::default(),
            room: None,
        };
        let html = render(&snapshot);
        assert!(html.contains("<td>&lt;b&gt;<td>-") && html.contains("a &amp; b") && !html.contains("<b>"));
    }
}
