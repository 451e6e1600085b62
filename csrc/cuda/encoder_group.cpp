#include "cuda/encoder_group.h"

#include <algorithm>
#include <cstring>

#include "codec/progress.h"
#include "cuda/snapshots.h"

namespace secousti::core::cuda {

namespace {

/// Token frames that the end of a stream may still give.
int tokens_at_the_end(const DeviceModel& device, const DeviceMel::State& state, int frames_per_token) {
    const int frames = device.mel.max_frames(state, 0, true);
    return std::max(1, (frames + frames_per_token - 1) / frames_per_token);
}

}  // namespace

DeviceEncoderGroup::DeviceEncoderGroup(ModelPtr model, const DeviceModel& device, const GroupOptions& options)
    : EncoderGroup(std::move(model), options),
      device_(device),
      frame_size_(model_->config.frame_size()),
      frames_per_token_(model_->config.frames_per_token()),
      flush_tokens_(
          tokens_at_the_end(device_, device_.mel.make_state(CudaQueue(), 1, frames_per_token_), frames_per_token_)),
      most_tokens_(std::max(flush_tokens_, max_steps_)),
      mel_state_(device_.mel.make_state(stream_, capacity_, frames_per_token_)),
      state_(device_.encoder.make_state(stream_, capacity_, most_tokens_)),
      scratch_(device_.encoder.make_scratch(stream_, capacity_, most_tokens_)),
      pcm_(stream_, area(capacity_, max_steps_ * frame_size_), "samples of a group"),
      masks_(stream_, kMasks, capacity_),
      mel_(stream_, area(capacity_, most_tokens_ * frames_per_token_) * static_cast<std::size_t>(model_->config.n_mels),
           "mel of a group"),
      frames_(stream_, slots(), "frames of a group"),
      tokens_(stream_, area(capacity_, most_tokens_), "tokens of a group"),
      host_pcm_(pcm_.bytes()),
      host_tokens_(tokens_.bytes()),
      samples_(slots()),
      ended_(slots()) {
    // Rows that a slot does not write are read all the same: what comes of them goes nowhere.
    stream_.fill(pcm_.data(), 0, pcm_.bytes());
    stream_.fill(mel_.data(), 0, mel_.bytes());
    // Those of single steps and of the most at once; others when they are needed.
    graphs(1);
    graphs(max_steps_);
}

const DeviceEncoderGroup::Graphs& DeviceEncoderGroup::graphs(int count) {
    if (const auto found = graphs_.find(count); found != graphs_.end()) return found->second;
    // With no slot active nothing changes, but every kernel is loaded before a graph is made of them.
    masks_.clear();
    masks_.upload_changes(stream_);
    const int samples = count * frame_size_;
    launch(stream_, samples, count);
    stream_.synchronize();
    Graph on_device(stream_, [&] { launch(stream_, samples, count); });
    Graph from_host(stream_, [&] {
        stream_.copy_to_device(pcm_.data(), host_pcm_.as<float>(), area(capacity_, samples) * sizeof(float));
        launch(stream_, samples, count);
        stream_.copy_to_host(host_tokens_.as<std::int32_t>(), tokens_.data(),
                             area(capacity_, count) * sizeof(std::int32_t));
    });
    return graphs_.emplace(count, Graphs{std::move(on_device), std::move(from_host)}).first->second;
}

std::size_t DeviceEncoderGroup::memory_bytes() const noexcept {
    return state_.bytes() + mel_state_.samples.bytes() + pcm_.bytes() + mel_.bytes() + scratch_.bytes() +
           host_pcm_.bytes() + host_tokens_.bytes();
}

Step DeviceEncoderGroup::step_of(const CudaQueue& stream, int tokens) const {
    return {stream,
            {state_.position.data(), state_.start.data(), masks_.data(kGiving), capacity_},
            tokens,
            scratch_.operand.data()};
}

void DeviceEncoderGroup::launch(const CudaQueue& stream, int samples, int tokens) const {
    device_.mel.push(stream, mel_state_, masks_.data(kFed), pcm_.data(), samples, false, mel_.data(),
                     tokens * frames_per_token_, frames_.data());
    device_.encoder.push(step_of(stream, tokens), state_, scratch_, mel_.data(), nullptr, tokens_.data());
}

void DeviceEncoderGroup::plan(const CudaQueue& stream, int samples, const std::uint8_t* active) {
    for (std::size_t i = 0; i < slots(); ++i) {
        const bool fed = ended_[i] == 0 && (active == nullptr || active[i] != 0);
        bool giving = false;
        if (fed) {
            giving = tokens_of(i, samples) != 0;
            samples_[i] += static_cast<std::uint64_t>(samples);
        }
        masks_.set(kFed, i, fed);
        masks_.set(kGiving, i, giving);
    }
    masks_.upload_changes(stream);
}

bool DeviceEncoderGroup::together(int count, const std::uint8_t* active) const noexcept {
    if (count == 1) return true;
    for (std::size_t i = 0; i < slots(); ++i) {
        if (ended_[i] != 0 || (active != nullptr && active[i] == 0)) continue;
        const std::uint64_t tokens = tokens_of(i, count * frame_size_);
        if (tokens != 0 && tokens != static_cast<std::uint64_t>(count)) return false;
    }
    return true;
}

void DeviceEncoderGroup::steps(const float* pcm, const std::uint8_t* active, int count, std::int32_t* tokens) {
    order_.enter(stream_);
    const bool once = together(count, active);
    const int each = once ? count : 1;
    const Graph& graph = graphs(each).from_host;
    const std::size_t width = area(each, frame_size_), row = area(count, frame_size_);
    for (int first = 0; first < count; first += each) {
        plan(stream_, each * frame_size_, active);
        const float* from = pcm + area(first, frame_size_);
        for (std::size_t i = 0; i < slots(); ++i) {
            if (masks_.at(kFed, i)) std::copy_n(from + i * row, width, host_pcm_.as<float>() + i * width);
        }
        graph.replay(stream_);
        stream_.synchronize();
        for (std::size_t i = 0; i < slots(); ++i) {
            std::copy_n(host_tokens_.as<std::int32_t>() + i * static_cast<std::size_t>(each), each,
                        tokens + i * static_cast<std::size_t>(count) + first);
        }
    }
}

void DeviceEncoderGroup::steps_on_device(void* stream, const float* pcm, const std::uint8_t* active, int count,
                                         std::int32_t* tokens) {
    const CudaQueue queue = CudaQueue::borrow(stream);
    order_.enter(stream_);
    const bool once = together(count, active);
    const int each = once ? count : 1;
    const Graph& graph = graphs(each).on_device;
    order_.enter(queue);
    const int width = each * frame_size_;
    for (int first = 0; first < count; first += each) {
        plan(queue, width, active);
        if (once) {
            queue.copy_on_device(pcm_.data(), pcm, area(capacity_, width) * sizeof(float));
        } else {
            copy_rows(queue, pcm + first * frame_size_, count * frame_size_, pcm_.data(), width, capacity_, width);
        }
        graph.replay(queue);
        if (once) {
            queue.copy_on_device(tokens, tokens_.data(), area(capacity_, each) * sizeof(std::int32_t));
        } else {
            copy_rows(queue, tokens_.data(), each, tokens + first, count, capacity_, each);
        }
    }
    order_.leave(queue);
}

void DeviceEncoderGroup::feed(const float* pcm, int samples, const std::uint8_t* active, std::int32_t* tokens) {
    if (samples == frame_size_) return steps(pcm, active, 1, tokens);
    order_.enter(stream_);
    plan(stream_, samples, active);
    const std::size_t count = area(capacity_, samples);
    std::copy_n(pcm, count, host_pcm_.as<float>());
    stream_.copy_to_device(pcm_.data(), host_pcm_.as<float>(), count * sizeof(float));
    launch(stream_, samples, 1);
    stream_.copy_to_host(host_tokens_.as<std::int32_t>(), tokens_.data(), slots() * sizeof(std::int32_t));
    stream_.synchronize();
    std::copy_n(host_tokens_.as<std::int32_t>(), slots(), tokens);
}

std::size_t DeviceEncoderGroup::tokens_after_flush(int slot) const noexcept {
    if (ended(slot)) return 0;
    const std::uint64_t samples = samples_[static_cast<std::size_t>(slot)];
    return static_cast<std::size_t>(tokens_ready(model_->config, samples, true) -
                                    tokens_ready(model_->config, samples, false));
}

std::size_t DeviceEncoderGroup::flush(int slot, std::int32_t* tokens) {
    const std::size_t count = tokens_after_flush(slot), index = static_cast<std::size_t>(slot);
    if (count != 0) {
        // The slot alone: nothing is computed for the others.
        order_.enter(stream_);
        const SlotsState state = state_.slot_of(slot);
        device_.mel.push(stream_, mel_state_.slot_of(slot), nullptr, nullptr, 0, true, mel_.data(),
                         flush_tokens_ * frames_per_token_, frames_.data());
        device_.encoder.push(
            {stream_, {state.position.data(), state.start.data(), nullptr, 1}, flush_tokens_, scratch_.operand.data()},
            state, scratch_, mel_.data(), frames_.data(), tokens_.data());
        stream_.copy_to_host(host_tokens_.as<std::int32_t>(), tokens_.data(), count * sizeof(std::int32_t));
        stream_.synchronize();
        std::copy_n(host_tokens_.as<std::int32_t>(), count, tokens);
    }
    ended_[index] = 1;
    return count;
}

void DeviceEncoderGroup::reset(const std::uint8_t* mask) {
    order_.enter(stream_);
    for (std::size_t i = 0; i < slots(); ++i) {
        const bool chosen = mask == nullptr || mask[i] != 0;
        masks_.set(kFed, i, chosen);
        masks_.set(kGiving, i, chosen);
        if (!chosen) continue;
        samples_[i] = 0;
        ended_[i] = 0;
        device_.mel.reset(stream_, mel_state_, static_cast<int>(i));
    }
    masks_.upload_changes(stream_);
    seek(stream_, step_of(stream_, 1).clock, masks_.data(kGiving), nullptr);
    stream_.synchronize();
}

void DeviceEncoderGroup::snapshot(int slot, std::byte* out) const {
    order_.enter(stream_);
    Arena state(model_->encoder_state.bytes());
    std::byte* arena = state.data();
    const std::uint64_t samples = samples_[static_cast<std::size_t>(slot)];
    *model_->encoder_header.in(arena) = {samples, tokens_ready(model_->config, samples, ended(slot)),
                                         ended(slot) ? 1 : 0};
    device_.mel.save(stream_, mel_state_, slot, model_->mel, arena);
    save_slot(stream_, encoder_layers(device_.encoder, model_->encoder), state_, slot, arena);
    write_snapshot(*model_, StreamKind::encoder, arena, out);
}

void DeviceEncoderGroup::restore(int slot, std::span<const std::byte> snapshot) {
    Arena state(model_->encoder_state.bytes());
    read_snapshot(*model_, StreamKind::encoder, snapshot, state.data());
    const std::byte* arena = state.data();
    order_.enter(stream_);
    load_slot(stream_, encoder_layers(device_.encoder, model_->encoder), state_, slot, arena);
    device_.mel.load(stream_, mel_state_, slot, model_->mel, arena);
    const EncoderStreamHeader& header = *model_->encoder_header.in(arena);
    samples_[static_cast<std::size_t>(slot)] = header.samples;
    ended_[static_cast<std::size_t>(slot)] = header.ended != 0 ? 1 : 0;
}

}  // namespace secousti::core::cuda
