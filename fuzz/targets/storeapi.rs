//! Any bytes as messages of the StoreAPI, requests and answers: read, refused or accepted, never a panic; what is accepted once is
//! accepted again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sarsen_server::wire::storeapi::{accepted_as, frames_in};

fuzz_target!(|data: &[u8]| {
    assert_eq!(accepted_as(data), accepted_as(data));
    assert_eq!(frames_in(data), frames_in(data));
});
