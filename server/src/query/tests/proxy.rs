//! All endpoints as one store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sarsen_block::{TimeRange, parse_selector};

use super::peer::{Does, Peer, ask, everything, message, proxy_over, series};
use crate::store::{LabelsQuery, SeriesQuery, Shard, Store as _, StoreError, frames};
use crate::wire::storeapi::SeriesMessage;

fn query(selector: &str) -> SeriesQuery {
    SeriesQuery::new(TimeRange::new(0, 1000), parse_selector(selector).unwrap())
}

const A: &[(&str, &str)] = &[("__name__", "up"), ("pod", "a")];
const B: &[(&str, &str)] = &[("__name__", "up"), ("pod", "b")];
const C: &[(&str, &str)] = &[("__name__", "up"), ("pod", "c")];

#[tokio::test]
async fn series_of_all_are_one_stream() {
    let one = Does::Sends(vec![message(A, &[(0, 1), (5, 2)]), message(A, &[(9, 3)]), message(C, &[(0, 1)])]);
    let other = Does::Sends(vec![
        SeriesMessage::Batch(vec![series(A, &[(5, 2), (9, 4)]), series(B, &[(1, 1)])]),
        SeriesMessage::Warning("one block is away".to_owned()),
        SeriesMessage::Hints(Bytes::from_static(b"")),
    ]);
    let one = Peer::start(everything("sidecar", &[&[("replica", "a")]]), one).await;
    let other = Peer::start(everything("store", &[]), other).await;
    let proxy = proxy_over(&[&one.address, &other.address], 0).await;
    let (found, warnings, outcome) = ask(&proxy, query("up")).await;
    assert_eq!(outcome, Ok(()));
    let expected = [series(A, &[(0, 1), (5, 2), (9, 4), (9, 3)]), series(B, &[(1, 1)]), series(C, &[(0, 1)])];
    assert_eq!(found, expected);
    assert_eq!(warnings, ["one block is away"]);
    let (found, ..) = ask(&proxy, SeriesQuery { limit: 1, ..query("up") }).await;
    assert_eq!(found.len(), 1);
    // What is not to be missing is missing.
    let (.., outcome) = ask(&proxy, SeriesQuery { abort: true, ..query("up") }).await;
    assert_eq!(outcome, Err(StoreError::Aborted("one block is away".to_owned())));
    let info = proxy.info();
    assert_eq!((info.component, info.ready, info.range), ("query", true, TimeRange::new(0, i64::MAX)));
    assert_eq!(info.label_sets.len(), 1);
}

#[tokio::test]
async fn only_those_are_asked_who_may_know() {
    let eu = Peer::start(everything("receive", &[&[("region", "eu")]]), Does::Sends(Vec::new())).await;
    let us = Peer::start(everything("receive", &[&[("region", "us")]]), Does::Sends(Vec::new())).await;
    let proxy = proxy_over(&[&eu.address, &us.address], 0).await;
    let asked = || (eu.behaviour.asked.lock().len(), us.behaviour.asked.lock().len());
    let _ = ask(&proxy, query("up{region=\"eu\"}")).await;
    assert_eq!(asked(), (1, 0));
    let address = parse_selector(&format!("{{__address__=\"{}\"}}", us.address)).unwrap();
    let _ = ask(&proxy, SeriesQuery { stores: vec![address], ..query("up") }).await;
    assert_eq!(asked(), (1, 1));
    let _ = ask(&proxy, query("up")).await;
    assert_eq!(asked(), (2, 2));
    let (.., outcome) = ask(&proxy, SeriesQuery { matchers: Vec::new(), ..query("up") }).await;
    assert!(matches!(outcome, Err(StoreError::Invalid(_))));
    let none = SeriesQuery { abort: true, ..query("up{region=\"asia\"}") };
    assert_eq!(ask(&proxy, none).await, (Vec::new(), Vec::new(), Ok(())));
    let nobody = proxy_over(&[], 0).await;
    assert_eq!(ask(&nobody, query("up")).await, (Vec::new(), Vec::new(), Ok(())));
    let (.., outcome) = ask(&nobody, SeriesQuery { abort: true, ..query("up") }).await;
    assert_eq!(outcome, Err(StoreError::Unknown("No StoreAPIs available".to_owned())));
}

#[tokio::test]
async fn who_hangs_breaks_or_goes_costs_a_warning() {
    let good = Peer::start(everything("store", &[]), Does::Sends(vec![message(B, &[(0, 1)])])).await;
    let hanging = Peer::start(everything("store", &[]), Does::Hangs(vec![message(A, &[(0, 1)])])).await;
    let broken = Peer::start(everything("store", &[]), Does::Breaks(vec![message(C, &[(0, 1)])])).await;
    let proxy = proxy_over(&[&good.address, &hanging.address, &broken.address], 200).await;
    let gone = broken.address.clone();
    let (found, mut warnings, outcome) = ask(&proxy, query("up")).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(found, [series(A, &[(0, 1)]), series(B, &[(0, 1)]), series(C, &[(0, 1)])]);
    warnings.sort();
    let of = |peer: &Peer| format!("Addr: {} MinTime: 0 MaxTime: {}", peer.address, i64::MAX);
    let expected = [
        format!(
            "failed to receive any data in 200ms from {}: rpc error: code = Canceled desc = context canceled",
            of(&hanging)
        ),
        format!("receive series from {}: rpc error: code = Aborted desc = the disk is gone", of(&broken)),
    ];
    assert_eq!(warnings, expected);
    let (.., outcome) = ask(&proxy, SeriesQuery { abort: true, ..query("up") }).await;
    assert!(matches!(outcome, Err(StoreError::Aborted(_))), "{outcome:?}");
    // Its listener is away, and nobody has looked since.
    drop(broken);
    tokio::time::sleep(Duration::from_millis(50)).await;
    let address = parse_selector(&format!("{{__address__=\"{gone}\"}}")).unwrap();
    let (_, warnings, outcome) = ask(&proxy, SeriesQuery { stores: vec![address], ..query("up") }).await;
    assert_eq!(outcome, Ok(()));
    let [text] = &warnings[..] else { unreachable!("{warnings:?}") };
    assert!(text.contains("code = Unavailable") && text.contains(&gone), "{text}");
}

