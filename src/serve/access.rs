//! Who may read: keys for clients of S3, a token for everything else.

use hyper::{StatusCode, header};

use super::answer::{Answer, plain_text, set};
use super::request::Asked;
use super::text::encoded;
use crate::crypto::{Entropy, is_same_secret};
use crate::error::Result;
use crate::id::hex;

/// A pair of keys of S3.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    /// The name of the key, which clients send.
    pub access_key: String,
    /// The key itself, which they sign with.
    pub secret_key: String,
}

impl Secret {
    /// A random pair.
    ///
    /// # Errors
    /// If the system returns no random bytes.
    pub fn random(entropy: &dyn Entropy) -> Result<Self> {
        let (name, key) = (entropy.array::<8>()?, entropy.array::<20>()?);
        Ok(Self { access_key: format!("SNAP{}", hex(&name).to_uppercase()), secret_key: hex(&key) })
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secret({:?}, ..)", self.access_key)
    }
}

/// Who may read.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Access {
    /// The keys of S3. None lets requests without a signature in: for a port that only this machine reaches.
    pub keys: Option<Secret>,
    /// What requests of pages and plain files must show; none if the port is only for this machine.
    pub token: Option<String>,
    /// The names under which the server is reached, without a port. A request for another host is refused, so that a page of
    /// somebody else's in a browser cannot read what only this machine may.
    pub hosts: Vec<String>,
}

impl Access {
    /// With these keys and this token, under these names.
    pub fn new(keys: Option<Secret>, token: Option<String>, hosts: Vec<String>) -> Self {
        Self { keys, token, hosts }
    }
}

/// The cookie in which a browser keeps the token.
const COOKIE: &str = "snap_token";

/// The answer to a request of a page or file that does not show the token; none if it does. A link with `?token=` is how a
/// browser gets it: it is kept as a cookie, and the address without it is asked for again.
pub(super) fn refused(asked: &Asked, token: &str) -> Option<Answer> {
    let is_token = |shown: &[u8]| is_same_secret(shown, token.as_bytes());
    if let Some(shown) = asked.value("token") {
        if !is_token(shown) {
            return Some(plain_text(
                StatusCode::UNAUTHORIZED,
                "the token is not the one that this server was started with",
            ));
        }
        let mut answer = plain_text(StatusCode::SEE_OTHER, "the token is kept");
        set(&mut answer, header::LOCATION, &asked.raw_path);
        let value = encoded(token.as_bytes(), false);
        set(&mut answer, header::SET_COOKIE, &format!("{COOKIE}={value}; Path=/; HttpOnly; SameSite=Strict"));
        return Some(answer);
    }
    let bearer = asked.header(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
    let cookies = asked.header(header::COOKIE).unwrap_or_default().split(';');
    let cookie = cookies.filter_map(|cookie| cookie.trim().split_once('=')).find(|(name, _)| *name == COOKIE);
    let expected = encoded(token.as_bytes(), false);
    let kept = cookie.map(|(_, value)| is_same_secret(value.as_bytes(), expected.as_bytes()));
    if bearer.is_some_and(|shown| is_token(shown.trim().as_bytes())) || kept == Some(true) {
        return None;
    }
    let mut answer = plain_text(
        StatusCode::UNAUTHORIZED,
        "send the token as `Authorization: Bearer TOKEN`, or open the address with ?token=TOKEN once",
    );
    set(&mut answer, header::WWW_AUTHENTICATE, "Bearer");
    Some(answer)
}
