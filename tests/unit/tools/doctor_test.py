"""./duet doctor's judgement of a machine, of logs and of what the gateway says."""
import json
import pathlib
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).parents[3] / "tools/duet"
sys.path.insert(0, str(TOOLS))
import doctor


def states(rows):
    return [(row.check, row.state) for row in rows]


class DoctorTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.facts = {"state": folder.name, "logs": folder.name}

    def log(self, name, *lines):
        (pathlib.Path(self.facts["logs"]) / f"{name}.log").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def test_another_processor_is_told_from_an_old_one(self):
        (arm,) = doctor.check_cpu({}, "processor\t: 0\nFeatures\t: fp asimd sve\n")
        (old,) = doctor.check_cpu({}, "flags\t\t: fpu sse4_2\n")
        self.assertEqual((arm.state, old.state), ("warning", "warning"))
        self.assertIn("no x86-64 CPU", arm.found)
        self.assertIn("no AVX2", old.found)
        self.assertEqual(states(doctor.check_cpu({}, "flags\t\t: fpu sse4_2 avx2\n")), [("cpu", "ok")])

    def test_the_reference_blas_is_found_and_openblas_is_right(self):
        self.assertEqual(states(doctor.check_blas(self.facts, "/usr/lib/blas/libblas.so.3.11.0")), [("blas", "mend")])
        self.assertEqual(states(doctor.check_blas(self.facts, "/usr/lib/openblas-pthread/libblas.so.3")), [("blas", "warning")])
        self.assertEqual(states(doctor.check_blas(self.facts, "/usr/lib/openblas-openmp/libblas.so.3")), [("blas", "ok")])

    def test_what_a_service_says_of_its_blas_counts(self):
        self.log("duet-detector", {"event": "blas.slow", "warning": "runs at 3 GFLOP/s per thread"})
        (row,) = doctor.check_blas(self.facts, "/usr/lib/openblas-openmp/libblas.so.3")
        self.assertEqual((row.state, row.found), ("mend", "runs at 3 GFLOP/s per thread"))
        self.assertIn("libopenblas0-openmp", row.mend)

    def test_memory_is_judged_against_the_models_that_do_not_run_yet(self):
        model = pathlib.Path(self.facts["state"]) / "model.pth"
        model.write_bytes(bytes(1000))
        facts = {**self.facts, "detector.checkpoint": str(model), "segmenter.checkpoint": str(model)}
        self.assertEqual(states(doctor.check_memory(facts, free=8 << 30)), [("memory", "ok")])
        self.assertEqual(states(doctor.check_memory(facts, free=512 << 20)), [("memory", "mend")])
        running = {**facts, "process.duet-detector": "running", "process.duet-segmenter": "running"}
        self.assertEqual(states(doctor.check_memory(running, free=512 << 20)), [("memory", "ok")])

    def test_disk(self):
        self.assertEqual(states(doctor.check_disk(self.facts, free=5 << 30)), [("disk", "ok")])
        self.assertEqual(states(doctor.check_disk(self.facts, free=500 << 20)), [("disk", "warning")])
        self.assertEqual(states(doctor.check_disk(self.facts, free=1 << 20)), [("disk", "mend")])

    def test_a_port_of_somebody_else_is_named_with_its_program(self):
        (row,) = doctor.check_ports({"port.port": "8003 held nginx, pid=7", "port.detector_port": "50051 ours"})
        self.assertEqual((row.state, row.found), ("mend", "--port=8003: port 8003 is in use by nginx, pid=7"))
        self.assertEqual(states(doctor.check_ports({"port.port": "8003 free"})), [("ports", "ok")])

    def test_a_process_that_ended_is_quoted_and_what_was_never_started_is_one_line(self):
        rows = list(doctor.check_processes({**self.facts, "process.duet-segmenter": "ended was killed by signal KILL: it said nothing",
                                            "process.duet-gateway": "running"}))
        self.assertEqual(states(rows), [("duet-segmenter", "mend"), ("services", "mend")])
        self.assertIn("was killed by signal KILL", rows[0].found)
        self.assertIn("duet-detector: not started", rows[1].found)

    def test_failures_come_with_what_to_do(self):
        sentence = "task 5: Label Studio refused the token"
        rows = list(doctor.check_failures(self.facts, {"failures": [
            {"kind": "batch", "project": "7", "task": 5, "sentence": sentence}] * 3}))
        self.assertEqual(states(rows), [("failures", "warning")])
        self.assertIn("a task (project 7, task 5): " + sentence, rows[0].found)
        self.assertIn("--label_studio_url", rows[0].mend)

    def test_without_the_page_the_log_has_the_failures(self):
        self.log("duet-gateway", {"event": "task.failed", "task_id": 3, "error": "the image is damaged"}, {"event": "http.done"})
        (row,) = doctor.check_failures(self.facts, None)
        self.assertIn("the image is damaged", row.found)

    def test_a_backend_url_with_a_path_says_whose_settings_hold(self):
        self.assertEqual([doctor.settings_at(f"http://a:8003{path}") for path in ("", "/", "/p/street/", "/street")],
                         ["", "", "; its settings are those of profile street", "; its settings are the default ones"])

    def test_a_config_without_masks_or_smart_tools_is_told(self):
        writes = {"images": [{"classes": [{"class": "cat", "targets": [{"control": "a", "tag": "RectangleLabels"}]}], "smart": []}],
                  "unmatched": ["dog"]}
        found = " ".join(row.found for row in doctor.check_writes({"projects": [{"project": "7", "writes": writes}]}))
        self.assertIn("boxes, but no masks", found)
        self.assertIn("its label config has no smart tool", found)
        self.assertIn("1 classes have no label and are dropped: dog", found)

    def test_what_others_said_cannot_steer_a_terminal(self):
        self.assertNotIn("\x1b", doctor.shown(doctor.ok("a", "\x1b[2Jwell"), coloured=False))

    def test_settings_for_curl_are_quoted(self):
        self.assertEqual(doctor.setting("url", 'a"b\\c\nd'), 'url = "a\\"b\\\\c\\nd"')


if __name__ == "__main__":
    unittest.main()
