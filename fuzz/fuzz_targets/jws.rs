#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::jws::TARGET.seed(), |data: &[u8]| oauth_fuzz::jws::TARGET.run(data));
