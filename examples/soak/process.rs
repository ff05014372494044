//! What the process holds: memory, tasks, connections. Memory and connections are known on Linux only.

use std::fs;
use std::time::Duration;

use tokio::runtime::Handle;

use crate::counts::Totals;

/// How long what is left over is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// What memory may vary by from one quarter of a run to another, in KiB.
const SLACK: u64 = 4 * 1024;
/// With fewer samples memory is not judged: it has not filled its caches yet.
const ENOUGH_SAMPLES: usize = 48;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Resident, in KiB.
    memory: u64,
    tasks: usize,
    sockets: usize,
}

impl Sample {
    pub(crate) fn take() -> Self {
        let memory = fs::read_to_string("/proc/self/status").ok().and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
            line.split_whitespace().next()?.parse().ok()
        });
        let sockets = fs::read_dir("/proc/self/fd").map_or(0, |open| {
            let is_socket = |link: &std::path::Path| link.to_string_lossy().starts_with("socket:");
            open.flatten()
                .filter(|file| fs::read_link(file.path()).is_ok_and(|link| is_socket(&link)))
                .count()
        });
        let tasks = Handle::current().metrics().num_alive_tasks();
        Self { memory: memory.unwrap_or_default(), tasks, sockets }
    }
}

pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let build = if cfg!(debug_assertions) { "a debug build" } else { "an optimised build" };
    format!("{cores} cores, {build}")
}

pub(crate) fn heading() -> &'static str {
    "| minute | requests | rejected as they should be | failed in an outage | unexplained | resident, KiB | tasks | sockets |\n\
     |---|---|---|---|---|---|---|---|"
}

/// A line of the table. Memory, tasks and sockets are as of now.
pub(crate) fn line(at: Duration, samples: &[Sample], totals: &Totals) -> String {
    let minutes = at.as_secs_f64() / 60.0;
    let Totals { requests, rejections, outages, unexplained } = totals;
    let now = samples.last().copied().unwrap_or_else(Sample::take);
    let Sample { memory, tasks, sockets } = now;
    format!(
        "| {minutes:.1} | {requests} | {rejections} | {outages} | {unexplained} | {memory} | {tasks} | {sockets} |"
    )
}

/// Memory of the last quarter of a run against the second one: in the first, caches and pools fill.
pub(crate) fn growth(samples: &[Sample]) -> Option<String> {
    if samples.len() < ENOUGH_SAMPLES {
        println!("\nmemory is not judged: the run is too short");
        return None;
    }
    let quarter = samples.len() / 4;
    let median = |part: &[Sample]| {
        let mut memory: Vec<_> = part.iter().map(|sample| sample.memory).collect();
        memory.sort_unstable();
        memory.get(memory.len() / 2).copied().unwrap_or_default()
    };
    let (then, now) = (median(&samples[quarter..2 * quarter]), median(&samples[samples.len() - quarter..]));
    println!("\nresident memory: median of the second quarter {then} KiB, of the last one {now} KiB");
    (now > then + then / 20 + SLACK).then(|| format!("memory grows: from {then} to {now} KiB"))
}

/// What does not end although everything was dropped.
pub(crate) async fn left_over(before: Sample) -> Option<String> {
    let ended = tokio::time::timeout(PATIENCE, async {
        loop {
            let now = Sample::take();
            if now.tasks <= before.tasks && now.sockets <= before.sockets {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    if ended.await.is_ok() {
        return None;
    }
    let (Sample { tasks, sockets, .. }, now) = (before, Sample::take());
    Some(format!(
        "left over: {} tasks (at the start {tasks}), {} sockets ({sockets})",
        now.tasks, now.sockets
    ))
}
