#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::token_response::TARGET.seed(), |data: &[u8]| oauth_fuzz::token_response::TARGET.run(data));
