//! A listener under TLS and passwords: who may come in, through a real socket.
#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod program;

use program::{Running, eventually, free_port, testdata};
use reqwest::{Certificate, Client, Identity, StatusCode};

fn pem(name: &str) -> Vec<u8> {
    std::fs::read(testdata("tls").join(name)).unwrap()
}

fn client(with_certificate: bool) -> Client {
    let builder = Client::builder().tls_certs_only([Certificate::from_pem(&pem("ca.pem")).unwrap()]);
    let identity = [pem("client.pem"), pem("client-key.pem")].concat();
    match with_certificate {
        true => builder.identity(Identity::from_pem(&identity).unwrap()).build().unwrap(),
        false => builder.build().unwrap(),
    }
}

fn start(dir: &std::path::Path, web: &str, more: &[String]) -> (Running, u16) {
    let (config, port) = (dir.join("web.yml"), free_port());
    std::fs::write(&config, web).unwrap();
    let mut args = vec![
        "--label=replica=\"0\"".to_owned(),
        format!("--http-address=127.0.0.1:{port}"),
        "--grpc-address=127.0.0.1:0".to_owned(),
        format!("--http.config={}", config.display()),
        format!("--tsdb.path={}", dir.join("data").display()),
    ];
    args.extend_from_slice(more);
    (Running::start("sarsen-receive", &args), port)
}

fn tls(rest: &str) -> String {
    let file = |name: &str| testdata("tls").join(name).display().to_string();
    let (cert, key, ca) = (file("server.pem"), file("server-key.pem"), file("ca.pem"));
    format!("tls_server_config:\n  cert_file: {cert}\n  key_file: {key}\n  client_ca_file: {ca}\n{rest}")
}

#[tokio::test(flavor = "multi_thread")]
async fn only_certificates_of_the_authority_come_in() {
    let dir = tempfile::tempdir().unwrap();
    let write = free_port();
    let (server, port) = start(
        dir.path(),
        &tls("  client_auth_type: RequireAndVerifyClientCert\n"),
        &[format!("--remote-write.address=127.0.0.1:{write}")],
    );
    let url = format!("https://127.0.0.1:{port}/-/ready");
    let known = client(true);
    eventually(async || known.get(&url).send().await.ok().filter(|answer| answer.status() == StatusCode::OK))
        .await;
    assert!(client(false).get(&url).send().await.is_err(), "no certificate, no entry");
    assert!(reqwest::get(format!("http://127.0.0.1:{port}/-/ready")).await.is_err(), "no TLS, no entry");
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_protect_probes_and_metrics_too() {
    let dir = tempfile::tempdir().unwrap();
    let write = free_port();
    let users = "  client_auth_type: VerifyClientCertIfGiven\nhttp_server_config:\n  headers:\n    X-Frame-Options: deny\nbasic_auth_users:\n  alice: $2y$05$ABCDEFGHIJKLMNOPQRSTUuVWJrfBwga8a9v97F/n7rEUBXyFPR.SO\n";
    let (server, port) =
        start(dir.path(), &tls(users), &[format!("--remote-write.address=127.0.0.1:{write}")]);
    let client = client(false);
    let url = |path: &str| format!("https://127.0.0.1:{port}{path}");
    let answer = eventually(async || client.get(url("/-/healthy")).send().await.ok()).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(answer.headers()["x-frame-options"], "deny");
    let wrong = client.get(url("/metrics")).basic_auth("alice", Some("abd")).send().await.unwrap();
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    let right = client.get(url("/metrics")).basic_auth("alice", Some("abc")).send().await.unwrap();
    assert_eq!(right.status(), StatusCode::OK);
    assert_eq!(right.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
    assert!(
        right.text().await.unwrap().contains("thanos_status{check=\"healthy\",component=\"receive\"} 1\n")
    );
    drop(server);
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_are_lines_that_machines_read() {
    let dir = tempfile::tempdir().unwrap();
    let write = free_port();
    let (server, port) = start(
        dir.path(),
        "",
        &[
            "--log.format=json".to_owned(),
            format!("--remote-write.address=127.0.0.1:{write}"),
            "--tsdb.no-lockfile".to_owned(),
        ],
    );
    eventually(async || {
        reqwest::get(format!("http://127.0.0.1:{port}/-/ready")).await.ok().filter(|a| a.status() == 200)
    })
    .await;
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log}");
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(
        lines
            .iter()
            .all(|line| line["ts"].is_string() && line["caller"].is_string() && line["level"].is_string())
    );
    let flag = lines.iter().find(|line| line["flag"] == "--tsdb.no-lockfile").unwrap();
    assert_eq!(flag["msg"], "flag has no effect here");
    assert_eq!(lines.last().unwrap()["msg"], "exiting");
}

#[tokio::test(flavor = "multi_thread")]
async fn remote_write_comes_in_under_tls_of_its_own() {
    let (dir, write) = (tempfile::tempdir().unwrap(), free_port());
    let file = |name: &str| testdata("tls").join(name).display().to_string();
    let (server, port) = start(
        dir.path(),
        "",
        &[
            format!("--remote-write.address=127.0.0.1:{write}"),
            format!("--remote-write.server-tls-cert={}", file("server.pem")),
            format!("--remote-write.server-tls-key={}", file("server-key.pem")),
            format!("--remote-write.server-tls-client-ca={}", file("ca.pem")),
        ],
    );
    let ready = format!("http://127.0.0.1:{port}/-/ready");
    eventually(async || reqwest::get(&ready).await.ok().filter(|answer| answer.status() == StatusCode::OK))
        .await;
    let url = format!("https://127.0.0.1:{write}/api/v1/receive");
    // An empty request in snappy: length zero. It is taken; what is no snappy is refused with the reason.
    let known = client(true);
    let taken = known.post(&url).body(vec![0]).send().await.unwrap();
    assert_eq!(taken.status(), StatusCode::OK);
    let refused = known.post(&url).body("no snappy").send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    assert!(client(false).post(&url).body(vec![0]).send().await.is_err(), "no certificate, no entry");
    let (status, log) = server.stop();
    assert_eq!(status.code(), Some(0), "{log}");
}
