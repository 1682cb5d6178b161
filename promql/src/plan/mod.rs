//! Tree to needs: what is constant, what is per step, and what must be fetched.

mod selection;

pub use selection::{Hint, Selection};
