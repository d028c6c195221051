import os
import pty
import subprocess
import tempfile
import unittest
from pathlib import Path

from shell import LIBRARY, bash, explain


class Plan(unittest.TestCase):
    def test_what_is_shown_is_what_runs(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            target = Path(directory, "a file; with $odd 'name'")
            result = bash("say plan", 'plan_add why touch "$1"; plan_show; plan_run', str(target))
            self.assertEqual(result.returncode, 0, explain(result))
            self.assertTrue(target.exists())
            shown, ran = (line.strip(" +") for line in result.stderr.splitlines() if "touch" in line)
            self.assertEqual(shown, ran)

    def test_stops_at_the_first_failure_and_names_it(self) -> None:
        result = bash("say plan", "plan_add a false; plan_add b echo late; plan_run || echo \"code $? $PLAN_FAILED\"")
        self.assertEqual(result.stdout, "code 1 false\n", explain(result))
        self.assertNotIn("late", result.stdout)

    def test_commands_get_no_standard_input(self) -> None:
        result = bash("say plan", "plan_add a cat; plan_run; read -r line; echo \"$line\"", stdin="for the script\n")
        self.assertEqual(result.stdout, "for the script\n", explain(result))

    def test_without_a_terminal_consent_is_needed_beforehand(self) -> None:
        result = bash("say plan", "plan_confirm no; echo agreed", stdin="y\n")
        self.assertEqual((result.returncode, result.stdout), (3, ""), explain(result))
        self.assertIn("--yes", result.stderr)
        self.assertEqual(bash("say plan", "plan_confirm yes; echo agreed").stdout, "agreed\n")

    def test_a_terminal_is_asked(self) -> None:
        for answer, agreed in [("y", True), ("yes", True), ("n", False), ("", False), ("perhaps", False)]:
            with self.subTest(answer):
                ours, theirs = pty.openpty()
                try:
                    os.write(ours, f"{answer}\n".encode())
                    result = subprocess.run(
                        ["bash", "-c", f". '{LIBRARY}/say.sh'; . '{LIBRARY}/plan.sh'; plan_confirm no; echo agreed"],
                        stdin=theirs, capture_output=True, text=True, timeout=60, check=False,
                    )  # fmt: skip
                finally:
                    os.close(ours)
                    os.close(theirs)
                self.assertEqual(result.stdout == "agreed\n", agreed, explain(result))
                self.assertEqual(result.returncode, 0 if agreed else 3, explain(result))

    def test_a_file_is_put_in_place_once(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            target = Path(directory, "deep", "file")
            target.parent.mkdir()
            target.write_text("content\n")
            snippet = 'plan_add_file why "$1" <<<"$2"; plan_is_empty && echo nothing; echo "$PLAN_DRAFTS"'
            result = bash("say plan", snippet, str(target), "content")
            said, drafts = result.stdout.splitlines()
            self.assertEqual(said, "nothing", explain(result))
            self.assertFalse(Path(drafts).exists(), "drafts are removed at the end")
            result = bash("say plan", 'plan_add_file why "$1" <<<"$2"; plan_show', str(target), "other")
            self.assertIn("| other", result.stderr)
            self.assertIn("install -D -m 0644 ", result.stderr)
