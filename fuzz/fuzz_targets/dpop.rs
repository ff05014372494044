#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::dpop::TARGET.seed(), |data: &[u8]| oauth_fuzz::dpop::TARGET.run(data));
