//! A real browser, driven over a pair of pipes in the language of its own tools: open a page, type, press, and ask what it shows.
//!
//! The browser is Debian's `chromium-headless-shell`. Without one a test says that it was skipped, and fails under `SARSEN_REQUIRE_PEERS=1`.

use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

/// The browser's program, if there is one.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let names = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
    let found = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    let found = found.into_iter().find(|file| file.is_file());
    if found.is_none() {
        let required = std::env::var("SARSEN_REQUIRE_PEERS").is_ok_and(|value| value == "1");
        assert!(!required, "no browser, it is in Debian's package chromium-headless-shell");
        // Written to the stream itself, because the test runner would keep what `eprintln!` says.
        let mut screen = std::io::stderr();
        writeln!(screen, "SKIPPED: no browser, it is in Debian's package chromium-headless-shell").unwrap();
    }
    found
}

/// A browser with one page open.
pub(crate) struct Browser {
    child: Child,
    to: File,
    from: BufReader<File>,
    sent: u64,
    session: Option<String>,
    /// What the page complained of.
    complaints: Vec<String>,
}

impl Browser {
    /// Starts the program; what it writes goes into `folder`.
    pub(crate) fn start(program: &Path, folder: &Path) -> Self {
        let (to, from) = (folder.join("to-browser"), folder.join("from-browser"));
        assert!(Command::new("mkfifo").args([&to, &from]).status().unwrap().success());
        // Its pipes are the descriptors 3 and 4; a shell ties them.
        let child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<\"$TO\" 4>\"$FROM\"", "sh"])
            .arg(program)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .env("HOME", folder)
            .env("TO", &to)
            .env("FROM", &from)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let to = OpenOptions::new().write(true).open(to).unwrap();
        let from = BufReader::new(File::open(from).unwrap());
        let mut browser = Self { child, to, from, sent: 0, session: None, complaints: Vec::new() };
        let target = browser.send("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            browser.send("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = Some(attached["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Runtime.enable", "Log.enable", "Page.enable"] {
            browser.send(domain, json!({}));
        }
        browser
    }

    /// Says something and waits for the answer; what comes between is looked through for complaints.
    fn send(&mut self, method: &str, params: Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": params});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.to.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut bytes = Vec::new();
            self.from.read_until(0, &mut bytes).unwrap();
            assert_eq!(bytes.pop(), Some(0), "the browser went");
            let mut heard: Value = serde_json::from_slice(&bytes).unwrap();
            if heard["id"] == self.sent {
                assert!(heard.get("error").is_none(), "{method}: {heard}");
                return heard["result"].take();
            }
            let kinds = ["Log.entryAdded", "Runtime.exceptionThrown", "Runtime.consoleAPICalled"];
            if kinds.iter().any(|kind| heard["method"] == *kind) {
                self.complaints.push(heard["params"].to_string());
            }
        }
    }

    /// Goes to an address.
    pub(crate) fn open(&mut self, url: &str) {
        let gone = self.send("Page.navigate", json!({"url": url}));
        assert!(gone.get("errorText").is_none(), "{url}: {gone}");
    }

    /// What an expression gives in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Value {
        let asked = json!({"expression": expression, "awaitPromise": true, "returnByValue": true});
        let mut given = self.send("Runtime.evaluate", asked);
        assert!(given.get("exceptionDetails").is_none(), "{expression}: {given}");
        given["result"]["value"].take()
    }

    /// Waits until an expression gives something in the page.
    pub(crate) fn until(&mut self, expression: &str) -> Value {
        let waits = format!(
            "new Promise((done, fail) => {{ let looks = 0; const look = () => {{ let seen; try {{ seen = ({expression}); }} catch {{}} \
             if (seen) done(seen); else if (++looks > 300) fail(new Error('never: ' + document.body.innerText)); else setTimeout(look, 100); }}; look(); }})"
        );
        self.value(&waits)
    }

    /// Types where the cursor is.
    pub(crate) fn write(&mut self, text: &str) {
        self.send("Input.insertText", json!({"text": text}));
    }

    /// Presses a key, told by its name and number.
    pub(crate) fn press(&mut self, key: &str, number: u32) {
        for kind in ["keyDown", "keyUp"] {
            let pressed = json!({"type": kind, "key": key, "windowsVirtualKeyCode": number});
            self.send("Input.dispatchKeyEvent", pressed);
        }
    }

    /// What the page complained of since the last call.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        std::mem::take(&mut self.complaints)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
