// The `.sec` container: bytes to tokens and back.
#include <pybind11/stl.h>

#include <memory>
#include <string>

#include "bindings/arrays.h"
#include "bindings/handles.h"
#include "bindings/status.h"
#include "secousti_container.h"

namespace secousti::bindings {
namespace {

using ContainerHandle = std::unique_ptr<secousti_container, Release<secousti_container_close>>;

py::bytes write_container(const py::object& token_object, const py::object& voice_object, std::uint64_t identity,
                          std::int32_t sample_rate, std::int32_t samples_per_token, std::int32_t cardinality,
                          std::int64_t samples) {
    const auto tokens = require<std::int32_t>(token_object, "tokens", std::array{kAny});
    const auto voice = require<float>(voice_object, "voice", std::array{kAny});
    secousti_container_info info;
    secousti_container_info_init(&info);
    info.identity = identity;
    info.sample_rate = sample_rate;
    info.samples_per_token = samples_per_token;
    info.cardinality = cardinality;
    info.dimension = static_cast<std::int32_t>(length(voice));
    info.samples = samples;
    const std::int32_t* in = tokens.data();
    const float* g = length(voice) == 0 ? nullptr : voice.data();
    const auto write = [&](void* bytes, std::int64_t capacity) {
        return secousti_container_pack(&info, in, length(tokens), g, bytes, static_cast<std::size_t>(capacity));
    };
    const std::int64_t size = run(Source::container, [&] { return write(nullptr, 0); });
    return written(Source::container, static_cast<std::size_t>(size), [&](char* bytes) { return write(bytes, size); });
}

py::dict read_container(const py::bytes& data) {
    const std::string_view bytes = data;
    secousti_container* opened = nullptr;
    run(Source::container, [&] { return secousti_container_open(bytes.data(), bytes.size(), &opened); });
    const ContainerHandle container(opened);
    secousti_container_info info;
    secousti_container_info_init(&info);
    run(Source::container, [&] { return secousti_container_get_info(opened, &info); });
    secousti_container_contents contents{};
    contents.struct_size = sizeof contents;
    run(Source::container, [&] { return secousti_container_get_contents(opened, &contents); });

    py::dict d;
    d["identity"] = info.identity;
    d["sample_rate"] = info.sample_rate;
    d["samples_per_token"] = info.samples_per_token;
    d["cardinality"] = info.cardinality;
    d["total_tokens"] = info.tokens;
    d["samples"] = info.samples;
    d["tokens"] = py::array_t<std::int32_t>(static_cast<py::ssize_t>(contents.count), contents.tokens);
    const auto dimension = contents.voice == nullptr ? 0 : info.dimension;
    d["voice"] = py::array_t<float>(dimension, contents.voice);
    py::list lost;
    for (std::size_t i = 0; i < contents.lost_count; ++i) {
        lost.append(py::make_tuple(contents.lost[i].first, contents.lost[i].count));
    }
    d["lost"] = lost;
    d["notes"] = py::str(contents.notes).attr("splitlines")();
    d["repaired_bits"] = contents.repaired_bits;
    d["info_lost"] = contents.info_lost != 0;
    d["voice_lost"] = contents.voice_lost != 0;
    d["complete"] = contents.complete != 0;
    py::dict sizes;
    sizes["tokens"] = contents.token_bytes;
    sizes["framing"] = contents.framing_bytes;
    sizes["header"] = contents.header_bytes;
    sizes["voice"] = contents.voice_bytes;
    sizes["damaged"] = contents.damaged_bytes;
    d["bytes"] = sizes;
    return d;
}

py::array_t<float> quantise(const py::object& object) {
    const auto values = require<float>(object, "voice", std::array{kAny});
    auto result = empty<float>({length(values)});
    const float* in = values.data();
    float* out = result.mutable_data();
    run(Source::container, [&] { return secousti_container_quantise(in, length(values), out); });
    return result;
}

}  // namespace

void bind_container(py::module_& module) {
    module.def("write_container", &write_container, py::arg("tokens"), py::arg("voice"), py::kw_only(),
               py::arg("identity"), py::arg("sample_rate"), py::arg("samples_per_token"), py::arg("cardinality"),
               py::arg("samples"),
               "int32 tokens [N] (-1: lost) and G float32 [dimension] -> the bytes of a .sec file.");
    module.def("read_container", &read_container, py::arg("data"), "Everything that is intact in a .sec file.");
    module.def("quantise_voice", &quantise, py::arg("voice"), "What a .sec file gives back for G float32 [dimension].");
}

}  // namespace secousti::bindings
