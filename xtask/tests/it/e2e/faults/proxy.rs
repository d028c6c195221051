//! A reverse proxy before the emulator that lets everything through but what a rule meets.
//!
//! HTTP/1.1, one request a connection: each answer says so. Bodies go through as they come, so a
//! layer may have any size. `Host` stays as it is, and the registry's redirects are relative, so
//! all of an upload comes this way. A call to AWS is named as IAM names it (`ecs:UpdateService`),
//! any other by its method and path (`PUT /v2/app/manifests/latest`).

use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::rule::{Fault, Rule, is};

/// Long enough for a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// The first byte of a TLS connection.
const TLS_HANDSHAKE: u8 = 0x16;

/// The proxy. It listens until it is dropped.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: String,
    state: Mutex<State>,
    called: Condvar,
}

#[derive(Default)]
struct State {
    rules: Vec<Rule>,
    calls: Vec<String>,
    met: Vec<String>,
    /// Counts changes of the rules: what hangs lets go with the next one.
    epoch: usize,
    closed: bool,
}

impl Proxy {
    /// Starts one.
    pub fn start(listens: &str, upstream: &str) -> Self {
        let listener = TcpListener::bind(listens).unwrap();
        let shared = Shared {
            upstream: upstream.to_owned(),
            state: Mutex::default(),
            called: Condvar::new(),
        };
        let shared = Arc::new(shared);
        let proxy = Self { address: listener.local_addr().unwrap(), shared: Arc::clone(&shared) };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if shared.state().closed {
                    return;
                }
                let shared = Arc::clone(&shared);
                // Whoever goes away in the middle is not the test's concern.
                std::thread::spawn(move || shared.serve(&client));
            }
        });
        proxy
    }

    /// From now on these rules hold, and only what is called from now on is remembered.
    pub fn set(&self, rules: impl IntoIterator<Item = Rule>) {
        let rules = rules.into_iter().collect();
        let mut state = self.shared.state();
        let epoch = state.epoch + 1;
        *state = State { rules, epoch, ..State::default() };
    }

    /// What was called, in that order.
    pub fn calls(&self) -> Vec<String> {
        self.shared.state().calls.clone()
    }

    /// What was called and met a fault, in that order.
    pub fn met(&self) -> Vec<String> {
        self.shared.state().met.clone()
    }

    /// Waits until a call meets a fault.
    #[track_caller]
    pub fn wait_for_a_fault(&self) {
        self.wait_for("*");
    }

    /// Waits until a call of this name meets one.
    #[track_caller]
    pub fn wait_for(&self, call: &str) {
        let end = Instant::now() + PATIENCE;
        let mut state = self.shared.state();
        while !state.met.iter().any(|name| is(call, name)) {
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no fault was met by these: {:?}", state.calls);
            state = self.shared.called.wait_timeout(state, left).unwrap().0;
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.set([]);
        self.shared.state().closed = true;
        // It looks up with the next connection.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        // Docker tries TLS first, and goes on without when it is told that this is plain HTTP.
        if reader.fill_buf()?.first() == Some(&TLS_HANDSHAKE) {
            return answer(client, 400, "content-type: text/plain", "plain HTTP");
        }
        let Some(head) = Head::read(&mut reader)? else { return Ok(()) };
        // The Query protocol has the operation in its body, which is short.
        let mut begun = Vec::new();
        if head.is_aws() {
            reader.by_ref().take(head.length().unwrap_or(0)).read_to_end(&mut begun)?;
        }
        let name = head.name(&begun);
        let (fault, epoch) = self.meet(&name, head.length().unwrap_or(0));
        let mut upload = begun.as_slice().chain(&mut reader);
        match fault {
            None => self.pass(&head, &mut upload, client, true),
            Some(Fault::Aws(status, json, query)) => {
                head.body(&mut upload, &mut io::sink())?;
                answer_of_aws(&head, client, status, json, query)
            }
            Some(Fault::Status(status)) => {
                head.body(&mut upload, &mut io::sink())?;
                answer_of_registry(client, status)
            }
            Some(Fault::Says(json)) => {
                head.body(&mut upload, &mut io::sink())?;
                answer(client, 200, "content-type: application/x-amz-json-1.1", json)
            }
            Some(Fault::Challenge(wanted)) if head.get("authorization") == Some(wanted) => {
                self.pass(&head, &mut upload, client, true)
            }
            Some(Fault::Challenge(_)) => {
                head.body(&mut upload, &mut io::sink())?;
                answer_of_registry(client, 401)
            }
            Some(Fault::CutAfter(bytes)) => {
                let server = self.forward(&head)?;
                io::copy(&mut upload.take(bytes), &mut &server).map(|_| ())
            }
            Some(Fault::CutAnswer) => self.pass(&head, &mut upload, client, false),
            Some(Fault::Hang) => {
                self.hang(client, epoch);
                Ok(())
            }
            Some(Fault::HangAnswer) => {
                self.pass(&head, &mut upload, client, false)?;
                self.hang(client, epoch);
                Ok(())
            }
        }
    }

    /// Remembers a call, and says what happens to it.
    fn meet(&self, name: &str, length: u64) -> (Option<Fault>, usize) {
        let mut state = self.state();
        let State { rules, calls, met, epoch, .. } = &mut *state;
        let fault = rules.iter_mut().find_map(|rule| rule.meets(name, length, calls));
        calls.push(name.to_owned());
        if fault.is_some() {
            met.push(name.to_owned());
        }
        self.called.notify_all();
        (fault, *epoch)
    }

    /// A connection to the emulator that has got the head of a request.
    fn forward(&self, head: &Head) -> io::Result<TcpStream> {
        let mut server = TcpStream::connect(&self.upstream)?;
        server.write_all(head.one_request().as_bytes())?;
        Ok(server)
    }

    /// Carries a call out; the answer goes to the client if it is to have one.
    fn pass(
        &self,
        head: &Head,
        upload: &mut impl Read,
        client: &TcpStream,
        answer: bool,
    ) -> io::Result<()> {
        let server = self.forward(head)?;
        // The emulator answers when it has the whole request.
        head.body(upload, &mut &server)?;
        let mut reader = BufReader::new(&server);
        let mut client: Box<dyn io::Write> =
            if answer { Box::new(client) } else { Box::new(io::sink()) };
        while let Some(head) = Head::read(&mut reader)? {
            client.write_all(head.one_request().as_bytes())?;
            // What precedes an answer, such as `100 Continue`, is followed by it.
            let status = head.line.split(' ').nth(1).unwrap_or("");
            if !status.starts_with('1') {
                break;
            }
        }
        io::copy(&mut reader, &mut client)?;
        client.flush()
    }

    /// Waits until the client goes away, or the rules change.
    fn hang(&self, client: &TcpStream, epoch: usize) {
        let tick = Some(Duration::from_millis(50));
        client.set_read_timeout(tick).unwrap();
        while self.state().epoch == epoch {
            match (&mut &*client).read(&mut [0; 4096]) {
                Ok(0) => break,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => break,
                _ => {}
            }
        }
        let _ = client.shutdown(Shutdown::Both);
    }
}

