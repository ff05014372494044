//! What all targets have in common: seeds, and bounds on memory and time.

use std::path::Path;

use rustix::time::{ClockId, clock_gettime};

/// The longest input that is tried, in bytes.
pub const LONGEST: usize = 64 * 1024;
/// Memory that a parser may use for an input of no length, and for each byte of one.
const MEMORY: (u64, u64) = (512 * 1024, 160);
/// Processor time for an input of [`LONGEST`] bytes, in nanoseconds. What is linear takes a tenth of it on a slow machine,
/// and with a quadratic step it is several times as long.
const NANOSECONDS: i128 = 2_000_000_000;
/// The variable that names the directory where seeds are written before fuzzing starts.
const SEEDS: &str = "OAUTH_FUZZ_SEEDS";

/// One fuzz target.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Panics when what it asserts does not hold for this input.
    pub check: fn(&[u8]),
    /// Inputs to start from.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

impl Target {
    /// Checks one input, and once in a while a long one made of it.
    pub fn run(&self, data: &[u8]) {
        (self.check)(data);
        if let Some(long) = stretched(data) {
            let before = processor_time();
            (self.check)(&long);
            let took = processor_time() - before;
            assert!(took < NANOSECONDS, "{} bytes took {} ms", long.len(), took / 1_000_000);
        }
    }

    /// Writes the seeds where the environment asks for them.
    ///
    /// # Panics
    /// When they cannot be written: fuzzing would start from nothing.
    pub fn seed(&self) {
        let Some(directory) = std::env::var_os(SEEDS) else { return };
        let directory = Path::new(&directory);
        std::fs::create_dir_all(directory).expect("make the directory for seeds");
        for (number, seed) in (self.seeds)().iter().enumerate() {
            std::fs::write(directory.join(format!("seed-{number:04}")), seed).expect("write a seed");
        }
    }
}

/// Runs a parser and asserts that the memory it uses is bounded by the length of its input.
pub(crate) fn bounded<T>(length: usize, parse: impl FnOnce() -> T) -> T {
    let mut result = None;
    let used = allocation_counter::measure(|| result = Some(parse()));
    let most = MEMORY.0 + MEMORY.1 * length as u64;
    assert!(used.bytes_max <= most, "{length} bytes took {} bytes of memory", used.bytes_max);
    result.expect("it was run")
}

/// The text with something in each place of a dollar. `None` when it grows far beyond [`LONGEST`], for which the bound on
/// time is.
pub(crate) fn filled(text: &[u8], with: &str) -> Option<Vec<u8>> {
    let places = text.iter().filter(|byte| **byte == b'$').count();
    if text.len() + places * with.len() > 2 * LONGEST {
        return None;
    }
    let part = |byte: &u8| if *byte == b'$' { with.as_bytes().to_vec() } else { vec![*byte] };
    Some(text.iter().flat_map(part).collect())
}

/// One input in 256, with its middle repeated: a cost that grows faster than the length shows.
fn stretched(data: &[u8]) -> Option<Vec<u8>> {
    let sum =
        data.iter().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    if !(8..LONGEST / 4).contains(&data.len()) || sum % 256 != 0 {
        return None;
    }
    let place = |seed: u32| (seed >> 8) as usize % data.len();
    let (one, other) = (place(sum), place(sum.rotate_left(13)));
    let (from, to) = (one.min(other), one.max(other) + 1);
    let middle = &data[from..to];
    let times = (LONGEST - data.len()) / middle.len();
    Some([&data[..from], &middle.repeat(times), &data[from..]].concat())
}

/// Of this thread, in nanoseconds.
fn processor_time() -> i128 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}
