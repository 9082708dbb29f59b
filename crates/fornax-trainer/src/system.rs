//! What the report says about the process.

/// Resident memory of this process in MB: now, and its peak. Zeros where the system does not say.
pub fn memory_mb() -> (f64, f64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()
    };
    (field("VmRSS:").unwrap_or(0.0) / 1024.0, field("VmHWM:").unwrap_or(0.0) / 1024.0)
}

#[cfg(test)]
mod tests {
    #[test]
    #[cfg(target_os = "linux")]
    fn memory_is_plausible() {
        let (now, peak) = super::memory_mb();
        assert!(now > 0.5 && peak >= now * 0.99, "{now} {peak}");
    }
}
