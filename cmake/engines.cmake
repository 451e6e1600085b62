# secousti_add_engines(TARGET NAME...): an object library that registers the engines of these names (codec/engine.h).
# It refers to each by name: a linker takes nothing out of a static library that nobody refers to.
function(secousti_add_engines target)
    set(declarations "")
    set(calls "")
    foreach(name IN LISTS ARGN)
        string(APPEND declarations "EngineEntry ${name}_entry();\n")
        list(APPEND calls "${name}_entry()")
    endforeach()
    list(JOIN calls ", " entries)
    configure_file("${CMAKE_CURRENT_SOURCE_DIR}/cmake/engines.cpp.in" "${CMAKE_CURRENT_BINARY_DIR}/${target}.cpp" @ONLY)
    add_library(${target} OBJECT EXCLUDE_FROM_ALL "${CMAKE_CURRENT_BINARY_DIR}/${target}.cpp")
    target_include_directories(${target} PRIVATE "${CMAKE_CURRENT_SOURCE_DIR}/csrc")
endfunction()
