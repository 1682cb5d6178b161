//! What only the one-process mode has: a page that says what there is, the process' own metrics as its first samples, its
//! series as they were scraped, what is round its querier, and Prometheus' admin API.

mod admin;
mod around;
mod page;
mod scrape;
mod scraped;
mod text;

pub(crate) use admin::routes as admin;
pub(crate) use around::Around;
pub(crate) use page::page;
pub(crate) use scrape::scrape_self;
pub(crate) use scraped::as_scraped;
