// The wire contract may grow, but a service and a gateway of two releases must understand each
// other. tests/data/contract/duet-RELEASE.protoset holds the descriptors of the last release:
//   protoc -I proto --descriptor_set_out=tests/data/contract/duet-RELEASE.protoset
//     proto/duet/vision/v1/*.proto proto/duet/detector/v1/*.proto proto/duet/segmenter/v1/*.proto
// with that release's files. It is replaced by the next release's, never otherwise.
//
// Of what that release had, these must still be there, and be the same:
//   files       name, package
//   messages    full name
//   fields      number, name (JSON has it), type and type's name, repeated or not, has presence or
//               not (optional), the oneof that it is in
//   enums       full name; of each value the number and name
//   services    full name; of each method the name, request, answer, and which of them is a stream
// So nothing is removed, renumbered or renamed; a field that is no longer used stays, and says so.
// New messages, fields, values, services and methods are free, with two exceptions: a new field may
// not be `required`, and an existing field may not move into a oneof.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "duet/detector/v1/detector.pb.h"
#include "duet/segmenter/v1/segmenter.pb.h"

namespace {

namespace pb = google::protobuf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// What is wrong with `now`, a sentence each.
class Comparison {
 public:
  Comparison(const pb::FileDescriptorSet& before, const pb::FileDescriptorSet& now) {
    pb::DescriptorPool before_pool, now_pool;
    Fill(before, &before_pool);
    Fill(now, &now_pool);
    for (const pb::FileDescriptorProto& proto : before.file()) {
      const pb::FileDescriptor* old_file = before_pool.FindFileByName(proto.name());
      const pb::FileDescriptor* new_file = now_pool.FindFileByName(proto.name());
      if (old_file == nullptr || !Expect(new_file != nullptr, proto.name(), "is gone")) continue;
      Expect(old_file->package() == new_file->package(), proto.name(), "has another package");
      for (int i = 0; i < old_file->message_type_count(); ++i) {
        Message(*old_file->message_type(i), now_pool);
      }
      for (int i = 0; i < old_file->enum_type_count(); ++i) {
        Enum(*old_file->enum_type(i), now_pool);
      }
      for (int i = 0; i < old_file->service_count(); ++i) Service(*old_file->service(i), now_pool);
    }
  }

  const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  static void Fill(const pb::FileDescriptorSet& set, pb::DescriptorPool* pool) {
    for (const pb::FileDescriptorProto& file : set.file()) {
      EXPECT_NE(pool->BuildFile(file), nullptr) << file.name();
    }
  }

  bool Expect(bool holds, const std::string& subject, const std::string& otherwise) {
    if (!holds) complaints_.push_back(subject + " " + otherwise);
    return holds;
  }

  void Message(const pb::Descriptor& before, const pb::DescriptorPool& pool) {
    const pb::Descriptor* now = pool.FindMessageTypeByName(before.full_name());
    if (!Expect(now != nullptr, before.full_name(), "is gone")) return;
    for (int i = 0; i < before.field_count(); ++i) Field(*before.field(i), *now);
    for (int i = 0; i < now->field_count(); ++i) {
      Expect(!now->field(i)->is_required(), now->field(i)->full_name(), "is required");
    }
    for (int i = 0; i < before.nested_type_count(); ++i) Message(*before.nested_type(i), pool);
    for (int i = 0; i < before.enum_type_count(); ++i) Enum(*before.enum_type(i), pool);
  }

  void Field(const pb::FieldDescriptor& before, const pb::Descriptor& message) {
    const std::string& name = before.full_name();
    const pb::FieldDescriptor* now = message.FindFieldByNumber(before.number());
    if (!Expect(now != nullptr, name, "is gone")) return;
    Expect(now->name() == before.name() && now->json_name() == before.json_name(), name,
           "is now called " + now->name());
    Expect(now->type() == before.type() && TypeName(*now) == TypeName(before), name,
           std::string("has another type, ") + now->type_name() + " " + TypeName(*now));
    Expect(now->label() == before.label(), name, "is or was repeated");
    Expect(now->has_presence() == before.has_presence(), name, "has or had presence");
    Expect(OneofName(*now) == OneofName(before), name, "is in another oneof");
  }

