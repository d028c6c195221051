//! Requests to the service, over a plain socket: HTTP/1.0, so that a body ends with the
//! connection.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// GET.
pub fn get(url: &str) -> Answer {
    request(url, "GET", "", "")
}

/// POST of JSON.
pub fn post(url: &str, json: &str) -> Answer {
    request(url, "POST", "", json)
}

/// A call to the emulator's AWS, by its `x-amz-target`.
pub fn aws(url: &str, target: &str, request: &Value) -> Answer {
    self::request(url, "POST", &format!("X-Amz-Target: {target}\r\n"), &request.to_string())
}

fn request(url: &str, method: &str, headers: &str, body: &str) -> Answer {
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let head = format!(
        "{method} /{path} HTTP/1.0\r\nHost: {authority}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let split = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").unwrap();
    let status = String::from_utf8_lossy(&answer[..split]);
    let status = status.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap();
    Answer { status, body: answer.split_off(split + 4) }
}
