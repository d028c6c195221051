//! A stand-in for AWS in tests: real HTTP, answers by operation, remembers what it was asked.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Aws, Session, connect_cluster};
use crate::config::{Cluster, Environment};

/// The account that it says it is.
pub const ACCOUNT: &str = "123456789012";

type Calls = Arc<Mutex<Vec<(String, Value)>>>;

/// The stand-in.
pub struct StandIn {
    url: String,
    calls: Calls,
}

impl StandIn {
    /// Starts one. `answer` gets the operation, the request and how many of that operation
    /// came before it; it gives the status and the body. In the Query protocol the request is
    /// a string, the form, and so is the body, the XML.
    pub fn start<F>(answer: F) -> Self
    where
        F: Fn(&str, &Value, usize) -> (u16, Value) + Send + Sync + 'static,
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

    /// A cluster of the configuration that is reached here.
    pub fn cluster(&self, name: &str) -> Cluster {
        Cluster {
            environment: "test".into(),
            account: ACCOUNT.into(),
            region: "eu-central-1".into(),
            profile: None,
            endpoint_url: Some(self.url.clone()),
            made_up_credentials: true,
            name: name.into(),
        }
    }

    /// An environment that is reached here: the service `app` in the cluster `app`.
    pub fn environment(&self) -> Environment {
        Environment {
            name: "test".into(),
            account: ACCOUNT.into(),
            region: "eu-central-1".into(),
            profile: None,
            endpoint_url: Some(self.url.clone()),
            made_up_credentials: true,
            repository: "app".into(),
            storage_price: None,
            registry: self.url.strip_prefix("http://").unwrap().to_owned(),
            cluster: "app".into(),
            services: vec!["app".into()],
            container: "app".into(),
            desired_count: 1,
            deadline: Duration::from_secs(60),
            lock: true,
            health: None,
            environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
            infra: None,
            emulator: None,
        }
    }

    /// Clients that ask it.
    pub async fn aws(&self) -> Aws {
        connect_cluster(&self.cluster("app")).await
    }

    /// Clients that ask it, and can be made anew.
    pub async fn session(&self) -> Session {
        Session::connect_cluster(&self.cluster("app")).await
    }

    /// The operations, in the order in which they were asked for.
    pub fn operations(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|(name, _)| name.clone()).collect()
    }

    /// The requests of an operation.
    pub fn calls(&self, operation: &str) -> Vec<Value> {
        let calls = self.calls.lock().unwrap();
        calls.iter().filter(|(name, _)| name == operation).map(|(_, body)| body.clone()).collect()
    }
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

fn serve<F>(stream: TcpStream, answer: &F, seen: &Calls)
where
    F: Fn(&str, &Value, usize) -> (u16, Value),
{
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut length, mut target) = (0, String::new());
    for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().unwrap(),
            "x-amz-target" => target = value.rsplit('.').next().unwrap_or_default().to_owned(),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let form = target.is_empty().then(|| String::from_utf8(body.clone()).unwrap());
    let action = form.as_deref().and_then(|form| form.strip_prefix("Action=")?.split('&').next());
    let operation = action.unwrap_or(&target).to_owned();
    let (status, text) = if operation == "GetCallerIdentity" {
        let identity = format!(
            "<GetCallerIdentityResult><Account>{ACCOUNT}</Account></GetCallerIdentityResult>"
        );
        (200, format!("<GetCallerIdentityResponse>{identity}</GetCallerIdentityResponse>"))
    } else {
        let request = match form {
            Some(form) => Value::String(form),
            None => serde_json::from_slice(&body).unwrap(),
        };
        let before = {
            let mut calls = seen.lock().unwrap();
            let before = calls.iter().filter(|(name, _)| *name == operation).count();
            calls.push((operation.clone(), request.clone()));
            before
        };
        match answer(&operation, &request, before) {
            (status, Value::String(xml)) => (status, xml),
            (status, body) => (status, body.to_string()),
        }
    };
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Type: application/x-amz-json-1.1\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        text.len()
    );
    let mut stream = stream;
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
}
