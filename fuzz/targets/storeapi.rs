//! Any bytes as requests of the StoreAPI: read, refused or accepted, never a panic; what is accepted once is accepted again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sarsen_server::wire::storeapi::accepted_as;

fuzz_target!(|data: &[u8]| {
    assert_eq!(accepted_as(data), accepted_as(data));
});
