//! Who listens on an address of this machine.

use std::fs;
use std::net::{SocketAddr, TcpListener};

/// Whether an address can be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// It can.
    Free,
    /// Somebody does.
    Taken,
    /// The address is none of this machine's.
    Elsewhere,
}

/// Tries whether an address can be listened on.
pub fn try_port(address: SocketAddr) -> Port {
    match TcpListener::bind(address) {
        Ok(_) => Port::Free,
        Err(error) if error.kind() == std::io::ErrorKind::AddrNotAvailable => Port::Elsewhere,
        Err(_) => Port::Taken,
    }
}

/// The process that listens on a port, as `PID (COMMAND)`. `None` where that can not be found
/// out: not on Linux, or somebody else's process.
pub fn of(address: SocketAddr) -> Option<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(fs::read_to_string);
    let inodes: Vec<String> = tables
        .iter()
        .flatten()
        .flat_map(|table| listening(table, address.port()))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let processes = fs::read_dir("/proc").ok()?.flatten();
    for process in processes {
        let name = process.file_name();
        let Some(pid) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit()))
        else {
            continue;
        };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else { continue };
        let holds = files.flatten().any(|file| {
            fs::read_link(file.path())
                .is_ok_and(|link| inodes.iter().any(|inode| link.as_os_str() == inode.as_str()))
        });
        if holds {
            let command = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let command = String::from_utf8_lossy(&command).replace('\0', " ");
            let short: String = command.trim().chars().take(120).collect();
            return Some(format!("{pid} ({short})"));
        }
    }
    None
}

/// The inodes of sockets that listen on a port.
///
/// Source: proc_net(5): local address, remote address, state (0A is LISTEN), …, inode.
fn listening(table: &str, port: u16) -> Vec<&str> {
    let suffix = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.get(3) == Some(&"0A"))
        .filter(|row| row.get(1).is_some_and(|local| local.ends_with(&suffix)))
        .filter_map(|row| row.get(9).copied())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx:rx tr:when retrnsmt uid timeout inode\n\
            0: 0100007F:11D6 00000000:0000 0A 0:0 00:0 0 0 0 4711 1\n\
            1: 0100007F:11D6 0100007F:9999 01 0:0 00:0 0 0 0 4712 1\n\
            2: 0100007F:0016 00000000:0000 0A 0:0 00:0 0 0 0 4713 1\n";
        assert_eq!(listening(table, 4566), ["4711"]);
    }

    #[test]
    fn a_taken_port_is_told_from_a_free_one() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(try_port(address), Port::Taken);
        if cfg!(target_os = "linux") {
            let owner = of(address).unwrap();
            assert!(owner.starts_with(&std::process::id().to_string()), "{owner}");
        }
        drop(listener);
        assert_eq!(try_port(address), Port::Free);
        assert_eq!(try_port("192.0.2.1:9".parse().unwrap()), Port::Elsewhere);
    }
}
