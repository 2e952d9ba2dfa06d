# What `cmake --install` puts where, and Debian packages of the same:
#   cmake --build --preset release && cpack --config build/release/CPackConfig.cmake
# A package for each process, with its systemd unit; the gateway's also has `duet`, the trainer's `duet-train`.
include(GNUInstallDirs)

# An install or a package is of what has been built: it doesn't build tests.
set(CMAKE_SKIP_INSTALL_ALL_DEPENDENCY ON)

# duet_package(NAME SUMMARY TARGETS target... NEEDS list...): `list` is a file of deploy/packages, which the images use too.
function(duet_package name summary)
  cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "TARGETS;NEEDS")
  install(TARGETS ${arg_TARGETS} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT ${name})
  install(FILES ${PROJECT_SOURCE_DIR}/deploy/systemd/duet-${name}.service
    DESTINATION lib/systemd/system COMPONENT ${name})
  install(FILES ${PROJECT_SOURCE_DIR}/LICENSE
    DESTINATION share/doc/duet-${name} RENAME copyright COMPONENT ${name})
  set(needed)
  foreach(list IN LISTS arg_NEEDS)
    file(STRINGS ${PROJECT_SOURCE_DIR}/deploy/packages/${list}.txt packages REGEX "^[a-z]")
    list(APPEND needed ${packages})
  endforeach()
  list(REMOVE_DUPLICATES needed)
  list(JOIN needed ", " depends)
  string(TOUPPER ${name} upper)
  foreach(pair IN ITEMS "PACKAGE_NAME;duet-${name}" "PACKAGE_DEPENDS;${depends}" "DESCRIPTION;${summary}")
    list(POP_FRONT pair variable)
    set(CPACK_DEBIAN_${upper}_${variable} "${pair}" PARENT_SCOPE)
  endforeach()
  set(CPACK_COMPONENT_${upper}_DESCRIPTION "${summary}" PARENT_SCOPE)
  set(CPACK_COMPONENTS_ALL ${CPACK_COMPONENTS_ALL} ${name} PARENT_SCOPE)
endfunction()

set(CPACK_COMPONENTS_ALL)
if(DUET_WITH_TORCH)
  duet_package(detector "Finds objects in images: RTMDet and other detectors of MMYOLO, served by gRPC"
    TARGETS duet-detector NEEDS models)
  duet_package(segmenter "Makes masks of clicks and boxes: Segment Anything, served by gRPC"
    TARGETS duet-segmenter NEEDS models)
  duet_package(trainer "Trains models on what is annotated in Label Studio"
    TARGETS duet-trainer duet-train NEEDS models gateway)
endif()
duet_package(gateway "Pre-labels images for Label Studio, with a detector and a segmenter"
  TARGETS duet-gateway duet NEEDS gateway)

set(CPACK_GENERATOR DEB)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_PACKAGE_CONTACT "Duet's authors <duet@localhost>")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
include(CPack)
