#![no_main]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| avro_snap_fuzz::repository::parity(bytes));
