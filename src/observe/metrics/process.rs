//! What this process uses (proc(5)).

use std::fs;

/// Units of the times in `/proc/self/stat`, in one second: the kernel's `USER_HZ`, which is the same on every architecture that Rust
/// has a Linux for.
const TICKS: f64 = 100.0;

/// What this process uses; `None` where that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Usage {
    /// Seconds of CPU time since it began, its own and the kernel's for it.
    pub(super) cpu_seconds: Option<f64>,
    /// Bytes of memory that are in use.
    pub(super) resident_bytes: Option<u64>,
}

impl Usage {
    pub(super) fn now() -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        Self {
            cpu_seconds: read("/proc/self/stat").as_deref().and_then(cpu_seconds),
            resident_bytes: read("/proc/self/status").as_deref().and_then(resident_bytes),
        }
    }
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    // The name of the program stands in parentheses, and may contain anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(11).map_while(|field| field.parse::<u32>().ok());
    Some((f64::from(times.next()?) + f64::from(times.next()?)) / TICKS)
}

fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let stat = "4711 (a b) c) S 1 4711 4711 0 -1 4194560 500 0 0 0 125 50 0 0 20 0 4 0 1000 99999 800";
        assert_eq!(cpu_seconds(stat), Some(1.75));
        assert_eq!(resident_bytes("Name:\ta\nVmRSS:\t    8192 kB\nThreads:\t4\n"), Some(8_388_608));
        assert_eq!((cpu_seconds("4711 (a"), resident_bytes("VmRSS:\tmuch\n")), (None, None));
        let usage = Usage::now();
        assert!(usage.cpu_seconds.is_some() && usage.resident_bytes > Some(1 << 20), "{usage:?}");
    }
}
