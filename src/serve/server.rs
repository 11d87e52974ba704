//! The port: connections, their limits, and who answers what.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use super::access::{self, Access};
use super::answer::{Answer, finish, plain_text, set};
use super::request::{Asked, Refusal};
use super::stalled::Stalled;
use super::{files, pages, s3};
use crate::error::{Error, ErrorKind, IoContext, Result};
use crate::live::Live;
use crate::runtime::CancelToken;

/// What bounds the memory and the time that clients can take.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Limits {
    /// Connections at once; others wait until one ends.
    pub connections: usize,
    /// Parts of files that are read at once.
    pub reads: usize,
    /// For how long a connection may not get on.
    pub stalled: Duration,
    /// For how long the header of a request may take.
    pub header: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            connections: 512,
            reads: (2 * cores).max(4),
            stalled: Duration::from_secs(60),
            header: Duration::from_secs(15),
        }
    }
}

/// What is served.
pub struct Served {
    /// The snapshots.
    pub live: Live,
    /// The name of the bucket that they lie in for clients of S3.
    pub bucket: String,
    /// Who may read.
    pub access: Access,
    /// What clients can take.
    pub limits: Limits,
}

/// What the answer to a request is made of.
pub(super) struct Context {
    live: Arc<Live>,
    pub(super) bucket: String,
    access: Access,
    reads: Arc<Semaphore>,
}

impl Context {
    /// Does something that reads, in a thread that may wait for it.
    pub(super) async fn read<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Live) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let _place = self.reads.acquire().await.map_err(|_| Error::Interrupted)?;
        let live = self.live.clone();
        tokio::task::spawn_blocking(move || work(&live)).await.map_err(|_| Error::WorkerStopped)?
    }

    pub(super) fn reads(&self) -> Arc<Semaphore> {
        self.reads.clone()
    }
}

/// How often it is looked whether the work is to end.
const STEP: Duration = Duration::from_millis(100);
/// How long answers that are on their way may take after that.
const GRACE: Duration = Duration::from_secs(2);
/// The longest header of a request, in bytes.
const MAX_HEADER: usize = 32 << 10;

/// Answers requests on this socket until the token says that the work is to end.
///
/// # Errors
/// If the socket cannot be used, or no thread can be started.
pub fn serve(socket: TcpListener, served: Served, cancel: &CancelToken) -> Result<()> {
    let address = || socket.local_addr().map_or_else(|_| "the socket".into(), |address| address.to_string());
    socket.set_nonblocking(true).when("use", address())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime =
        runtime.map_err(|source| Error::Exhausted { what: "threads to serve with", source: source.into() })?;
    let done = runtime.block_on(accept(socket, served, cancel));
    runtime.shutdown_timeout(GRACE);
    done
}

async fn accept(socket: TcpListener, served: Served, cancel: &CancelToken) -> Result<()> {
    let Served { live, bucket, access, limits } = served;
    let socket = tokio::net::TcpListener::from_std(socket).when("use", "the socket")?;
    let reads = Arc::new(Semaphore::new(limits.reads));
    let context = Arc::new(Context { live: Arc::new(live), bucket, access, reads });
    let places = Arc::new(Semaphore::new(limits.connections));
    while !cancel.is_cancelled() {
        let Ok(Ok(place)) = tokio::time::timeout(STEP, places.clone().acquire_owned()).await else { continue };
        let Ok(accepted) = tokio::time::timeout(STEP, socket.accept()).await else { continue };
        let Ok((stream, _)) = accepted else {
            // The system has no file left for it, most likely: others will end.
            tokio::time::sleep(STEP).await;
            continue;
        };
        let context = context.clone();
        tokio::spawn(async move {
            let _ = stream.set_nodelay(true);
            let stream = TokioIo::new(Stalled::new(stream, limits.stalled));
            let mut http = http1::Builder::new();
            http.timer(TokioTimer::new()).header_read_timeout(limits.header).max_header_size(MAX_HEADER);
            let service = service_fn(|request: Request<Incoming>| {
                let context = context.clone();
                async move { Ok::<_, Infallible>(respond(&context, request).await) }
            });
            // A connection that breaks off concerns its client alone.
            let _ = http.serve_connection(stream, service).await;
            drop(place);
        });
    }
    let _ = tokio::time::timeout(GRACE, places.acquire_many(limits.connections as u32)).await;
    Ok(())
}

