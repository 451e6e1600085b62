#include "codec/cuda_decoder_group.h"

#include <algorithm>
#include <string>

#include "base/error.h"
#include "codec/cuda_slots.h"

namespace secousti::core::cuda {

DeviceDecoderGroup::DeviceDecoderGroup(ModelPtr model, const GroupOptions& options, const VocoderOptions& vocoder,
                                       std::span<const float> paralinguistic)
    : DecoderGroup(std::move(model), options.capacity),
      device_(*model_->device),
      snapshot_bytes_(DecoderStream(model_, {}, {}, 1).snapshot_bytes()),
      frame_size_(model_->config.frame_size()),
      mel_size_(model_->config.frames_per_token() * model_->config.n_mels),
      state_(device_.decoder.make_state(stream_, capacity_, 1)),
      scratch_(device_.decoder.make_scratch(stream_, capacity_, 1)),
      masks_(stream_, 1, capacity_),
      tokens_(stream_, slots(), "tokens of a group"),
      paralinguistic_(stream_, area(capacity_, model_->config.dimension), "voices of a group"),
      mel_(stream_, area(capacity_, mel_size_), "mel of a group"),
      host_tokens_(tokens_.bytes()),
      host_mel_(mel_.bytes()),
      headers_(slots()),
      voices_(paralinguistic_.count()) {
    VocoderOptions resolved = vocoder;
    if (device_.vocoder) {
        resolved = model_->vocoder->resolve(vocoder);
        vocoder_ =
            device_.vocoder->make_slots(stream_, capacity_, model_->config.frames_per_token(), resolved.look_ahead);
        // A flush gives what the vocoder holds back.
        pcm_stride_ = std::max(frame_size_, model_->vocoder->latency(resolved.look_ahead));
        pcm_ = {stream_, area(capacity_, pcm_stride_), "samples of a group"};
        samples_ = {stream_, slots(), "samples of a group"};
        host_pcm_ = PinnedBuffer(pcm_.bytes());
        host_samples_ = PinnedBuffer(samples_.bytes());
        stream_.fill(pcm_.data(), 0, pcm_.bytes());
        stream_.fill(samples_.data(), 0, samples_.bytes());
    }
    stream_.fill(tokens_.data(), 0, tokens_.bytes());
    stream_.fill(mel_.data(), 0, mel_.bytes());
    stream_.fill(paralinguistic_.data(), 0, paralinguistic_.bytes());
    for (int slot = 0; slot < capacity_; ++slot) {
        if (!paralinguistic.empty()) set_paralinguistic(slot, paralinguistic);
        begin(slot, resolved);
    }
    for (const Output output : {to_mel, to_pcm}) {
        if (output == to_pcm && !vocoder_) continue;
        // With no slot active nothing changes, but every kernel is loaded before a graph is made of them.
        launch(stream_, output);
        stream_.synchronize();
        on_device_[output].emplace(stream_, [&] { launch(stream_, output); });
        from_host_[output].emplace(stream_, [&] {
            stream_.copy_to_device(tokens_.data(), host_tokens_.as<std::int32_t>(), tokens_.bytes());
            launch(stream_, output);
            if (output == to_mel) {
                stream_.copy_to_host(host_mel_.as<float>(), mel_.data(), mel_.bytes());
            } else {
                stream_.copy_to_host(host_pcm_.as<float>(), pcm_.data(), pcm_.bytes());
                stream_.copy_to_host(host_samples_.as<std::int32_t>(), samples_.data(), samples_.bytes());
            }
        });
    }
}

std::size_t DeviceDecoderGroup::memory_bytes() const noexcept {
    return state_.bytes() + scratch_.bytes() + mel_.bytes() + pcm_.bytes() + paralinguistic_.bytes() +
           (vocoder_ ? vocoder_->bytes() : 0) + host_mel_.bytes() + host_pcm_.bytes();
}

VocoderOptions DeviceDecoderGroup::resolve(const VocoderOptions& options) const {
    if (!vocoder_) return options;
    const VocoderOptions resolved = model_->vocoder->resolve(options);
    if (!device_.vocoder->accepts(*vocoder_, resolved)) {
        throw Error(Status::unsupported, "look_ahead: this group on the device was not made for slots that look " +
                                             std::to_string(resolved.look_ahead) +
                                             " mel frames ahead: make it with the largest look-ahead");
    }
    return resolved;
}

void DeviceDecoderGroup::begin(int slot, const VocoderOptions& resolved) {
    header(slot) = {0, 0, resolved.seed, resolved.look_ahead, resolved.noise ? 1 : 0, 0, DecoderUse::undecided};
    if (vocoder_) device_.vocoder->start(stream_, *vocoder_, slot, resolved);
}

void DeviceDecoderGroup::start(int slot, const VocoderOptions& options, std::span<const float> paralinguistic) {
    const VocoderOptions resolved = resolve(options);
    const std::vector<float> zeros(static_cast<std::size_t>(model_->config.dimension));
    set_paralinguistic(slot, paralinguistic.empty() ? std::span<const float>(zeros) : paralinguistic);
    begin(slot, resolved);
    masks_.clear();
    masks_.set(0, static_cast<std::size_t>(slot), true);
    masks_.upload_changes(stream_);
    seek(stream_, step_of(stream_).clock, masks_.data(0), nullptr);
    stream_.synchronize();
}

void DeviceDecoderGroup::set_paralinguistic(int slot, std::span<const float> values) {
    turns_.take(stream_);
    const std::size_t begin = area(slot, model_->config.dimension);
    std::copy(values.begin(), values.end(), voices_.begin() + static_cast<std::ptrdiff_t>(begin));
    stream_.copy_to_device(paralinguistic_.data() + begin, voices_.data() + begin, values.size_bytes());
    stream_.synchronize();
}

void DeviceDecoderGroup::get_paralinguistic(int slot, float* values) const {
    const std::size_t dimension = static_cast<std::size_t>(model_->config.dimension);
    std::copy_n(voices_.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(slot) * dimension), dimension,
                values);
}

