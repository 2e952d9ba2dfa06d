# The one that runs here; gRPC's target is the one for what is compiled.
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)

# duet_add_proto(NAME ROOT FILES...): a static library of the messages and gRPC stubs of .proto files below ROOT.
function(duet_add_proto name root)
  set(sources)
  foreach(file IN LISTS ARGN)
    string(REGEX REPLACE "\\.proto$" "" stem ${file})
    set(base ${PROJECT_BINARY_DIR}/proto/${stem})
    add_custom_command(
      OUTPUT ${base}.pb.cc ${base}.pb.h ${base}.grpc.pb.cc ${base}.grpc.pb.h
      COMMAND protobuf::protoc
        --cpp_out=${PROJECT_BINARY_DIR}/proto
        --grpc_out=${PROJECT_BINARY_DIR}/proto
        --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN}
        --proto_path=${root}
        ${root}/${file}
      DEPENDS ${root}/${file}
      VERBATIM)
    list(APPEND sources ${base}.pb.cc ${base}.grpc.pb.cc)
  endforeach()
  add_library(${name} STATIC ${sources})
  set_target_properties(${name} PROPERTIES CXX_CLANG_TIDY "")
  # SYSTEM: generated headers are not held to our warnings.
  target_include_directories(${name} SYSTEM PUBLIC ${PROJECT_BINARY_DIR}/proto)
  target_link_libraries(${name} PUBLIC protobuf::libprotobuf gRPC::grpc++)
endfunction()
