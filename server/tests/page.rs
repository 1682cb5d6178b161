//! The page at `/` in a real browser: a process that was just started draws what it scraped of itself, expressions are completed while they are
//! written, and every tab shows what the API says.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(feature = "standalone")]

mod support;

use support::Node;
use support::browser::{self, Browser};

const ENTER: (&str, u32) = ("Enter", 13);
const TAB: (&str, u32) = ("Tab", 9);

fn press(page: &mut Browser, key: (&str, u32)) {
    page.press(key.0, key.1);
}

fn click(page: &mut Browser, what: &str) {
    page.value(&format!("document.querySelector({what:?}).click()"));
}

/// The expression as it stands.
fn expression(page: &mut Browser) -> String {
    page.value("document.getElementById('expression').value").as_str().unwrap().to_owned()
}

fn draws_at_once(page: &mut Browser, home: &str) {
    page.open(home);
    // Thirty seconds is what the page may take after the first start; `until` waits no longer.
    let points = page.until("Number(document.getElementById('graph')?.dataset.points)");
    assert!(points.as_f64().unwrap() >= 1.0, "{points}");
    assert!(page.value("document.querySelector('#graph canvas').width > 100").as_bool().unwrap());
    let legend = page.value("document.getElementById('legend').textContent").to_string();
    assert!(legend.contains("process_resident_memory_bytes"), "{legend}");
    // Ink on the canvas that is neither axis nor grid: the first curve's blue.
    let blue = page.until(
        "(() => { const canvas = document.querySelector('#graph canvas'); \
         const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height); let found = 0; \
         for (let at = 0; at < data.length; at += 4) if (data[at + 2] > 180 && data[at] < 100 && data[at + 3] > 200) found += 1; return found; })()",
    );
    assert!(blue.as_u64().unwrap() > 3, "{blue}");
}

fn completes_and_explains(page: &mut Browser) {
    const CHOSEN: &str = "document.querySelector('#suggestions li.chosen')?.textContent";
    page.value(
        "document.getElementById('expression').value = ''; document.getElementById('expression').focus()",
    );
    page.write("sca");
    page.until(&format!("{CHOSEN}?.startsWith('scalar')"));
    page.value("document.getElementById('expression').value = ''");
    page.write("scrape_samples_scr");
    page.until(&format!("{CHOSEN}?.startsWith('scrape_samples_scraped')"));
    press(page, TAB);
    page.write("{jo");
    page.until(&format!("{CHOSEN}?.startsWith('job')"));
    press(page, ENTER);
    page.write("=\"sa");
    page.until(&format!("{CHOSEN}?.startsWith('sarsen')"));
    press(page, ENTER);
    page.write("\"}");
    assert_eq!(expression(page), "scrape_samples_scraped{job=\"sarsen\"}");
    press(page, ENTER);
    page.until("document.getElementById('legend').textContent.includes('scrape_samples_scraped')");
    click(page, "[name=view][value=table]");
    let row = page.until("document.querySelector('#table tr')?.textContent");
    assert!(row.as_str().unwrap().contains("job=\"sarsen\""), "{row}");
    click(page, "[name=view][value=explain]");
    let told = page.until("document.querySelector('#explanation[data-selections=\"1\"]')?.textContent");
    let told = told.as_str().unwrap();
    for word in ["scrape_samples_scraped", "this process", "receive", "head/default-tenant", "samples read"] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert!(page.value("document.getElementById('table').hidden").as_bool().unwrap());
    page.value("document.getElementById('expression').value = 'sum by(job)(up)'");
    click(page, "#format");
    page.until("document.getElementById('expression').value === 'sum by (job) (up)'");
}

fn explores(page: &mut Browser) {
    click(page, "[data-tab=explore]");
    page.until("document.querySelector('#cardinality button')");
    click(page, "#cardinality button");
    page.until("document.querySelector('#metric table')");
    click(page, "#metric button");
    page.until("document.getElementById('query').classList.contains('chosen')");
    click(page, "[data-tab=stores]");
    let stores = page.until("document.querySelector('#store-list table')?.textContent");
    assert!(stores.as_str().unwrap().contains("up"), "{stores}");
    let links = page.value("[...document.querySelectorAll('#links a')].map((link) => link.href).join()");
    assert!(links.as_str().unwrap().contains("/blocks"), "{links}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_just_started_draws_what_it_scraped_of_itself() {
    let Some(program) = browser::program() else { return };
    let dir = tempfile::tempdir().unwrap();
    let node = Node::standalone(dir.path(), &[]).await;
    let (home, folder) = (format!("{}/", node.admin), dir.path().to_owned());
    let shown = tokio::task::spawn_blocking(move || {
        let mut page = Browser::start(&program, &folder);
        draws_at_once(&mut page, &home);
        completes_and_explains(&mut page);
        explores(&mut page);
        assert_eq!(page.complaints(), Vec::<String>::new());
        // A link as Prometheus makes it, with a fault in it that is shown with its place.
        page.open(&format!("{home}graph?g0.expr=up%20%2B&g0.tab=1"));
        let fault = page.until("document.getElementById('fault').textContent");
        assert!(fault.as_str().unwrap().contains("1:5: parse error: unexpected end of input"), "{fault}");
    });
    shown.await.unwrap();
    assert_eq!(node.stop(), Some(0));
}
