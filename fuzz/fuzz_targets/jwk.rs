#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::jwk::TARGET.seed(), |data: &[u8]| oauth_fuzz::jwk::TARGET.run(data));
