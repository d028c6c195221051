import tempfile
import unittest
from pathlib import Path

from shell import bash, explain


class PlatformName(unittest.TestCase):
    def test_reads_os_release(self) -> None:
        for text, name in [
            ('ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n', "debian bookworm"),
            ("ID=debian\n", "debian sid"),
            ("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\nUBUNTU_CODENAME=noble\n", "ubuntu noble"),
            ('ID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n', "ubuntu noble"),
            ("ID=raspbian\nID_LIKE=debian\nVERSION_CODENAME=bookworm\n", "other raspbian"),
            ("ID=fedora\n", "other fedora"),
        ]:
            with self.subTest(name), tempfile.TemporaryDirectory() as directory:
                path = Path(directory) / "os-release"
                path.write_text(text)
                result = bash("platform", 'platform_name "$1"', str(path), environment={"UBUNTU_CODENAME": "wrong"})
                self.assertEqual(result.stdout.strip(), name, explain(result))
