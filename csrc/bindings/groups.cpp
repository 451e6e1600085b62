// EncoderGroup and DecoderGroup.
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/handles.h"
#include "bindings/status.h"

namespace secousti::bindings {
namespace {

using EncoderGroupHandle = std::unique_ptr<secousti_encoder_group, Release<secousti_encoder_group_destroy>>;
using DecoderGroupHandle = std::unique_ptr<secousti_decoder_group, Release<secousti_decoder_group_destroy>>;

template <class Handle>
struct Group {
    Handle handle;
    std::atomic<bool> busy{false};
    py::ssize_t capacity, frame_size, frames, bands, dimension;

    Group(typename Handle::pointer adopted, const Model& model, std::int32_t slots)
        : handle(adopted),
          capacity(slots),
          frame_size(model.info.frame_size),
          frames(model.info.frame_size / model.info.hop_length),
          bands(model.info.n_mels),
          dimension(model.info.dimension) {}
};
using EncoderGroup = Group<EncoderGroupHandle>;
using DecoderGroup = Group<DecoderGroupHandle>;

std::size_t size(py::ssize_t n) { return static_cast<std::size_t>(n); }

/// A mask [capacity] of bool, or null for None.
template <class G>
const std::uint8_t* mask_of(const G& group, const py::object& object, const char* name) {
    const auto mask = optional<bool>(object, name, std::array{group.capacity});
    return object.is_none() ? nullptr : reinterpret_cast<const std::uint8_t*>(mask.data());
}

template <class Create, class Options>
auto make(const Create& create, const Model& model, Options& options, std::int32_t capacity, std::int32_t threads,
          std::int32_t spins, const std::optional<std::string>& device, std::int32_t max_steps) {
    options.capacity = capacity;
    options.max_steps = max_steps;
    options.threads = threads;
    options.spins = spins;
    options.device = device ? device->c_str() : nullptr;
    return run(Source::model, [&] { return create(model.handle.get(), &options); });
}

std::unique_ptr<EncoderGroup> create_encoders(const Model& model, std::int32_t capacity, std::int32_t threads,
                                              std::int32_t spins, const std::optional<std::string>& device,
                                              std::int32_t max_steps) {
    secousti_encoder_group_options options;
    secousti_encoder_group_options_init(&options);
    secousti_encoder_group* handle = nullptr;
    make([&](auto* m, auto* o) { return secousti_encoder_group_create(m, o, &handle); }, model, options, capacity,
         threads, spins, device, max_steps);
    return std::make_unique<EncoderGroup>(handle, model, capacity);
}

/// How many steps there are in the second axis of an array, each `width` values long.
std::int32_t steps_of(const py::array& array, py::ssize_t width, const char* name) {
    const py::ssize_t count = array.shape(1) / width;
    if (count < 1 || count > 4096 || count * width != array.shape(1)) {
        throw py::value_error(std::string(name) + ": rows of " + std::to_string(array.shape(1)) +
                              ", expected one or more times " + std::to_string(width));
    }
    return static_cast<std::int32_t>(count);
}

py::array_t<std::int32_t> step_encoders(EncoderGroup& group, const py::object& object, const py::object& active) {
    const auto pcm = require<float>(object, "pcm", std::array{group.capacity, kAny});
    const std::int32_t count = steps_of(pcm, group.frame_size, "pcm");
    const std::uint8_t* mask = mask_of(group, active, "active");
    const Exclusive lock(group.busy);
    auto tokens = empty<std::int32_t>({size(group.capacity), size(count)});
    const float* in = pcm.data();
    std::int32_t* out = tokens.mutable_data();
    run(Source::model, [&] { return secousti_encoder_group_steps(group.handle.get(), in, mask, count, out); });
    return tokens;
}

/// A pointer into device memory, or a stream, as Python has it: an integer.
template <class T>
T* on_device(std::uintptr_t address) {
    return reinterpret_cast<T*>(address);
}

void step_encoders_on_device(EncoderGroup& group, std::uintptr_t stream, std::uintptr_t pcm, const py::object& active,
                             std::int32_t count, std::uintptr_t tokens) {
    const std::uint8_t* mask = mask_of(group, active, "active");
    const Exclusive lock(group.busy);
    run(Source::model, [&] {
        return secousti_encoder_group_steps_on_device(group.handle.get(), on_device<void>(stream),
                                                      on_device<const float>(pcm), mask, count,
                                                      on_device<std::int32_t>(tokens));
    });
}

py::array_t<std::int32_t> flush_encoder(EncoderGroup& group, std::int32_t slot) {
    const Exclusive lock(group.busy);
    const std::size_t capacity = secousti_encoder_group_max_tokens(group.handle.get(), slot);
    auto tokens = empty<std::int32_t>({capacity});
    std::int32_t* out = tokens.mutable_data();
    const auto count =
        run(Source::model, [&] { return secousti_encoder_group_flush(group.handle.get(), slot, out, capacity); });
    return shrink(std::move(tokens), size(count));
}

std::unique_ptr<DecoderGroup> create_decoders(const Model& model, std::int32_t capacity, const py::object& voice,
                                              std::uint64_t seed, bool noise, std::int32_t look_ahead,
                                              std::int32_t threads, std::int32_t spins,
                                              const std::optional<std::string>& device, std::int32_t max_steps) {
    const OptionalVoice g(voice, model.info.dimension);
    secousti_decoder_group_options options;
    secousti_decoder_group_options_init(&options);
    options.look_ahead = look_ahead;
    options.noise = noise ? 1 : 0;
    options.seed = seed;
    options.voice = g.data();
    secousti_decoder_group* handle = nullptr;
    make([&](auto* m, auto* o) { return secousti_decoder_group_create(m, o, &handle); }, model, options, capacity,
         threads, spins, device, max_steps);
    return std::make_unique<DecoderGroup>(handle, model, capacity);
}

void start_decoder(DecoderGroup& group, std::int32_t slot, const py::object& voice, std::uint64_t seed, bool noise,
                   std::int32_t look_ahead) {
    const OptionalVoice g(voice, group.dimension);
    const auto options = decoder_options(1, look_ahead, noise, seed, g.data());
    const Exclusive lock(group.busy);
    run(Source::model, [&] { return secousti_decoder_group_start(group.handle.get(), slot, &options); });
}

/// Samples [capacity, row] and their counts of a call that writes rows as far as there are samples.
template <class Call>
py::tuple samples_of(const DecoderGroup& group, py::ssize_t row, const Call& call) {
    auto pcm = empty<float>({size(group.capacity), size(row)});
    auto samples = empty<std::int32_t>({size(group.capacity)});
    std::fill_n(pcm.mutable_data(), pcm.size(), 0.0F);
    float* out = pcm.mutable_data();
    std::int32_t* counts = samples.mutable_data();
    run(Source::model, [&] { return call(out, counts); });
    return py::make_tuple(pcm, samples);
}

py::tuple step_decoders(DecoderGroup& group, const py::object& object) {
    const auto tokens = require<std::int32_t>(object, "tokens", std::array{group.capacity, kAny});
    const std::int32_t count = steps_of(tokens, 1, "tokens");
    const Exclusive lock(group.busy);
    const std::int32_t* in = tokens.data();
    return samples_of(group, count * group.frame_size, [&](float* pcm, std::int32_t* samples) {
        return secousti_decoder_group_steps(group.handle.get(), in, count, pcm, samples);
    });
}

py::array_t<float> step_to_mel(DecoderGroup& group, const py::object& object) {
    const auto tokens = require<std::int32_t>(object, "tokens", std::array{group.capacity, kAny});
    const std::int32_t count = steps_of(tokens, 1, "tokens");
    const Exclusive lock(group.busy);
    auto mel = empty<float>({size(group.capacity), size(count * group.frames), size(group.bands)});
    std::fill_n(mel.mutable_data(), mel.size(), 0.0F);
    const std::int32_t* in = tokens.data();
    float* out = mel.mutable_data();
    run(Source::model, [&] { return secousti_decoder_group_steps_to_mel(group.handle.get(), in, count, out); });
    return mel;
}

py::tuple step_from_mel(DecoderGroup& group, const py::object& object, const py::object& active) {
    const auto mel = require<float>(object, "mel", std::array{group.capacity, kAny, group.bands});
    const std::uint8_t* mask = mask_of(group, active, "active");
    const std::int32_t frames = static_cast<std::int32_t>(std::min<py::ssize_t>(mel.shape(1), 1 << 20));
    const Exclusive lock(group.busy);
    const float* in = mel.data();
    return samples_of(group, frames * group.frame_size / group.frames, [&](float* pcm, std::int32_t* samples) {
        return secousti_decoder_group_step_from_mel(group.handle.get(), in, mask, frames, pcm, samples);
    });
}

void step_decoders_on_device(DecoderGroup& group, std::uintptr_t stream, std::uintptr_t tokens,
                             const py::object& active, std::int32_t count, std::uintptr_t pcm, std::uintptr_t samples) {
    const std::uint8_t* mask = mask_of(group, active, "active");
    const Exclusive lock(group.busy);
    run(Source::model, [&] {
        return secousti_decoder_group_steps_on_device(group.handle.get(), on_device<void>(stream),
                                                      on_device<const std::int32_t>(tokens), mask, count,
                                                      on_device<float>(pcm), on_device<std::int32_t>(samples));
    });
}

void step_to_mel_on_device(DecoderGroup& group, std::uintptr_t stream, std::uintptr_t tokens, const py::object& active,
                           std::int32_t count, std::uintptr_t mel) {
    const std::uint8_t* mask = mask_of(group, active, "active");
    const Exclusive lock(group.busy);
    run(Source::model, [&] {
        return secousti_decoder_group_steps_to_mel_on_device(group.handle.get(), on_device<void>(stream),
                                                             on_device<const std::int32_t>(tokens), mask, count,
                                                             on_device<float>(mel));
    });
}

void step_from_mel_on_device(DecoderGroup& group, std::uintptr_t stream, std::uintptr_t mel, const py::object& active,
                             std::int32_t frames, std::uintptr_t pcm, std::uintptr_t samples) {
    const std::uint8_t* mask = mask_of(group, active, "active");
    const Exclusive lock(group.busy);
    run(Source::model, [&] {
        return secousti_decoder_group_step_from_mel_on_device(group.handle.get(), on_device<void>(stream),
                                                              on_device<const float>(mel), mask, frames,
                                                              on_device<float>(pcm), on_device<std::int32_t>(samples));
    });
}

py::array_t<float> flush_decoder(DecoderGroup& group, std::int32_t slot) {
    const Exclusive lock(group.busy);
    const std::size_t capacity = secousti_decoder_group_max_samples(group.handle.get(), slot);
    auto pcm = empty<float>({capacity});
    float* out = pcm.mutable_data();
    const auto count =
        run(Source::model, [&] { return secousti_decoder_group_flush(group.handle.get(), slot, out, capacity); });
    return shrink(std::move(pcm), size(count));
}

void set_voice(DecoderGroup& group, std::int32_t slot, const py::object& object) {
    const auto g = require<float>(object, "voice", std::array{kAny});
    const Exclusive lock(group.busy);
    const float* in = g.data();
    run(Source::model, [&] { return secousti_decoder_group_set_voice(group.handle.get(), slot, in, length(g)); });
}

py::array_t<float> get_voice(DecoderGroup& group, std::int32_t slot) {
    const Exclusive lock(group.busy);
    auto g = empty<float>({size(group.dimension)});
    float* out = g.mutable_data();
    run(Source::model,
        [&] { return secousti_decoder_group_get_voice(group.handle.get(), slot, out, size(group.dimension)); });
    return g;
}

/// What both kinds have, by the C functions of each.
template <class G, auto kReset, auto kMemory, auto kSnapshotSize, auto kSnapshot, auto kRestore>
void bind_common(py::class_<G>& type) {
    type.def(
            "reset",
            [](G& group, const py::object& object) {
                const std::uint8_t* mask = mask_of(group, object, "mask");
                const Exclusive lock(group.busy);
                run(Source::model, [&] { return kReset(group.handle.get(), mask); });
            },
            py::arg("mask") = py::none(), "bool [capacity] of the slots that go back to the start; None: all.")
        .def("memory_bytes", [](const G& group) { return kMemory(group.handle.get()); })
        .def(
            "snapshot",
            [](G& group, std::int32_t slot) {
                const Exclusive lock(group.busy);
                const std::size_t size = kSnapshotSize(group.handle.get());
                return written(Source::snapshot, size,
                               [&](char* data) { return kSnapshot(group.handle.get(), slot, data, size); });
            },
            py::arg("slot"))
        .def(
            "restore",
            [](G& group, std::int32_t slot, const py::bytes& bytes) {
                const std::string_view data = bytes;
                const Exclusive lock(group.busy);
                run(Source::snapshot, [&] { return kRestore(group.handle.get(), slot, data.data(), data.size()); });
            },
            py::arg("slot"), py::arg("snapshot"));
}

}  // namespace

void bind_groups(py::module_& module) {
    py::class_<EncoderGroup> encoders(module, "EncoderGroup",
                                      "Many encoders that step together. One thread at a time.");
    encoders
        .def(py::init(&create_encoders), py::arg("model"), py::arg("capacity"), py::arg("threads") = 1,
             py::arg("spins") = -1, py::arg("device") = py::none(), py::arg("max_steps") = 1)
        .def("step", &step_encoders, py::arg("pcm"), py::arg("active") = py::none(),
             "float32 [capacity, n * frame_size], bool [capacity] -> int32 [capacity, n], -2 where there is no token.")
        .def("step_on_device", &step_encoders_on_device, py::arg("stream"), py::arg("pcm"), py::arg("active"),
             py::arg("count"), py::arg("tokens"),
             "The same with addresses of device memory, in the order of a stream; does not wait.")
        .def("flush", &flush_encoder, py::arg("slot"), "Ends the slot's stream; its remaining tokens, int32.");
    bind_common<EncoderGroup, secousti_encoder_group_reset, secousti_encoder_group_memory,
                secousti_encoder_group_snapshot_size, secousti_encoder_group_snapshot, secousti_encoder_group_restore>(
        encoders);

    py::class_<DecoderGroup> decoders(module, "DecoderGroup",
                                      "Many decoders that step together. One thread at a time.");
    decoders
        .def(py::init(&create_decoders), py::arg("model"), py::arg("capacity"), py::arg("voice") = py::none(),
             py::arg("seed") = 0, py::arg("noise") = true, py::arg("look_ahead") = -1, py::arg("threads") = 1,
             py::arg("spins") = -1, py::arg("device") = py::none(), py::arg("max_steps") = 1)
        .def("start", &start_decoder, py::arg("slot"), py::arg("voice") = py::none(), py::arg("seed") = 0,
             py::arg("noise") = true, py::arg("look_ahead") = -1, "Begins a new stream in the slot.")
        .def("step", &step_decoders, py::arg("tokens"),
             "int32 [capacity, n] -> float32 [capacity, n * frame_size] and how many samples of each row count, int32.")
        .def("step_to_mel", &step_to_mel, py::arg("tokens"),
             "int32 [capacity, n] -> log-mel float32 [capacity, n * frames_per_token, n_mels]; 0 for slots not active.")
        .def("step_from_mel", &step_from_mel, py::arg("mel"), py::arg("active") = py::none(),
             "float32 [capacity, frames, n_mels], bool [capacity] -> samples [capacity, frames * hop] and counts.")
        .def("step_on_device", &step_decoders_on_device, py::arg("stream"), py::arg("tokens"), py::arg("active"),
             py::arg("count"), py::arg("pcm"), py::arg("samples"),
             "The same with addresses of device memory, in the order of a stream; does not wait.")
        .def("step_to_mel_on_device", &step_to_mel_on_device, py::arg("stream"), py::arg("tokens"), py::arg("active"),
             py::arg("count"), py::arg("mel"), "Likewise.")
        .def("step_from_mel_on_device", &step_from_mel_on_device, py::arg("stream"), py::arg("mel"), py::arg("active"),
             py::arg("frames"), py::arg("pcm"), py::arg("samples"), "Likewise.")
        .def("flush", &flush_decoder, py::arg("slot"), "Ends the slot's stream; its remaining samples, float32.")
        .def("set_voice", &set_voice, py::arg("slot"), py::arg("voice"))
        .def("get_voice", &get_voice, py::arg("slot"));
    bind_common<DecoderGroup, secousti_decoder_group_reset, secousti_decoder_group_memory,
                secousti_decoder_group_snapshot_size, secousti_decoder_group_snapshot, secousti_decoder_group_restore>(
        decoders);
}

}  // namespace secousti::bindings
