//! What stands before every handler of a listener: passwords and fixed headers of the web configuration.
//!
//! A password that fitted is remembered by a keyed hash of user and password, because checking one costs 50 ms and more
//! of a processor; checks run away from the threads that serve connections. Unknown users cost the same as known ones.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use parking_lot::Mutex;

use super::base64;
use super::password::PasswordHash;
use crate::config::web::WebConfig;

const REMEMBERED: usize = 100;
/// Fits no password that anybody has; checked for users that do not exist.
const NOBODY: &str = "$2a$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// The checks of one listener.
#[derive(Debug)]
pub(crate) struct Guard {
    users: BTreeMap<String, PasswordHash>,
    nobody: Option<PasswordHash>,
    headers: Vec<(HeaderName, HeaderValue)>,
    keys: [RandomState; 2],
    fitted: Mutex<Vec<[u64; 2]>>,
}

impl Guard {
    /// From the configuration; `None` if there is nothing to check or to add. The fault names what cannot be used.
    pub(crate) fn new(config: &WebConfig) -> Result<Option<Arc<Self>>, String> {
        if config.users.is_empty() && config.headers.is_empty() {
            return Ok(None);
        }
        let user = |(name, hash): (&String, &String)| {
            let hash = PasswordHash::parse(hash);
            hash.map(|hash| (name.clone(), hash))
                .ok_or_else(|| format!("basic_auth_users: the password of {name} is no bcrypt hash"))
        };
        let head = |(name, value): (&String, &String)| {
            let (name_, value_) = (HeaderName::try_from(name), HeaderValue::try_from(value));
            name_
                .ok()
                .zip(value_.ok())
                .ok_or_else(|| format!("http_server_config.headers: {name} cannot have this value"))
        };
        Ok(Some(Arc::new(Self {
            users: config.users.iter().map(user).collect::<Result<_, _>>()?,
            nobody: PasswordHash::parse(NOBODY),
            headers: config.headers.iter().map(head).collect::<Result<_, _>>()?,
            keys: [RandomState::new(), RandomState::new()],
            fitted: Mutex::default(),
        })))
    }

    /// Puts the checks before every route.
    pub(crate) fn before(self: Arc<Self>, router: Router) -> Router {
        router.layer(middleware::from_fn_with_state(self, check))
    }

    async fn lets_in(self: &Arc<Self>, headers: &HeaderMap) -> bool {
        let Some((user, password)) = credentials(headers) else { return false };
        let seen = self.keys.each_ref().map(|key| key.hash_one((&user, &password)));
        if self.fitted.lock().contains(&seen) {
            return true;
        }
        let guard = Arc::clone(self);
        let checked = tokio::task::spawn_blocking(move || match guard.users.get(&user) {
            Some(hash) => hash.fits(&password),
            None => {
                guard.nobody.as_ref().map(|hash| hash.fits(&password));
                false
            }
        });
        let fits = checked.await.unwrap_or(false);
        if fits {
            let mut fitted = self.fitted.lock();
            if fitted.len() == REMEMBERED {
                fitted.remove(0);
            }
            fitted.push(seen);
        }
        fits
    }
}

async fn check(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    let mut response = if guard.users.is_empty() || guard.lets_in(request.headers()).await {
        next.run(request).await
    } else {
        (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Basic")], "Unauthorized\n").into_response()
    };
    for (name, value) in &guard.headers {
        response.headers_mut().insert(name, value.clone());
    }
    response
}

/// User and password of a request.
fn credentials(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    // Padding may be missing.
    let plain = base64::decode(encoded.trim().trim_end_matches('='), base64::STANDARD)?;
    let colon = plain.iter().position(|byte| *byte == b':')?;
    let (user, password) = plain.split_at(colon);
    Some((String::from_utf8(user.to_vec()).ok()?, password.get(1..)?.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_request() {
        let mut headers = HeaderMap::new();
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Basic YWxpY2U6c2U6Y3JldA=="));
        assert_eq!(credentials(&headers), Some(("alice".to_owned(), b"se:cret".to_vec())));
        headers.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer x"));
        assert_eq!(credentials(&headers), None);
    }

    #[tokio::test]
    async fn only_the_right_password_comes_in() {
        let users =
            [("alice".to_owned(), "$2y$05$ABCDEFGHIJKLMNOPQRSTUuVWJrfBwga8a9v97F/n7rEUBXyFPR.SO".to_owned())]
                .into();
        let guard = Guard::new(&WebConfig { users, ..WebConfig::default() }).unwrap().unwrap();
        let with = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(text));
            headers
        };
        let right = with("Basic YWxpY2U6YWJj");
        assert!(guard.lets_in(&right).await);
        assert!(guard.lets_in(&right).await, "remembered");
        assert!(!guard.lets_in(&with("Basic YWxpY2U6YWJk")).await);
        assert!(!guard.lets_in(&with("Basic Ym9iOmFiYw==")).await);
        assert!(!guard.lets_in(&HeaderMap::new()).await);
        let users = [("bob".to_owned(), "plain".to_owned())].into();
        assert!(Guard::new(&WebConfig { users, ..WebConfig::default() }).unwrap_err().contains("bob"));
    }
}
