//! The Docker Engine behind a socket of our own. Cut off, it is an engine that went away, and
//! nobody else notices.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

/// The socket.
pub struct EngineSocket {
    path: PathBuf,
    open: Arc<Mutex<Option<Vec<UnixStream>>>>,
}

impl EngineSocket {
    /// Listens here, for the engine of the `docker` command.
    pub fn listen(path: PathBuf) -> Self {
        let format = "{{.Endpoints.docker.Host}}";
        let args = ["context", "inspect", "--format", format];
        let asked = Command::new("docker").args(args).output().unwrap();
        let host = String::from_utf8(asked.stdout).unwrap();
        let engine = host.trim().strip_prefix("unix://").map(PathBuf::from);
        let engine = engine.unwrap_or_else(|| panic!("the engine is at no socket, but at {host}"));
        let listener = UnixListener::bind(&path).unwrap();
        let open = Arc::new(Mutex::new(Some(Vec::new())));
        let connections = Arc::clone(&open);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let mut open = connections.lock().unwrap();
                let Some(open) = &mut *open else { return };
                open.extend(join(client, &engine).into_iter().flatten());
            }
        });
        Self { path, open }
    }

    /// For `DOCKER_HOST`.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path.display())
    }

    /// From now on there is no engine.
    pub fn cut(&self) {
        // What connects in this moment is not answered any more.
        let open = self.open.lock().unwrap().take();
        std::fs::remove_file(&self.path).unwrap();
        for stream in open.into_iter().flatten() {
            // Many have ended by themselves.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Joins a client with the engine, both ways, and returns both ends.
fn join(client: UnixStream, engine: &Path) -> io::Result<[UnixStream; 2]> {
    let server = UnixStream::connect(engine)?;
    for (from, to) in [(&client, &server), (&server, &client)] {
        let (mut from, mut to) = (from.try_clone()?, to.try_clone()?);
        std::thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            let _ = to.shutdown(Shutdown::Write);
        });
    }
    Ok([client, server])
}
