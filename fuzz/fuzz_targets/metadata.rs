#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::metadata::TARGET.seed(), |data: &[u8]| oauth_fuzz::metadata::TARGET.run(data));
