//! Operators over whole series: each node is evaluated for all steps before its parent.

mod window;
