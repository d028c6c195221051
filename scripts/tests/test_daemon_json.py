import json
import os
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from shell import LIBRARY


class DaemonJson(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name, "docker", "daemon.json")

    def write(self, text: str) -> None:
        self.path.parent.mkdir()
        self.path.write_text(text)

    def run_it(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, LIBRARY / "daemon_json.py", *arguments, self.path],
            capture_output=True,
            text=True,
            check=False,
        )

    def test_makes_the_file(self) -> None:
        self.assertEqual(self.run_it("--check").returncode, 1)
        self.assertFalse(self.path.exists(), "--check must not write")
        self.assertEqual(self.run_it().returncode, 0)
        self.assertEqual(json.loads(self.path.read_text()), {"features": {"containerd-snapshotter": True}})
        self.assertEqual(self.run_it("--check").returncode, 0)

    def test_keeps_everything_else_and_says_so(self) -> None:
        before = {
            "registry-mirrors": ["https://mirror.example"],
            "features": {"buildkit": True, "containerd-snapshotter": False},
            "log-opts": {"max-size": "10m"},
        }
        self.write(json.dumps(before))
        os.chmod(self.path, 0o600)
        result = self.run_it()
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("kept: log-opts, registry-mirrors", result.stdout)
        before["features"] = {"buildkit": True, "containerd-snapshotter": True}
        self.assertEqual(json.loads(self.path.read_text()), before)
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)
        self.assertEqual(os.listdir(self.path.parent), ["daemon.json"], "no draft is left over")

    def test_does_not_touch_a_file_that_is_right(self) -> None:
        text = '{ "features" : {"containerd-snapshotter":true} }'
        self.write(text)
        self.assertEqual(self.run_it().returncode, 0)
        self.assertEqual(self.path.read_text(), text)

    def test_an_empty_file_is_an_empty_configuration(self) -> None:
        self.write("\n")
        self.assertEqual(self.run_it().returncode, 0)
        self.assertEqual(json.loads(self.path.read_text()), {"features": {"containerd-snapshotter": True}})

    def test_a_link_stays_a_link(self) -> None:
        self.write("{}")
        target = self.path.with_name("managed.json")
        self.path.rename(target)
        self.path.symlink_to(target)
        self.assertEqual(self.run_it().returncode, 0)
        self.assertTrue(self.path.is_symlink())
        self.assertIn("features", json.loads(target.read_text()))

    def test_what_is_no_configuration_is_left_alone_and_named(self) -> None:
        for text, where in [
            ('{"a": 1,\n "b" 2}', "daemon.json:2:6: not JSON"),
            ("[]", "must be a JSON object"),
            ('{"features": []}', '"features" must be a JSON object'),
        ]:
            with self.subTest(text):
                self.path.parent.mkdir(exist_ok=True)
                self.path.write_text(text)
                result = self.run_it()
                self.assertEqual(result.returncode, 2)
                self.assertIn(where, result.stderr)
                self.assertEqual(self.path.read_text(), text)
