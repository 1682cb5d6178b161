//! What a process has used so far, or until its end, read from `/proc`.

use std::path::Path;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use crate::server::folder_bytes;

/// How often a process that is watched is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Looks for one at the size of its folder, which costs more.
const LOOKS_AT_FOLDER: u32 = 8;

/// Used by one process since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time together, in milliseconds.
    pub cpu_ms: u64,
    /// Resident now, in bytes, mapped pages included.
    pub resident: u64,
    /// The most that was ever resident, in bytes: what `getrusage` calls `ru_maxrss`.
    pub peak: u64,
    /// Bytes that it caused to be written to disks.
    pub written: u64,
}

/// Reads `/proc/<pid>`; the kernel counts time in ticks of 10 ms.
///
/// # Errors
/// If the process is gone, or this is no Linux.
pub fn usage(pid: u32) -> io::Result<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    // The name in parentheses may hold spaces; fields are counted behind it.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or("").split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let kilobytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let number = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok());
        number.unwrap_or(0) * 1024
    };
    // Of a process that has ended, this file may not be read any more.
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let written = io.lines().find_map(|line| line.strip_prefix("write_bytes:")?.trim().parse().ok());
    Ok(Usage {
        cpu_ms: (ticks(11) + ticks(12)) * 10,
        resident: kilobytes("VmRSS"),
        peak: kilobytes("VmHWM"),
        written: written.unwrap_or(0),
    })
}

/// What a process used from its start to its end.
#[derive(Debug, Clone, Copy)]
pub struct Spent {
    /// CPU time and memory; the peak is the last that was seen, at most a few milliseconds before the end.
    pub usage: Usage,
    /// Time from when it was handed over until it ended.
    pub wall: Duration,
    /// The most bytes that the watched folder was seen to hold.
    pub folder: u64,
    /// How it ended.
    pub status: ExitStatus,
}

/// Waits for a process and reads what it uses meanwhile, and how large `folder` becomes.
///
/// # Errors
/// If this is no Linux.
pub fn watch(mut child: Child, folder: &Path) -> io::Result<Spent> {
    let begin = Instant::now();
    let (mut seen, mut largest, mut look) = (Usage::default(), 0, 0_u32);
    loop {
        if look.is_multiple_of(LOOKS_AT_FOLDER) {
            largest = largest.max(folder_bytes(folder));
        }
        look += 1;
        // A process that has ended keeps its times, and nothing else, until it is waited for.
        let ended = fs::read_to_string(format!("/proc/{}/stat", child.id()))?
            .rsplit(')')
            .next()
            .is_some_and(|fields| fields.trim_start().starts_with('Z'));
        if let Ok(now) = usage(child.id()) {
            seen = Usage { cpu_ms: now.cpu_ms, peak: now.peak.max(seen.peak), ..seen };
            (seen.resident, seen.written) = (now.resident.max(seen.resident), now.written.max(seen.written));
        }
        if ended {
            let wall = begin.elapsed();
            return Ok(Spent { usage: seen, wall, folder: largest, status: child.wait()? });
        }
        thread::sleep(LOOK);
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_used_something() {
        let used = super::usage(std::process::id()).unwrap();
        assert!(used.resident > 100_000 && used.peak >= used.resident);
    }

    #[test]
    fn a_process_is_watched_to_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("some");
        let script = format!(
            "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; printf abc >{}; exit 3",
            file.display()
        );
        let child = std::process::Command::new("sh").args(["-c", &script]).spawn().unwrap();
        let spent = super::watch(child, folder.path()).unwrap();
        assert_eq!(spent.status.code(), Some(3));
        assert!(spent.usage.cpu_ms >= 20 && spent.usage.peak > 100_000, "{spent:?}");
    }
}