#[tokio::test]
async fn who_lies_about_the_order_is_cut_off_and_then_sorted() {
    let wrong = vec![message(B, &[(0, 1)]), message(A, &[(0, 1)]), message(C, &[(0, 1)])];
    let lying = Peer::start(everything("store", &[]), Does::Sends(wrong)).await;
    let good = Peer::start(everything("store", &[]), Does::Sends(vec![message(A, &[(5, 1)])])).await;
    let proxy = proxy_over(&[&lying.address, &good.address], 0).await;
    let (found, warnings, outcome) = ask(&proxy, query("up")).await;
    assert_eq!(outcome, Ok(()));
    assert_eq!(found, [series(A, &[(5, 1)]), series(B, &[(0, 1)])]);
    assert!(warnings.len() == 1 && warnings[0].contains("out of order"), "{warnings:?}");
    let (found, warnings, _) = ask(&proxy, query("up")).await;
    assert_eq!(found, [series(A, &[(0, 1), (5, 1)]), series(B, &[(0, 1)]), series(C, &[(0, 1)])]);
    assert!(warnings.is_empty());
}

#[tokio::test]
async fn what_an_endpoint_cannot_do_is_done_here() {
    let mut info = everything("sidecar", &[&[("replica", "x")]]);
    let store = info.store.as_mut().unwrap();
    (store.supports_sharding, store.supports_without_replica_labels) = (false, false);
    let with = |pod: &'static str, replica: &'static str| vec![("a", replica), ("pod", pod)];
    let sent = vec![
        message(&with("b", "x"), &[(0, 1)]),
        message(&with("c", "x"), &[(0, 1)]),
        message(&with("a", "y"), &[(0, 1)]),
        message(&with("b", "y"), &[(3, 1)]),
    ];
    let peer = Peer::start(info, Does::Sends(sent)).await;
    let proxy = proxy_over(&[&peer.address], 0).await;
    let asked = SeriesQuery { without: vec![Bytes::from_static(b"a")], limit: 2, ..query("up") };
    let (found, ..) = ask(&proxy, asked.clone()).await;
    assert_eq!(found, [series(&[("pod", "a")], &[(0, 1)]), series(&[("pod", "b")], &[(0, 1), (3, 1)])]);
    assert_eq!(peer.behaviour.asked.lock()[0].limit, 0);
    let mut pods = Vec::new();
    for index in 0..2 {
        let shard = Shard::new(index, 2, true, vec![Bytes::from_static(b"pod")]);
        let (found, ..) = ask(&proxy, SeriesQuery { shard, limit: 0, ..asked.clone() }).await;
        pods.extend(found.iter().map(|series| series.labels.get(b"pod").unwrap().to_vec()));
    }
    pods.sort();
    assert_eq!(pods, [b"a", b"b", b"c"]);
}

#[tokio::test]
async fn names_and_values() {
    let one = Peer::start(everything("sidecar", &[]), Does::Sends(Vec::new())).await;
    let other = Peer::start(everything("store", &[]), Does::Breaks(Vec::new())).await;
    let proxy = proxy_over(&[&one.address, &other.address], 0).await;
    let asked = LabelsQuery {
        without: vec![Bytes::from_static(b"replica")],
        ..LabelsQuery::new(TimeRange::new(0, 1), Vec::new())
    };
    let names = proxy.label_names(asked.clone()).await.unwrap();
    assert_eq!(names.values, ["__name__", "pod"]);
    let text = format!(
        "fetch label names from store Addr: {} MinTime: 0 MaxTime: {}: rpc error: code = Unavailable desc = not now",
        other.address,
        i64::MAX
    );
    assert_eq!(names.warnings, [&*text]);
    let all = LabelsQuery { abort: true, ..asked.clone() };
    assert_eq!(proxy.label_names(all).await, Err(StoreError::Unavailable(text)));
    let values = proxy.label_values(Bytes::from_static(b"pod"), asked.clone()).await.unwrap();
    assert_eq!(values.values, ["pod", "sidecar", "store"]);
    assert_eq!(values.warnings, ["almost", "almost"]);
    let values =
        proxy.label_values(Bytes::from_static(b"pod"), LabelsQuery { limit: 2, ..asked.clone() }).await;
    assert_eq!(values.unwrap().values.len(), 2);
    assert!(
        proxy.label_values(Bytes::from_static(b"replica"), asked.clone()).await.unwrap().values.is_empty()
    );
    assert!(matches!(proxy.label_values(Bytes::new(), asked).await, Err(StoreError::Invalid(_))));
}

#[tokio::test]
async fn who_goes_ends_the_calls() {
    let hanging = Peer::start(everything("store", &[]), Does::Hangs(vec![message(A, &[(0, 1)])])).await;
    let proxy = Arc::new(proxy_over(&[&hanging.address], 0).await);
    let (into, mut out) = frames(1 << 20);
    let task = tokio::spawn({
        let proxy = Arc::clone(&proxy);
        async move { proxy.series(Arc::new(query("up")), into).await }
    });
    // The one series is held back until it is known whether more of it comes.
    while Arc::strong_count(&hanging.behaviour.open) < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(out.try_next().is_none());
    task.abort();
    while Arc::strong_count(&hanging.behaviour.open) > 1 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
