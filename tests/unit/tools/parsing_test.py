"""What parses for ./duet."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOLS = pathlib.Path(__file__).parents[3] / "tools/duet"
sys.path.insert(0, str(TOOLS))
import flag_table
import json_rows
import json_value
import junit
import last_error


class FileTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def file(self, content):
        path = self.folder / "file"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


class JunitTest(FileTest):
    def test_ctest_has_one_suite_at_the_root(self):
        report = self.file('<?xml version="1.0"?>\n<testsuite name="Linux-c++"\n\ttests="14"\n\tfailures="2"\n'
                           '\tdisabled="0"\n\tskipped="1"\n\t><testcase name="a"/></testsuite>')
        self.assertEqual(junit.counts(report), (11, 2, 1))

    def test_pytest_has_it_in_a_list_and_counts_errors(self):
        report = self.file('<testsuites name="x" tests="9"><testsuite name="pytest" errors="1" failures="2" skipped="3" '
                           'tests="9" time="1.5"><testcase/></testsuite></testsuites>')
        self.assertEqual(junit.counts(report), (3, 3, 3))

    def test_without_a_readable_report_no_test_ran(self):
        self.assertEqual(junit.counts(self.folder / "none"), (0, 0, 0))
        self.assertEqual(junit.counts(self.file("")), (0, 0, 0))
        self.assertEqual(junit.counts(self.file('<testsuite tests="3"')), (0, 0, 0))

    def test_the_command_prints_the_three(self):
        report = self.file('<testsuite tests="3" failures="1"/>')
        printed = subprocess.run([sys.executable, "-I", TOOLS / "junit.py", report], capture_output=True, text=True)
        self.assertEqual(printed.stdout, "2 1 0\n")

    def test_the_command_names_those_that_passed(self):
        report = self.file('<testsuite tests="4"><testcase classname="unit.a" name="unit.a"/>'
                           '<testcase classname="e2e.test_b.Class" name="test_c[1]"/>'
                           '<testcase name="d"><failure/></testcase><testcase name="e"><skipped/></testcase></testsuite>')
        printed = subprocess.run([sys.executable, "-I", TOOLS / "junit.py", "--passed", report],
                                 capture_output=True, text=True)
        self.assertEqual(printed.stdout, "unit.a\ne2e.test_b.Class.test_c[1]\n")


class FlagTableTest(unittest.TestCase):
    def test_a_line_has_a_flag_and_its_default(self):
        text = json.dumps({"flags": [{"name": "port", "default": "8003"}, {"name": "profiles", "default": ""}]})
        self.assertEqual(flag_table.lines(text), ["port\t8003", "profiles\t"])

    def test_a_former_name_stands_before_the_new_one(self):
        text = json.dumps({"flags": [{"name": "threads", "default": "0", "former_names": ["cores"]}]})
        self.assertEqual(flag_table.lines(text), ["cores\t0", "threads\t0"])


class JsonValueTest(unittest.TestCase):
    ROOT = '{"detector":{"versions":{"v1":2},"name":"a \\"b\\" {c}"},"segmenter":null,"score_threshold":0.25,"ready":true}'

    def test_keys_lead_to_texts_and_numbers(self):
        self.assertEqual(json_value.value_at(self.ROOT, ["detector", "name"]), 'a "b" {c}')
        self.assertEqual(json_value.value_at(self.ROOT, ["detector", "versions", "v1"]), "2")
        self.assertEqual(json_value.value_at(self.ROOT, ["score_threshold"]), "0.25")
        self.assertEqual(json_value.value_at(self.ROOT, ["ready"]), "true")

    def test_what_is_no_text_or_number_is_nothing(self):
        for keys in (["detector"], ["segmenter"], ["segmenter", "name"], ["score_threshold", "x"], ["none"]):
            self.assertIsNone(json_value.value_at(self.ROOT, keys), keys)
        self.assertIsNone(json_value.value_at("<html>", ["error"]))
        self.assertIsNone(json_value.value_at("", ["error"]))


class JsonRowsTest(unittest.TestCase):
    def test_each_object_of_the_list_is_a_row_of_its_fields(self):
        text = '{"warnings":[{"project":"3","warning":"no label\\nfor\\tany"},{"project":4},7]}'
        self.assertEqual(json_rows.rows_of(text, "warnings", ["project", "warning"]),
                         [["3", "no label for any"], ["4", ""]])

    def test_what_would_steer_a_terminal_is_replaced(self):
        text = '{"warnings":[{"project":"\\u001b]0;x\\u0007","warning":"caf\u00e9"}]}'
        self.assertEqual(json_rows.rows_of(text, "warnings", ["project", "warning"]),
                         [["\ufffd]0;x\ufffd", "caf\u00e9"]])

    def test_what_has_no_such_list_has_no_rows(self):
        for text in ("", "<html>", "[]", '{"warnings":null}', '{"other":[]}'):
            self.assertEqual(json_rows.rows_of(text, "warnings", ["project"]), [], text)

    def test_a_list_may_be_in_other_objects(self):
        text = '{"detector": {"names": [{"name": "project-7", "stored_version": 3}]}, "segmenter": null}'
        self.assertEqual(json_rows.rows_of(text, "detector.names", ["name", "stored_version", "error"]),
                         [["project-7", "3", ""]])
        self.assertEqual(json_rows.rows_of(text, "segmenter.names", ["name"]), [])
        self.assertEqual(json_rows.rows_of(text, "trainer.names", ["name"]), [])


class LastErrorTest(FileTest):
    def test_the_last_line_of_that_level_counts_among_lines_of_any_kind(self):
        log = self.file(b'{"ts":"1","level":"error","event":"a","error":"first"}\n'
                        b'{"ts":"2","level":"error","event":"startup.failed","error":"no \\"x\\""}\n'
                        b'{"ts":"3","level":"info","event":"serving"}\n\xff no JSON\n')
        self.assertEqual(last_error.last_error(log)["error"], 'no "x"')

    def test_a_log_without_one_or_none_at_all_has_none(self):
        self.assertIsNone(last_error.last_error(self.file('{"level":"info"}\n')))
        self.assertIsNone(last_error.last_error(self.folder / "none"))

    def test_a_line_that_was_cut_off_is_no_error_of_this_command(self):
        self.assertIsNone(last_error.last_error(self.file('{"ts":"1","level":"error","event":"a')))


if __name__ == "__main__":
    unittest.main()
