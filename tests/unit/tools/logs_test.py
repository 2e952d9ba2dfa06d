"""What ./duet logs, models list and completion make of what they read."""
import contextlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).parents[3] / "tools/duet"
sys.path.insert(0, str(TOOLS))
import completion
import failures
import logs
import models

FAILED = {"ts": "2026-01-02T03:04:07.000Z", "level": "warning", "event": "task.failed", "task_id": 5, "error": "the image is damaged"}


class LogFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.write("duet-gateway", {"ts": "2026-01-02T03:04:05.000Z", "level": "info", "event": "serving", "port": 8003}, FAILED)
        self.write("duet-detector", {"ts": "2026-01-02T03:04:06.000Z", "level": "info", "event": "model.ready", "name": "rtmdet-m"})

    def write(self, name, *lines, mode="w"):
        with open(self.folder / f"{name}.log", mode) as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))

    def shown(self, *arguments):
        with contextlib.redirect_stdout(io.StringIO()) as out:
            self.assertEqual(logs.main([str(self.folder), *arguments]), 0)
        return out.getvalue().splitlines()


class LogsTest(LogFolder):
    def test_all_logs_are_one_list_by_time(self):
        lines = self.shown()
        self.assertEqual([line.split()[1] for line in lines], ["gateway", "detector", "gateway"])
        self.assertEqual(lines[2], "03:04:07.000 gateway   warning task.failed: the image is damaged (task_id=5)")

    def test_failures_alone_one_process_and_the_last_lines(self):
        self.assertEqual(len(self.shown("--failures")), 1)
        self.assertIn("rtmdet-m", *self.shown("detector"))
        self.assertEqual(len(self.shown("--lines=2")), 2)

    def test_as_they_are_written(self):
        self.assertEqual(json.loads(self.shown("--json", "--failures")[0]), FAILED)

    def test_what_cannot_be_shown_is_a_sentence(self):
        self.assertIn("no log of 'trainer'", logs.main([str(self.folder), "trainer"]))
        self.assertIn("unknown argument '--fail'", logs.main([str(self.folder), "--fail"]))
        self.assertIn("--lines=x", logs.main([str(self.folder), "--lines=x"]))
        self.assertIsInstance(logs.main([str(self.folder), "--lines=x"]), logs.Misuse)

    def test_it_goes_on_also_when_a_log_is_begun_anew(self):
        following = subprocess.Popen([sys.executable, TOOLS / "logs.py", self.folder, "gateway", "-f", "--lines=1"],
                                     stdout=subprocess.PIPE, text=True)
        self.addCleanup(following.stdout.close)
        self.addCleanup(following.wait)
        self.addCleanup(following.kill)
        self.assertIn("task.failed", following.stdout.readline())
        self.write("duet-gateway", {"event": "one", "level": "info"}, mode="a")
        self.assertIn("one", following.stdout.readline())
        (self.folder / "duet-gateway.log").rename(self.folder / "duet-gateway.log.1")
        self.write("duet-gateway", {"event": "two", "level": "info"})
        self.assertIn("two", following.stdout.readline())

    def test_half_a_line_waits_for_its_end(self):
        log = logs.Log("gateway", self.folder / "half.log")
        (self.folder / "half.log").write_text('{"event":"a"}\n{"ev')
        self.assertEqual(log.read(), ['{"event":"a"}'])
        with open(self.folder / "half.log", "a") as file:
            file.write('ent":"b"}\n')
        self.assertEqual(log.read(), ['{"event":"b"}'])


AWAY = {"ts": "2026-01-02T03:04:05.100Z", "level": "warning", "event": "backend.away", "service": "detector", "targets": "a:1",
        "error": "the detector is away"}
FOUND = {"ts": "2026-01-02T03:04:06.000Z", "level": "info", "event": "backend.found", "service": "detector", "targets": "a:1"}
SERVING = {"ts": "2026-01-02T03:04:05.000Z", "level": "info", "event": "serving", "port": 8003}


