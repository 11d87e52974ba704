//! A client of HTTP/1.1 that sends exactly what it is told to, and signs as clients of S3 do.

#![allow(dead_code, reason = "each test uses a part")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use avro_snap::crypto::{hmac_sha256, sha256};
use avro_snap::id::hex;

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: u16,
    pub(crate) headers: String,
    pub(crate) body: Vec<u8>,
}

impl Answered {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

/// Sends bytes and reads until the other side closes.
pub(crate) fn exchange(port: u16, bytes: &[u8]) -> Option<Answered> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    // It may be refused before all of it is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let headers = String::from_utf8_lossy(&answer[..end]).into_owned();
    let status = headers.split(' ').nth(1)?.parse().ok()?;
    Some(Answered { status, headers, body: answer[end + 4..].to_vec() })
}

/// A request with these headers.
pub(crate) fn ask(port: u16, method: &str, address: &str, headers: &[(&str, &str)]) -> Answered {
    let mut request = format!("{method} {address} HTTP/1.1\r\nconnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "host") {
        request.push_str(&format!("host: 127.0.0.1:{port}\r\n"));
    }
    for (name, value) in headers {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    request.push_str("\r\n");
    exchange(port, request.as_bytes()).unwrap_or_else(|| panic!("no answer to {request}"))
}

pub(crate) fn get(port: u16, address: &str) -> Answered {
    ask(port, "GET", address, &[])
}

/// What signs the requests of a client of S3.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

impl Keys {
    /// The headers of a signed request, made at this time (like `20261130T120000Z`). The query must be in order.
    pub(crate) fn headers(&self, port: u16, method: &str, address: &str, time: &str) -> Vec<(&'static str, String)> {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let day = &time[..8];
        let host = format!("127.0.0.1:{port}");
        let payload = "UNSIGNED-PAYLOAD";
        let request = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{payload}\nx-amz-date:{time}\n\nhost;x-amz-content-sha256;\
             x-amz-date\n{payload}"
        );
        let scope = format!("{day}/us-east-1/s3/aws4_request");
        let to_sign = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&sha256(request.as_bytes())));
        let mut key = hmac_sha256(format!("AWS4{}", self.secret_key).as_bytes(), day.as_bytes());
        for part in ["us-east-1", "s3", "aws4_request"] {
            key = hmac_sha256(&key, part.as_bytes());
        }
        let signature = hex(&hmac_sha256(&key, to_sign.as_bytes()));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={}/{scope}, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature={signature}",
            self.access_key
        );
        vec![
            ("host", host),
            ("x-amz-content-sha256", payload.into()),
            ("x-amz-date", time.into()),
            ("authorization", authorization),
        ]
    }

    pub(crate) fn get(&self, port: u16, address: &str) -> Answered {
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let headers = self.headers(port, "GET", address, &time);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        ask(port, "GET", address, &headers)
    }
}
