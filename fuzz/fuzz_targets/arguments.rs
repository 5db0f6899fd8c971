#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| coffee_fuzz::run("arguments", bytes));
