#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::statements::TARGET.seed(), |data: &[u8]| oauth_fuzz::statements::TARGET.run(data));
