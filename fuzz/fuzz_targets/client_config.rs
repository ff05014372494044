#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::client_config::TARGET.seed(), |data: &[u8]| oauth_fuzz::client_config::TARGET.run(data));
