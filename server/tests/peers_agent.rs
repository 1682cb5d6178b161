//! Debian's Prometheus, as an agent, scrapes a node exporter and itself and writes to `sarsen receive`, to `sarsen standalone`, and
//! to a Prometheus that takes remote write. All three are stopped; what promtool reads from our blocks is what it reads
//! from the Prometheus, sample for sample.

#![cfg(all(feature = "standalone", feature = "tools"))]
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test may fail loudly")]

mod process;

use std::path::Path;
use std::time::Duration;

use process::{Process, Receiver, blocks, copy_block, eventually, free_address, installed, output, sarsen};
use sarsen_benches::Client;

#[test]
fn an_agent_writes_to_us_and_promtool_reads_what_it_sent() {
    let (Some(prometheus), Some(promtool), Some(exporter)) =
        (installed("prometheus"), installed("promtool"), installed("prometheus-node-exporter"))
    else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();

    let node = free_address();
    let mut exporter = Process::start(
        "exporter",
        exporter,
        folder,
        &[
            format!("--web.listen-address={node}"),
            "--collector.disable-defaults".to_owned(),
            "--collector.cpu".to_owned(),
            "--collector.meminfo".to_owned(),
        ],
        &[],
    );
    exporter.wait_for(&node, "/");

    let receiver = Receiver::start(folder, &["--receive.flush-on-stop".to_owned()]);
    let (standalone, standalone_address) = start_standalone(folder);
    let (witness, witness_address) = start_witness(folder, &prometheus);

    let own = free_address();
    let targets = [
        format!("http://{}/api/v1/receive", receiver.write),
        write_url(&standalone_address),
        write_url(&witness_address),
    ];
    let agent = start_agent(folder, &prometheus, &own, &node, &targets);
    // Ten seconds at one scrape a second: several scrapes of both targets are with all three receivers.
    let sent = |client: &mut Client| {
        let page = String::from_utf8(client.get("/metrics").ok()?.body).ok()?;
        let lines = page.lines().filter(|line| line.starts_with("prometheus_remote_storage_samples_total{"));
        let counts: Vec<f64> = lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        (counts.len() == 3 && counts.iter().all(|count| *count > 5_000.0)).then_some(())
    };
    let mut client = Client::new(own.as_str());
    eventually("the agent to send", Duration::from_secs(90), || sent(&mut client));
    // The agent hands over what it holds before it ends.
    assert!(agent.stop().success());
    assert!(receiver.process.stop().success());
    assert!(standalone.stop().success());
    assert!(witness.stop().success());

    let expected = dump(&promtool, &folder.join("witness"));
    assert!(expected.len() > 5_000, "{} samples", expected.len());
    assert!(
        expected.iter().any(|line| line.contains("job=\"node\"") && line.starts_with("{__name__=\"up\""))
    );
    for (who, database) in
        [("receive", "receive/default-tenant"), ("standalone", "standalone/tenants/default-tenant")]
    {
        let database = folder.join(database);
        let copied = folder.join(format!("{who}-blocks"));
        let found = blocks(&database);
        assert!(!found.is_empty(), "{who} has no block after the flush");
        found.iter().for_each(|block| copy_block(block, &copied));
        let actual = dump(&promtool, &copied);
        assert_eq!(actual.len(), expected.len(), "{who}: number of samples");
        for (actual, expected) in actual.iter().zip(&expected) {
            assert_eq!(actual, expected, "{who}");
        }
    }
}

fn write_url(address: &str) -> String {
    format!("http://{address}/api/v1/write")
}

fn start_standalone(folder: &Path) -> (Process, String) {
    let address = free_address();
    let arguments = [
        "standalone".to_owned(),
        format!("--data-dir={}", folder.join("standalone").display()),
        format!("--http-address={address}"),
        format!("--grpc-address={}", free_address()),
        "--no-self-scrape".to_owned(),
        "--receive.flush-on-stop".to_owned(),
    ];
    let mut process = Process::start("standalone", sarsen(), folder, &arguments, &[]);
    process.wait_for(&address, "/-/ready");
    (process, address)
}

/// A Prometheus that only stores what the agent sends.
fn start_witness(folder: &Path, prometheus: &Path) -> (Process, String) {
    let (address, config) = (free_address(), folder.join("witness.yml"));
    std::fs::write(&config, "global: {}\n").unwrap();
    let arguments = [
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", folder.join("witness").display()),
        format!("--web.listen-address={address}"),
        "--web.enable-remote-write-receiver".to_owned(),
    ];
    let mut process = Process::start("witness", prometheus, folder, &arguments, &[]);
    process.wait_for(&address, "/-/ready");
    (process, address)
}

fn start_agent(folder: &Path, prometheus: &Path, own: &str, node: &str, targets: &[String]) -> Process {
    let writes: String = targets.iter().map(|url| format!("  - url: {url}\n")).collect();
    let config = folder.join("agent.yml");
    let text = format!(
        "global:\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  external_labels:\n    cluster: test\n\
         scrape_configs:\n  - job_name: node\n    static_configs:\n      - targets: ['{node}']\n\
         \x20 - job_name: prometheus\n    static_configs:\n      - targets: ['{own}']\nremote_write:\n{writes}"
    );
    std::fs::write(&config, text).unwrap();
    let arguments = [
        "--enable-feature=agent".to_owned(),
        format!("--config.file={}", config.display()),
        format!("--storage.agent.path={}", folder.join("agent").display()),
        format!("--web.listen-address={own}"),
    ];
    let mut process = Process::start("agent", prometheus, folder, &arguments, &[]);
    process.wait_for(own, "/-/ready");
    process
}

/// Every sample of a database, in one order.
fn dump(promtool: &Path, database: &Path) -> Vec<String> {
    let text = output(promtool, &["tsdb", "dump", database.to_str().unwrap()]);
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}