Step DeviceDecoderGroup::step_of(const Stream& stream) const {
    return {
        stream, {state_.position.data(), state_.start.data(), masks_.data(0), capacity_}, 1, scratch_.operand.data()};
}

void DeviceDecoderGroup::launch(const Stream& stream, Output output) const {
    device_.decoder.push(step_of(stream), state_, scratch_, tokens_.data(), paralinguistic_.data(), mel_.data());
    if (output == to_pcm) {
        device_.vocoder->push(stream, *vocoder_, masks_.data(0), mel_.data(), model_->config.frames_per_token(),
                              pcm_.data(), pcm_stride_, samples_.data());
    }
}

void DeviceDecoderGroup::plan(const Stream& stream, const std::int32_t* tokens, const std::uint8_t* active,
                              Output output) {
    if (tokens != nullptr && std::find(tokens, tokens + capacity_, kLostToken) != tokens + capacity_) {
        throw Error(Status::unsupported, "lost tokens are concealed on the CPU only: a group on the device takes none");
    }
    for (std::size_t i = 0; i < slots(); ++i) {
        DecoderStreamHeader& slot = headers_[i];
        const bool wanted = tokens != nullptr ? tokens[i] >= 0 : active == nullptr || active[i] != 0;
        const bool live = slot.ended == 0 && wanted;
        masks_.set(0, i, live);
        if (!live) continue;
        if (output == to_mel) {
            slot.use = DecoderUse::tokens_to_mel;
        } else {
            slot.use = DecoderUse::tokens_to_pcm;
            slot.frames += static_cast<std::uint64_t>(model_->config.frames_per_token());
            const std::uint64_t pushed = slot.frames * static_cast<std::uint64_t>(model_->config.hop_length);
            const std::uint64_t held = static_cast<std::uint64_t>(model_->vocoder->latency(slot.look_ahead));
            slot.samples = pushed > held ? pushed - held : 0;
        }
    }
    masks_.upload_changes(stream);
}

void DeviceDecoderGroup::step(const std::int32_t* tokens, float* pcm, std::int32_t* samples) {
    turns_.take(stream_);
    plan(stream_, tokens, nullptr, to_pcm);
    std::copy_n(tokens, slots(), host_tokens_.as<std::int32_t>());
    from_host_[to_pcm]->replay(stream_);
    stream_.synchronize();
    for (std::size_t i = 0; i < slots(); ++i) {
        samples[i] = masks_.at(0, i) ? host_samples_.as<std::int32_t>()[i] : 0;
        std::copy_n(host_pcm_.as<float>() + i * static_cast<std::size_t>(pcm_stride_), samples[i],
                    pcm + i * static_cast<std::size_t>(frame_size_));
    }
}

void DeviceDecoderGroup::step_to_mel(const std::int32_t* tokens, float* mel) {
    turns_.take(stream_);
    plan(stream_, tokens, nullptr, to_mel);
    std::copy_n(tokens, slots(), host_tokens_.as<std::int32_t>());
    from_host_[to_mel]->replay(stream_);
    stream_.synchronize();
    const std::size_t width = static_cast<std::size_t>(mel_size_);
    for (std::size_t i = 0; i < slots(); ++i) {
        if (masks_.at(0, i)) std::copy_n(host_mel_.as<float>() + i * width, width, mel + i * width);
    }
}

void DeviceDecoderGroup::step_on_device(void* stream, const std::int32_t* tokens, const std::uint8_t* active,
                                        float* pcm, std::int32_t* samples) {
    const Stream queue = Stream::borrow(stream);
    turns_.take(queue);
    plan(queue, nullptr, active, to_pcm);
    queue.copy_on_device(tokens_.data(), tokens, tokens_.bytes());
    on_device_[to_pcm]->replay(queue);
    const std::size_t row = static_cast<std::size_t>(frame_size_) * sizeof(float);
    if (pcm_stride_ == frame_size_) {
        queue.copy_on_device(pcm, pcm_.data(), slots() * row);
    } else {
        for (std::size_t i = 0; i < slots(); ++i) {
            queue.copy_on_device(pcm + i * static_cast<std::size_t>(frame_size_),
                                 pcm_.data() + i * static_cast<std::size_t>(pcm_stride_), row);
        }
    }
    if (samples != nullptr) queue.copy_on_device(samples, samples_.data(), samples_.bytes());
    turns_.leave(queue);
}

