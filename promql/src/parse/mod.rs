//! Text to tree: words, tree, grammar, checks, and text again.

pub mod ast;
