// C interface: groups of streams.
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "codec/c_api.h"
#include "codec/checks.h"
#include "codec/group.h"

using namespace secousti::core;

struct secousti_encoder_group {
    std::unique_ptr<EncoderGroup> group;
};

struct secousti_decoder_group {
    std::unique_ptr<DecoderGroup> group;
};

static_assert(kLostToken == SECOUSTI_TOKEN_LOST);

namespace {

const char* device_of(const Model& model) { return model.device ? "cuda" : "cpu"; }

template <class Options>
GroupOptions group_options(const Model& model, const Options& options) {
    return {options.capacity, options.threads, options.spins,
            options.device == nullptr ? device_of(model) : options.device};
}

std::string named(int slot) { return "slot " + std::to_string(slot); }

/// The group of a handle.
template <class Handle>
auto& group_of(Handle* handle) {
    require_pointer(handle, "group");
    return *handle->group;
}

/// The group of a handle, which has this slot.
template <class Handle>
auto& group_with(Handle* handle, std::int32_t slot) {
    auto& group = group_of(handle);
    if (slot < 0 || slot >= group.capacity()) {
        invalid("slot is " + std::to_string(slot) + ", expected 0 to " + std::to_string(group.capacity() - 1));
    }
    return group;
}

template <class Handle>
bool has_slot(const Handle* handle, std::int32_t slot) noexcept {
    return handle != nullptr && slot >= 0 && slot < handle->group->capacity();
}

void require_running(const Group& group, int slot) {
    if (group.ended(slot)) {
        throw Error(Status::invalid_state, named(slot) + " was flushed: reset it or leave it out of the step");
    }
}

/// The same of all slots that a mask names (null: all).
void require_running(const Group& group, const std::uint8_t* active) {
    for (int slot = 0; slot < group.capacity(); ++slot) {
        if (active == nullptr || active[slot] != 0) require_running(group, slot);
    }
}

void require_vocoder(const DecoderGroup& group, DecoderUse use) {
    if (use != DecoderUse::tokens_to_mel && !group.model().vocoder) {
        throw Error(Status::unsupported, "the model " + group.model().config.name + " has no vocoder: step to mel");
    }
}

void require_use(const DecoderGroup& group, int slot, DecoderUse use) {
    require_running(group, slot);
    if (group.use(slot) != DecoderUse::undecided && group.use(slot) != use) {
        throw Error(Status::invalid_state,
                    named(slot) + " was used otherwise before (tokens to PCM, tokens to mel): reset it to change");
    }
}

/// Checks a step before anything of it happens.
void require_step(const DecoderGroup& group, const std::int32_t* tokens, DecoderUse use) {
    require_pointer(tokens, "tokens");
    require_vocoder(group, use);
    for (int slot = 0; slot < group.capacity(); ++slot) {
        if (tokens[slot] == SECOUSTI_TOKEN_NONE) continue;
        if (tokens[slot] != SECOUSTI_TOKEN_LOST &&
            (tokens[slot] < 0 || tokens[slot] >= group.model().config.cardinality())) {
            invalid("tokens[" + std::to_string(slot) + "] is " + std::to_string(tokens[slot]) + ", expected 0 to " +
                    std::to_string(group.model().config.cardinality() - 1) + ", -1 (not active) or -2 (lost)");
        }
        require_use(group, slot, use);
    }
}

/// The same of a step whose tokens the host does not see.
void require_step(const DecoderGroup& group, const std::uint8_t* active, DecoderUse use) {
    require_vocoder(group, use);
    for (int slot = 0; slot < group.capacity(); ++slot) {
        if (active == nullptr || active[slot] != 0) require_use(group, slot, use);
    }
}

template <class Handle>
std::size_t snapshot_size(const Handle* handle) noexcept {
    return handle == nullptr ? 0 : handle->group->snapshot_bytes();
}

template <class Handle>
secousti_status write_snapshot(const Handle* handle, std::int32_t slot, void* bytes, std::size_t capacity) noexcept {
    return guarded([&] {
        const auto& group = group_with(handle, slot);
        require_pointer(bytes, "bytes");
        require_capacity(capacity, group.snapshot_bytes(), "bytes");
        group.snapshot(slot, static_cast<std::byte*>(bytes));
        return SECOUSTI_OK;
    });
}

template <class Handle>
secousti_status read_snapshot(Handle* handle, std::int32_t slot, const void* bytes, std::size_t size) noexcept {
    return guarded([&] {
        auto& group = group_with(handle, slot);
        require_pointer(bytes, "bytes");
        group.restore(slot, {static_cast<const std::byte*>(bytes), size});
        return SECOUSTI_OK;
    });
}

template <class Handle>
secousti_status reset_group(Handle* handle, const std::uint8_t* mask) noexcept {
    return guarded([&] {
        group_of(handle).reset(mask);
        return SECOUSTI_OK;
    });
}

}  // namespace

