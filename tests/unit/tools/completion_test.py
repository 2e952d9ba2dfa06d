"""Tab in interactive shells, which a terminal of the test's own drives: what a command line has become is what it runs with."""
import os
import pathlib
import pty
import select
import signal
import sys
import tempfile
import time
import unittest

sys.dont_write_bytecode = True
TOOLS = pathlib.Path(__file__).resolve().parents[3] / "tools/duet"
sys.path.insert(0, str(TOOLS))
import completion

LINES = ["up\tport bind reset detector_checkpoint\t\n", "down\t\t\n", "models\tjson\tlist fetch inspect\n",
         "models fetch\tdir\trtmdet-m rtmdet-s sam-vit-b\n", "models inspect\ttensors\t\n", "=detector_checkpoint\trtmdet-m rtmdet-s\n"]
SHELLS = {"bash": ["bash", "--norc", "-i"], "zsh": ["zsh", "-f", "-i"]}  # nobody's settings
PROMPT = b"READY>"
PATIENCE_S = 60  # for a prompt; a shell that has none would wait for ever


class Terminal:
    """A shell at the other end of a terminal, in a folder."""

    def __init__(self, shell, folder):
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            os.chdir(folder)
            # TMPDIR and HOME: nothing is written elsewhere.
            os.execvpe(SHELLS[shell][0], SHELLS[shell], {
                "PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder), "TMPDIR": str(folder), "TERM": "dumb", "PS1": PROMPT.decode(),
                "LC_ALL": "C.UTF-8"})
        self.read()

    def read(self):
        """All until the next prompt."""
        text, until = b"", time.monotonic() + PATIENCE_S
        while PROMPT not in text:
            ready, _, _ = select.select([self.terminal], [], [], max(0, until - time.monotonic()))
            assert ready, f"no prompt after {text!r}"
            text += os.read(self.terminal, 4096)
        return text.split(PROMPT)[0].decode(errors="replace")

    def enter(self, line):
        os.write(self.terminal, line.encode() + b"\n")
        return self.read()

    def close(self):
        os.kill(self.child, signal.SIGKILL)
        os.waitpid(self.child, 0)
        os.close(self.terminal)


class TabTest(unittest.TestCase):
    def in_each_shell(self, *asked):
        """Each line that is typed, with its Tabs, becomes a command with these words."""
        for shell in SHELLS:
            with tempfile.TemporaryDirectory() as name:
                folder = pathlib.Path(name)
                (folder / "duet").write_text("#!/bin/sh\nprintf 'words'; printf '|%s' \"$@\"; echo '|'\n")
                (folder / "duet").chmod(0o755)
                (folder / "my models/new ones").mkdir(parents=True)
                (folder / "my models/rt.pth").touch()
                (folder / "script").write_text(completion.script(shell, LINES))
                terminal = Terminal(shell, folder)
                try:
                    self.assertNotIn("not found", terminal.enter("source <(cat ./script)"))
                    for line, *words in asked:
                        with self.subTest(shell=shell, line=line):
                            self.assertIn("words|" + "|".join(words) + "|", terminal.enter(line))
                finally:
                    terminal.close()

    def test_commands_and_subcommands_from_a_folder_and_from_the_path(self):
        self.in_each_shell(("./duet mod\t", "models"), ("duet mod\t", "models"), ("./duet models in\t", "models", "inspect"),
                           ("./duet models fetch sa\t", "models", "fetch", "sam-vit-b"))

    def test_no_space_follows_a_flag_that_takes_a_value(self):
        self.in_each_shell(("./duet up --det\trtm\ts\t", "up", "--detector_checkpoint=rtmdet-s"),
                           ("./duet up --res\t--po\t1", "up", "--reset", "--port=1"),
                           ("./duet models fetch --d\tx", "models", "fetch", "--dir=x"))

    def test_files_and_folders_with_spaces_in_their_names(self):
        self.in_each_shell(("./duet models inspect my\trt\t", "models", "inspect", "my models/rt.pth"),
                           ("./duet up --detector-checkpoint=my\trt\t", "up", "--detector-checkpoint=my models/rt.pth"))


if __name__ == "__main__":
    unittest.main()
