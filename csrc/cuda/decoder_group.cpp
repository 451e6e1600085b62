#include "cuda/decoder_group.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/tokens.h"
#include "cuda/snapshots.h"

namespace secousti::core::cuda {

DeviceDecoderGroup::DeviceDecoderGroup(ModelPtr model, const DeviceModel& device, const GroupOptions& options,
                                       const VocoderOptions& vocoder, std::span<const float> voice)
    : DecoderGroup(std::move(model), options),
      device_(device),
      mel_size_(model_->config.frames_per_token() * model_->config.n_mels),
      state_(device_.decoder.make_state(stream_, capacity_, max_steps_)),
      scratch_(device_.decoder.make_scratch(stream_, capacity_, max_steps_)),
      masks_(stream_, 1, capacity_),
      tokens_(stream_, area(capacity_, max_steps_), "tokens of a group"),
      voice_(stream_, area(capacity_, model_->config.dimension), "voices of a group"),
      mel_(stream_, area(capacity_, max_steps_ * mel_size_), "mel of a group"),
      host_tokens_(tokens_.bytes()),
      host_mel_(mel_.bytes()),
      headers_(slots()),
      voices_(voice_.count()) {
    VocoderOptions resolved = vocoder;
    if (device_.vocoder) {
        resolved = model_->vocoder->resolve(vocoder);
        vocoder_ = device_.vocoder->make_slots(stream_, capacity_, max_steps_ * model_->config.frames_per_token(),
                                               resolved.look_ahead);
        // A flush gives what one slot's vocoder holds back.
        pcm_ = {stream_,
                std::max(area(capacity_, max_steps_ * model_->config.frame_size()),
                         static_cast<std::size_t>(model_->vocoder->latency(resolved.look_ahead))),
                "samples of a group"};
        samples_ = {stream_, slots(), "samples of a group"};
        host_pcm_ = PinnedBuffer(pcm_.bytes());
        host_samples_ = PinnedBuffer(samples_.bytes());
        stream_.fill(pcm_.data(), 0, pcm_.bytes());
        stream_.fill(samples_.data(), 0, samples_.bytes());
    }
    stream_.fill(tokens_.data(), 0, tokens_.bytes());
    stream_.fill(mel_.data(), 0, mel_.bytes());
    stream_.fill(voice_.data(), 0, voice_.bytes());
    for (int slot = 0; slot < capacity_; ++slot) {
        if (!voice.empty()) set_voice(slot, voice);
        begin(slot, resolved);
    }
    // The graphs of single steps and of the most at once; others when they are needed.
    for (const int count : {1, max_steps_}) {
        graphs({DecoderUse::tokens_to_mel, count});
        if (vocoder_) graphs({DecoderUse::tokens_to_pcm, count});
    }
}

std::size_t DeviceDecoderGroup::memory_bytes() const noexcept {
    return state_.bytes() + scratch_.bytes() + mel_.bytes() + pcm_.bytes() + voice_.bytes() +
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
    forget_tokens(stream_, state_, slot);
    if (vocoder_) device_.vocoder->start(stream_, *vocoder_, slot, resolved);
}

void DeviceDecoderGroup::start(int slot, const VocoderOptions& options, std::span<const float> voice) {
    const VocoderOptions resolved = resolve(options);
    const std::vector<float> zeros(static_cast<std::size_t>(model_->config.dimension));
    set_voice(slot, voice.empty() ? std::span<const float>(zeros) : voice);
    begin(slot, resolved);
    masks_.clear();
    masks_.set(0, static_cast<std::size_t>(slot), true);
    masks_.upload_changes(stream_);
    seek(stream_, step_of(stream_, 1).clock, masks_.data(0), nullptr);
    stream_.synchronize();
}

void DeviceDecoderGroup::set_voice(int slot, std::span<const float> values) {
    order_.enter(stream_);
    const std::size_t begin = area(slot, model_->config.dimension);
    std::copy(values.begin(), values.end(), voices_.begin() + static_cast<std::ptrdiff_t>(begin));
    stream_.copy_to_device(voice_.data() + begin, voices_.data() + begin, values.size_bytes());
    stream_.synchronize();
}

void DeviceDecoderGroup::get_voice(int slot, float* values) const {
    const std::size_t dimension = static_cast<std::size_t>(model_->config.dimension);
    std::copy_n(voices_.begin() + static_cast<std::ptrdiff_t>(static_cast<std::size_t>(slot) * dimension), dimension,
                values);
}

Step DeviceDecoderGroup::step_of(const CudaQueue& stream, int tokens) const {
    return {stream,
            {state_.position.data(), state_.start.data(), masks_.data(0), capacity_},
            tokens,
            scratch_.operand.data()};
}

void DeviceDecoderGroup::launch(const CudaQueue& stream, const Work& work) const {
    if (work.use != DecoderUse::mel_to_pcm) {
        device_.decoder.push(step_of(stream, work.count), state_, scratch_, tokens_.data(), voice_.data(), mel_.data());
    }
    if (work.use != DecoderUse::tokens_to_mel) {
        device_.vocoder->push(stream, *vocoder_, masks_.data(0), mel_.data(), frames_of(work), pcm_.data(),
                              static_cast<std::ptrdiff_t>(pcm_row(work)), samples_.data());
    }
}

const DeviceDecoderGroup::Graphs& DeviceDecoderGroup::graphs(const Work& work) {
    if (const auto found = graphs_.find(work); found != graphs_.end()) return found->second;
    // With no slot active nothing changes, but every kernel is loaded before a graph is made of them.
    masks_.clear();
    masks_.upload_changes(stream_);
    launch(stream_, work);
    stream_.synchronize();
    Graph on_device(stream_, [&] { launch(stream_, work); });
    Graph from_host(stream_, [&] {
        const std::size_t frames = area(capacity_, frames_of(work) * model_->config.n_mels) * sizeof(float);
        if (work.use == DecoderUse::mel_to_pcm) {
            stream_.copy_to_device(mel_.data(), host_mel_.as<float>(), frames);
        } else {
            stream_.copy_to_device(tokens_.data(), host_tokens_.as<std::int32_t>(),
                                   area(capacity_, work.count) * sizeof(std::int32_t));
        }
        launch(stream_, work);
        if (work.use == DecoderUse::tokens_to_mel) {
            stream_.copy_to_host(host_mel_.as<float>(), mel_.data(), frames);
        } else {
            stream_.copy_to_host(host_pcm_.as<float>(), pcm_.data(), slots() * pcm_row(work) * sizeof(float));
            stream_.copy_to_host(host_samples_.as<std::int32_t>(), samples_.data(), samples_.bytes());
        }
    });
    return graphs_.emplace(work, Graphs{std::move(on_device), std::move(from_host)}).first->second;
}

void DeviceDecoderGroup::plan(const CudaQueue& stream, const Work& work, const std::int32_t* tokens,
                              const std::uint8_t* active) {
    for (std::size_t i = 0; i < slots(); ++i) {
        DecoderStreamHeader& slot = headers_[i];
        const bool wanted = tokens != nullptr ? tokens[i * static_cast<std::size_t>(work.count)] != kNoToken
                                              : active == nullptr || active[i] != 0;
        const bool live = slot.ended == 0 && wanted;
        masks_.set(0, i, live);
        if (!live) continue;
        slot.use = work.use;
        if (work.use == DecoderUse::tokens_to_mel) continue;
        slot.frames += static_cast<std::uint64_t>(frames_of(work));
        const std::uint64_t pushed = slot.frames * static_cast<std::uint64_t>(model_->config.hop_length);
        const std::uint64_t held = static_cast<std::uint64_t>(model_->vocoder->latency(slot.look_ahead));
        slot.samples = pushed > held ? pushed - held : 0;
    }
    masks_.upload_changes(stream);
}

void DeviceDecoderGroup::run(const Work& work, const void* in, std::size_t bytes, const std::int32_t* tokens,
                             const std::uint8_t* active) {
    order_.enter(stream_);
    const Graph& graph = graphs(work).from_host;
    plan(stream_, work, tokens, active);
    std::memcpy(tokens != nullptr ? host_tokens_.as<std::byte>() : host_mel_.as<std::byte>(), in, bytes);
    graph.replay(stream_);
    stream_.synchronize();
}

void DeviceDecoderGroup::fetch_pcm(const Work& work, float* pcm, std::int32_t* samples) const {
    const std::size_t row = pcm_row(work);
    for (std::size_t i = 0; i < slots(); ++i) {
        samples[i] = masks_.at(0, i) ? host_samples_.as<std::int32_t>()[i] : 0;
        std::copy_n(host_pcm_.as<float>() + i * row, samples[i], pcm + i * row);
    }
}

void DeviceDecoderGroup::steps(const std::int32_t* tokens, int count, float* pcm, std::int32_t* samples) {
    const Work work{DecoderUse::tokens_to_pcm, count};
    run(work, tokens, area(capacity_, count) * sizeof(std::int32_t), tokens, nullptr);
    fetch_pcm(work, pcm, samples);
}

void DeviceDecoderGroup::steps_to_mel(const std::int32_t* tokens, int count, float* mel) {
    run({DecoderUse::tokens_to_mel, count}, tokens, area(capacity_, count) * sizeof(std::int32_t), tokens, nullptr);
    const std::size_t row = area(count, mel_size_);
    for (std::size_t i = 0; i < slots(); ++i) {
        if (masks_.at(0, i)) std::copy_n(host_mel_.as<float>() + i * row, row, mel + i * row);
    }
}

void DeviceDecoderGroup::step_from_mel(const float* mel, const std::uint8_t* active, int frames, float* pcm,
                                       std::int32_t* samples) {
    const Work work{DecoderUse::mel_to_pcm, frames};
    run(work, mel, area(capacity_, frames * model_->config.n_mels) * sizeof(float), nullptr, active);
    fetch_pcm(work, pcm, samples);
}

void DeviceDecoderGroup::run_on_device(void* stream, const Work& work, const void* in, const std::uint8_t* active,
                                       float* mel, float* pcm, std::int32_t* samples) {
    const CudaQueue queue = CudaQueue::borrow(stream);
    order_.enter(stream_);
    const Graph& graph = graphs(work).on_device;
    order_.enter(queue);
    plan(queue, work, nullptr, active);
    const std::size_t frames = area(capacity_, frames_of(work) * model_->config.n_mels) * sizeof(float);
    if (work.use == DecoderUse::mel_to_pcm) {
        queue.copy_on_device(mel_.data(), in, frames);
    } else {
        queue.copy_on_device(tokens_.data(), in, area(capacity_, work.count) * sizeof(std::int32_t));
    }
    graph.replay(queue);
    if (mel != nullptr) queue.copy_on_device(mel, mel_.data(), frames);
    if (pcm != nullptr) queue.copy_on_device(pcm, pcm_.data(), slots() * pcm_row(work) * sizeof(float));
    if (samples != nullptr) queue.copy_on_device(samples, samples_.data(), samples_.bytes());
    order_.leave(queue);
}

void DeviceDecoderGroup::steps_on_device(void* stream, const std::int32_t* tokens, const std::uint8_t* active,
                                         int count, float* pcm, std::int32_t* samples) {
    run_on_device(stream, {DecoderUse::tokens_to_pcm, count}, tokens, active, nullptr, pcm, samples);
}

void DeviceDecoderGroup::steps_to_mel_on_device(void* stream, const std::int32_t* tokens, const std::uint8_t* active,
                                                int count, float* mel) {
    run_on_device(stream, {DecoderUse::tokens_to_mel, count}, tokens, active, mel, nullptr, nullptr);
}

void DeviceDecoderGroup::step_from_mel_on_device(void* stream, const float* mel, const std::uint8_t* active, int frames,
                                                 float* pcm, std::int32_t* samples) {
    run_on_device(stream, {DecoderUse::mel_to_pcm, frames}, mel, active, nullptr, pcm, samples);
}

std::size_t DeviceDecoderGroup::samples_owed(int slot) const noexcept {
    const DecoderStreamHeader& h = header(slot);
    if (h.ended != 0 || !vocoder_) return 0;
    return static_cast<std::size_t>(h.frames * static_cast<std::uint64_t>(model_->config.hop_length) - h.samples);
}

std::size_t DeviceDecoderGroup::flush(int slot, float* pcm) {
    std::size_t count = 0;
    if (samples_owed(slot) != 0) {
        order_.enter(stream_);
        device_.vocoder->finish(stream_, *vocoder_, slot, pcm_.data(), samples_.data());
        stream_.copy_to_host(host_pcm_.as<float>(), pcm_.data(), samples_owed(slot) * sizeof(float));
        stream_.copy_to_host(host_samples_.as<std::int32_t>(), samples_.data(), sizeof(std::int32_t));
        stream_.synchronize();
        count = static_cast<std::size_t>(*host_samples_.as<std::int32_t>());
        std::copy_n(host_pcm_.as<float>(), count, pcm);
        header(slot).samples += count;
    }
    header(slot).ended = 1;
    return count;
}

void DeviceDecoderGroup::reset(const std::uint8_t* mask) {
    order_.enter(stream_);
    for (int slot = 0; slot < capacity_; ++slot) {
        const std::size_t index = static_cast<std::size_t>(slot);
        const bool chosen = mask == nullptr || mask[index] != 0;
        masks_.set(0, index, chosen);
        if (!chosen) continue;
        const DecoderStreamHeader old = header(slot);
        begin(slot, {old.look_ahead, old.noise != 0, old.seed});
    }
    masks_.upload_changes(stream_);
    seek(stream_, step_of(stream_, 1).clock, masks_.data(0), nullptr);
    stream_.synchronize();
}

void DeviceDecoderGroup::snapshot(int slot, std::byte* out) const {
    order_.enter(stream_);
    const DecoderStreamHeader& from = header(slot);
    Arena state(model_->decoder_state.bytes());
    std::byte* arena = state.data();
    *model_->decoder_header.in(arena) = from;
    get_voice(slot, model_->decoder_voice.in(arena));
    save_slot(stream_, decoder_layers(device_.decoder, model_->decoder), state_, slot, arena);
    save_tokens(stream_, state_, slot, model_->decoder.concealment(), arena);
    if (vocoder_) {
        model_->vocoder->start(model_->vocoder_state.in(arena), {from.look_ahead, from.noise != 0, from.seed});
        if (from.frames != 0 && from.ended == 0) {
            device_.vocoder->save(stream_, *vocoder_, slot, model_->vocoder_state.in(arena));
        }
    }
    write_snapshot(*model_, StreamKind::decoder, arena, out);
}

void DeviceDecoderGroup::restore(int slot, std::span<const std::byte> snapshot) {
    Arena state(model_->decoder_state.bytes());
    read_snapshot(*model_, StreamKind::decoder, snapshot, state.data());
    restore_state(slot, state.data());
}

void DeviceDecoderGroup::restore_state(int slot, const std::byte* arena) {
    order_.enter(stream_);
    const DecoderStreamHeader& from = *model_->decoder_header.in(arena);
    begin(slot, resolve({from.look_ahead, from.noise != 0, from.seed}));
    load_slot(stream_, decoder_layers(device_.decoder, model_->decoder), state_, slot, arena);
    load_tokens(stream_, state_, slot, model_->decoder.concealment(), arena);
    if (vocoder_ && from.frames != 0 && from.ended == 0) {
        device_.vocoder->load(stream_, *vocoder_, slot, model_->vocoder_state.in(arena));
    }
    set_voice(slot, {model_->decoder_voice.in(arena), model_->decoder_voice.count});
    header(slot) = from;
}

}  // namespace secousti::core::cuda
