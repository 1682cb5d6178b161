//! As many open files as the system allows: a server holds a connection a sender and files a tenant, and the usual limit of
//! 1,024 is meant for programs that call `select`.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one. Without success everything stays as it was.
pub(crate) fn raise_limit() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(err) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(err = %err, "cannot raise the limit of open files");
    }
}
