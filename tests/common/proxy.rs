//! A proxy in front of an object store on this machine: counts what goes by, makes it slow, and does to requests what
//! networks and stores do.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "this is part of tests")]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::listen::listen;

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The connection is cut, and the store hears nothing of it.
    CutBefore,
    /// The store does it, and the connection is cut before the answer.
    CutAfter,
    /// The store hears nothing of it, and this is answered.
    AnswerBefore(u16, &'static str),
    /// The store does it, and this is answered.
    AnswerAfter(u16, &'static str),
    /// The store does it, and the answer comes so much later.
    Late(Duration),
    /// Half of the answer's body comes, and then the connection is cut.
    Truncated,
}

/// A request that went by.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// The storage class that is asked for, if any.
    pub class: Option<String>,
    /// Bytes of head and body.
    pub sent: u64,
    pub received: u64,
    pub begun: Instant,
    pub ended: Instant,
}

type Plan = Box<dyn FnMut(&str, &str) -> Option<Fault> + Send>;

struct State {
    upstream: u16,
    latency: Mutex<Duration>,
    plan: Mutex<Option<Plan>>,
    seen: Mutex<Vec<Request>>,
}

/// Serves as long as the process lives.
pub struct Proxy {
    pub port: u16,
    state: Arc<State>,
}

impl Proxy {
    pub fn before(upstream: u16) -> Self {
        let state =
            Arc::new(State { upstream, latency: Mutex::default(), plan: Mutex::default(), seen: Mutex::default() });
        let serving = state.clone();
        Self { port: listen(move |client| serving.serve(client)), state }
    }

    /// What becomes of requests from now on, by method and target.
    pub fn plan(&self, plan: impl FnMut(&str, &str) -> Option<Fault> + Send + 'static) {
        *self.state.plan.lock().unwrap() = Some(Box::new(plan));
    }

    pub fn be_sound(&self) {
        *self.state.plan.lock().unwrap() = None;
    }

    pub fn latency(&self, latency: Duration) {
        *self.state.latency.lock().unwrap() = latency;
    }

    /// What went by since this was asked for last.
    pub fn take(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.seen.lock().unwrap())
    }
}

/// How many of the requests came one after the other: the most of which no two were on their way at the same time.
pub fn in_a_row(requests: &[Request]) -> usize {
    let mut by_end: Vec<&Request> = requests.iter().collect();
    by_end.sort_by_key(|request| request.ended);
    let mut last: Option<Instant> = None;
    by_end
        .iter()
        .filter(|request| {
            last.is_none_or(|end| request.begun >= end) && {
                last = Some(request.ended);
                true
            }
        })
        .count()
}

pub fn bytes_sent(requests: &[Request]) -> u64 {
    requests.iter().map(|request| request.sent).sum()
}

impl State {
    /// One request, one connection.
    fn serve(&self, mut client: TcpStream) {
        let _ = client.set_nodelay(true);
        let Some(request) = Message::read(&mut client, false) else { return };
        let first = String::from_utf8_lossy(&request.head).lines().next().unwrap_or("").to_string();
        let mut words = first.split(' ').map(String::from);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let begun = Instant::now();
        let fault = self.plan.lock().unwrap().as_mut().and_then(|plan| plan(&method, &target));
        let answer = self.answer(&request, &method, fault);
        std::thread::sleep(*self.latency.lock().unwrap());
        if let Some(Fault::Late(time)) = fault {
            std::thread::sleep(time);
        }
        let received = answer.as_ref().map_or(0, Message::len);
        let class = request.header("x-amz-storage-class").or_else(|| request.header("x-ms-access-tier"));
        let seen = Request { method, target, class, sent: request.len(), received, begun, ended: Instant::now() };
        // Before the answer: whoever has it may ask for what went by.
        self.seen.lock().unwrap().push(seen);
        if let Some(answer) = answer {
            let _ = client.write_all(&answer.head);
            let end = if fault == Some(Fault::Truncated) { answer.body.len() / 2 } else { answer.body.len() };
            let _ = client.write_all(&answer.body[..end]);
        }
        let _ = client.shutdown(Shutdown::Both);
    }

    fn answer(&self, request: &Message, method: &str, fault: Option<Fault>) -> Option<Message> {
        match fault {
            Some(Fault::CutBefore) => return None,
            Some(Fault::AnswerBefore(status, code)) => return Some(Message::error(status, code)),
            _ => {}
        }
        let answer = self.ask(request, method);
        match fault {
            Some(Fault::CutAfter) => None,
            Some(Fault::AnswerAfter(status, code)) => Some(Message::error(status, code)),
            _ => answer,
        }
    }

    /// Asks the store.
    fn ask(&self, request: &Message, method: &str) -> Option<Message> {
        let mut store = TcpStream::connect(("127.0.0.1", self.upstream)).ok()?;
        let _ = store.set_nodelay(true);
        store.write_all(&[&request.closing()[..], &request.body].concat()).ok()?;
        let mut answer = Message::read(&mut store, method == "HEAD")?;
        answer.head = answer.closing();
        Some(answer)
    }
}

/// A request or an answer.
#[derive(Debug)]
struct Message {
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Message {
    fn read(stream: &mut TcpStream, is_without_body: bool) -> Option<Self> {
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            match stream.read(&mut buffer) {
                Ok(0) | Err(_) => return None,
                Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            }
        };
        let mut message = Self { body: bytes.split_off(end), head: bytes };
        let is_answer = message.head.starts_with(b"HTTP/");
        let length = message.header("content-length").and_then(|text| text.parse::<usize>().ok());
        let length = match (is_without_body, length) {
            (true, _) => Some(0),
            // A request without a length has no body. An answer without one ends with the connection.
            (_, None) if !is_answer => Some(0),
            (_, length) => length,
        };
        while length.is_none_or(|length| message.body.len() < length) {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Err(_) => return None,
                Ok(count) => message.body.extend_from_slice(&buffer[..count]),
            }
        }
        Some(message)
    }

    fn header(&self, name: &str) -> Option<String> {
        let head = String::from_utf8_lossy(&self.head);
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_string())
        })
    }

    /// The head, which says that the connection ends with this.
    fn closing(&self) -> Vec<u8> {
        let head = String::from_utf8_lossy(&self.head).into_owned();
        let lines = head.lines().filter(|line| {
            let name = line.split(':').next().unwrap_or("").to_ascii_lowercase();
            !line.is_empty() && !matches!(name.as_str(), "connection" | "keep-alive")
        });
        let lines: Vec<&str> = lines.chain(["Connection: close"]).collect();
        format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
    }

    fn error(status: u16, code: &str) -> Self {
        let body = format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>by the proxy</Message></Error>");
        let head = format!(
            "HTTP/1.1 {status} Made Up\r\nContent-Type: application/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        Self { head: head.into_bytes(), body: body.into_bytes() }
    }

    fn len(&self) -> u64 {
        (self.head.len() + self.body.len()) as u64
    }
}

/// Faults by chance, the same for the same seed.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
