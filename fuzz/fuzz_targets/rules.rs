#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::rules::TARGET.seed(), |data: &[u8]| oauth_fuzz::rules::TARGET.run(data));
