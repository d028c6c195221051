"""What the GitHub workflows may do, besides being right (actionlint sees to that)."""

import re
import subprocess
import tempfile
import unittest
from pathlib import Path

from shell import ROOT, bash, explain

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+(\.\d+)*$")


def uses(text: str) -> list[str]:
    """The actions and workflows that are used, with the comment behind each."""
    return re.findall(r"^\s*(?:- )?uses:\s*(.*?)\s*$", text, re.MULTILINE)


class Workflows(unittest.TestCase):
    def test_every_action_is_pinned_by_a_commit_and_names_its_version(self) -> None:
        found = [(path.name, used) for path in WORKFLOWS for used in uses(path.read_text())]
        self.assertGreaterEqual(len(found), 5)
        loose = [pair for pair in found if not pair[1].startswith("./") and not PINNED.match(pair[1])]
        self.assertEqual(loose, [])

    def test_what_is_not_pinned_is_found(self) -> None:
        commit = "0057852bfaa89a56745cba8c7296529d2fc39830"
        self.assertTrue(PINNED.match(f"actions/cache@{commit} # v4.3.0"))
        for loose in ["actions/cache@v4", f"actions/cache@{commit}", f"actions/cache@{commit[:7]} # v4", "a/b@main # v1"]:
            self.assertIsNone(PINNED.match(loose), loose)
        self.assertEqual(uses("    steps:\n      - uses: a/b@v1\n        uses: c/d@v2 # x\n"), ["a/b@v1", "c/d@v2 # x"])

    def test_no_workflow_has_more_than_it_needs(self) -> None:
        for path in WORKFLOWS:
            text = path.read_text()
            top = re.search(r"^permissions:\n((?:  .*\n)+)", text, re.MULTILINE)
            self.assertIsNotNone(top, path)
            assert top is not None
            self.assertEqual(top.group(1), "  contents: read\n", f"{path}: a job asks for more by itself")
            self.assertNotIn("secrets.", text, f"{path}: credentials come from the role")
            self.assertEqual(text.count("actions/checkout@"), text.count("persist-credentials: false"), path)

    def test_a_wrong_workflow_is_found(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            (root / ".github/workflows").mkdir(parents=True)
            (root / "scripts").mkdir()
            (root / "target").symlink_to(ROOT / "target")
            (root / "scripts/requirements.txt").write_bytes((ROOT / "scripts/requirements.txt").read_bytes())
            subprocess.run(["git", "init", "--quiet", directory], check=True)
            workflow = root / ".github/workflows/x.yml"
            run = "ROOT=$1; (lint_workflows)"

            def lint(script: str) -> subprocess.CompletedProcess[str]:
                job = f"  j:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: {script}\n"
                workflow.write_text(f"on: push\njobs:\n{job}")
                return bash("say lint", run, directory)

            right = lint("echo hello")
            self.assertEqual(right.returncode, 0, explain(right))
            for wrong, rule in [("echo ${{ nothing.here }}", "expression"), ("cd $HOME/x; ls", "shellcheck")]:
                result = lint(wrong)
                self.assertNotEqual(result.returncode, 0, explain(result))
                self.assertIn(f"[{rule}]", result.stdout, explain(result))


if __name__ == "__main__":
    unittest.main()
