//! Decodes arbitrary bytes as an envelope: an error, or the same envelope when it is encoded and decoded again.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| torture::hostile::decode_envelope(bytes));
