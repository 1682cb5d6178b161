//! A receiver is killed without warning under load, ten times in a row: every sample that it acknowledged is there, and
//! nothing that was not sent.
//!
//! Each writer owns its series and sends rising times; it notes a time as sent before it asks, and as acknowledged only
//! when the answer was 200. After the last kill the databases are read through the library.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]
#![cfg(feature = "receive")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use support::{Node, Stored, body, headers, read_database};

const KILLS: usize = 10;
const WRITERS: usize = 3;
const SERIES: usize = 40;
const START: i64 = 1_709_251_200_000;
const STEP: i64 = 1_000;

/// How far a writer is, over all lives of the server.
#[derive(Default)]
struct Progress {
    sent: AtomicI64,
    acknowledged: AtomicI64,
}

fn value(writer: usize, series: usize, step: i64) -> f64 {
    (writer * 1_000_000 + series * 10_000) as f64 + step as f64 / 8.0
}

fn request(writer: usize, step: i64) -> Vec<u8> {
    let one = |series: usize| {
        let labels = [
            ("__name__", "killed".to_owned()),
            ("series", format!("{series:03}")),
            ("writer", writer.to_string()),
        ];
        body::series(&labels, &[(START + step * STEP, value(writer, series, step).to_bits())])
    };
    body::snappy(&body::request(&(0..SERIES).map(one).collect::<Vec<_>>()))
}

async fn write(url: String, writer: usize, progress: Arc<Progress>, stop: Arc<AtomicBool>) {
    let client = reqwest::Client::new();
    let tenant = format!("tenant-{}", writer % 2);
    while !stop.load(Ordering::SeqCst) {
        // A time that was sent and not acknowledged may be stored or not, so it is not sent again.
        let step = progress.sent.fetch_add(1, Ordering::SeqCst) + 1;
        let request = client
            .post(format!("{url}/api/v1/receive"))
            .headers(headers(&[("THANOS-TENANT", &tenant)]))
            .body(request(writer, step));
        match request.send().await {
            Ok(answer) => {
                assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
                progress.acknowledged.store(step, Ordering::SeqCst);
            }
            Err(_) => return,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_ten_kills() {
    let dir = tempfile::tempdir().unwrap();
    let progress: Vec<Arc<Progress>> = (0..WRITERS).map(|_| Arc::default()).collect();
    let mut acknowledged_steps: Vec<Vec<(i64, i64)>> = vec![Vec::new(); WRITERS];
    for life in 0..KILLS {
        let node = Node::receive(dir.path(), &[]).await;
        let stop = Arc::new(AtomicBool::new(false));
        let before: Vec<i64> = progress.iter().map(|p| p.sent.load(Ordering::SeqCst)).collect();
        let writers: Vec<_> = progress
            .iter()
            .enumerate()
            .map(|(writer, progress)| {
                tokio::spawn(write(node.write.clone(), writer, Arc::clone(progress), Arc::clone(&stop)))
            })
            .collect();
        // Every writer gets somewhere in each life, then the process dies at some moment.
        for (progress, before) in progress.iter().zip(&before) {
            node.wait_until("written", async || progress.acknowledged.load(Ordering::SeqCst) > *before + 3)
                .await;
        }
        tokio::time::sleep(Duration::from_millis(17 * life as u64)).await;
        node.kill();
        stop.store(true, Ordering::SeqCst);
        for writer in writers {
            writer.await.unwrap();
        }
        for (writer, progress) in progress.iter().enumerate() {
            acknowledged_steps[writer]
                .push((before[writer] + 1, progress.acknowledged.load(Ordering::SeqCst)));
        }
    }
    let mut stored = Stored::new();
    for tenant in ["tenant-0", "tenant-1"] {
        stored.extend(read_database(&dir.path().join("tsdb").join(tenant)));
    }
    assert_eq!(stored.len(), WRITERS * SERIES);
    for (labels, samples) in stored {
        let number = |name: &[u8]| {
            let (_, value) = labels.iter().find(|(found, _)| found == name).unwrap();
            String::from_utf8(value.clone()).unwrap().parse::<usize>().unwrap()
        };
        let (series, writer) = (number(b"series"), number(b"writer"));
        let sent = progress[writer].sent.load(Ordering::SeqCst);
        let mut found = std::collections::BTreeSet::new();
        for (t, bits) in samples {
            let step = (t - START) / STEP;
            assert!((1..=sent).contains(&step), "nobody sent {t}");
            assert_eq!(bits, value(writer, series, step).to_bits());
            found.insert(step);
        }
        for (first, last) in &acknowledged_steps[writer] {
            for step in *first..=*last {
                assert!(
                    found.contains(&step),
                    "writer {writer} series {series}: step {step} was acknowledged"
                );
            }
        }
    }
}
