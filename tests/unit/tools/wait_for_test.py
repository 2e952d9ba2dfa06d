"""tools/duet/wait_for: a command in a group of its own, and how it ended."""
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

WAIT_FOR = pathlib.Path(__file__).parents[3] / "tools/duet/wait_for"
PATIENCE_S = 60


def wait_until(holds):
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def state_of(pid):
    """R: it runs, S: it sleeps, T: it is stopped."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


class WaitForTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.note = pathlib.Path(folder.name, "note")

    def start(self, *command):
        """Returns the pid of the command."""
        self.waiting = subprocess.Popen([WAIT_FOR, self.note, *command], start_new_session=True, stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.waiting.stderr.close)
        self.addCleanup(self.waiting.kill)
        pid_file = self.note.with_name("note.pid")
        wait_until(pid_file.exists)
        pid = int(pid_file.read_text())
        # It is one process from the beginning; what is asked of it here is asked of the command itself.
        wait_until(lambda: pathlib.Path(f"/proc/{pid}/comm").read_text().strip() == command[0])
        return pid

    def end(self):
        self.waiting.wait(PATIENCE_S)
        return self.note.read_text().split()

    def test_the_exit_code_is_noted(self):
        self.waiting = subprocess.Popen([WAIT_FOR, self.note, "sh", "-c", "exit 3"], start_new_session=True)
        self.assertEqual(self.end()[1], "3")

    def test_the_signal_is_noted(self):
        for killed_by in (signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM, signal.SIGINT):
            pid = self.start("sleep", "600")
            os.kill(pid, killed_by)
            self.assertEqual(self.end(), [str(pid), str(128 + killed_by)])
            self.assertEqual(self.waiting.stderr.read(), "", "it would stand in the command's log as its last words")
            self.note.unlink()
            self.note.with_name("note.pid").unlink()

    def test_it_has_a_group_of_its_own(self):
        pid = self.start("sleep", "600")
        self.assertEqual(os.getpgid(pid), pid)
        os.killpg(pid, signal.SIGTERM)
        self.end()

    def test_one_that_is_stopped_is_waited_for_in_sleep(self):
        pid = self.start("sleep", "600")
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: state_of(pid) == "T")
        wait_until(lambda: state_of(self.waiting.pid) == "S")
        self.assertFalse(self.note.exists())
        os.kill(pid, signal.SIGCONT)
        wait_until(lambda: state_of(pid) == "S")
        os.kill(pid, signal.SIGTERM)
        self.assertEqual(self.end(), [str(pid), str(128 + signal.SIGTERM)])


if __name__ == "__main__":
    unittest.main()
