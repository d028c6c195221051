//! The process groups that run now, so that an end of ours is theirs, too.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::guard::Guard;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};

/// The groups that run now, and whether no further one may start.
static GROUPS: Mutex<Groups> = Mutex::new(Groups { leaders: Vec::new(), closed: false });

struct Groups {
    leaders: Vec<i32>,
    closed: bool,
}

/// Ends every command that still runs, and what it started: SIGTERM, and SIGKILL for what is
/// left after `patience`. What is started later is ended at once.
pub fn end_all(patience: Duration) {
    let groups: Vec<Pid> = {
        let mut running = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        running.closed = true;
        running.leaders.iter().filter_map(|leader| Pid::from_raw(*leader)).collect()
    };
    for group in &groups {
        // It may have ended by itself meanwhile, which is what is wanted.
        let _ = kill_process_group(*group, Signal::TERM);
    }
    let gone = |group: &Pid| test_kill_process_group(*group).is_err();
    let end = Instant::now() + patience;
    while !groups.iter().all(gone) && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(20));
    }
    for group in groups.iter().filter(|group| !gone(group)) {
        let _ = kill_process_group(*group, Signal::KILL);
    }
}

/// Membership of a running command's group. It belongs to the thread that waits for the
/// command: given up earlier, the command would be beyond the reach of [`end_all`].
pub(super) struct Group {
    leader: i32,
    guard: Option<Guard>,
}

impl Group {
    /// Of a command that was started as the leader of a group of its own.
    pub(super) fn enter(pids: &[u32]) -> Self {
        let leader = pids.first().and_then(|pid| i32::try_from(*pid).ok()).unwrap_or_default();
        let mut running = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        running.leaders.push(leader);
        if running.closed
            && let Some(pid) = Pid::from_raw(leader)
        {
            let _ = kill_process_group(pid, Signal::TERM);
        }
        Self { leader, guard: None }
    }

    /// Ended also when we are killed, for a command that may take long. Without a guard it is
    /// no worse off than the others.
    pub(super) fn guarded(mut self) -> Self {
        self.guard = Guard::ends(self.leader).ok();
        self
    }

    /// Ends the command and what it started, at once.
    pub(super) fn kill(&self) {
        if let Some(leader) = Pid::from_raw(self.leader) {
            // It may have ended this very moment, which is what is wanted.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }

    /// As [`Self::kill`]; when it returns, they write nothing any more.
    pub(super) fn kill_and_wait(&self) {
        self.kill();
        let Some(leader) = Pid::from_raw(self.leader) else { return };
        let end = Instant::now() + Duration::from_secs(1);
        while test_kill_process_group(leader).is_ok() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut running = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        running.leaders.retain(|leader| *leader != self.leader);
        // Its number may be that of another group soon.
        self.guard.iter_mut().for_each(Guard::dismiss);
    }
}
