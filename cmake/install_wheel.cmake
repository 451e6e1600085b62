# What a wheel carries beside the Python files: the extension modules, and the library with its headers, so
# that C and C++ users can build against an installed wheel. Not the static library: it would fit one compiler's C++
# library alone, where the shared one needs none from its user.
install(TARGETS _core _kernels LIBRARY DESTINATION secousti_native)
if(SECOUSTI_BUILD_SHARED)
    install(TARGETS secousti_shared LIBRARY DESTINATION secousti_native/lib NAMELINK_SKIP)
endif()
install(DIRECTORY csrc/include/ DESTINATION secousti_native/include)

include(cmake/sbom.cmake)
secousti_write_sbom(${CMAKE_CURRENT_BINARY_DIR}/secousti-native.cdx.json)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/secousti-native.cdx.json DESTINATION ${SKBUILD_METADATA_DIR}/sboms)
