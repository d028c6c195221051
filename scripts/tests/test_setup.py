"""From what a machine has to the commands that it is offered."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from shell import ROOT, bash, executable, explain

LIBRARIES = "say version platform packages sources plan tools engine lint setup_observe setup_plan"

# A machine where everything is there; each test takes something away.
MACHINE = """
ROOT=$1 platform=$2
tools_missing() { :; }
tools_rust_problem() { :; }
tools_have_debootstrap() { :; }
engine_state() { echo ready; }
engine_buildx_problem() { :; }
engine_has_containerd_store() { :; }
engine_finds_image() { :; }
platform_has_systemd() { false; }
packages_flavour() { echo distribution; }
sources_files() { echo any; }
# What the machine that runs the test has in /etc must not matter.
cmp() { false; }
setup_is_in_group() { true; }
plan_add_root() { plan_add "$@"; }
plan_can_be_root() { true; }
sources_archive() { printf 'URIs: http://mirror.example/debian\\n'; }
"""

RUN = """
setup_observe_tools "$platform"
setup_observe_engine "$platform"
setup_plan "$platform" "${start:-yes}"
setup_report || echo something to do
"""


class Setup(unittest.TestCase):
    def report(self, platform: str, missing: str = "") -> tuple[str, str]:
        """What is said on a machine without `missing`, a snippet of bash."""
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "Dockerfile").write_text("ARG BASE_IMAGE=python:3\nFROM ${BASE_IMAGE}\n")
            result = bash(LIBRARIES, MACHINE + missing + RUN, directory, platform)
        self.assertEqual(result.returncode, 0, explain(result))
        return result.stdout, result.stderr

    def commands(self, stderr: str) -> list[str]:
        shown = stderr.partition("These commands mend that:\n")[2]
        return [line.strip() for line in shown.splitlines() if not line.startswith("  #")]

    def test_where_everything_is_there_nothing_is_done(self) -> None:
        for platform in ["debian bookworm", "debian trixie", "ubuntu noble", "macos -", "other fedora"]:
            with self.subTest(platform):
                self.assertEqual(self.report(platform), ("", ""))

    def test_bookworm_from_nothing(self) -> None:
        stdout, stderr = self.report(
            "debian bookworm", "engine_state() { echo absent; }\ntools_missing() { printf 'git\\tcommits\\n'; }\n"
            "tools_have_debootstrap() { false; }\nsetup_plan_configuration() { plan_add why configure; }\n"
        )  # fmt: skip
        self.assertEqual(stdout, "something to do\n")
        commands = self.commands(stderr)
        programs = [command.split("/")[-1] if command.startswith("install") else command for command in commands]
        self.assertEqual(programs[:3], ["xtask-engine", "xtask-engine.sources", "apt-get -qq update"])
        self.assertTrue(programs[3].endswith("install git debootstrap"), programs)
        self.assertEqual(programs[4], "configure", "before the package, whose service starts at once")
        self.assertIn("docker.io/sid", programs[5])
        self.assertTrue(programs[6].endswith("/scripts/lib/start-dockerd"), programs)
        self.assertEqual(len(programs), 7)
        self.assertIn("  - git: commits\n", stderr)
        self.assertIn("URIs: http://mirror.example/debian", stderr)

    def test_installing_only_starts_nothing(self) -> None:
        _, stderr = self.report(
            "ubuntu noble", "start=no\nengine_state() { echo absent; }\nsetup_plan_configuration() { :; }\n"
        )
        commands = self.commands(stderr)
        self.assertEqual(len(commands), 2, stderr)
        self.assertTrue(commands[1].endswith("install docker.io docker-buildx containerd runc"))

    def test_a_service_manager_starts_the_engine(self) -> None:
        _, stderr = self.report(
            "ubuntu noble",
            "engine_state() { echo stopped; }\nsetup_plan_configuration() { :; }\nplatform_has_systemd() { true; }\n",
        )
        self.assertEqual(self.commands(stderr), ["systemctl start docker"])

    def test_a_running_engine_is_not_configured_but_its_limits_are_said(self) -> None:
        stdout, stderr = self.report("debian bookworm", "engine_has_containerd_store() { false; }\n")
        self.assertEqual(stdout, "", "nothing has to be done")
        self.assertIn("can not export a registry cache", stderr)

    def test_an_old_buildx_is_replaced_by_the_right_package(self) -> None:
        old = "engine_buildx_problem() { echo buildx 0.13.1 is too old; }\n"
        for flavour, package in [("distribution", "docker-buildx/sid"), ("docker-ce", "docker-buildx-plugin")]:
            with self.subTest(flavour):
                _, stderr = self.report("debian trixie", f"{old}packages_flavour() {{ echo {flavour}; }}\n")
                commands = self.commands(stderr)
                self.assertTrue(commands[-1].endswith(f"install {package}"), stderr)
                self.assertEqual("xtask-engine.sources" in stderr, flavour == "distribution")
        stdout, stderr = self.report("macos -", old)
        self.assertEqual(stdout, "something to do\n")
        self.assertIn("hint: install the buildx plug-in", stderr)

    def test_debootstrap_only_where_no_registry_has_the_base_image(self) -> None:
        without = "tools_have_debootstrap() { false; }\n"
        self.assertEqual(self.report("debian bookworm", without), ("", ""))
        _, stderr = self.report("debian bookworm", f"{without}engine_finds_image() {{ [ \"$1\" != python:3 ]; }}\n")
        self.assertTrue(self.commands(stderr)[-1].endswith("install debootstrap"), stderr)

    def test_who_may_not_use_the_engine_joins_its_group(self) -> None:
        denied = "engine_state() { echo denied; }\n"
        _, stderr = self.report("ubuntu noble", f"{denied}setup_is_in_group() {{ false; }}\n")
        self.assertTrue(self.commands(stderr)[0].startswith("usermod -aG docker "), stderr)
        self.assertEqual(self.report("ubuntu noble", denied)[0], "", "a new session is enough")

    def test_other_systems_are_told_what_to_install(self) -> None:
        missing = "engine_state() { echo absent; }\ntools_missing() { printf 'git\\tcommits\\npython3\\tvenv\\n'; }\n"
        for platform, hints in [
            ("macos -", ["xcode-select --install", "brew install python3", "brew install --cask docker"]),
            ("other fedora", ["install git", "install python3", "install Docker Engine"]),
        ]:
            with self.subTest(platform):
                stdout, stderr = self.report(platform, missing)
                self.assertEqual(stdout, "something to do\n")
                self.assertEqual(self.commands(stderr), [])
                for hint in hints:
                    self.assertIn(hint, stderr)

    def test_without_sudo_an_ordinary_user_is_told_beforehand(self) -> None:
        _, stderr = self.report(
            "ubuntu noble",
            "tools_missing() { printf 'git\\tcommits\\n'; }\nplan_can_be_root() { false; }\n",
        )
        self.assertIn("sudo is not installed", stderr)

    def test_all_problems_are_reported_at_once(self) -> None:
        _, stderr = self.report(
            "debian bookworm",
            "tools_rust_problem() { echo cargo 1.70.0 is too old; }\nengine_state() { echo elsewhere; }\nDOCKER_HOST=tcp://h:1\n",
        )
        self.assertIn("error: cargo 1.70.0 is too old", stderr)
        self.assertIn("error: docker is set to the engine at tcp://h:1, which does not reply", stderr)


class Rust(unittest.TestCase):
    def problem(self, cargo: str | None) -> str:
        with tempfile.TemporaryDirectory() as directory:
            Path(directory, "Cargo.toml").write_text('[workspace.package]\nrust-version = "1.94.1"\n')
            if cargo is not None:
                executable(Path(directory, "cargo"), f"#!/bin/sh\n{cargo}\n")
            # A PATH with nothing else: the machine may have a cargo anywhere.
            for program in ["sed", "tr"]:
                Path(directory, program).symlink_to(shutil.which(program) or "")
            result = bash("version tools", f"PATH={directory}\ntools_rust_problem {directory}")
        self.assertEqual(result.returncode, 0, explain(result))
        return result.stdout.strip()

    def test_missing(self) -> None:
        self.assertIn("cargo is not on PATH; 1.94.1 or newer", self.problem(None))

    def test_versions(self) -> None:
        self.assertEqual(self.problem("echo 'cargo 1.94.1 (x 2026-01-01)'"), "")
        self.assertEqual(self.problem("echo 'cargo 1.65.0'"), "cargo 1.65.0 is too old: 1.94.1 or newer is needed")
        self.assertIn("does not run here: toolchain is not installed", self.problem("echo toolchain is not installed >&2; exit 1"))


class Commands(unittest.TestCase):
    def run_script(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ROOT / name, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
        )

    def test_wrong_usage_changes_nothing_and_is_exit_2(self) -> None:
        for arguments in [("scripts/onboard", "--force"), ("scripts/test", "unknown"), ("scripts/test", "--fast", "e2e")]:
            with self.subTest(arguments):
                result = self.run_script(*arguments)
                self.assertEqual((result.returncode, result.stdout), (2, ""), explain(result))
                self.assertIn("hint: ", result.stderr)

    def test_help(self) -> None:
        for name in ["scripts/onboard", "scripts/test"]:
            with self.subTest(name):
                result = self.run_script(name, "--help")
                self.assertEqual(result.returncode, 0)
                self.assertTrue(result.stdout.startswith(f"usage: {name}"))

    def test_help_of_test_names_every_step(self) -> None:
        text = self.run_script("scripts/test", "--help").stdout
        steps = self.run_script("scripts/test", "unknown").stderr.partition("the steps are: ")[2].partition(";")[0]
        for step in steps.split():
            self.assertIn(f"\n  {step} ", text)
