import json
import socket
import sys
import tempfile
import threading
import unittest
from argparse import Namespace
from pathlib import Path

from shell import ROOT

sys.path.insert(0, str(ROOT / "bench"))

import cache_mounts  # noqa: E402
from measure import events, report, variants  # noqa: E402
from measure.command import Failed  # noqa: E402
from measure.wire import Relay, Traffic  # noqa: E402


class Events(unittest.TestCase):
    def stream(self, *parts: dict[str, object]) -> str:
        return "\n".join(["text of buildx", *(json.dumps(part) for part in parts)])

    def test_counts_steps_once_and_no_sources(self) -> None:
        step = {"digest": "a", "name": "[base 2/3] RUN one", "completed": "now"}
        stream = self.stream(
            {"vertexes": [{"digest": "a", "name": "[base 2/3] RUN one"}]},
            {"vertexes": [step]},
            {
                "vertexes": [
                    step,
                    {"digest": "b", "name": "[linux/amd64 runtime 2/2] COPY . .", "cached": True},
                ]
            },
            {"vertexes": [{"digest": "c", "name": "[base 1/3] FROM python", "completed": "now"}]},
            {
                "vertexes": [
                    {"digest": "d", "name": "[internal] load build context", "completed": "now"}
                ]
            },
            {"vertexes": [{"digest": "e", "name": "[other 1/1] RUN never"}]},
        )
        self.assertEqual(events.steps(stream), events.Steps(run=1, cached=1, context_bytes=0))

    def test_takes_the_last_word_on_what_was_sent(self) -> None:
        def sent(vertex: str, current: int) -> dict[str, object]:
            return {
                "statuses": [{"id": "transferring context:", "vertex": vertex, "current": current}]
            }

        stream = self.stream(sent("a", 10), sent("a", 30), sent("b", 5))
        self.assertEqual(events.steps(stream).context_bytes, 35)


class Page(unittest.TestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name, "benchmarks.md")

    def test_makes_the_page_and_replaces_only_its_own_section(self) -> None:
        report.write(self.path, "one\n")
        text = self.path.read_text()
        self.path.write_text(f"{text}\n## Of others\n")
        report.write(self.path, "two\n")
        written = self.path.read_text()
        self.assertIn("two\n", written)
        self.assertNotIn("one\n", written)
        self.assertTrue(written.startswith("# Benchmarks"))
        self.assertTrue(written.endswith("## Of others\n"))

    def test_does_not_write_where_it_has_no_place(self) -> None:
        self.path.write_text("# Benchmarks\n")
        with self.assertRaises(Failed):
            report.write(self.path, "one\n")
        self.assertEqual(self.path.read_text(), "# Benchmarks\n")

    def test_sizes_are_for_people(self) -> None:
        said = [report.size(count) for count in (0, 999, 1000, 85_000, 1_500_000, 395_719_825, 2e9)]
        self.assertEqual(said, ["0 B", "999 B", "1.0 kB", "85 kB", "1.5 MB", "396 MB", "2.0 GB"])


class Pins(unittest.TestCase):
    def test_reads_this_repository_for_the_python_of_the_image(self) -> None:
        pins = variants.pins_of(ROOT / "api/requirements/heavy.txt")
        self.assertEqual([pin.split("==")[0] for pin in pins], ["numpy", "opencv-python-headless"])
        light = variants.pins_of(ROOT / "api/requirements/light.txt")
        self.assertIn("fastapi", [pin.split("==")[0] for pin in light])


class CacheMounts(unittest.TestCase):
    SPEEDS = Namespace(download_mbps=100, upload_mbps=50)

    def test_carries_every_mount_of_the_dockerfile_and_none_that_others_use(self) -> None:
        dockerfile = cache_mounts.with_own_mounts((ROOT / "Dockerfile").read_text())
        parts = cache_mounts.Mounts(Namespace(base_image="base"), dockerfile).parts
        self.assertEqual(parts["folders"], "root/.cache var/cache/apt var/lib/apt")
        self.assertEqual(parts["mounts"].count("id=xtask-bench/"), 3)
        self.assertEqual(dockerfile.count("type=cache"), dockerfile.count("id=xtask-bench/"))

    def test_what_is_put_into_the_mounts_has_to_be_packed_and_sent_again(self) -> None:
        times = {"without": 10.0, "with": 4.0, "unpack": 2.0, "pack": 3.0}
        row = cache_mounts.balance(self.SPEEDS, times, 100_000_000, 150_000_000)
        self.assertEqual((row["saved"], row["download"], row["upload"]), (6.0, 1.0, 3.0))
        self.assertEqual((row["unpacked"], row["net"]), (3.0, -3.0))
        said = cache_mounts.verdict("heavy", row)
        self.assertIn("costs 3.0 s more than it saves", said)
        self.assertIn("+3.0 s if nothing were packed", said)

    def test_what_leaves_the_mounts_as_they_are_only_fetches_them(self) -> None:
        times = {"without": 10.0, "with": 4.0, "unpack": 2.0}
        row = cache_mounts.balance(self.SPEEDS, times, 100_000_000, 150_000_000)
        self.assertEqual(row["net"], 3.0)
        self.assertEqual(
            cache_mounts.verdict("cold", row), "- cold: carrying the mounts saves 3.0 s"
        )


class Wire(unittest.TestCase):
    def test_counts_both_ways(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:

            def answer() -> None:
                connection, _ = server.accept()
                with connection:
                    received = b""
                    while data := connection.recv(1024):
                        received += data
                    connection.sendall(received * 3)

            thread = threading.Thread(target=answer)
            thread.start()
            relay = Relay(server.getsockname()[1])
            self.addCleanup(relay.close)
            with socket.create_connection(("127.0.0.1", relay.port), timeout=10) as client:
                client.sendall(b"x" * 5000)
                client.shutdown(socket.SHUT_WR)
                received = 0
                while data := client.recv(65536):
                    received += len(data)
            thread.join(timeout=10)
        self.assertEqual(received, 15000)
        self.assertEqual(relay.traffic(), Traffic(pushed=5000, pulled=15000))


if __name__ == "__main__":
    unittest.main()
