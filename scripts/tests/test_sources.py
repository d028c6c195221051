"""The mirror is found in whatever shape apt's configuration has."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from shell import bash, explain

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"

DEB822 = f"""\
Types: deb
# http://commented.example/debian
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: {KEYRING}

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: {KEYRING}
"""

# Vendors use the codename and "main", too.
VENDOR = "deb [signed-by=/usr/share/keyrings/vendor.gpg] http://apt.vendor.example bookworm main\n"


class Archive(unittest.TestCase):
    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)

    def archive(self, **files: str) -> subprocess.CompletedProcess[str]:
        """`files`: names with `_` for the dot before the ending."""
        paths = []
        for name, text in files.items():
            path = self.directory / name.replace("_", ".")
            path.write_text(text)
            paths.append(str(path))
        return bash("packages sources", 'sources_archive bookworm "$@"', *paths)

    def assert_archive(self, expected: str, **files: str) -> None:
        result = self.archive(**files)
        self.assertEqual((result.returncode, result.stdout), (0, expected), explain(result))

    def test_deb822(self) -> None:
        self.assert_archive(f"URIs: http://mirror.example/debian\nSigned-By: {KEYRING}\n", debian_sources=DEB822)

    def test_deb822_without_a_newline_at_the_end_and_with_crlf(self) -> None:
        self.assert_archive(
            "URIs: http://mirror.example/debian\n",
            debian_sources="types: deb\r\nuris: http://mirror.example/debian\r\nsuites: bookworm\r\ncomponents: main",
        )

    def test_a_line_each(self) -> None:
        self.assert_archive(
            "URIs: http://mirror.example/debian\nSigned-By: /k.gpg\nArchitectures: amd64 arm64\n",
            sources_list="# deb http://old.example/debian bookworm main\n"
            "deb-src http://src.example/debian bookworm main\n"
            "deb  [ arch=amd64,arm64 signed-by=/k.gpg ]  http://mirror.example/debian bookworm main contrib # ours\n"
            "deb http://mirror.example/debian bookworm-updates main\n",
        )

    def test_a_line_without_options(self) -> None:
        self.assert_archive(
            "URIs: http://mirror.example/debian/\n", sources_list="deb http://mirror.example/debian/ bookworm main\n"
        )

    def test_trusted_and_validity_come_along(self) -> None:
        self.assert_archive(
            "URIs: http://mirror.example/d\nTrusted: yes\nCheck-Valid-Until: no\n",
            sources_list="deb [trusted=yes check-valid-until=no] http://mirror.example/d bookworm main\n",
        )

    def test_a_vendor_is_not_the_archive_wherever_it_stands(self) -> None:
        expected = f"URIs: http://mirror.example/debian\nSigned-By: {KEYRING}\n"
        self.assert_archive(expected, vendor_list=VENDOR, debian_sources=DEB822)
        self.assert_archive(expected, debian_sources=DEB822, vendor_list=VENDOR)
        # Neither has a key that says so: the path does.
        self.assert_archive(
            "URIs: http://mirror.example/debian\n",
            vendor_list=VENDOR,
            sources_list="deb http://mirror.example/debian bookworm main\n",
        )

    def test_disabled_entries_do_not_count(self) -> None:
        for value in ["no", "No", "false", "0"]:
            with self.subTest(value):
                result = self.archive(debian_sources=f"Enabled: {value}\n{DEB822}")
                self.assertNotEqual(result.returncode, 0, explain(result))

    def test_only_updates_or_security_is_not_enough(self) -> None:
        result = self.archive(sources_list="deb http://m.example/debian bookworm-updates main\n")
        self.assertNotEqual(result.returncode, 0, explain(result))

    def test_a_key_in_the_file_comes_along_as_it_is(self) -> None:
        key = " -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQINBF\n -----END PGP PUBLIC KEY BLOCK-----\n"
        self.assert_archive(
            f"URIs: http://mirror.example/debian\nSigned-By: \n{key}",
            debian_sources=f"Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nSigned-By:\n{key}Components: main\n",
        )

    def test_the_suites_alias_serves_but_the_codename_comes_first(self) -> None:
        self.assert_archive(
            "URIs: http://stable.example/debian\n", sources_list="deb http://stable.example/debian stable main\n"
        )
        self.assert_archive(
            "URIs: http://named.example/mirror\n",
            sources_list="deb http://stable.example/debian stable main\ndeb http://named.example/mirror bookworm main\n",
        )

    def test_no_source_at_all(self) -> None:
        self.assertNotEqual(self.archive(sources_list="").returncode, 0)

    @unittest.skipUnless(shutil.which("apt-get"), "apt itself judges the result, where there is apt")
    def test_apt_reads_what_is_written(self) -> None:
        (self.directory / "debian.sources").write_text(DEB822)
        result = bash(
            "packages sources",
            'sources_extra "$(sources_archive bookworm "$1")" trixie sid',
            str(self.directory / "debian.sources"),
        )
        parts = self.directory / "parts"
        parts.mkdir()
        (parts / "xtask-engine.sources").write_text(result.stdout)
        # --print-uris plans the download and reaches no network.
        planned = subprocess.run(
            ["apt-get", "update", "--print-uris", "-o", "Dir::Etc::SourceList=/dev/null",
             "-o", f"Dir::Etc::SourceParts={parts}", "-o", f"Dir::State::Lists={self.directory}"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        self.assertEqual(planned.returncode, 0, planned.stderr)
        self.assertEqual(planned.stderr, "")
        for suite in ["trixie", "sid"]:
            self.assertIn(f"http://mirror.example/debian/dists/{suite}/InRelease", planned.stdout)


class Files(unittest.TestCase):
    def test_lists_what_apt_reads_but_not_its_own(self) -> None:
        with tempfile.TemporaryDirectory() as root:
            parts = Path(root, "etc/apt/sources.list.d")
            parts.mkdir(parents=True)
            for name in ["a.list", "b.sources", "c.sources.disabled", "xtask-engine.sources"]:
                (parts / name).touch()
            result = bash("packages sources", 'sources_files "$1"', root)
            self.assertEqual([Path(line).name for line in result.stdout.split()], ["a.list", "b.sources"], explain(result))


class Preferences(unittest.TestCase):
    def test_only_the_engine_moves(self) -> None:
        result = bash("packages sources", "sources_preferences debian bookworm trixie sid")
        self.assertEqual(
            result.stdout,
            "Package: containerd\nPin: release n=trixie\nPin-Priority: 500\n\n"
            "Package: *\nPin: release n=trixie\nPin-Priority: 90\n\n"
            "Package: docker.io docker-cli docker-buildx\nPin: release n=sid\nPin-Priority: 500\n\n"
            "Package: *\nPin: release n=sid\nPin-Priority: 90\n",
            explain(result),
        )