  static std::string TypeName(const pb::FieldDescriptor& field) {
    if (field.message_type() != nullptr) return field.message_type()->full_name();
    if (field.enum_type() != nullptr) return field.enum_type()->full_name();
    return "";
  }
  static std::string OneofName(const pb::FieldDescriptor& field) {
    return field.real_containing_oneof() ? field.real_containing_oneof()->name() : "";
  }

  void Enum(const pb::EnumDescriptor& before, const pb::DescriptorPool& pool) {
    const pb::EnumDescriptor* now = pool.FindEnumTypeByName(before.full_name());
    if (!Expect(now != nullptr, before.full_name(), "is gone")) return;
    for (int i = 0; i < before.value_count(); ++i) {
      const pb::EnumValueDescriptor* value = now->FindValueByName(before.value(i)->name());
      if (!Expect(value != nullptr, before.value(i)->full_name(), "is gone")) continue;
      Expect(value->number() == before.value(i)->number(), before.value(i)->full_name(),
             "has another number");
    }
  }

  void Service(const pb::ServiceDescriptor& before, const pb::DescriptorPool& pool) {
    const pb::ServiceDescriptor* now = pool.FindServiceByName(before.full_name());
    if (!Expect(now != nullptr, before.full_name(), "is gone")) return;
    for (int i = 0; i < before.method_count(); ++i) {
      const pb::MethodDescriptor& method = *before.method(i);
      const pb::MethodDescriptor* same = now->FindMethodByName(method.name());
      if (!Expect(same != nullptr, method.full_name(), "is gone")) continue;
      Expect(same->input_type()->full_name() == method.input_type()->full_name() &&
                 same->output_type()->full_name() == method.output_type()->full_name(),
             method.full_name(), "has other messages");
      Expect(same->client_streaming() == method.client_streaming() &&
                 same->server_streaming() == method.server_streaming(),
             method.full_name(), "streams or streamed");
    }
  }

