"""The layering lint reports what it is there for."""
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "tools"))
import check_layering


class CheckLayeringTest(unittest.TestCase):
    def violations(self, files, edges=""):
        with tempfile.TemporaryDirectory() as name:
            root = pathlib.Path(name)
            for path, text in files.items():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(text)
            return list(check_layering.violations(root, edges))

    def test_what_the_tables_allow_is_fine(self):
        files = {
            "gateway/http/session.cc": '#include "gateway/http/session.h"\n#include <vector>\n#include "serving/log.h"\n',
            "gateway/options.h": '#include "gateway/http/server.h"\n',
            "lib/backends/client.cc": '#include <grpcpp/channel.h>\n#include "duet/detector/v1/detector.pb.h"\n',
            "lib/nn/layers.h": '#include <ATen/core/Tensor.h>\n#include "nn/onednn/graph.h"\n',
        }
        self.assertEqual(self.violations(files, "gateway gateway lib/serving serving_base\n"), [])

    def test_a_room_below_may_not_include_one_above(self):
        self.assertEqual(self.violations({"lib/vision/a.cc": '#include "serving/log.h"\n'}),
                         ["lib/vision/a.cc: includes serving/log.h, but vision may not depend on serving"])

    def test_rooms_within_a_house_are_apart(self):
        self.assertEqual(self.violations({"gateway/jobs/a.h": '#include "gateway/endpoints/gateway.h"\n'}),
                         ["gateway/jobs/a.h: includes gateway/endpoints/gateway.h, but gateway/jobs may not depend on "
                          "gateway/endpoints"])

        self.assertEqual(self.violations({
            "segmenter_service/modeling/a.h": '#include "segmenter_service/packed/packed_vit.h"\n'}),
                         ["segmenter_service/modeling/a.h: includes segmenter_service/packed/packed_vit.h, but "
                          "segmenter_service/modeling may not depend on segmenter_service/packed"])

    def test_rooms_within_a_service_are_in_order(self):
        files = {"detector_service/blueprint/a.cc": '#include "detector_service/families/family.h"\n',
                 "detector_service/config/b.h": "#include <ATen/Functions.h>\n",
                 "detector_service/inference/c.cc": "#include <grpcpp/channel.h>\n",
                 "trainer/scenes/d.cc": '#include "trainer/demo.h"\n'}
        self.assertEqual(self.violations(files), [
            "detector_service/blueprint/a.cc: includes detector_service/families/family.h, but "
            "detector_service/blueprint may not depend on detector_service/families",
            "detector_service/config/b.h: includes ATen/Functions.h, but Torch stops at nn/",
            "detector_service/inference/c.cc: includes grpcpp/channel.h, but detector_service/inference may not see gRPC",
            "trainer/scenes/d.cc: includes trainer/demo.h, but trainer/scenes may not depend on trainer"])
        self.assertEqual(
            self.violations({}, "detector_service/rtmdet detector_rtmdet detector_service/packed detector_packed\n"),
            ["detector_service/rtmdet/CMakeLists.txt: detector_rtmdet links detector_packed, but "
             "detector_service/rtmdet may not depend on detector_service/packed"])

    def test_the_ground_knows_nothing(self):
        self.assertEqual(self.violations({"lib/text/a.cc": '#include "text/a.h"\n#include "hash/fnv.h"\n',
                                          "vision/a.cc": '#include "text/a.h"\n'}),
                         ["lib/text/a.cc: includes hash/fnv.h, but text may not depend on hash"])
        self.assertEqual(self.violations({}, "lib/hash duet_hash lib/text duet_text\nserving s lib/hash duet_hash\n"),
                         ["lib/hash/CMakeLists.txt: duet_hash links duet_text, but hash may not depend on text"])

    def test_torch_stops_at_nn(self):
        self.assertEqual(self.violations({"lib/image_fetch/a.h": "  # include <ATen/Functions.h>\n"}),
                         ["lib/image_fetch/a.h: includes ATen/Functions.h, but Torch stops at nn/"])

        self.assertEqual(self.violations({"segmenter_service/rpc/a.cc": "#include <ATen/Functions.h>\n"}),
                         ["segmenter_service/rpc/a.cc: includes ATen/Functions.h, but Torch stops at nn/"])

    def test_the_big_torch_header_is_for_nobody(self):
        self.assertEqual(len(self.violations({"lib/nn/a.h": "#include <torch/torch.h>\n"})), 1)

    def test_grpc_stays_in_the_clients_of_the_services(self):
        self.assertEqual(self.violations({"lib/prelabel/a.cc": "#include <grpcpp/channel.h>\n"}),
                         ["lib/prelabel/a.cc: includes grpcpp/channel.h, but prelabel may not see gRPC"])

    def test_generated_code_counts_as_proto(self):
        self.assertEqual(len(self.violations({"lib/nn/a.cc": '#include "duet/detector/v1/detector.pb.h"\n'})), 1)

    def test_pre_labelling_knows_no_http_server(self):
        self.assertEqual(len(self.violations({"lib/prelabel/a.cc": '#include "gateway/http/message.h"\n'})), 1)

    def test_http_knows_no_label_studio(self):
        self.assertEqual(len(self.violations({"gateway/http/a.cc": '#include "label_studio/task.h"\n'})), 1)

    def test_a_room_is_not_the_one_whose_name_begins_alike(self):
        self.assertEqual(self.violations({"lib/dataset/a.cc": '#include "label_studio_api/requests.h"\n'}),
                         ["lib/dataset/a.cc: includes label_studio_api/requests.h, but dataset may not depend on "
                          "label_studio_api"])

    def test_a_room_without_a_row_is_found(self):
        self.assertEqual(self.violations({"lib/new_room/a.h": ""}),
                         ["lib/new_room/a.h: is in no room of tools/check_layering.py"])

    def test_links_count_too(self):
        self.assertEqual(self.violations({}, "lib/serving serving_base lib/nn duet_nn\n"),
                         ["lib/serving/CMakeLists.txt: serving_base links duet_nn, but serving may not depend on nn"])


if __name__ == "__main__":
    unittest.main()
