import unittest

from shell import bash, explain

STEPS = """
step_good() { echo good ran; }
step_bad() { false; echo went on; }
step_reads() { cat; }
"""


class Steps(unittest.TestCase):
    def run_steps(self, keep_going: str, names: str, left_out: str = "") -> tuple[str, str]:
        result = bash(
            "say steps",
            f'{STEPS}\nsteps_run {keep_going} {names}\nsteps_summary "$1"\necho "$STEPS_FAILED"',
            left_out,
            stdin="must not be read\n",
            environment={"GITHUB_ACTIONS": ""},
        )
        self.assertEqual(result.returncode, 0, explain(result))
        return result.stdout, result.stderr

    def test_a_failing_command_in_the_middle_fails_the_step(self) -> None:
        stdout, stderr = self.run_steps("no", "bad")
        self.assertEqual(stdout, "yes\n")
        self.assertIn("error: step bad failed with exit code 1", stderr)

    def test_stops_at_the_first_failure(self) -> None:
        stdout, stderr = self.run_steps("no", "bad good")
        self.assertNotIn("good ran", stdout)
        self.assertIn("FAILED: 0 passed, 1 failed, 1 skipped after a failure", stderr)

    def test_keeps_going_when_asked(self) -> None:
        stdout, stderr = self.run_steps("yes", "bad good")
        self.assertEqual(stdout, "good ran\nyes\n")
        self.assertIn("FAILED: 1 passed, 1 failed, 0 skipped", stderr)

    def test_all_of_a_part_is_not_all(self) -> None:
        _, stderr = self.run_steps("no", "good", "e2e, unit")
        self.assertIn("PASSED IN PART: 1 passed", stderr)
        self.assertIn("not asked for: e2e, unit", stderr)
        stdout, stderr = self.run_steps("no", "good")
        self.assertEqual(stdout, "good ran\nno\n")
        self.assertIn("\nPASSED: 1 passed", stderr)

    def test_steps_read_no_standard_input(self) -> None:
        self.assertEqual(self.run_steps("no", "reads")[0], "no\n")
