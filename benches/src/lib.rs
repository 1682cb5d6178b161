//! Generators of realistic series, shared by the benches.
