//! Every process that is there while something runs, as others see it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks.
const TICK: Duration = Duration::from_millis(4);

/// A process: its command line and its environment.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// The number of who started it.
    pub parent: u32,
    /// Its arguments, with a space between them.
    pub command: String,
    /// Its environment, a variable a line.
    pub environment: String,
}

/// Looks until it is asked.
pub struct Watch {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<BTreeSet<Process>>,
}

impl Watch {
    /// Looks at all processes that come from now on.
    pub fn start() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        let before: BTreeSet<u32> = pids().collect();
        let told = Arc::clone(&ends);
        let thread = std::thread::spawn(move || {
            let mut seen = BTreeSet::new();
            let mut last: BTreeMap<u32, Process> = BTreeMap::new();
            while !told.load(Ordering::Relaxed) {
                for pid in pids().filter(|pid| !before.contains(pid)) {
                    let Some(process) = read(pid) else { continue };
                    // The same process again and again; or another program in it by now.
                    if last.get(&pid) != Some(&process) {
                        seen.insert(process.clone());
                        last.insert(pid, process);
                    }
                }
                std::thread::sleep(TICK);
            }
            seen
        });
        Self { ends, thread }
    }

    /// What was there.
    pub fn end(self) -> BTreeSet<Process> {
        self.ends.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").unwrap();
    entries.filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
}

/// `None` for one that is gone meanwhile.
fn read(pid: u32) -> Option<Process> {
    let file = |name: &str, separator: &str| {
        let bytes = std::fs::read(format!("/proc/{pid}/{name}")).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', separator))
    };
    // `PID (NAME) STATE PARENT …`, and a name may hold anything.
    let stat = file("stat", "")?;
    let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        command: file("cmdline", " ")?,
        environment: file("environ", "\n")?,
    })
}
