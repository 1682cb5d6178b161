//! The object store as it is configured, kept in step with its file and with the certificates that it names.
//!
//! New keys or certificates are taken over while requests go on. A file that cannot be used leaves the old settings in
//! force, and says so once per change; another bucket needs a restart, because blocks may not be spread over two.

use sarsen_bucket::{BucketBuilder, ObjstoreConfig, Reloading};

use crate::config::content::{Content, environment};
use crate::config::flags::Fault;

/// How often the file is looked at.
#[cfg(feature = "serve")]
const LOOK: std::time::Duration = std::time::Duration::from_secs(30);

/// A store and where its configuration comes from.
#[derive(Debug, Clone)]
pub(crate) struct Objstore {
    #[cfg_attr(not(feature = "serve"), expect(dead_code, reason = "only what runs on looks again"))]
    content: Content,
    store: Reloading,
}

impl Objstore {
    /// Opens the store; the store itself is not asked. The fault names the flag, the file and the line.
    pub(crate) fn open(content: Content) -> Result<Self, Fault> {
        let store = Reloading::open(parse(&content)?).map_err(|why| format!("{}: {why}", content.place()))?;
        Ok(Self { content, store })
    }

    /// A bucket that follows every change.
    pub(crate) fn bucket(&self) -> BucketBuilder {
        self.store.bucket()
    }
}

/// What a process that runs on needs besides.
#[cfg(feature = "serve")]
impl Objstore {
    /// What metrics call the bucket.
    pub(crate) fn name(&self) -> String {
        self.store.config().bucket_name()
    }

    /// Looks at the files again and again, until told to stop.
    pub(crate) async fn follow(self, stop: tokio_util::sync::CancellationToken) {
        let mut complaint = String::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let this = self.clone();
            let looked = tokio::task::spawn_blocking(move || this.look()).await;
            let now = match looked {
                Ok(Ok(())) => String::new(),
                Ok(Err(why)) => why,
                Err(why) => why.to_string(),
            };
            if now != complaint && !now.is_empty() {
                tracing::error!(err = %now, "cannot take over the changed object store configuration, the old one stays in force");
            }
            complaint = now;
        }
    }

    fn look(&self) -> Result<(), Fault> {
        use sarsen_bucket::Reload;
        let reload = self.store.reload(parse(&self.content)?);
        match reload.map_err(|why| format!("{}: {why}", self.content.place()))? {
            Reload::Reopened => {
                tracing::info!(config = %self.content.place(), "took over the changed object store configuration");
            }
            Reload::NeedsRestart => {
                return Err(format!(
                    "{}: it names another place for blocks, which takes a restart",
                    self.content.place()
                ));
            }
            _ => {}
        }
        Ok(())
    }
}

fn parse(content: &Content) -> Result<ObjstoreConfig, Fault> {
    ObjstoreConfig::parse(&content.read()?, environment).map_err(|why| format!("{}: {why}", content.place()))
}

#[cfg(all(test, feature = "serve"))]
mod tests {
    use super::*;

    fn file(path: &std::path::Path) -> Content {
        Content::File { flag: "objstore.config-file".to_owned(), path: path.display().to_string() }
    }

    #[test]
    fn changes_are_taken_over_or_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("objstore.yml");
        let text = |directory: &str| {
            format!("type: FILESYSTEM\nconfig:\n  directory: {}/{directory}\n", dir.path().display())
        };
        std::fs::write(&path, text("a")).unwrap();
        let store = Objstore::open(file(&path)).unwrap();
        assert_eq!(store.look(), Ok(()));
        std::fs::write(&path, text("b")).unwrap();
        assert!(store.look().unwrap_err().contains("restart"));
        std::fs::write(&path, "type: FILESYSTEM\nconfig: {colour: red}\n").unwrap();
        let fault = store.look().unwrap_err();
        assert!(fault.contains("objstore.yml") && fault.contains("colour"), "{fault}");
    }
}
