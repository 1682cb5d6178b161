//! What only the one-process mode has: a page that says what there is, and the process' own metrics as its first samples.

mod page;
mod scrape;
mod text;

pub(crate) use page::page;
pub(crate) use scrape::scrape_self;
