#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::introspection::TARGET.seed(), |data: &[u8]| oauth_fuzz::introspection::TARGET.run(data));