async fn respond(context: &Arc<Context>, request: Request<Incoming>) -> Answer {
    let (parts, body) = request.into_parts();
    // A request that brings something is refused without reading that.
    drop(body);
    let mut answer = match Asked::new(parts) {
        Ok(asked) => {
            let mut answer = routed(context, &asked).await;
            if asked.is_head() {
                *answer.body_mut() = super::body::AnswerBody::empty();
            }
            answer
        }
        Err(Refusal::Method) => {
            let mut refused =
                s3::failure(StatusCode::METHOD_NOT_ALLOWED, "MethodNotAllowed", "snapshots are read only");
            set(&mut refused, header::ALLOW, "GET, HEAD");
            refused.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            refused
        }
        Err(Refusal::Address) => plain_text(StatusCode::BAD_REQUEST, "the address of the request is not a path"),
    };
    finish(answer.headers_mut());
    answer
}

async fn routed(context: &Arc<Context>, asked: &Asked) -> Answer {
    if !asked.host().is_some_and(|host| is_own(&context.access.hosts, host)) {
        let text = "this server is not reached under the host that the request names: see --server-name";
        return plain_text(StatusCode::MISDIRECTED_REQUEST, text);
    }
    let bucket = context.bucket.as_bytes();
    let key = asked.path.strip_prefix(bucket).and_then(|rest| match rest {
        [] => Some(rest),
        [b'/', key @ ..] => Some(key),
        _ => None,
    });
    let is_s3 = key.is_some() || s3::is_signed(asked);
    let answered = if is_s3 {
        if let Some(secret) = &context.access.keys
            && let Err(denied) = s3::verify(asked, secret, now())
        {
            return s3::denied(denied);
        }
        match key {
            Some(key) => s3::in_bucket(context, asked, key).await,
            None if asked.path.is_empty() => Ok(s3::buckets(context)),
            None => {
                return s3::failure(StatusCode::NOT_FOUND, "NoSuchBucket", "the one bucket here has another name");
            }
        }
    } else {
        if let Some(token) = &context.access.token
            && let Some(answer) = access::refused(asked, token)
        {
            return answer;
        }
        match pages::get(context, asked).await {
            Some(page) => page,
            None => files::get(context, asked).await,
        }
    };
    answered.unwrap_or_else(|error| failed(&error, is_s3))
}

/// Whether the host of a request is one of these names.
fn is_own(hosts: &[String], host: &str) -> bool {
    hosts.iter().any(|own| own.eq_ignore_ascii_case(host))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// What is said where something could not be read.
fn failed(error: &Error, is_s3: bool) -> Answer {
    let (status, code) = match error.kind() {
        ErrorKind::NotFound => (StatusCode::NOT_FOUND, "NoSuchKey"),
        ErrorKind::Usage => (StatusCode::BAD_REQUEST, "InvalidArgument"),
        ErrorKind::Conflict => (StatusCode::GONE, "NoSuchKey"),
        ErrorKind::Busy | ErrorKind::Storage | ErrorKind::System | ErrorKind::Interrupted => {
            (StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable")
        }
        _ => (StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
    };
    let text = error.message();
    if is_s3 { s3::failure(status, code, &text) } else { plain_text(status, text) }
}

/// The names under which a socket of this address is reached.
pub fn names_of(address: SocketAddr) -> Vec<String> {
    let ip = address.ip();
    let mut names = vec![if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() }];
    if ip.is_loopback() || ip.is_unspecified() {
        names.extend(["localhost", "127.0.0.1", "[::1]"].map(String::from));
    }
    names
}