class FailuresTest(LogFolder):
    def last(self):
        return failures.last_failure(self.folder / "duet-gateway.log")

    def test_a_service_that_was_still_loading_is_none(self):
        self.write("duet-gateway", SERVING, AWAY, {**AWAY, "error": "another reason"}, FOUND)
        self.assertEqual(self.shown("--failures"), [])
        self.assertIsNone(self.last())

    def test_one_that_never_comes_or_goes_away_again_is_one(self):
        self.write("duet-gateway", SERVING, AWAY, {**AWAY, "service": "segmenter", "error": "never"}, FOUND)
        self.assertEqual(self.last(), {"ts": AWAY["ts"], "event": "backend.away", "error": "never"})
        self.write("duet-gateway", SERVING, AWAY, FOUND, {**AWAY, "error": "it went"}, FOUND)
        self.assertEqual(self.last()["error"], "it went")
        self.assertEqual(len(self.shown("--failures")), 1)
        self.write("duet-gateway", SERVING, FOUND, SERVING, AWAY, FOUND)  # another start
        self.assertIsNone(self.last())

    def test_what_comes_later_is_judged_by_what_came_before(self):
        chosen = failures.Failures()
        pairs = [("gateway", json.dumps(line)) for line in (SERVING, AWAY, FOUND, AWAY)]
        self.assertEqual(chosen.among(pairs[:3]), [])
        self.assertEqual(chosen.among(pairs[3:]), pairs[3:])

    def test_what_the_doctor_asked_of_label_studio_is_none(self):
        asked = ["[2026-01-02 03:04:05,679] [core.utils.common::custom_exception_handler::97] [ERROR] dc7a {'project': "
                 "[ErrorDetail(string='Invalid pk \"0\" - object does not exist.', code='does_not_exist')]}",
                 "Traceback (most recent call last):", "rest_framework.exceptions.ValidationError: {'project': …}"]
        others = ["[2026-01-02 03:04:06,000] [django.server::log_message::213] [INFO] \"GET /error HTTP/1.1\" 200",
                  "Traceback (most recent call last):", "OSError: no space left"]
        log = self.folder / "label-studio.log"
        log.write_text("\n".join(asked) + "\n")
        self.assertIsNone(failures.last_failure(log))
        log.write_text("\n".join(asked + others) + "\n")
        self.assertEqual(failures.last_failure(log)["error"], others[-1])
        self.assertEqual(failures.Failures().among(("label-studio", line) for line in asked + others),
                         [("label-studio", line) for line in others[1:]])

    def test_status_and_logs_mean_the_same(self):
        lines = [FAILED, {**FAILED, "level": "error", "error": "last"}, {"level": "info", "event": "x"}]
        self.write("duet-gateway", *lines)
        (self.folder / "duet-detector.log").write_text("")
        shown = self.shown("--failures", "--json")
        self.assertEqual(len(shown), 2)
        self.assertEqual(self.last()["error"], json.loads(shown[-1])["error"])

    def test_other_programs_lines_are_told_by_their_words(self):
        (self.folder / "duet-gateway.log").write_text(
            "what(): bad error\n[2026-01-02 03:04:05] [django.server::log_message::1] [INFO] \"GET /api/errors\"\n")
        self.assertEqual(self.last(), {"ts": "", "event": "", "error": "what(): bad error"})
        self.assertIsNone(failures.last_failure(self.folder / "none"))


class ModelsTest(unittest.TestCase):
    def test_every_model_has_a_kind_and_a_size(self):
        for model in models.models_of(TOOLS.parents[1] / "models/models.tsv", "/nowhere"):
            self.assertIn(model["kind"], ("boxes", "boxes and masks", "turned boxes", "segmenter"), model["name"])
            self.assertGreater(model["megabytes"], 0, model["name"])
            self.assertEqual(model["file"], "")

    def test_a_table_of_four_columns_is_listed_too(self):
        with tempfile.NamedTemporaryFile("w", suffix=".tsv") as table:
            table.write("name\tfamily\turl\tsha256_prefix\nmine\tRTMDet\thttp://a/b.pth\t\n")
            table.flush()
            self.assertIn("mine", models.table_of(models.models_of(table.name, "/nowhere"))[1])


class CompletionTest(unittest.TestCase):
    LINES = ["up\tport bind reset detector_checkpoint\t\n", "down\t\t\n", "models\tjson\tlist fetch inspect\n",
             "models fetch\tdir\trtmdet-m rtmdet-s sam-vit-b\n", "models inspect\ttensors\t\n", "=detector_checkpoint\trtmdet-m rtmdet-s\n"]

    def complete(self, *words):
        """With the last word unfinished, as the shell splits them."""
        script = completion.script("bash", self.LINES)
        asked = (f"{script}\nCOMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _duet; "
                 "((${#COMPREPLY[@]} == 0)) || printf '%s\\n' \"${COMPREPLY[@]}\"")
        with tempfile.TemporaryDirectory() as folder:
            pathlib.Path(folder, "rt.pth").touch()
            return subprocess.run(["bash", "-c", asked], capture_output=True, text=True, check=True, cwd=folder).stdout.split()

    def test_commands_and_flags_are_completed(self):
        self.assertEqual(self.complete("duet", "''"), ["down", "models", "up"])
        self.assertEqual(self.complete("duet", "u"), ["up"])
        self.assertEqual(self.complete("duet", "up", "--p"), ["--port="])
        self.assertEqual(self.complete("duet", "up", "--r"), ["--reset"])

    def test_a_command_of_two_words_and_what_follows_it(self):
        self.assertEqual(self.complete("duet", "models", "''"), ["list", "fetch", "inspect"])
        self.assertEqual(self.complete("duet", "models", "f"), ["fetch"])
        self.assertEqual(self.complete("duet", "models", "fetch", "''"), ["rtmdet-m", "rtmdet-s", "sam-vit-b"])
        self.assertEqual(self.complete("duet", "models", "fetch", "rtmdet-m", "s"), ["sam-vit-b"])
        self.assertEqual(self.complete("duet", "models", "fetch", "--d"), ["--dir="])
        self.assertEqual(self.complete("duet", "models", "inspect", "''"), ["rt.pth"])

    def test_values_that_are_known(self):
        expected = ["rtmdet-m", "rtmdet-s", "rt.pth"]
        # As bash splits it, with nothing and with a part behind the =, and as one word.
        self.assertEqual(self.complete("duet", "up", "--detector_checkpoint", "="), expected)
        self.assertEqual(self.complete("duet", "up", "--detector-checkpoint", "=", "rt"), expected)
        self.assertEqual(self.complete("duet", "up", "--detector_checkpoint=rt"), [f"--detector_checkpoint={each}" for each in expected])
        self.assertEqual(self.complete("duet", "up", "--profiles", "="), ["rt.pth"])


if __name__ == "__main__":
    unittest.main()
