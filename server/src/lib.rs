//! The roles of Sarsen.
