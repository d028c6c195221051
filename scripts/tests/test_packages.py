import unittest

from shell import bash, explain


def lines(snippet: str) -> list[str]:
    result = bash("packages", snippet)
    assert result.returncode == 0, explain(result)
    return result.stdout.split()


class EnginePackages(unittest.TestCase):
    def test_bookworm_takes_each_package_from_the_suite_that_fits(self) -> None:
        self.assertEqual(
            lines("packages_engine debian bookworm"),
            ["docker.io/sid", "docker-cli/sid", "docker-buildx/sid", "containerd/trixie", "runc"],
        )

    def test_every_suite_named_is_added_or_the_machines_own(self) -> None:
        for codename in ["bookworm", "trixie", "forky"]:
            with self.subTest(codename):
                added = lines(f"packages_extra_suites debian {codename}")
                named = {package.split("/")[1] for package in lines(f"packages_engine debian {codename}") if "/" in package}
                self.assertEqual(named - {codename}, set(added) & named)
                self.assertLessEqual(named, {codename, *added})

    def test_ubuntu_uses_its_own(self) -> None:
        self.assertEqual(lines("packages_extra_suites ubuntu noble"), [])
        self.assertEqual(lines("packages_engine ubuntu noble"), ["docker.io", "docker-buildx", "containerd", "runc"])

    def test_an_unknown_distribution_is_an_error(self) -> None:
        for platform in ["debian buster", "other fedora", "macos -"]:
            with self.subTest(platform):
                self.assertNotEqual(bash("packages", f"packages_engine {platform}").returncode, 0)

    def test_buildx_alone_comes_from_whoever_made_the_docker_command(self) -> None:
        self.assertEqual(lines("packages_buildx docker-ce debian bookworm"), ["docker-buildx-plugin"])
        self.assertEqual(lines("packages_buildx distribution debian bookworm"), ["docker-buildx/sid"])
        self.assertEqual(lines("packages_buildx distribution ubuntu noble"), ["docker-buildx"])
