#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::challenge::TARGET.seed(), |data: &[u8]| oauth_fuzz::challenge::TARGET.run(data));
