//! Operators over whole series: each node is evaluated for all steps before its parent.

mod call;
mod column;
mod names;
mod window;

pub(crate) use call::{VectorCall, VectorFunction};
pub(crate) use column::{Cell, Column, ColumnBuilder, Grid, Presence};
pub(crate) use names::{filtered, has_name, with, without_name};
pub(crate) use window::Window;
