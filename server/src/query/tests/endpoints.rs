//! Who is asked, who joins, who leaves.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tonic::Status;

use super::peer::{Does, Peer, everything};
use crate::config::tls::{ClientTlsFiles, ServerTlsFiles};
use crate::metrics::Registry;
use crate::net::grpc::ChannelOptions;
use crate::net::{ClientTls, ServeOptions};
use crate::query::endpoints::{EndpointOptions, EndpointSet, EndpointSpec, Listing};

#[derive(Default)]
struct Listed(Mutex<Vec<EndpointSpec>>);

impl Listing for Listed {
    fn endpoints(&self) -> Vec<EndpointSpec> {
        self.0.lock().clone()
    }
}

fn spec(address: &str, strict: bool) -> EndpointSpec {
    EndpointSpec { strict, ..EndpointSpec::new(address) }
}

fn asked(set: &EndpointSet) -> Vec<String> {
    set.asked().iter().map(|endpoint| endpoint.address().to_owned()).collect()
}

fn known(set: &EndpointSet) -> Vec<String> {
    set.status().iter().map(|status| status.address.clone()).collect()
}

#[tokio::test]
async fn endpoints_come_are_sick_and_go() {
    let peer = Peer::start(everything("receive", &[&[("region", "eu")]]), Does::Sends(Vec::new())).await;
    let listing = Arc::new(Listed::default());
    let registry = Registry::new();
    let set = |unhealthy| {
        let options = EndpointOptions { unhealthy, ..EndpointOptions::default() };
        EndpointSet::new(Arc::clone(&listing) as Arc<dyn Listing>, options, &registry)
    };
    let patient = set(Duration::from_secs(300));
    patient.look().await;
    assert!(known(&patient).is_empty());
    *listing.0.lock() = vec![spec(&peer.address, false), spec("127.0.0.1:1", false)];
    patient.look().await;
    // Who has never answered is not there.
    assert_eq!(asked(&patient), [&*peer.address]);
    assert_eq!(known(&patient), [&*peer.address]);
    let status = &patient.status()[0];
    assert_eq!((status.last_error.clone(), status.known.component), (None, "receive"));
    assert!(status.last_check.is_some());
    // Sick: shown, not asked, with what it said before.
    let well = std::mem::replace(&mut *peer.behaviour.info.lock(), Err(Status::unavailable("not ready")));
    patient.look().await;
    assert!(asked(&patient).is_empty());
    let status = &patient.status()[0];
    assert_eq!(status.last_error.as_deref(), Some("rpc error: code = Unavailable desc = not ready"));
    assert_eq!(status.known.label_sets_text(), "{region=\"eu\"}");
    *peer.behaviour.info.lock() = well;
    patient.look().await;
    assert_eq!(asked(&patient).len(), 1);
    // Gone from the list.
    listing.0.lock().clear();
    patient.look().await;
    assert!(known(&patient).is_empty());
    // Without patience it goes at once.
    *listing.0.lock() = vec![spec(&peer.address, false)];
    let impatient = set(Duration::ZERO);
    impatient.look().await;
    assert!(known(&impatient).is_empty());
    // The port where nobody listens in three looks, and once the endpoint that was not ready.
    let (_, page) = registry.page(false);
    let line = "grpc_client_handled_total{grpc_code=\"Unavailable\",grpc_method=\"Info\",grpc_service=\"thanos.info.Info\",grpc_type=\"unary\"} 4";
    assert!(page.contains(line), "{page}");
}

/// Certificates of the tests, by name.
fn file(name: &str) -> String {
    format!("{}/../testdata/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

#[tokio::test]
async fn certificates_of_both_sides_and_packed_requests() {
    let server = ServerTlsFiles {
        cert: file("server.pem"),
        key: file("server-key.pem"),
        client_ca: Some(file("ca.pem")),
        ..Default::default()
    };
    let options = ServeOptions::plain(Duration::ZERO).with_tls(Some(&server)).unwrap();
    let peer = Peer::start_with(everything("store", &[]), Does::Sends(Vec::new()), options).await;
    let with = |files: ClientTlsFiles, snappy| {
        let tls = Some(Arc::new(ClientTls::load(&files).unwrap()));
        let channel = Arc::new(ChannelOptions { tls, snappy });
        EndpointSpec { strict: true, channel: Some(channel), ..EndpointSpec::new(&*peer.address) }
    };
    let (cert, key) = (Some(file("client.pem")), Some(file("client-key.pem")));
    let known = ClientTlsFiles {
        ca: Some(file("ca.pem")),
        cert,
        key,
        server_name: Some("localhost".to_owned()),
        ..Default::default()
    };
    let trusting = ClientTlsFiles { ca: None, server_name: None, skip_verify: true, ..known.clone() };
    let strange = ClientTlsFiles { server_name: Some("somebody.else".to_owned()), ..known.clone() };
    let nobody = ClientTlsFiles { cert: None, key: None, ..known.clone() };
    for (files, snappy, word) in [
        (known.clone(), false, None),
        (known, true, None),
        (trusting, true, None),
        (strange, false, Some("authentication handshake failed")),
        (nobody, false, Some("code = Unavailable")),
    ] {
        let set = EndpointSet::new(
            Arc::new(vec![with(files, snappy)]),
            EndpointOptions::default(),
            &Registry::new(),
        );
        set.look().await;
        let error = set.status()[0].last_error.clone();
        match word {
            None => assert_eq!(error, None),
            Some(word) => {
                assert!(error.as_ref().is_some_and(|error| error.contains(word)), "{word}: {error:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_strict_one_is_there_whatever_it_says() {
    let listing = Arc::new(vec![spec("127.0.0.1:1", false), spec("127.0.0.1:1", true)]);
    let options = EndpointOptions { unhealthy: Duration::ZERO, ..EndpointOptions::default() };
    let set = EndpointSet::new(listing, options, &Registry::new());
    set.look().await;
    set.looked_once().await;
    assert_eq!(asked(&set), ["127.0.0.1:1"]);
    let status = &set.status()[0];
    assert!(
        status.last_error.as_ref().unwrap().contains("code = Unavailable desc = connection error"),
        "{status:?}"
    );
    assert_eq!((status.known.component, status.last_check), ("unknown-store-api", None));
}

#[tokio::test]
async fn of_a_group_one_is_asked_each_in_its_turn() {
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(Peer::start(everything("store", &[]), Does::Sends(Vec::new())).await);
    }
    let in_group = |peer: &Peer| EndpointSpec {
        group: Some(Arc::from("dns+stores:1")),
        ..EndpointSpec::new(&*peer.address)
    };
    let listing = vec![in_group(&peers[0]), in_group(&peers[1]), EndpointSpec::new(&*peers[2].address)];
    let set = EndpointSet::new(Arc::new(listing), EndpointOptions::default(), &Registry::new());
    set.look().await;
    assert_eq!(known(&set).len(), 3);
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for _ in 0..10 {
        let asked = asked(&set);
        assert_eq!(asked.len(), 2);
        asked.into_iter().for_each(|address| *counts.entry(address).or_default() += 1);
    }
    let count = |peer: &Peer| counts[&peer.address];
    assert_eq!((count(&peers[0]), count(&peers[1]), count(&peers[2])), (5, 5, 10));
    // One that is sick is let be.
    *peers[0].behaviour.info.lock() = Err(Status::unavailable("not now"));
    set.look().await;
    assert!((0..5).all(|_| asked(&set).contains(&peers[1].address)));
}
