# What a wheel carries beside the Python files: the extension modules, and the library with its headers and the
# example host, so that C and C++ users can build against an installed wheel.
install(TARGETS _core _kernels LIBRARY DESTINATION secousti_native)
install(TARGETS secousti_static ARCHIVE DESTINATION secousti_native/lib)
if(SECOUSTI_BUILD_SHARED)
    install(TARGETS secousti_shared LIBRARY DESTINATION secousti_native/lib NAMELINK_SKIP)
endif()
install(DIRECTORY csrc/include/ DESTINATION secousti_native/include)
if(SECOUSTI_BUILD_EXAMPLES)
    install(TARGETS secousti_file_codec RUNTIME DESTINATION secousti_native/bin)
endif()
