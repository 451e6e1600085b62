// secousti_native._core: the C interface in Python's terms. Converts, checks dtypes and shapes, releases the GIL.
#include <pybind11/pybind11.h>

#include "bindings/handles.h"

PYBIND11_MODULE(_core, module) {
    namespace bindings = secousti::bindings;
    module.doc() =
        "Bindings of secousti.h. Arrays must have the exact dtype and shape; secousti_native.Codec converts.";
    if (secousti_abi_version() != SECOUSTI_ABI_VERSION) {
        throw pybind11::import_error("secousti_native._core was built for another version of libsecousti");
    }
    module.attr("version") = secousti_version();
    module.def("available_isas", &secousti_available_isas,
               "Instruction sets this processor can run, fastest first, separated by commas.");
    bindings::bind_model(module);
    bindings::bind_streams(module);
    bindings::bind_groups(module);
    bindings::bind_device(module);
    bindings::bind_container(module);
    bindings::bind_live(module);
}
