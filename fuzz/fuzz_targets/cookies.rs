#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::cookies::TARGET.seed(), |data: &[u8]| oauth_fuzz::cookies::TARGET.run(data));
