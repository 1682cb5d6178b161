//! What limits a pod: a share of a core and a number of bytes, as control groups of the first version.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

const MEMORY: &str = "memory";

/// A control group for CPU time and one for memory; removed when dropped.
#[derive(Debug)]
pub struct Pod {
    groups: Vec<PathBuf>,
}

impl Pod {
    /// With this share of a core, in thousandths, and this many bytes.
    ///
    /// # Errors
    /// If this is not allowed, or the machine has no control groups of the first version.
    pub fn new(name: &str, millicores: u64, memory: u64) -> anyhow::Result<Self> {
        let limits =
            [("cpu", "cpu.cfs_quota_us", millicores * 100), (MEMORY, "memory.limit_in_bytes", memory)];
        let mut pod = Self { groups: Vec::new() };
        for (kind, file, value) in limits {
            let group = PathBuf::from("/sys/fs/cgroup").join(kind).join(name);
            fs::create_dir_all(&group).with_context(|| format!("making {}", group.display()))?;
            pod.groups.push(group.clone());
            fs::write(group.join(file), value.to_string()).with_context(|| format!("writing {file}"))?;
        }
        Ok(pod)
    }

    /// The most bytes that the group ever held, cached pages of files included.
    ///
    /// # Errors
    /// If the group is gone.
    pub fn peak(&self) -> anyhow::Result<u64> {
        let group =
            self.groups.iter().find(|group| group.components().any(|part| part.as_os_str() == MEMORY));
        let file = group.context("no control group for memory")?.join("memory.max_usage_in_bytes");
        Ok(fs::read_to_string(file)?.trim().parse()?)
    }

    /// The words before a command that make it run inside.
    pub fn under(&self) -> Vec<String> {
        let enter = self.groups.iter().map(|group| format!("echo $$ >{}/cgroup.procs; ", group.display()));
        let script = enter.collect::<String>() + "exec \"$0\" \"$@\"";
        ["sh".to_owned(), "-c".to_owned(), script].to_vec()
    }
}

impl Drop for Pod {
    fn drop(&mut self) {
        for group in &self.groups {
            fs::remove_dir(group).ok();
        }
    }
}
