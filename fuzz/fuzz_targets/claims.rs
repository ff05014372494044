#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::claims::TARGET.seed(), |data: &[u8]| oauth_fuzz::claims::TARGET.run(data));
