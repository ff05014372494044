//! The figures that this project promises, in one table and in one file.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{env, fs};

/// The figure that all figures in nanoseconds are judged by, see [`Summary::scaled`].
pub(crate) const YARDSTICK: &str = "yardstick_raw_rs256_ns";

/// What the yardstick took on the machine that the goals were set on.
const REFERENCE_NS: f64 = 18_600.0;

/// What is collected in one run. Each bench adds its own to `target/bench-summary.json` and leaves the others'.
pub(crate) struct Summary {
    figures: BTreeMap<String, f64>,
}

/// Every figure by name, and how far it may go.
const GOALS: [(&str, Goal); 42] = [
    ("axum_guarded_over_unguarded", Goal::AtLeast(0.92)),
    ("axum_guarded_over_unguarded_10000", Goal::AtLeast(0.85)),
    ("client_attach_added_ns", Goal::AtMost(70.0)),
    ("client_attach_replayable_added_ns", Goal::AtMost(120.0)),
    ("client_attach_allocs_added", Goal::AtMost(0.0)),
    ("client_herd_requests", Goal::AtMost(1.0)),
    ("guard_cached_added_ns", Goal::AtMost(350.0)),
    ("guard_cached_allocs_added", Goal::AtMost(3.0)),
    ("guard_cached_silent_added_ns", Goal::AtMost(350.0)),
    ("guard_certificate_added_ns", Goal::AtMost(150.0)),
    ("guard_dpop_known_over_raw", Goal::AtMost(1.15)),
    ("guard_forged_over_raw", Goal::AtMost(1.08)),
    ("guard_hot_token_two_threads_of_unshared", Goal::AtLeast(0.95)),
    ("guard_metrics_added_ns", Goal::AtMost(500.0)),
    ("guard_million_entry_bytes", Goal::AtMost(700.0)),
    ("guard_million_get_ns", Goal::AtMost(1_200.0)),
    ("guard_new_allocs", Goal::AtMost(12.0)),
    ("guard_new_eddsa_over_raw", Goal::AtMost(1.05)),
    ("guard_new_es256_over_raw", Goal::AtMost(1.05)),
    ("guard_new_rs256_over_raw", Goal::AtMost(1.10)),
    ("guard_opaque_invented_bytes", Goal::AtMost(4_000_000.0)),
    ("guard_opaque_known_added_ns", Goal::AtMost(350.0)),
    ("guard_opaque_known_allocs", Goal::AtMost(3.0)),
    ("guard_opaque_new_own_ns", Goal::AtMost(5_000.0)),
    ("guard_replay_entry_bytes", Goal::AtMost(120.0)),
    ("guard_replay_insert_ns", Goal::AtMost(400.0)),
    ("guard_replay_two_threads", Goal::AtLeast(0.9)),
    ("guard_revocation_100k_ns", Goal::AtMost(60.0)),
    ("guard_revocation_bytes_per_entry", Goal::AtMost(100.0)),
    ("guard_revocation_empty_ns", Goal::AtMost(5.0)),
    ("guard_revocation_stream_per_second", Goal::AtLeast(100_000.0)),
    ("guard_revocation_stream_slowest_ms", Goal::AtMost(5.0)),
    ("guard_revocation_two_threads_of_unshared", Goal::AtLeast(0.9)),
    ("guard_two_threads_speedup", Goal::AtLeast(1.7)),
    ("guard_unknown_kid_ns", Goal::AtMost(2_500.0)),
    ("http_axum_guarded_over_unguarded", Goal::AtLeast(0.92)),
    ("http_axum_guarded_over_unguarded_10000", Goal::AtLeast(0.85)),
    ("http_hyper_guarded_over_unguarded", Goal::AtLeast(0.92)),
    ("http_hyper_guarded_over_unguarded_10000", Goal::AtLeast(0.85)),
    ("http_tonic_guarded_over_unguarded", Goal::AtLeast(0.92)),
    ("http_tonic_guarded_over_unguarded_10000", Goal::AtLeast(0.85)),
    ("policy_eval_ns", Goal::AtMost(60.0)),
];

#[derive(Clone, Copy)]
enum Goal {
    AtMost(f64),
    AtLeast(f64),
}

/// Whether this is `cargo bench`. `cargo test` runs benches too, once and briefly, to see that they work.
pub(crate) fn is_measuring() -> bool {
    env::args().any(|argument| argument == "--bench")
}

/// Whether this part of a bench is to be run: all are, unless some are named.
pub(crate) fn is_wanted(part: &str) -> bool {
    let mut named = env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    named.peek().is_none() || named.any(|name| name == part)
}

impl Summary {
    pub(crate) fn new() -> Self {
        Self { figures: BTreeMap::new() }
    }

    /// Takes in one figure, under its name in the table of goals.
    pub(crate) fn tell(&mut self, name: &str, value: f64) {
        let is_known = name == YARDSTICK || GOALS.iter().any(|(known, _)| *known == name);
        assert!(is_known, "{name} is in no table");
        self.figures.insert(name.to_owned(), value);
    }

    /// Prints all figures there are by now, those of earlier benches as well, and writes them down.
    pub(crate) fn finish(mut self) {
        if !is_measuring() {
            return;
        }
        let path = path();
        if let Some(earlier) = fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok()) {
            let ours = std::mem::replace(&mut self.figures, earlier);
            self.join(ours);
        }
        println!("\n{:<34} {:>12} {:>12}  goal", "figure", "measured", "scaled");
        for (name, value) in &self.figures {
            let Some((_, goal)) = GOALS.iter().find(|(known, _)| known == name) else {
                println!("{name:<34} {value:>12.3}");
                continue;
            };
            let scaled = self.scaled(name, *value);
            let (sign, bound, reached) = match *goal {
                Goal::AtMost(most) => ("<=", most, scaled <= most),
                Goal::AtLeast(least) => (">=", least, scaled >= least),
            };
            let verdict = if reached { "" } else { "MISSED" };
            println!("{name:<34} {value:>12.3} {scaled:>12.3}  {sign} {bound:<6} {verdict}");
        }
        let text = serde_json::to_string_pretty(&self.figures).expect("figures are plain numbers");
        match fs::write(&path, text + "\n") {
            Ok(()) => println!("written to {}", path.display()),
            Err(error) => println!("{} could not be written: {error}", path.display()),
        }
    }
}

impl Summary {
    /// Takes in the figures of this run, which came later. There is one yardstick in the file, this run's: times of an
    /// earlier run are restated in terms of it, so that they are judged as they were.
    fn join(&mut self, ours: BTreeMap<String, f64>) {
        if let (Some(earlier), Some(now)) = (self.figures.get(YARDSTICK).copied(), ours.get(YARDSTICK)) {
            for (_, value) in self.figures.iter_mut().filter(|(name, _)| is_time(name)) {
                *value *= now / earlier;
            }
        }
        self.figures.extend(ours);
    }

    /// A time as it would be where the yardstick takes what it took when the goals were set; any other figure as it is.
    fn scaled(&self, name: &str, value: f64) -> f64 {
        match self.figures.get(YARDSTICK) {
            Some(yardstick) if is_time(name) => value * REFERENCE_NS / yardstick,
            _ => value,
        }
    }
}

fn is_time(name: &str) -> bool {
    name.ends_with("_ns")
}

fn path() -> PathBuf {
    // Cargo's directory for the files of benches lies in the target directory.
    let mut path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    path.set_file_name("bench-summary.json");
    path
}
