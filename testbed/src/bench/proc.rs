//! What the kernel says of a process and of the machine.

use anyhow::{Context, Result};
use serde::Serialize;
use std::{fs, thread::available_parallelism};

/// Memory of a process in megabytes (10^6 bytes).
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Memory {
    /// Resident: `VmRSS`, which counts the program's own pages as far as they were touched.
    pub resident_mb: f64,
    /// The part that is not backed by a file: `RssAnon`, heap and stacks.
    pub anonymous_mb: f64,
    /// The greatest resident memory so far: `VmHWM`.
    pub peak_mb: f64,
}

impl Memory {
    pub(super) fn of(pid: i32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let field = |name| kibibytes(&status, name).map(|kibibytes| kibibytes * 1024.0 / 1e6);
        Ok(Self {
            resident_mb: field("VmRSS:")?,
            anonymous_mb: field("RssAnon:")?,
            peak_mb: field("VmHWM:")?,
        })
    }
}

/// Linux counts in hundredths of a second for every program outside the kernel.
const TICKS: f64 = 100.0;

/// Processor time in seconds.
pub(super) fn cpu_seconds(pid: i32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat.rsplit_once(") ").context("an odd /proc/stat")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<f64>).sum::<Result<f64, _>>()?;
    Ok(ticks / TICKS)
}

/// Processor time that this machine wanted and the hypervisor gave to others, in seconds since it was booted, all cores
/// together; 0 on a physical machine. See proc(5), `/proc/stat`, `steal`.
pub(super) fn stolen_seconds() -> Result<f64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let ticks = stat.lines().next().and_then(|line| line.split_whitespace().nth(8));
    Ok(ticks.context("the kernel counts no stolen time")?.parse::<f64>()? / TICKS)
}

/// Where it was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Cores that this process may use.
    pub cores: usize,
    /// The processor's name.
    pub cpu: String,
    /// In megabytes.
    pub memory_mb: f64,
    /// Linux' release.
    pub kernel: String,
}

impl Machine {
    pub(super) fn look() -> Result<Self> {
        let info = fs::read_to_string("/proc/cpuinfo")?;
        let cpu = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
        Ok(Self {
            cores: available_parallelism()?.get(),
            cpu: cpu.trim_start_matches([' ', '\t', ':']).to_owned(),
            memory_mb: kibibytes(&fs::read_to_string("/proc/meminfo")?, "MemTotal:")? * 1024.0 / 1e6,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned(),
        })
    }
}

fn kibibytes(text: &str, field: &str) -> Result<f64> {
    let value = text.lines().find_map(|line| line.strip_prefix(field));
    let value = value.with_context(|| format!("the kernel gives no {field}"))?;
    Ok(value.trim().trim_end_matches("kB").trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_is_understood() {
        let pid = i32::try_from(std::process::id()).unwrap();
        let memory = Memory::of(pid).unwrap();
        assert!(memory.anonymous_mb > 0.0 && memory.resident_mb >= memory.anonymous_mb, "{memory:?}");
        assert!(memory.peak_mb >= memory.resident_mb, "{memory:?}");
        let before = cpu_seconds(pid).unwrap();
        let started = std::time::Instant::now();
        while cpu_seconds(pid).unwrap() <= before {
            assert!(started.elapsed().as_secs() < 20, "no processor time is counted");
        }
        assert!(stolen_seconds().unwrap() >= 0.0);
        let machine = Machine::look().unwrap();
        assert!(machine.cores > 0 && machine.memory_mb > 100.0 && !machine.kernel.is_empty(), "{machine:?}");
    }
}
