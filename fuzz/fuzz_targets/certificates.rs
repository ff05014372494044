#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::certificates::TARGET.seed(), |data: &[u8]| oauth_fuzz::certificates::TARGET.run(data));
