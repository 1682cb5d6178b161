//! What a process has used so far, read from `/proc`.

use std::{fs, io};

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
    let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let written = io.lines().find_map(|line| line.strip_prefix("write_bytes:")?.trim().parse().ok());
    Ok(Usage {
        cpu_ms: (ticks(11) + ticks(12)) * 10,
        resident: kilobytes("VmRSS"),
        peak: kilobytes("VmHWM"),
        written: written.unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_has_used_something() {
        let used = super::usage(std::process::id()).unwrap();
        assert!(used.resident > 100_000 && used.peak >= used.resident);
    }
}
