//! What a process has used of the machine, as the kernel counts it.

use std::fs;
use std::process::{Child, ExitStatus};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};

/// How often the memory of a child is looked at.
const SAMPLED: Duration = Duration::from_millis(10);

/// Processor time and memory of a process.
#[derive(Clone, Copy, Default)]
pub struct Usage {
    /// Of all its threads.
    pub cpu: Duration,
    /// Resident, in bytes.
    pub resident: u64,
    /// The most it ever had resident, in bytes.
    pub peak: u64,
}

impl Usage {
    /// Of one that runs (`proc_pid_stat(5)`, `utime` and `stime`, in hundredths of a second; `proc_pid_schedstat` is finer).
    pub fn of(id: u32) -> Self {
        let tasks = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
        let nanoseconds: u64 = tasks
            .filter_map(|task| fs::read_to_string(task.path().join("schedstat")).ok())
            .filter_map(|text| text.split_whitespace().next()?.parse::<u64>().ok())
            .sum();
        let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
        let kilobytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok())
        };
        Self {
            cpu: Duration::from_nanos(nanoseconds),
            resident: kilobytes("VmRSS").unwrap_or(0) * 1024,
            peak: kilobytes("VmHWM").unwrap_or(0) * 1024,
        }
    }

    /// What was used since an earlier look; memory as it is now.
    pub fn since(self, before: Self) -> Self {
        Self { cpu: self.cpu.saturating_sub(before.cpu), ..self }
    }
}

/// Waits for the end of a child: how it ended, what it used of processors, and the most it had resident.
pub fn wait(mut child: Child) -> (ExitStatus, Duration, u64) {
    let id = child.id();
    let ended = AtomicBool::new(false);
    thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut peak = 0;
            while !ended.load(Ordering::Relaxed) {
                peak = Usage::of(id).peak.max(peak);
                thread::sleep(SAMPLED);
            }
            peak
        });
        let pid = Pid::from_child(&child);
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).unwrap();
        // It has ended, and is still there to be asked.
        let cpu = ticks(id);
        ended.store(true, Ordering::Relaxed);
        (child.wait().unwrap(), cpu, sampler.join().unwrap())
    })
}

/// What a process has used of processors, to a hundredth of a second, also once it has ended (`proc_pid_stat(5)`).
fn ticks(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let (_, rest) = stat.rsplit_once(')').unwrap();
    let ticks: u64 = rest.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 10)
}
