// C interface: groups of streams.
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "api/checks.h"
#include "api/handles.h"
#include "codec/group.h"

using namespace secousti::core;

struct secousti_encoder_group {
    std::unique_ptr<EncoderGroup> group;
};

struct secousti_decoder_group {
    std::unique_ptr<DecoderGroup> group;
};

static_assert(kLostToken == SECOUSTI_TOKEN_LOST && kNoToken == SECOUSTI_TOKEN_NONE);

namespace {

/// Options of the caller's size: those from before max_steps have none.
template <class Options>
GroupOptions group_options(const Options& options, const char* name) {
    require_size(options.struct_size, offsetof(Options, max_steps), name);
    const bool has_steps = options.struct_size >= offsetof(Options, max_steps) + sizeof options.max_steps;
    return {options.capacity, options.threads, options.spins, options.device == nullptr ? "" : options.device,
            has_steps ? options.max_steps : 1};
}

/// Steps of one call, or what else there are `per_step` of in a step.
void require_count(const Group& group, std::int32_t count, const char* name = "count", int per_step = 1) {
    const int most = group.max_steps() * per_step;
    if (count < 1 || count > most) {
        invalid(std::string(name) + " is " + std::to_string(count) + ", expected 1 to " + std::to_string(most) +
                " (by max_steps of the group)");
    }
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
    const DecoderUse before = group.use(slot);
    if (before != DecoderUse::undecided && before != use) used_otherwise(named(slot), before);
}

/// Checks `count` steps before anything of them happens.
void require_steps(const DecoderGroup& group, const std::int32_t* tokens, std::int32_t count, DecoderUse use) {
    require_pointer(tokens, "tokens");
    require_count(group, count);
    require_vocoder(group, use);
    for (int slot = 0; slot < group.capacity(); ++slot) {
        const std::int32_t* row = tokens + static_cast<std::ptrdiff_t>(slot) * count;
        for (int i = 0; i < count; ++i) {
            const auto name = [&] {
                return "tokens[" + std::to_string(slot) + (count == 1 ? "]" : "][" + std::to_string(i) + "]") + " is " +
                       std::to_string(row[i]);
            };
            if ((row[i] == SECOUSTI_TOKEN_NONE) != (row[0] == SECOUSTI_TOKEN_NONE)) {
                invalid(name() + ": a slot is active in all steps of a call or in none");
            }
            if (row[i] == SECOUSTI_TOKEN_NONE || row[i] == SECOUSTI_TOKEN_LOST) continue;
            if (row[i] < 0 || row[i] >= group.model().config.cardinality()) {
                invalid(name() + ", expected 0 to " + std::to_string(group.model().config.cardinality() - 1) +
                        ", -1 (lost) or -2 (not active)");
            }
        }
        if (row[0] != SECOUSTI_TOKEN_NONE) require_use(group, slot, use);
    }
}

/// The same of a step whose tokens the host does not see.
void require_active(const DecoderGroup& group, const std::uint8_t* active, DecoderUse use) {
    require_vocoder(group, use);
    for (int slot = 0; slot < group.capacity(); ++slot) {
        if (active == nullptr || active[slot] != 0) require_use(group, slot, use);
    }
}

/// Finite samples or mel [capacity, size] of the active slots.
void require_rows(const Group& group, const float* rows, std::size_t size, const std::uint8_t* active, float limit,
                  const char* name, const char* expected) {
    for (int slot = 0; slot < group.capacity(); ++slot) {
        if (active != nullptr && active[slot] == 0) continue;
        const float* row = rows + static_cast<std::size_t>(slot) * size;
        const std::size_t bad = first_outside(row, size, limit);
        if (bad != size) {
            invalid(std::string(name) + "[" + std::to_string(slot) + "][" + std::to_string(bad) + "] is " +
                    std::to_string(row[bad]) + ", expected " + expected);
        }
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
    if (options != nullptr) *options = {sizeof *options, 1, 1, -1, nullptr, 1};
}

void secousti_decoder_group_options_init(secousti_decoder_group_options* options) SECOUSTI_NOEXCEPT {
    if (options != nullptr) *options = {sizeof *options, 1, 1, -1, nullptr, -1, 1, 0, nullptr, 1};
}

/* ---- encoders */

secousti_status secousti_encoder_group_create(secousti_model* model, const secousti_encoder_group_options* options,
                                              secousti_encoder_group** group) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        require_pointer(model, "model");
        require_pointer(group, "group");
        *group = nullptr;
        GroupOptions checked;
        if (options != nullptr) {
            checked = group_options(*options, "secousti_encoder_group_options");
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
    return secousti_encoder_group_steps(handle, pcm, active, 1, tokens);
}

secousti_status secousti_encoder_group_steps(secousti_encoder_group* handle, const float* pcm, const uint8_t* active,
                                             int32_t count, int32_t* tokens) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        EncoderGroup& group = group_of(handle);
        require_pointer(pcm, "pcm");
        require_pointer(tokens, "tokens");
        require_count(group, count);
        require_running(group, active);
        require_rows(group, pcm, area(count, group.model().config.frame_size()), active, kMaxSample, "pcm",
                     "a sample of nominally -1 to 1 (at most a million)");
        group.steps(pcm, active, count, tokens);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_encoder_group_step_on_device(secousti_encoder_group* handle, void* stream, const float* pcm,
                                                      const uint8_t* active, int32_t* tokens) SECOUSTI_NOEXCEPT {
    return secousti_encoder_group_steps_on_device(handle, stream, pcm, active, 1, tokens);
}

secousti_status secousti_encoder_group_steps_on_device(secousti_encoder_group* handle, void* stream, const float* pcm,
                                                       const uint8_t* active, int32_t count,
                                                       int32_t* tokens) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        EncoderGroup& group = group_of(handle);
        require_pointer(pcm, "pcm");
        require_pointer(tokens, "tokens");
        require_count(group, count);
        require_running(group, active);
        group.steps_on_device(stream, pcm, active, count, tokens);
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
        DecoderSettings settings;
        if (options != nullptr) {
            checked = group_options(*options, "secousti_decoder_group_options");
            const secousti_decoder_options of_slots{sizeof(secousti_decoder_options),
                                                    1,
                                                    options->look_ahead,
                                                    options->noise,
                                                    options->seed,
                                                    options->voice};
            settings = decoder_settings(*model->model, &of_slots);
        }
        *group =
            new secousti_decoder_group{make_decoder_group(model->model, checked, settings.vocoder, settings.voice)};
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
        group.start(slot, settings.vocoder, settings.voice);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_set_voice(secousti_decoder_group* handle, int32_t slot, const float* voice,
                                                 size_t dimension) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_with(handle, slot);
        const std::size_t expected = static_cast<std::size_t>(group.model().config.dimension);
        group.set_voice(slot, checked_voice(voice, dimension, expected));
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_get_voice(const secousti_decoder_group* handle, int32_t slot, float* voice,
                                                 size_t dimension) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        const DecoderGroup& group = group_with(handle, slot);
        require_pointer(voice, "voice");
        require_capacity(dimension, static_cast<std::size_t>(group.model().config.dimension), "values");
        group.get_voice(slot, voice);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_step(secousti_decoder_group* handle, const int32_t* tokens, float* pcm,
                                            int32_t* samples) SECOUSTI_NOEXCEPT {
    return secousti_decoder_group_steps(handle, tokens, 1, pcm, samples);
}

secousti_status secousti_decoder_group_steps(secousti_decoder_group* handle, const int32_t* tokens, int32_t count,
                                             float* pcm, int32_t* samples) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_of(handle);
        require_pointer(pcm, "pcm");
        require_pointer(samples, "samples");
        require_steps(group, tokens, count, DecoderUse::tokens_to_pcm);
        group.steps(tokens, count, pcm, samples);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_step_to_mel(secousti_decoder_group* handle, const int32_t* tokens,
                                                   float* mel) SECOUSTI_NOEXCEPT {
    return secousti_decoder_group_steps_to_mel(handle, tokens, 1, mel);
}

secousti_status secousti_decoder_group_steps_to_mel(secousti_decoder_group* handle, const int32_t* tokens,
                                                    int32_t count, float* mel) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_of(handle);
        require_pointer(mel, "mel");
        require_steps(group, tokens, count, DecoderUse::tokens_to_mel);
        group.steps_to_mel(tokens, count, mel);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_step_from_mel(secousti_decoder_group* handle, const float* mel,
                                                     const uint8_t* active, int32_t frames, float* pcm,
                                                     int32_t* samples) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_of(handle);
        require_pointer(mel, "mel");
        require_pointer(pcm, "pcm");
        require_pointer(samples, "samples");
        require_count(group, frames, "frames", group.model().config.frames_per_token());
        require_active(group, active, DecoderUse::mel_to_pcm);
        require_rows(group, mel, area(frames, group.model().config.n_mels), active, std::numeric_limits<float>::max(),
                     "mel", "a finite value");
        group.step_from_mel(mel, active, frames, pcm, samples);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_step_on_device(secousti_decoder_group* handle, void* stream,
                                                      const int32_t* tokens, const uint8_t* active, float* pcm,
                                                      int32_t* samples) SECOUSTI_NOEXCEPT {
    return secousti_decoder_group_steps_on_device(handle, stream, tokens, active, 1, pcm, samples);
}

secousti_status secousti_decoder_group_steps_on_device(secousti_decoder_group* handle, void* stream,
                                                       const int32_t* tokens, const uint8_t* active, int32_t count,
                                                       float* pcm, int32_t* samples) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_of(handle);
        require_pointer(tokens, "tokens");
        require_pointer(pcm, "pcm");
        require_count(group, count);
        require_active(group, active, DecoderUse::tokens_to_pcm);
        group.steps_on_device(stream, tokens, active, count, pcm, samples);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_step_to_mel_on_device(secousti_decoder_group* handle, void* stream,
                                                             const int32_t* tokens, const uint8_t* active,
                                                             float* mel) SECOUSTI_NOEXCEPT {
    return secousti_decoder_group_steps_to_mel_on_device(handle, stream, tokens, active, 1, mel);
}

secousti_status secousti_decoder_group_steps_to_mel_on_device(secousti_decoder_group* handle, void* stream,
                                                              const int32_t* tokens, const uint8_t* active,
                                                              int32_t count, float* mel) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_of(handle);
        require_pointer(tokens, "tokens");
        require_pointer(mel, "mel");
        require_count(group, count);
        require_active(group, active, DecoderUse::tokens_to_mel);
        group.steps_to_mel_on_device(stream, tokens, active, count, mel);
        return SECOUSTI_OK;
    });
}

secousti_status secousti_decoder_group_step_from_mel_on_device(secousti_decoder_group* handle, void* stream,
                                                               const float* mel, const uint8_t* active, int32_t frames,
                                                               float* pcm, int32_t* samples) SECOUSTI_NOEXCEPT {
    return guarded([&] {
        DecoderGroup& group = group_of(handle);
        require_pointer(mel, "mel");
        require_pointer(pcm, "pcm");
        require_count(group, frames, "frames", group.model().config.frames_per_token());
        require_active(group, active, DecoderUse::mel_to_pcm);
        group.step_from_mel_on_device(stream, mel, active, frames, pcm, samples);
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