extern "C" {

void secousti_encoder_group_options_init(secousti_encoder_group_options* options) SECOUSTI_NOEXCEPT {
    if (options != nullptr) *options = {sizeof *options, 1, 1, -1, nullptr};
}

void secousti_decoder_group_options_init(secousti_decoder_group_options* options) SECOUSTI_NOEXCEPT {
    if (options != nullptr) *options = {sizeof *options, 1, 1, -1, nullptr, -1, 1, 0, nullptr};
}

/* ---- encoders */

secousti_status secousti_encoder_group_create(secousti_model* model, const secousti_encoder_group_options* options,
                                              secousti_encoder_group** group) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(model, "model");
        require_pointer(group, "group");
        *group = nullptr;
        GroupOptions checked;
        checked.device = device_of(*model->model);
        if (options != nullptr) {
            require_size(options->struct_size, sizeof *options, "secousti_encoder_group_options");
            checked = group_options(*model->model, *options);
        }
        *group = new secousti_encoder_group{make_encoder_group(model->model, checked)};
        return SECOUSTI_OK;
    });
}

void secousti_encoder_group_destroy(secousti_encoder_group* group) SECOUSTI_NOEXCEPT { delete group; }

size_t secousti_encoder_group_memory(const secousti_encoder_group* group) SECOUSTI_NOEXCEPT {
    return group == nullptr ? 0 : group->group->memory_bytes();
}

secousti_status secousti_encoder_group_step(secousti_encoder_group* handle, const float* pcm, const uint8_t* active,
                                            int32_t* tokens) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        EncoderGroup& group = group_of(handle);
        require_pointer(pcm, "pcm");
        require_pointer(tokens, "tokens");
        const std::size_t size = static_cast<std::size_t>(group.model().config.frame_size());
        for (int slot = 0; slot < group.capacity(); ++slot) {
            if (active != nullptr && active[slot] == 0) continue;
            require_running(group, slot);
            const float* row = pcm + static_cast<std::size_t>(slot) * size;
            const std::size_t bad = first_outside(row, size, kMaxSample);
            if (bad != size) {
                invalid("pcm[" + std::to_string(slot) + "][" + std::to_string(bad) + "] is " +
                        std::to_string(row[bad]) + ", expected a sample of nominally -1 to 1 (at most a million)");
            }
        }
        group.step(pcm, active, tokens);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_encoder_group_step_on_device(secousti_encoder_group* handle, void* stream, const float* pcm,
                                                      const uint8_t* active, int32_t* tokens) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        EncoderGroup& group = group_of(handle);
        require_pointer(pcm, "pcm");
        require_pointer(tokens, "tokens");
        require_running(group, active);
        group.step_on_device(stream, pcm, active, tokens);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_encoder_group_reset(secousti_encoder_group* group, const uint8_t* mask) SECOUSTI_NOEXCEPT {
    return reset_group(group, mask);
}

size_t secousti_encoder_group_max_tokens(const secousti_encoder_group* group, int32_t slot) SECOUSTI_NOEXCEPT {
    return has_slot(group, slot) ? group->group->tokens_after_flush(slot) : 0;
}

int64_t secousti_encoder_group_flush(secousti_encoder_group* handle, int32_t slot, int32_t* tokens,
                                     size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        EncoderGroup& group = group_with(handle, slot);
        require_running(group, slot);
        const std::size_t needed = group.tokens_after_flush(slot);
        require_capacity(capacity, needed, "tokens");
        if (needed != 0) require_pointer(tokens, "tokens");
        return static_cast<int64_t>(group.flush(slot, tokens));
    });
}

size_t secousti_encoder_group_snapshot_size(const secousti_encoder_group* group) SECOUSTI_NOEXCEPT {
    return snapshot_size(group);
}

secousti_status secousti_encoder_group_snapshot(const secousti_encoder_group* group, int32_t slot, void* bytes,
                                                size_t capacity) SECOUSTI_NOEXCEPT {
    return write_snapshot(group, slot, bytes, capacity);
}

secousti_status secousti_encoder_group_restore(secousti_encoder_group* group, int32_t slot, const void* bytes,
                                               size_t size) SECOUSTI_NOEXCEPT {
    return read_snapshot(group, slot, bytes, size);
}

/* ---- decoders */

secousti_status secousti_decoder_group_create(secousti_model* model, const secousti_decoder_group_options* options,
                                              secousti_decoder_group** group) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(model, "model");
        require_pointer(group, "group");
        *group = nullptr;
        GroupOptions checked;
        checked.device = device_of(*model->model);
        DecoderSettings settings;
        if (options != nullptr) {
            require_size(options->struct_size, sizeof *options, "secousti_decoder_group_options");
            checked = group_options(*model->model, *options);
            const secousti_decoder_options of_slots{
                sizeof(secousti_decoder_options), 1, options->look_ahead, options->noise, options->seed,
                options->paralinguistic};
            settings = decoder_settings(*model->model, &of_slots);
        }
        *group = new secousti_decoder_group{
            make_decoder_group(model->model, checked, settings.vocoder, settings.paralinguistic)};
        return SECOUSTI_OK;
    });
}