  std::vector<std::string> complaints_;
};

std::vector<std::string> Compare(const pb::FileDescriptorSet& before,
                                 const pb::FileDescriptorSet& now) {
  return Comparison(before, now).complaints();
}

pb::FileDescriptorSet LastRelease() {
  std::ifstream file(DUET_TEST_DATA "/contract/duet-0.1.0.protoset", std::ios::binary);
  pb::FileDescriptorSet set;
  EXPECT_TRUE(file && set.ParseFromIstream(&file));
  return set;
}

// What is compiled in, dependencies first.
void Add(const pb::FileDescriptor& file, pb::FileDescriptorSet* set) {
  for (int i = 0; i < file.dependency_count(); ++i) Add(*file.dependency(i), set);
  for (const pb::FileDescriptorProto& known : set->file()) {
    if (known.name() == file.name()) return;
  }
  file.CopyTo(set->add_file());
}

pb::FileDescriptorSet Compiled() {
  pb::FileDescriptorSet set;
  Add(*duet::detector::v1::DetectRequest::descriptor()->file(), &set);
  Add(*duet::segmenter::v1::EmbedRequest::descriptor()->file(), &set);
  return set;
}

TEST(ProtoCompatibilityTest, NothingOfTheLastReleaseHasChanged) {
  ASSERT_GT(LastRelease().file_size(), 5);
  EXPECT_THAT(Compare(LastRelease(), Compiled()), IsEmpty());
}

// The first message, enum, ... of that name, to be spoilt.
pb::FileDescriptorProto* FileOf(pb::FileDescriptorSet& set, const std::string& name) {
  for (pb::FileDescriptorProto& file : *set.mutable_file()) {
    if (file.name() == name) return &file;
  }
  ADD_FAILURE() << name;
  return nullptr;
}
pb::DescriptorProto* MessageOf(pb::FileDescriptorProto* file, const std::string& name) {
  for (pb::DescriptorProto& message : *file->mutable_message_type()) {
    if (message.name() == name) return &message;
  }
  ADD_FAILURE() << name;
  return nullptr;
}
pb::FieldDescriptorProto* FieldOf(pb::DescriptorProto* message, const std::string& name) {
  for (pb::FieldDescriptorProto& field : *message->mutable_field()) {
    if (field.name() == name) return &field;
  }
  ADD_FAILURE() << name;
  return nullptr;
}

TEST(ProtoCompatibilityTest, EveryKindOfBreakIsSeen) {
  using Spoil = std::function<void(pb::FileDescriptorProto*)>;
  const auto detection = [](pb::FileDescriptorProto* file) { return MessageOf(file, "Detection"); };
  const std::pair<Spoil, const char*> breaks[] = {
      {[&](auto* file) { FieldOf(detection(file), "score")->set_number(20); }, "score is gone"},
      {[&](auto* file) { FieldOf(detection(file), "score")->set_name("points"); },
       "score is now called points"},
      {[&](auto* file) {
         FieldOf(detection(file), "score")->set_type(pb::FieldDescriptorProto::TYPE_DOUBLE);
       },
       "score has another type"},
      {[&](auto* file) {
         FieldOf(detection(file), "box")->set_type_name(".duet.vision.v1.RotatedBox");
       },
       "box has another type"},
      {[&](auto* file) {
         FieldOf(detection(file), "score")->set_label(pb::FieldDescriptorProto::LABEL_REPEATED);
       },
       "score is or was repeated"},
      {[&](auto* file) {
         auto* field = FieldOf(MessageOf(file, "DetectRequest"), "score_threshold");
         field->clear_proto3_optional();
         field->clear_oneof_index();
         MessageOf(file, "DetectRequest")->clear_oneof_decl();
         for (auto& other : *MessageOf(file, "DetectRequest")->mutable_field()) {
           other.clear_proto3_optional();
           other.clear_oneof_index();
         }
       },
       "score_threshold has or had presence"},
      {[&](auto* file) {
         auto* answer = MessageOf(file, "DetectBatchResponse");
         FieldOf(answer, "id")->set_oneof_index(0);
       },
       "id is in another oneof"},
      {[&](auto* file) { detection(file)->mutable_field()->DeleteSubrange(1, 1); },
       "score is gone"},
      {[&](auto* file) {
         MessageOf(file, "Timing")->set_name("Times");
         FieldOf(MessageOf(file, "DetectResponse"), "timing")
             ->set_type_name(".duet.detector.v1.Times");
       },
       "Timing is gone"},
      {[](auto* file) { file->mutable_service(0)->mutable_method()->DeleteSubrange(0, 1); },
       "Detect is gone"},
      {[](auto* file) { file->mutable_service(0)->mutable_method(0)->set_server_streaming(true); },
       "streams or streamed"},
      {[](auto* file) {
         file->mutable_service(0)->mutable_method(0)->set_input_type(".duet.vision.v1.Image");
       },
       "has other messages"},
      {[](auto* file) { file->mutable_service(0)->set_name("Finder"); }, "Detector is gone"},
  };
  for (const auto& [spoil, complaint] : breaks) {
    SCOPED_TRACE(complaint);
    pb::FileDescriptorSet spoilt = LastRelease();
    spoil(FileOf(spoilt, "duet/detector/v1/detector.proto"));
    EXPECT_THAT(Compare(LastRelease(), spoilt), testing::Contains(HasSubstr(complaint)));
  }

  pb::FileDescriptorSet renumbered = LastRelease();
  FileOf(renumbered, "duet/segmenter/v1/segmenter.proto")
      ->mutable_enum_type(0)
      ->mutable_value(2)
      ->set_number(9);
  EXPECT_THAT(Compare(LastRelease(), renumbered), ElementsAre(HasSubstr("has another number")));
}

TEST(ProtoCompatibilityTest, WhatIsNewIsFree) {
  pb::FileDescriptorSet grown = LastRelease();
  pb::FileDescriptorProto* file = FileOf(grown, "duet/detector/v1/detector.proto");
  pb::FieldDescriptorProto* field = MessageOf(file, "Detection")->add_field();
  field->set_name("colour");
  field->set_number(50);
  field->set_type(pb::FieldDescriptorProto::TYPE_STRING);
  field->set_label(pb::FieldDescriptorProto::LABEL_OPTIONAL);
  file->add_message_type()->set_name("News");

  EXPECT_THAT(Compare(LastRelease(), grown), IsEmpty());
}

}  // namespace
