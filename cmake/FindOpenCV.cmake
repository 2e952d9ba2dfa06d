# Debian keeps OpenCVConfig.cmake in libopencv-dev, which pulls in GTK, FFmpeg and 300 more packages. The three
# modules that Duet uses come as packages of their own; this finds those. Defines opencv::<component>.
find_path(OpenCV_INCLUDE_DIR opencv2/core.hpp PATH_SUFFIXES opencv4)
set(OpenCV_required OpenCV_INCLUDE_DIR)
foreach(component IN LISTS OpenCV_FIND_COMPONENTS)
  find_library(OpenCV_${component}_LIBRARY opencv_${component})
  list(APPEND OpenCV_required OpenCV_${component}_LIBRARY)
endforeach()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(OpenCV REQUIRED_VARS ${OpenCV_required})
foreach(component IN LISTS OpenCV_FIND_COMPONENTS)
  if(NOT TARGET opencv::${component})
    add_library(opencv::${component} UNKNOWN IMPORTED)
    set_target_properties(opencv::${component} PROPERTIES
      IMPORTED_LOCATION ${OpenCV_${component}_LIBRARY}
      INTERFACE_INCLUDE_DIRECTORIES ${OpenCV_INCLUDE_DIR})
  endif()
endforeach()
