"""What ./duet makes of what it is told, before anything runs: tools/duet/options.sh and what all commands have."""
import contextlib
import os
import pathlib
import socket
import struct
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).parents[3]


class OptionsTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = pathlib.Path(folder.name)

    def bash(self, script, **variables):
        """(exit code, what was printed, what was warned of)."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DUET_")}
        ran = subprocess.run(
            ["bash", "-c", self.script(script)],
            capture_output=True, text=True, env={**environment, **variables})
        return ran.returncode, ran.stdout, ran.stderr

    def told(self, name, *arguments, **variables):
        """What an option is then; None: not told."""
        quoted = " ".join(f"'{argument}'" for argument in arguments)
        code, said, why = self.bash(f"resolve_options {quoted}; echo \"${{OPTION[{name}]-nothing}}\"", **variables)
        self.assertEqual(code, 0, why)
        return None if said.strip() == "nothing" else said.strip()

    def script(self, text):
        return (f"set -euo pipefail; DUET_ROOT={ROOT} DUET_STATE={self.state} CALLER_DIRECTORY=$PWD; "
                f"for part in {ROOT}/tools/duet/*.sh; do source $part; done; {text}")

    def duet(self, *arguments):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DUET_")}
        return subprocess.run([ROOT / "duet", *arguments], capture_output=True, text=True,
                              env={**environment, "DUET_STATE": str(self.state)}, stdin=subprocess.DEVNULL)

    def test_a_switch_takes_the_values_of_all_flags(self):
        for said in ("", "=true", "=yes", "=1", "=Y"):
            self.assertEqual(self.told("train", f"--train{said}", "--label_studio_url=http://a"), "true", said)
        for said in ("=false", "=no", "=0", "=N", "="):
            self.assertIsNone(self.told("with_label_studio", f"--with-label-studio{said}"), said)
        self.assertEqual(self.told("demo_project", "--demo_project=false"), "no")
        self.assertIsNone(self.told("demo_project", "--demo_project=yes"))
        self.assertIsNone(self.told("train", DUET_TRAIN="false"))

    def test_a_process_that_ended_is_quoted_in_one_sentence(self):
        log = self.state / "logs/duet-detector.log"
        log.parent.mkdir()
        for said, words in (('{"level":"error","event":"startup.failed","error":"a.pth: is not a checkpoint"}\n', "a.pth: is not a checkpoint"),
                            ("Traceback\nValueError: no\n", "ValueError: no"), ("", "it said nothing")):
            log.write_text(said)
            code, _, why = self.bash("require_alive duet-detector")
            self.assertEqual((code, why), (1, f"duet: duet-detector stopped by itself: {words}; its log is {log}\n"))

    def test_up_says_that_its_folder_cannot_be_written_to(self):
        (self.state / "room").symlink_to("/dev/full")  # and a checkpoint that there isn't, so that nothing is ever started
        ran = self.duet("up", "--detector_checkpoint=carrots")
        self.assertEqual((ran.returncode, ran.stderr), (1, f"duet: {self.state} cannot be written to: No space left on device\n"))
        self.assertFalse((self.state / "room").is_symlink())

        (self.state / "file").touch()
        self.state /= "file"
        ran = self.duet("up", "--detector_checkpoint=carrots")
        self.assertEqual((ran.returncode, ran.stderr), (1, f"duet: {self.state} cannot be written to: File exists\n"))

    def test_a_name_that_there_is_not_is_answered_with_the_one_that_was_meant(self):
        for arguments, meant in ((("statsu",), "status"), (("lable-config",), "label-config"), (("prelable",), "prelabel"),
                                 (("models", "lits"), "list"), (("models", "fetch", "rtmdet_m"), "rtmdet-m"),
                                 (("up", "--detector_checkpoint=rtmdetm"), "rtmdet-m"), (("up", "--segmenter_checkpoint=sam-vitb"), "sam-vit-b"),
                                 (("status", "--jsn"), "--json"), (("doctor", "--jsno"), "--json"), (("models", "list", "--jsom"), "--json"),
                                 (("models", "fetch", "--bas_url=http://a", "rtmdet-m"), "--base_url"), (("logs", "--failurs"), "--failures"),
                                 (("logs", "--lines"), "--lines=N")):
            ran = self.duet(*arguments)
            self.assertEqual(ran.returncode, 2, ran.stderr)
            self.assertTrue(ran.stderr.endswith(f"; did you mean '{meant}'?\n"), ran.stderr)
        for arguments in (("carrots",), ("models", "carrots"), ("models", "fetch", "carrots"), ("status", "--carrots"), ("logs", "--carrots"),
                          ("up", "--detector_checkpoint=carrots"), ("models", "fetch", "--carrots", "rtmdet-m")):
            self.assertNotIn("did you mean", self.duet(*arguments).stderr)

    def test_a_command_takes_the_services_that_run_and_models_for_the_others(self):
        for runs in ("detector", "segmenter", "nothing"):
            code, said, why = self.bash(
                f"running() {{ [[ $1 == duet-{runs} ]]; }}; record_of() {{ echo here:1; }}; "
                "name_services detector segmenter -- picture.jpg; "
                "echo ${DUET_DETECTOR-} ${DUET_DETECTOR_CHECKPOINT-} ${DUET_SEGMENTER-} ${DUET_SEGMENTER_CHECKPOINT-}")
            self.assertEqual(code, 0, why)
            self.assertEqual([one if one == "here:1" else pathlib.Path(one).name for one in said.split()],
                             ["here:1" if runs == "detector" else "rtmdet-demo.pth", "here:1" if runs == "segmenter" else "sam-demo.pth"])

    def test_no_counts_against_what_is_remembered_and_against_a_variable(self):
        (self.state / "options").write_text("with_label_studio=true\nscore_threshold=0.3\n")
        self.assertEqual(self.told("with_label_studio"), "true")
        self.assertIsNone(self.told("with_label_studio", "--with_label_studio=no"))
        self.assertIsNone(self.told("with_label_studio", "--with_label_studio=no", DUET_WITH_LABEL_STUDIO="yes"))
        # One's own Label Studio instead of Duet's.
        self.assertEqual(self.told("label_studio_url", "--with_label_studio=no", "--label_studio_url=http://a"), "http://a")
        self.assertIsNone(self.told("score_threshold", "--reset=yes"))
        self.assertEqual(self.told("score_threshold", "--reset=no"), "0.3")

    def test_what_is_neither_yes_nor_no_is_refused(self):
        code, _, why = self.bash("resolve_options --train=perhaps")
        self.assertEqual((code, why), (2, "duet: --train=perhaps: must be yes or no\n"))
        for command in (("status", "--json=perhaps"), ("doctor", "--json=perhaps"), ("logs", "--failures=perhaps"),
                        ("test", "--all=perhaps"), ("up", "--json=perhaps"), ("models", "list", "--json=perhaps")):
            refused = self.duet(*command)
            self.assertEqual((refused.returncode, refused.stderr), (2, f"duet: {command[-1]}: must be yes or no\n"))

    def test_no_is_as_if_it_was_not_said(self):
        self.assertEqual(self.duet("status", "--json=no").stdout, self.duet("status").stdout)
        self.assertEqual(self.duet("models", "list", "--json=no").stdout, self.duet("models", "list").stdout)
        (self.state / "logs").mkdir()
        (self.state / "logs/duet-gateway.log").write_text('{"ts":"2026-01-02T03:04:05.000Z","level":"info","event":"serving"}\n')
        self.assertIn("serving", self.duet("logs", "--failures=false").stdout)

    def test_every_command_says_its_version(self):
        commands = [["version"], ["--version"], ["up", "--version"], ["models", "fetch", "rtmdet-m", "--version"],
                    ["predict", "--version"], ["logs", "-f", "--version"], ["completion", "--version"], ["test", "--version"]]
        for command in commands:
            said = self.duet(*command)
            self.assertRegex(said.stdout, r"\Aduet \d+\.\d+\.\d+\n\Z", command)
            self.assertEqual((said.returncode, said.stderr), (0, ""))

    def test_a_port_of_a_connection_is_waited_for_until_it_is_free(self):
        with held_port() as (connection, port):
            waiting = subprocess.Popen(
                ["bash", "-c", self.script(f"OPTION=([detector_port]={port}); require_free_port a 127.0.0.1:{port}; say free")],
                stdout=subprocess.PIPE, text=True)
            first = waiting.stdout.readline()
            self.assertIsNone(waiting.poll())
            connection.close()
            rest = waiting.communicate()[0]
        self.assertIn(f"a: nobody listens on port {port}, but a connection of some program has it; waiting", first)
        self.assertEqual((waiting.returncode, rest), (0, "free\n"))

    def test_one_that_is_never_free_ends_with_the_option_that_chooses_another(self):
        with held_port() as (_, port):
            # Its naps are long.
            code, _, why = self.bash(f"sleep() {{ SECONDS=$((SECONDS + 61)); }}; OPTION=([segmenter_port]={port}); "
                                     f"require_free_port a 127.0.0.1:{port}")
        self.assertEqual(code, 1)
        self.assertIn(f"still has port {port} after 60 s", why)
        self.assertIn("./duet up --segmenter_port=…", why)

    def test_a_port_on_which_somebody_listens_is_not_waited_for(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            code, said, why = self.bash(f"OPTION=([port]={port}); require_free_port a 127.0.0.1:{port}")
        self.assertEqual((code, said), (1, ""))
        self.assertRegex(why, rf"a: port {port} is in use( by .*)?\. Stop that program, or choose another port: ./duet up --port=…")

    def test_a_port_at_another_address_of_this_machine_counts_for_who_listens_at_all(self):
        with held_port("127.0.0.5") as (_, port):
            self.assertEqual(self.bash(f"can_bind 127.0.0.1:{port}")[0], 0)
            self.assertEqual(self.bash(f"can_bind 0.0.0.0:{port}")[0], 1)
            self.assertEqual(self.bash(f"can_bind 'http://[::1]:{port}'")[0], 0)


@contextlib.contextmanager
def held_port(address="127.0.0.1"):
    """(connection, port): nobody listens there, but an outgoing connection comes from it. Closed, it leaves nothing."""
    with socket.create_server(("127.0.0.1", 0)) as other_end, socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.bind((address, 0))
        connection.connect(other_end.getsockname())
        yield connection, connection.getsockname()[1]


if __name__ == "__main__":
    unittest.main()
