//! Counting requests as they leave, and remembering what was last answered to an operation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};

use async_trait::async_trait;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpRequest, HttpResponse, HttpService, ReqwestConnector,
};

use super::direct::Lock;
use super::raw_keys::{RawKeys, hidden};
use crate::storage::Traffic;

#[derive(Debug, Default)]
pub(super) struct Counter {
    requests: AtomicU64,
    sent: AtomicU64,
    received: AtomicU64,
}

impl Counter {
    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            requests: self.requests.load(Ordering::Relaxed),
            bytes_sent: self.sent.load(Ordering::Relaxed),
            bytes_received: self.received.load(Ordering::Relaxed),
            ..Traffic::default()
        }
    }
}

tokio::task_local! {
    static ANSWER: Arc<Answer>;
}

/// The status of the last answer to the requests of one operation. Errors of the client do not carry it in a form that
/// programs can read.
#[derive(Debug, Default)]
pub(super) struct Answer(AtomicU16);

impl Answer {
    /// Does the work, and remembers the status of the last answer in it.
    pub(super) async fn of<T>(work: impl Future<Output = T>) -> (T, Option<u16>) {
        let answer = Arc::new(Self::default());
        let done = ANSWER.scope(answer.clone(), work).await;
        let status = answer.0.load(Ordering::Relaxed);
        (done, (status != 0).then_some(status))
    }

    fn note(status: u16) {
        let _ = ANSWER.try_with(|answer| answer.0.store(status, Ordering::Relaxed));
    }
}

/// Makes clients that count.
#[derive(Debug)]
pub(super) struct Counting(pub(super) Arc<Counter>);

impl HttpConnector for Counting {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let inner = ReqwestConnector::default().connect(options)?;
        Ok(HttpClient::new(Counted { inner, counter: self.0.clone() }))
    }
}

#[derive(Debug)]
struct Counted {
    inner: HttpClient,
    counter: Arc<Counter>,
}

#[async_trait]
impl HttpService for Counted {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        if let Some(lock) = request.extensions_mut().remove::<Lock>() {
            lock.put_on(&mut request).await?;
        }
        self.counter.requests.fetch_add(1, Ordering::Relaxed);
        self.counter.sent.fetch_add(request.body().content_length() as u64, Ordering::Relaxed);
        // Until an answer comes, there is none: that of an earlier request would mislead.
        Answer::note(0);
        let is_head = request.method().as_str() == "HEAD";
        let is_part = request.headers().contains_key("range");
        let lists_raw = request.extensions().get::<RawKeys>().is_some();
        let mut response = self.inner.execute(request).await?;
        let range = response.headers().get("content-range").and_then(|range| range.to_str().ok());
        // Some say of an empty object that they send a part of it, which none can be.
        if is_part
            && range.is_some_and(|range| range.ends_with("/0"))
            && let Ok(unsatisfiable) = 416.try_into()
        {
            *response.status_mut() = unsatisfiable;
        }
        // Some stores send a part, say which one it is, and call it a whole.
        if is_part
            && response.status().as_u16() == 200
            && response.headers().contains_key("content-range")
            && let Ok(partial) = 206.try_into()
        {
            *response.status_mut() = partial;
        }
        Answer::note(response.status().as_u16());
        let length = response.headers().get("content-length").and_then(|length| length.to_str().ok()?.parse().ok());
        if !is_head {
            self.counter.received.fetch_add(length.unwrap_or(0), Ordering::Relaxed);
        }
        if lists_raw && response.status().as_u16() == 200 {
            let (head, body) = response.into_parts();
            let xml = body.bytes().await?;
            return Ok(HttpResponse::from_parts(head, hidden(&xml).into()));
        }
        Ok(response)
    }
}
