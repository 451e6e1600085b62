# secousti_embed_model(TARGET NAME FILE): links the bytes of a file, such as a model, into a target, where
# secousti_model_open_memory finds them. C and C++ sources of the target then have
#
#     #include <NAME.h>        /* const unsigned char NAME[]; size_t NAME_size; */
#
# The bytes go into read-only memory as they are; nothing is copied or compiled. For GCC, Clang and their assemblers.
function(secousti_embed_model target name file)
    cmake_path(ABSOLUTE_PATH file BASE_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}" NORMALIZE)
    if(NOT EXISTS "${file}")
        message(FATAL_ERROR "secousti_embed_model: there is no file ${file}")
    endif()
    if(NOT name MATCHES "^[A-Za-z_][A-Za-z0-9_]*$")
        message(FATAL_ERROR "secousti_embed_model: ${name} cannot be the name of a C object")
    endif()
    if(MSVC)
        message(FATAL_ERROR "secousti_embed_model: needs an assembler with .incbin; open the model from a file instead")
    endif()
    get_property(languages GLOBAL PROPERTY ENABLED_LANGUAGES)
    set(suffix cpp)
    if("C" IN_LIST languages)
        set(suffix c)
    endif()
    set(folder "${CMAKE_CURRENT_BINARY_DIR}/secousti_embedded/${name}")
    set(source "${folder}/${name}.${suffix}")
    if(APPLE)
        set(section "__TEXT,__const")
        set(prefix "_")
    else()
        set(section ".rodata,\\\"a\\\"")
        set(prefix "")
    endif()
    file(CONFIGURE OUTPUT "${folder}/${name}.h" CONTENT [[
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
extern __attribute__((visibility("hidden"))) const unsigned char @name@[];
extern __attribute__((visibility("hidden"))) const unsigned char @name@_end[];
#ifdef __cplusplus
}
#endif
#define @name@_size ((size_t)(@name@_end - @name@))
]] @ONLY)
    file(CONFIGURE OUTPUT "${source}" CONTENT [[
__asm__(
    ".section @section@\n"
    ".balign 64\n"
    ".globl @prefix@@name@\n"
    "@prefix@@name@:\n"
    ".incbin \"@file@\"\n"
    ".globl @prefix@@name@_end\n"
    "@prefix@@name@_end:\n"
    ".byte 0\n"
    ".text\n");
]] @ONLY)
    set_source_files_properties("${source}" PROPERTIES OBJECT_DEPENDS "${file}")
    target_sources(${target} PRIVATE "${source}")
    target_include_directories(${target} PRIVATE "${folder}")
endfunction()