/// The first line and the headers of a request or an answer.
struct Head {
    line: String,
    headers: Vec<(String, String)>,
}

impl Head {
    /// `None` where the connection ends instead.
    fn read(reader: &mut impl io::BufRead) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end() {
                "" if lines.is_empty() => {}
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let line = lines.remove(0);
        let header = |line: &String| {
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Ok(Some(Self { line, headers: lines.iter().map(header).collect() }))
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(header, _)| header == name).map(|(_, value)| value.as_str())
    }

    /// The head with nothing to follow on its connection.
    fn one_request(&self) -> String {
        let mut text = format!("{}\r\n", self.line);
        for (name, value) in &self.headers {
            if name != "connection" && name != "keep-alive" {
                text.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        text + "connection: close\r\n\r\n"
    }

    fn length(&self) -> Option<u64> {
        self.get("content-length")?.parse().ok()
    }

    /// The service that a request is signed for.
    fn service(&self) -> Option<&str> {
        // `Credential=KEY/DATE/REGION/SERVICE/aws4_request, …`
        self.get("authorization")?.split_once("Credential=")?.1.split('/').nth(3)
    }

    fn is_aws(&self) -> bool {
        self.service().is_some()
    }

    fn name(&self, body: &[u8]) -> String {
        let Some(service) = self.service() else {
            let mut words = self.line.split(' ');
            let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
            return format!("{method} {}", path.split('?').next().unwrap_or(""));
        };
        let form = String::from_utf8_lossy(body);
        let action = form.split('&').find_map(|pair| pair.strip_prefix("Action="));
        let target = self.get("x-amz-target").and_then(|target| target.rsplit('.').next());
        format!("{service}:{}", target.or(action).unwrap_or("?"))
    }

    /// Copies the body of a request.
    fn body(&self, from: &mut impl Read, to: &mut impl io::Write) -> io::Result<()> {
        if let Some(length) = self.length() {
            return io::copy(&mut from.take(length), to).map(|_| ());
        }
        if self.get("transfer-encoding").is_none() {
            return Ok(());
        }
        // Chunks: a line with the size in hexadecimal, so many bytes, a line's end.
        let mut from = BufReader::with_capacity(1, from);
        loop {
            let mut line = String::new();
            from.read_line(&mut line)?;
            to.write_all(line.as_bytes())?;
            let size = line.split(';').next().unwrap_or("").trim();
            let size = u64::from_str_radix(size, 16).map_err(io::Error::other)?;
            io::copy(&mut from.by_ref().take(size + 2), to)?;
            if size == 0 {
                return Ok(());
            }
        }
    }
}

fn answer_of_aws(
    head: &Head,
    client: &TcpStream,
    status: u16,
    json: &str,
    query: &str,
) -> io::Result<()> {
    let said = "injected by the test";
    if head.get("x-amz-target").is_some() {
        let body = format!(r#"{{"__type":"{json}","message":"{said}"}}"#);
        let kind = format!("content-type: application/x-amz-json-1.1\r\nx-amzn-errortype: {json}");
        return answer(client, status, &kind, &body);
    }
    // The Query protocol has 403 where JSON has 400.
    let status = if status == 400 && query != "Throttling" { 403 } else { status };
    let body = format!(
        "<ErrorResponse><Error><Type>Sender</Type><Code>{query}</Code><Message>{said}</Message>\
         </Error><RequestId>1</RequestId></ErrorResponse>"
    );
    answer(client, status, "content-type: text/xml", &body)
}

fn answer_of_registry(client: &TcpStream, status: u16) -> io::Result<()> {
    let code = match status {
        401 => "UNAUTHORIZED",
        403 => "DENIED",
        404 => "MANIFEST_UNKNOWN",
        _ => "UNKNOWN",
    };
    let body = format!(r#"{{"errors":[{{"code":"{code}","message":"injected by the test"}}]}}"#);
    // As ECR asks for credentials.
    let kind =
        "content-type: application/json\r\nwww-authenticate: Basic realm=\"r\",service=\"s\"";
    answer(client, status, kind, &body)
}

fn answer(mut client: &TcpStream, status: u16, headers: &str, body: &str) -> io::Result<()> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} Injected\r\n{headers}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n"
    );
    client.write_all(format!("{head}{body}").as_bytes())
}
