import unittest

from shell import bash, explain


class VersionIn(unittest.TestCase):
    def test_finds_the_version_of_real_outputs(self) -> None:
        for text, version in [
            ("github.com/docker/buildx 0.29.1+ds1 0.29.1+ds1-4", "0.29.1"),
            ("github.com/docker/buildx v0.30.0-desktop.1 a3b2c1", "0.30.0"),
            ("cargo 1.95.0 (f2d3ce0bd 2026-03-21)", "1.95.0"),
        ]:
            with self.subTest(text):
                result = bash("version", 'version_in "$1"', text)
                self.assertEqual((result.returncode, result.stdout.strip()), (0, version), explain(result))

    def test_fails_without_one(self) -> None:
        self.assertNotEqual(bash("version", 'version_in "docker: unknown command"').returncode, 0)


class VersionAtLeast(unittest.TestCase):
    def test_compares_numbers_not_text(self) -> None:
        for have, want, enough in [
            ("1.94.1", "1.94.1", True),
            ("1.100.0", "1.94.1", True),
            ("1.94.0", "1.94.1", False),
            ("2", "1.94.1", True),
            ("0.18", "0.18.0", True),
            ("0.13.1", "0.18.0", False),
            ("0.9.9", "0.18.0", False),
            ("1.08.0", "1.8.0", True),
        ]:
            with self.subTest(have=have, want=want):
                result = bash("version", 'version_at_least "$1" "$2"', have, want)
                self.assertEqual(result.returncode == 0, enough, explain(result))
