#![no_main]

libfuzzer_sys::fuzz_target!(init: oauth_fuzz::bearer::TARGET.seed(), |data: &[u8]| oauth_fuzz::bearer::TARGET.run(data));