void secousti_decoder_group_destroy(secousti_decoder_group* group) SECOUSTI_NOEXCEPT { delete group; }

size_t secousti_decoder_group_memory(const secousti_decoder_group* group) SECOUSTI_NOEXCEPT {
    return group == nullptr ? 0 : group->group->memory_bytes();
}

secousti_status secousti_decoder_group_start(secousti_decoder_group* handle, int32_t slot,
                                             const secousti_decoder_options* options) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_with(handle, slot);
        const DecoderSettings settings = decoder_settings(group.model(), options);
        group.start(slot, settings.vocoder, settings.paralinguistic);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_set_paralinguistic(secousti_decoder_group* handle, int32_t slot,
                                                          const float* paralinguistic,
                                                          size_t dimension) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_with(handle, slot);
        require_pointer(paralinguistic, "paralinguistic");
        const std::size_t expected = static_cast<std::size_t>(group.model().config.dimension);
        if (dimension != expected) {
            invalid("paralinguistic has " + std::to_string(dimension) + " values, expected " +
                    std::to_string(expected));
        }
        require_finite(paralinguistic, dimension, "paralinguistic");
        group.set_paralinguistic(slot, {paralinguistic, dimension});
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_get_paralinguistic(const secousti_decoder_group* handle, int32_t slot,
                                                          float* paralinguistic, size_t dimension) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        const DecoderGroup& group = group_with(handle, slot);
        require_pointer(paralinguistic, "paralinguistic");
        require_capacity(dimension, static_cast<std::size_t>(group.model().config.dimension), "values");
        group.get_paralinguistic(slot, paralinguistic);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_step(secousti_decoder_group* handle, const int32_t* tokens, float* pcm,
                                            int32_t* samples) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_of(handle);
        require_pointer(pcm, "pcm");
        require_pointer(samples, "samples");
        require_step(group, tokens, DecoderUse::tokens_to_pcm);
        group.step(tokens, pcm, samples);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_step_to_mel(secousti_decoder_group* handle, const int32_t* tokens,
                                                   float* mel) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_of(handle);
        require_pointer(mel, "mel");
        require_step(group, tokens, DecoderUse::tokens_to_mel);
        group.step_to_mel(tokens, mel);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_step_on_device(secousti_decoder_group* handle, void* stream,
                                                      const int32_t* tokens, const uint8_t* active, float* pcm,
                                                      int32_t* samples) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_of(handle);
        require_pointer(tokens, "tokens");
        require_pointer(pcm, "pcm");
        require_step(group, active, DecoderUse::tokens_to_pcm);
        group.step_on_device(stream, tokens, active, pcm, samples);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_step_to_mel_on_device(secousti_decoder_group* handle, void* stream,
                                                             const int32_t* tokens, const uint8_t* active,
                                                             float* mel) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_of(handle);
        require_pointer(tokens, "tokens");
        require_pointer(mel, "mel");
        require_step(group, active, DecoderUse::tokens_to_mel);
        group.step_to_mel_on_device(stream, tokens, active, mel);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_reset(secousti_decoder_group* group, const uint8_t* mask) SECOUSTI_NOEXCEPT {
    return reset_group(group, mask);
}

size_t secousti_decoder_group_max_samples(const secousti_decoder_group* group, int32_t slot) SECOUSTI_NOEXCEPT {
    return has_slot(group, slot) ? group->group->samples_owed(slot) : 0;
}

int64_t secousti_decoder_group_flush(secousti_decoder_group* handle, int32_t slot, float* pcm,
                                     size_t capacity) SECOUSTI_NOEXCEPT {
    return guarded([&]() -> int64_t {
        DecoderGroup& group = group_with(handle, slot);
        require_running(group, slot);
        const std::size_t needed = group.samples_owed(slot);
        require_capacity(capacity, needed, "samples");
        if (needed != 0) require_pointer(pcm, "pcm");
        return static_cast<int64_t>(group.flush(slot, pcm));
    });
}

size_t secousti_decoder_group_snapshot_size(const secousti_decoder_group* group) SECOUSTI_NOEXCEPT {
    return snapshot_size(group);
}

secousti_status secousti_decoder_group_snapshot(const secousti_decoder_group* group, int32_t slot, void* bytes,
                                                size_t capacity) SECOUSTI_NOEXCEPT {
    return write_snapshot(group, slot, bytes, capacity);
}

secousti_status secousti_decoder_group_restore(secousti_decoder_group* group, int32_t slot, const void* bytes,
                                               size_t size) SECOUSTI_NOEXCEPT {
    return read_snapshot(group, slot, bytes, size);
}

}  // extern "C"
