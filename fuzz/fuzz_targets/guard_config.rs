#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::guard_config::TARGET.seed(), |data: &[u8]| oauth_fuzz::guard_config::TARGET.run(data));
