#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::store::TARGET.seed(), |data: &[u8]| oauth_fuzz::store::TARGET.run(data));