void DeviceDecoderGroup::step_to_mel_on_device(void* stream, const std::int32_t* tokens, const std::uint8_t* active,
                                               float* mel) {
    const Stream queue = Stream::borrow(stream);
    turns_.take(queue);
    plan(queue, nullptr, active, to_mel);
    queue.copy_on_device(tokens_.data(), tokens, tokens_.bytes());
    on_device_[to_mel]->replay(queue);
    queue.copy_on_device(mel, mel_.data(), mel_.bytes());
    turns_.leave(queue);
}

std::size_t DeviceDecoderGroup::samples_owed(int slot) const noexcept {
    const DecoderStreamHeader& h = header(slot);
    if (h.ended != 0 || !vocoder_) return 0;
    return static_cast<std::size_t>(h.frames * static_cast<std::uint64_t>(model_->config.hop_length) - h.samples);
}

std::size_t DeviceDecoderGroup::flush(int slot, float* pcm) {
    const std::size_t index = static_cast<std::size_t>(slot);
    std::size_t count = 0;
    if (samples_owed(slot) != 0) {
        turns_.take(stream_);
        masks_.clear();
        masks_.set(0, index, true);
        masks_.upload_changes(stream_);
        device_.vocoder->finish(stream_, *vocoder_, masks_.data(0), pcm_.data(), pcm_stride_, samples_.data());
        stream_.copy_to_host(host_pcm_.as<float>(), pcm_.data(), pcm_.bytes());
        stream_.copy_to_host(host_samples_.as<std::int32_t>(), samples_.data(), samples_.bytes());
        stream_.synchronize();
        count = static_cast<std::size_t>(host_samples_.as<std::int32_t>()[index]);
        std::copy_n(host_pcm_.as<float>() + index * static_cast<std::size_t>(pcm_stride_), count, pcm);
        header(slot).samples += count;
    }
    header(slot).ended = 1;
    return count;
}

void DeviceDecoderGroup::reset(const std::uint8_t* mask) {
    turns_.take(stream_);
    for (int slot = 0; slot < capacity_; ++slot) {
        const std::size_t index = static_cast<std::size_t>(slot);
        const bool chosen = mask == nullptr || mask[index] != 0;
        masks_.set(0, index, chosen);
        if (!chosen) continue;
        const DecoderStreamHeader old = header(slot);
        begin(slot, {old.look_ahead, old.noise != 0, old.seed});
    }
    masks_.upload_changes(stream_);
    seek(stream_, step_of(stream_).clock, masks_.data(0), nullptr);
    stream_.synchronize();
}

void DeviceDecoderGroup::snapshot(int slot, std::byte* out) const {
    turns_.take(stream_);
    const DecoderStreamHeader& from = header(slot);
    DecoderStream stream(model_, {from.look_ahead, from.noise != 0, from.seed}, {}, 1);
    std::byte* arena = stream.state();
    *model_->decoder_header.in(arena) = from;
    get_paralinguistic(slot, model_->decoder_paralinguistic.in(arena));
    save_slot(stream_, decoder_machine(device_.decoder, model_->decoder), state_, slot, arena);
    // A vocoder that has not begun is as new: HiFT can be taken from the device before it has.
    if (vocoder_ && from.frames != 0) {
        device_.vocoder->save(stream_, *vocoder_, slot, model_->vocoder_state.in(arena));
    }
    stream.snapshot(out);
}

void DeviceDecoderGroup::restore(int slot, std::span<const std::byte> snapshot) {
    turns_.take(stream_);
    DecoderStream stream(model_, {}, {}, 1);
    stream.restore(snapshot);
    const std::byte* arena = stream.state();
    const DecoderStreamHeader& from = *model_->decoder_header.in(arena);
    begin(slot, resolve({from.look_ahead, from.noise != 0, from.seed}));
    load_slot(stream_, decoder_machine(device_.decoder, model_->decoder), state_, slot, arena);
    if (vocoder_ && from.frames != 0) {
        device_.vocoder->load(stream_, *vocoder_, slot, model_->vocoder_state.in(arena));
    }
    set_paralinguistic(slot, {model_->decoder_paralinguistic.in(arena), model_->decoder_paralinguistic.count});
    header(slot) = from;
}

}  // namespace secousti::core::cuda

namespace secousti::core {

std::unique_ptr<DecoderGroup> make_device_decoder_group(ModelPtr model, const GroupOptions& options,
                                                        const VocoderOptions& vocoder,
                                                        std::span<const float> paralinguistic) {
    require_on_device(*model);
    return std::make_unique<cuda::DeviceDecoderGroup>(std::move(model), options, vocoder, paralinguistic);
}

}  // namespace secousti::core
