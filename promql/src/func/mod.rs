//! The functions of the language: one table, and families by file.

mod table;

pub use table::{Function, FunctionId, Repeat};
