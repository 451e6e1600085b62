# A software bill of materials (CycloneDX 1.6, https://cyclonedx.org) of what a wheel carries and what built it, put
# where PEP 770 wants it. Reproducible: the date is SOURCE_DATE_EPOCH where that is set.
function(secousti_write_sbom output)
    set(name "secousti-native")
    string(TIMESTAMP timestamp "%Y-%m-%dT%H:%M:%SZ" UTC)
    set(components)

    # Compiled in; only headers. It was found in the folder of the bindings.
    get_directory_property(pybind11_VERSION DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}/csrc/bindings"
        DEFINITION pybind11_VERSION)
    list(APPEND components "{
            \"type\": \"library\", \"bom-ref\": \"pybind11\", \"name\": \"pybind11\", \"version\": \"${pybind11_VERSION}\",
            \"purl\": \"pkg:pypi/pybind11@${pybind11_VERSION}\", \"scope\": \"required\",
            \"licenses\": [{\"license\": {\"id\": \"BSD-3-Clause\"}}]}")
    if(CMAKE_CUDA_COMPILER)
        list(APPEND components "{
            \"type\": \"library\", \"bom-ref\": \"cudart\", \"name\": \"cudart_static\",
            \"version\": \"${CMAKE_CUDA_COMPILER_VERSION}\", \"scope\": \"optional\",
            \"licenses\": [{\"license\": {\"name\": \"NVIDIA CUDA Toolkit EULA\"}}]}")
    endif()
    set(references "\"pybind11\"")
    file(GLOB models CONFIGURE_DEPENDS "${CMAKE_CURRENT_SOURCE_DIR}/python/secousti_native/assets/*.safetensors")
    foreach(model IN LISTS models)
        get_filename_component(file "${model}" NAME)
        file(SHA256 "${model}" digest)
        list(APPEND components "{
            \"type\": \"machine-learning-model\", \"bom-ref\": \"${file}\", \"name\": \"${file}\",
            \"version\": \"${PROJECT_VERSION}\", \"hashes\": [{\"alg\": \"SHA-256\", \"content\": \"${digest}\"}],
            \"licenses\": [{\"license\": {\"id\": \"Apache-2.0\"}}]}")
        string(APPEND references ", \"${file}\"")
    endforeach()
    list(JOIN components ", " components)

    set(tools)
    foreach(tool IN ITEMS
            "${CMAKE_CXX_COMPILER_ID}=${CMAKE_CXX_COMPILER_VERSION}" "CMake=${CMAKE_VERSION}"
            "scikit-build-core=${SKBUILD_CORE_VERSION}")
        string(REGEX MATCH "^([^=]*)=(.*)$" parts "${tool}")
        list(APPEND tools "{\"type\": \"application\", \"name\": \"${CMAKE_MATCH_1}\", \"version\": \"${CMAKE_MATCH_2}\"}")
    endforeach()
    list(JOIN tools ", " tools)

    string(UUID serial NAMESPACE "6ba7b810-9dad-11d1-80b4-00c04fd430c8" TYPE SHA1
        NAME "${name}-${PROJECT_VERSION}-${timestamp}-${components}-${tools}")
    file(WRITE "${output}" "{
    \"bomFormat\": \"CycloneDX\",
    \"specVersion\": \"1.6\",
    \"serialNumber\": \"urn:uuid:${serial}\",
    \"version\": 1,
    \"metadata\": {
        \"timestamp\": \"${timestamp}\",
        \"tools\": {\"components\": [${tools}]},
        \"component\": {
            \"type\": \"library\", \"bom-ref\": \"${name}\", \"name\": \"${name}\", \"version\": \"${PROJECT_VERSION}\",
            \"purl\": \"pkg:pypi/${name}@${PROJECT_VERSION}\",
            \"licenses\": [{\"license\": {\"id\": \"Apache-2.0\"}}]}
    },
    \"components\": [${components}],
    \"dependencies\": [{\"ref\": \"${name}\", \"dependsOn\": [${references}]}]
}
")
endfunction()
