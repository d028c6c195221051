//! HTTP on a port of this machine that answers as AWS does, by operation.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

/// The account that it says it is.
pub const ACCOUNT: &str = "123456789012";

/// The status of an answer that is not given: the connection is cut.
pub const CUT: u16 = 0;

/// What is asked.
pub struct Asked {
    /// The operation, from `x-amz-target` or, in the Query protocol, from the form.
    pub operation: String,
    /// The request; in the Query protocol a string, the form.
    pub request: Value,
    /// How many of that operation came before it.
    pub before: usize,
    /// The header that names the key it is signed with.
    pub authorization: String,
}

/// A request that came.
struct Call {
    operation: String,
    request: Value,
    /// As it came.
    body: String,
}

type Calls = Arc<Mutex<Vec<Call>>>;

/// The server.
pub struct Server {
    url: String,
    calls: Calls,
}

impl Server {
    /// Starts one. `answer` gives the status and the body, in the Query protocol a string, the XML.
    pub fn start<F>(answer: F) -> Self
    where
        F: Fn(&Asked) -> (u16, Value) + Send + Sync + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let calls = Calls::default();
        let (answer, seen) = (Arc::new(answer), Arc::clone(&calls));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (Arc::clone(&answer), Arc::clone(&seen));
                std::thread::spawn(move || serve(stream, answer.as_ref(), &seen));
            }
        });
        Self { url, calls }
    }

    /// Where it listens.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The operations, in the order in which they were asked for.
    pub fn operations(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|call| call.operation.clone()).collect()
    }

    /// The requests of an operation.
    pub fn calls(&self, operation: &str) -> Vec<Value> {
        self.of(operation, |call| call.request.clone())
    }

    /// The bodies of an operation's requests, to the last byte.
    pub fn bodies(&self, operation: &str) -> Vec<String> {
        self.of(operation, |call| call.body.clone())
    }

    fn of<T>(&self, operation: &str, take: impl Fn(&Call) -> T) -> Vec<T> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|call| call.operation == operation).map(take).collect()
    }
}

fn serve<F>(stream: TcpStream, answer: &F, seen: &Calls)
where
    F: Fn(&Asked) -> (u16, Value),
{
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut length, mut target, mut authorization) = (0, String::new(), String::new());
    let lines = reader.by_ref().lines().map_while(Result::ok);
    let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    // A connection that was opened and given up asks for nothing.
    if head.is_empty() {
        return;
    }
    for line in &head {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "x-amz-target" => target = value.rsplit('.').next().unwrap_or_default().to_owned(),
            "authorization" => authorization = value.to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    // Who was interrupted may be gone in the middle of a request.
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let body = String::from_utf8(body).unwrap();
    let form = target.is_empty().then_some(&body);
    let action = form.and_then(|form| form.strip_prefix("Action=")?.split('&').next());
    let operation = action.unwrap_or(&target).to_owned();
    let (status, text) = if operation == "GetCallerIdentity" {
        let identity = format!(
            "<GetCallerIdentityResult><Account>{ACCOUNT}</Account></GetCallerIdentityResult>"
        );
        (200, format!("<GetCallerIdentityResponse>{identity}</GetCallerIdentityResponse>"))
    } else {
        let request = match form {
            Some(form) => Value::String(form.clone()),
            None => serde_json::from_str(&body).unwrap(),
        };
        let before = {
            let mut calls = seen.lock().unwrap();
            let before = calls.iter().filter(|call| call.operation == operation).count();
            let (operation, request) = (operation.clone(), request.clone());
            calls.push(Call { operation, request, body });
            before
        };
        match answer(&Asked { operation, request, before, authorization }) {
            (status, Value::String(xml)) => (status, xml),
            (status, body) => (status, body.to_string()),
        }
    };
    if status == CUT {
        return;
    }
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        text.len()
    );
    let mut stream = stream;
    // Who was interrupted does not wait for the answer.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(text.as_bytes()));
}

/// SSM's Parameter Store, as far as a lock needs it. The error codes are those of AWS.
#[derive(Clone, Default)]
pub struct Parameters(Arc<Mutex<BTreeMap<String, String>>>);

impl Parameters {
    /// Answers an operation; `None` for what is none of SSM.
    pub fn answer(&self, operation: &str, request: &Value) -> Option<(u16, Value)> {
        let mut all = self.0.lock().unwrap();
        let name = request["Name"].as_str().unwrap_or_default().to_owned();
        let error = |code: &str| (400, json!({ "__type": code, "message": name }));
        Some(match operation {
            "GetParameter" => match all.get(&name) {
                Some(value) => (200, json!({ "Parameter": { "Name": name, "Value": value } })),
                None => error("ParameterNotFound"),
            },
            "PutParameter" if all.contains_key(&name) && request["Overwrite"] != true => {
                error("ParameterAlreadyExists")
            }
            "PutParameter" => {
                all.insert(name, request["Value"].as_str().unwrap().to_owned());
                (200, json!({ "Version": 1, "Tier": "Standard" }))
            }
            "DeleteParameter" => match all.remove(&name) {
                Some(_) => (200, json!({})),
                None => error("ParameterNotFound"),
            },
            _ => return None,
        })
    }

    /// Sets one, as somebody else would.
    pub fn set(&self, name: &str, value: &str) {
        self.0.lock().unwrap().insert(name.into(), value.into());
    }

    /// Removes one, as somebody else would.
    pub fn remove(&self, name: &str) {
        self.0.lock().unwrap().remove(name);
    }

    /// The value of one.
    pub fn get(&self, name: &str) -> Option<String> {
        self.0.lock().unwrap().get(name).cloned()
    }

    /// The names of all.
    pub fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }
}
