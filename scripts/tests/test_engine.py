"""The engine's state, told from a fake docker command and a fake /proc."""

import shutil
import socket
import subprocess
import tempfile
import unittest
from pathlib import Path

from shell import bash, executable, explain

LIBRARIES = "say version platform engine stale"


class Temporary(unittest.TestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)

    def process(self, number: int, name: str, state: str = "S (sleeping)") -> Path:
        """Adds a process to the fake /proc; returns that directory."""
        proc = self.directory / "proc"
        entry = proc / str(number)
        entry.mkdir(parents=True)
        (entry / "comm").write_text(f"{name}\n")
        (entry / "status").write_text(f"Name:\t{name}\nState:\t{state}\nPid:\t{number}\n")
        return proc


class Processes(Temporary):
    def test_finds_by_name_but_not_the_dead(self) -> None:
        self.process(10, "dockerd")
        self.process(11, "dockerd", "Z (zombie)")
        self.process(12, "dockerd-rootless")
        proc = self.process(13, "containerd")
        (proc / "99").mkdir()
        result = bash(LIBRARIES, 'engine_processes dockerd "$1"', str(proc))
        self.assertEqual((result.returncode, result.stdout), (0, "10\n"), explain(result))


class Stale(Temporary):
    def pid_file(self, text: str, proc: Path) -> tuple[bool, subprocess.CompletedProcess[str]]:
        """Whether a pid file with `text` survives."""
        file = self.directory / "docker.pid"
        file.write_text(text)
        result = bash(LIBRARIES, 'stale_pid_file "$1" dockerd "$2"', str(file), str(proc))
        self.assertEqual(result.returncode, 0, explain(result))
        return file.exists(), result

    def test_pid_files(self) -> None:
        self.process(10, "dockerd")
        self.process(100, "dockerd", "Z (zombie)")
        proc = self.process(11, "bash")
        for text, survives in [("10", True), ("10\n", True), ("11", False), ("12", False), ("100", False), ("", False), ("1", False)]:
            with self.subTest(text):
                survived, result = self.pid_file(text, proc)
                self.assertEqual(survived, survives, explain(result))
                self.assertEqual("removed" in result.stderr, not survives, explain(result))

    def test_a_missing_pid_file_is_fine(self) -> None:
        result = bash(LIBRARIES, 'stale_pid_file "$1" dockerd', str(self.directory / "none"))
        self.assertEqual((result.returncode, result.stderr), (0, ""), explain(result))

    def test_a_socket_is_left_to_who_runs(self) -> None:
        path = self.directory / "containerd.sock"
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(str(path))
        proc = self.process(10, "containerd")
        bash(LIBRARIES, 'stale_socket "$1" containerd "$2"', str(path), str(proc))
        self.assertTrue(path.exists())
        shutil.rmtree(proc / "10")
        result = bash(LIBRARIES, 'stale_socket "$1" containerd "$2"', str(path), str(proc))
        self.assertFalse(path.exists(), explain(result))


class State(Temporary):
    def state(self, docker: str, processes: str = "", program: str = "false", **environment: str) -> str:
        """The state with `docker` as the body of the docker command."""
        executable(self.directory / "docker", f"#!/bin/sh\n{docker}\n")
        result = bash(
            LIBRARIES,
            # What is on the machine that runs the test must not matter.
            f"engine_processes() {{ printf '{processes}'; }}; engine_program() {{ {program}; }}; engine_state",
            environment={"PATH": f"{self.directory}:/usr/bin:/bin", "DOCKER_HOST": "", **environment},
        )
        self.assertEqual(result.returncode, 0, explain(result))
        return result.stdout.strip()

    SILENT = 'case "$1" in context) echo default ;; *) exit 1 ;; esac'

    def test_ready(self) -> None:
        self.assertEqual(self.state("echo 28.5.2"), "ready")

    def test_another_engine_is_not_ours_to_start(self) -> None:
        self.assertEqual(self.state("exit 1", DOCKER_HOST="tcp://192.0.2.1:2376"), "elsewhere")
        desktop = 'case "$1" in context) echo desktop-linux ;; *) exit 1 ;; esac'
        self.assertEqual(self.state(desktop, program="echo /usr/sbin/dockerd"), "elsewhere")

    def test_a_running_dockerd_is_waited_for(self) -> None:
        self.assertEqual(self.state(self.SILENT, processes="10\\n", program="echo /usr/sbin/dockerd"), "silent")

    def test_installed_but_stopped(self) -> None:
        self.assertEqual(self.state(self.SILENT, program="echo /usr/sbin/dockerd"), "stopped")

    def test_the_command_line_alone_is_no_engine(self) -> None:
        self.assertEqual(self.state(self.SILENT), "absent")


class Buildx(Temporary):
    def problem(self, docker: str) -> str:
        executable(self.directory / "docker", f"#!/bin/sh\n{docker}\n")
        result = bash(
            LIBRARIES, "engine_buildx_problem", environment={"PATH": f"{self.directory}:/usr/bin:/bin"}
        )
        self.assertEqual(result.returncode, 0, explain(result))
        return result.stdout.strip()

    def test_says_what_is_wrong(self) -> None:
        self.assertEqual(self.problem("echo github.com/docker/buildx 0.29.1+ds1 0.29.1+ds1-4"), "")
        self.assertIn("0.13.1 is too old", self.problem("echo github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3"))
        self.assertIn("missing", self.problem("echo \"docker: 'buildx' is not a docker command.\" >&2; exit 1"))
