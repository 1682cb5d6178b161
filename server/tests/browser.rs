//! The compactor's page of blocks in a real browser: what it makes of the HTML is the timeline that was meant, without a script,
//! without a complaint, and links lead on. The browser is Debian's `chromium-headless-shell`; without one the test says so and ends.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(all(feature = "compact", feature = "receive"))]

mod support;

use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use sarsen_bucket::{MarkKind, Marker, Reason};
use support::blocks::{HOUR, START, Wanted, blocks, directory, fill, open, resolution};
use support::{Node, browser};

const A: Wanted<'_> = Wanted { tenant: "a", start: START, blocks: 38, series: 3 };
const B: Wanted<'_> = Wanted { tenant: "b<i>&", start: START, blocks: 5, series: 2 };

/// The page as the browser has it after reading it. What its console or its parser complain about is a failure.
fn opened(browser: &Path, folder: &Path, url: &str) -> String {
    let output = Command::new("timeout")
        .arg("60")
        .arg(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.join("profile").display()))
        .arg(url)
        .env("HOME", folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{url}: {said}");
    assert!(!said.contains(":CONSOLE"), "{url}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// The text of each element that begins with `begin`, up to its end tag.
fn elements<'a>(page: &'a str, begin: &str, end: &str) -> Vec<&'a str> {
    page.split(begin).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
}

#[tokio::test]
async fn the_page_of_blocks_is_a_timeline() {
    let Some(browser) = browser::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (store, config) = (dir.path().join("bucket"), directory(&dir.path().join("bucket")));
    let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    fill(&open(&config), A, now - 24 * HOUR).await;
    let marked = fill(&open(&config), B, now - 24 * HOUR).await[4].id;
    let (kind, details) = (MarkKind::NoCompact, "by hand".to_owned());
    let mark = Marker { id: marked, kind, details, time: now / 1000, reason: Some(Reason::Manual) };
    mark.put(&open(&config)).await.unwrap();
    let (objstore, data) =
        (format!("--objstore.config={config}"), format!("--data-dir={}", dir.path().join("data").display()));
    let node = Node::compact(dir.path(), &["compact", &objstore, &data, "--wait"]).await;
    node.wait_until("through with a round", async || {
        node.metric("thanos_compact_iterations_total").await == Some(1.0)
    })
    .await;
    let url = format!("{}/blocks", node.admin);
    let (at, profile) = (browser.clone(), dir.path().to_owned());
    let page = tokio::task::spawn_blocking(move || opened(&at, &profile, &url)).await.unwrap();

    assert!(!page.contains("<script"), "{page}");
    let groups = elements(&page, "<h3>", "</h3>");
    assert_eq!(groups.len(), 2, "{groups:?}");
    assert!(groups[1].contains("b&lt;i&gt;&amp;"), "text of users is text: {groups:?}");
    // A lane for each resolution of each group, in it a bar for each block that is not replaced.
    let lanes = elements(&page, "<div class=\"lane\"", "</div>");
    let live = blocks(&store);
    let names: Vec<&str> = lanes.iter().map(|lane| elements(lane, "<b>", "</b>")[0]).collect();
    assert_eq!(names, ["raw", "5m", "raw"], "{page}");
    for (lane, tenant, at) in [(0, "a", 0), (1, "a", 300_000), (2, "b<i>&", 0)] {
        for (_, meta) in live.iter().filter(|(_, meta)| {
            resolution(meta) == at && meta.thanos.as_ref().unwrap().labels["tenant_id"] == tenant
        }) {
            assert!(lanes[lane].contains(&meta.id.to_string()), "{} in lane {lane}: {page}", meta.id);
        }
    }
    // What is marked looks it: not to be compacted, marked for deletion.
    let bars: Vec<&str> = lanes.iter().flat_map(|lane| elements(lane, "<a ", "</a>")).collect();
    let bar = |id: &str| *bars.iter().find(|bar| bar.contains(id)).unwrap();
    let class = |bar: &str| elements(bar, "class=\"", "\"")[0].to_owned();
    assert!(class(bar(&marked.to_string())).split(' ').any(|word| word == "c"), "{bars:?}");
    assert!(bars.iter().any(|bar| class(bar).split(' ').any(|word| word == "d")), "{bars:?}");

    // A click on a bar.
    let href = elements(bar(&marked.to_string()), "href=\"", "\"")[0].replace("&amp;", "&");
    let url = format!("{}/{href}", node.admin);
    let (at, profile) = (browser, dir.path().to_owned());
    let page = tokio::task::spawn_blocking(move || opened(&at, &profile, &url)).await.unwrap();
    let detail = page.split("id=\"block\"").nth(1).unwrap();
    assert!(detail.contains(&marked.to_string()) && detail.contains("by hand"), "{detail}");
    assert!(detail.contains("UNDO_NO_COMPACTION"), "the form that takes the mark off: {detail}");
    assert_eq!(node.stop(), Some(0));
}
