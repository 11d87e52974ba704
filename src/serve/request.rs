//! What is asked for.

use hyper::header::{HOST, HeaderName};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Method};

use super::text::of_query;
use crate::live::percent_decoded;

/// A request whose address was understood.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// The path as it was sent, without what follows the `?`.
    pub(super) raw_path: String,
    /// The path, decoded, without the `/` that it begins with.
    pub(super) path: Vec<u8>,
    /// The query, decoded, in the order in which it was sent.
    pub(super) query: Vec<(Vec<u8>, Vec<u8>)>,
    pub(super) headers: HeaderMap,
}

/// The longest address that is looked at.
const MAX_ADDRESS: usize = 16 << 10;

/// Why a request is not looked at further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Method,
    Address,
}

impl Asked {
    pub(super) fn new(parts: Parts) -> Result<Self, Refusal> {
        let Parts { method, uri, headers, .. } = parts;
        if method != Method::GET && method != Method::HEAD {
            return Err(Refusal::Method);
        }
        let (raw_path, raw_query) = (uri.path().to_owned(), uri.query().unwrap_or_default());
        if raw_path.len() + raw_query.len() > MAX_ADDRESS {
            return Err(Refusal::Address);
        }
        // An encoded slash is one that somebody wants to smuggle into a component; no key of ours holds one.
        if raw_path.to_ascii_lowercase().contains("%2f") {
            return Err(Refusal::Address);
        }
        let path = percent_decoded(raw_path.strip_prefix('/').ok_or(Refusal::Address)?.as_bytes());
        let path = path.filter(|path| is_path(path)).ok_or(Refusal::Address)?;
        let pairs = raw_query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((of_query(key)?, of_query(value)?))
        });
        let query = query.collect::<Option<_>>().ok_or(Refusal::Address)?;
        Ok(Self { method, raw_path, path, query, headers })
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// The first value with this name in the query.
    pub(super) fn value(&self, name: &str) -> Option<&[u8]> {
        self.query.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    pub(super) fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.headers.get(name.into()).and_then(|value| value.to_str().ok())
    }

    /// The host that it was sent to, without the port.
    pub(super) fn host(&self) -> Option<&str> {
        let host = self.header(HOST)?;
        let port = host.rfind(':').filter(|colon| host[colon + 1..].bytes().all(|byte| byte.is_ascii_digit()));
        Some(port.map_or(host, |colon| &host[..colon]))
    }
}

/// Whether these bytes can be a path: nothing leads upwards, no component is empty but the last.
fn is_path(path: &[u8]) -> bool {
    let mut components = path.split(|byte| *byte == b'/').peekable();
    while let Some(component) = components.next() {
        let is_last = components.peek().is_none();
        if matches!(component, b"." | b"..") || component.contains(&0) || (component.is_empty() && !is_last) {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(address: &str) -> Result<Asked, Refusal> {
        let request = hyper::Request::builder().uri(address).body(()).map_err(|_| Refusal::Address)?;
        Asked::new(request.into_parts().0)
    }

    #[test]
    fn an_address_is_a_path_that_leads_nowhere_else() {
        let good = asked("/plain/latest/a%20b/%C3%BC?prefix=x+y&list-type=2&flag").unwrap();
        assert_eq!(good.path, "plain/latest/a b/ü".as_bytes());
        assert_eq!(good.value("prefix"), Some(&b"x y"[..]));
        assert_eq!((good.value("flag"), good.value("none")), (Some(&b""[..]), None));
        for wrong in
            ["/a/../b", "/a/%2e%2e/b", "/a%2fb", "/a%2Fb", "/a//b", "//a", "/./a", "/a%00", "/a%zz", "/a%2", "/a?x=%9"]
        {
            assert_eq!(asked(wrong).err(), Some(Refusal::Address), "{wrong}");
        }
        assert_eq!(asked(&format!("/{}", "a".repeat(20_000))).err(), Some(Refusal::Address));
        for fine in ["/", "/a/", "/a", "/a..b", "/...", "/a%252Fb"] {
            assert!(asked(fine).is_ok(), "{fine}");
        }
    }
}
