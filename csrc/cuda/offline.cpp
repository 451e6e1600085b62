// Whole inputs on the device: many tokens a step, and many clips side by side.
#include "codec/offline.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "base/tokens.h"
#include "cuda/engine.h"
#include "cuda/model.h"

namespace secousti::core::cuda {

namespace {

/// Rows of a step's matrix products, as tokens of one clip or as clips: enough for large tiles. Chosen by the shapes of
/// the kernels, not measured.
constexpr int kRows = 1024;
constexpr int kMaxClips = 128, kMaxTokens = 32;

std::size_t size(int n) { return static_cast<std::size_t>(n); }

/// Clips of a wave, in order of falling length, so that few slots wait for others to end.
template <class Clip, class Length>
std::vector<std::vector<const Clip*>> waves_of(std::span<const Clip> clips, const Length& length) {
    std::vector<const Clip*> order;
    for (const Clip& clip : clips) {
        if (length(clip) != 0) order.push_back(&clip);
    }
    std::stable_sort(order.begin(), order.end(), [&](const Clip* a, const Clip* b) { return length(*a) > length(*b); });
    std::vector<std::vector<const Clip*>> waves;
    for (std::size_t begin = 0; begin < order.size(); begin += kMaxClips) {
        const std::size_t end = std::min(order.size(), begin + kMaxClips);
        waves.emplace_back(order.begin() + static_cast<std::ptrdiff_t>(begin),
                           order.begin() + static_cast<std::ptrdiff_t>(end));
    }
    return waves;
}

int tokens_of_a_step(std::size_t slots, std::size_t longest) {
    const int fitting = std::clamp(kRows / static_cast<int>(slots), 1, kMaxTokens);
    return static_cast<int>(std::min(static_cast<std::size_t>(fitting), longest));
}

template <class T>
DeviceArray<T> uploaded(const CudaQueue& stream, const std::vector<T>& values) {
    return {stream, std::span<const T>(values), "the arrays of an offline call"};
}

template <class T>
void fetch(const CudaQueue& stream, const T* device, std::size_t count, T* host) {
    stream.copy_to_host(host, device, count * sizeof(T));
    stream.synchronize();
}

Step step_of(const CudaQueue& stream, const SlotsState& state, const StepScratch& scratch, const std::uint8_t* active,
             int slots, int tokens) {
    return {stream, {state.position.data(), state.start.data(), active, slots}, tokens, scratch.operand.data()};
}

class DeviceOffline final : public Offline {
  public:
    DeviceOffline(const Model& model, const DeviceModel& device)
        : Offline(model), device_(device), ratio_(model.config.frames_per_token()), bands_(model.config.n_mels) {}

    void mel(const float* pcm, std::size_t samples, float* out) const override;
    void encode_mel(const float* mel, std::size_t frames, const EncodeOutputs& out) const override;
    void voice(const float* mel, std::size_t frames, float* g) const override;
    void decode_tokens(const std::int32_t* tokens, std::size_t count, const float* voice, float* mel) const override;
    void decode_acoustic(const float* acoustic, std::size_t count, float* mel) const override;
    void vocode(const float* mel, std::size_t frames, const VocoderOptions& options, float* pcm) const override;
    void encode_clips(std::span<const ClipToEncode> clips) const override;
    void decode_clips(std::span<const ClipToDecode> clips, const VocoderOptions& options) const override;

  private:
    using Wave = std::vector<const ClipToEncode*>;
    class Encoding;

    /// Calls push(step, rows, tokens' first) for parts of `count` tokens and copies the mel that comes of them.
    template <class Push>
    void decode(std::size_t count, float* mel, const Push& push) const;
    void decode_wave(const std::vector<const ClipToDecode*>& wave, const VocoderOptions& resolved) const;

    const DeviceModel& device_;
    const int ratio_, bands_;  ///< mel frames of a token, bands of a frame
    const CudaQueue stream_;
};

/// Clips side by side from samples to tokens. Mel frames go to blocks of a step's tokens each, by their number; the
/// encoder takes a block as soon as every clip has filled it or has ended.
class DeviceOffline::Encoding {
  public:
    Encoding(const DeviceOffline& offline, const Wave& wave);

    void run();

  private:
    /// Samples that give the frames of the first `step` + 1 blocks.
    std::size_t needed(std::size_t step) const noexcept { return front_ + (step + 1) * block_frames_ * hop_; }
    void feed(std::size_t step);
    void collect_prompts(std::size_t step);

    const DeviceOffline& offline_;
    const DeviceModel& device_;
    const CudaQueue& stream_;
    const Wave& wave_;
    const int slots_, tokens_;  ///< of a step
    const std::size_t hop_, block_frames_, front_, steps_, prompt_;
    const int blocks_;
    DeviceMel::State mel_state_;
    SlotsState state_;
    StepScratch scratch_;
    DeviceArray<float> mel_;  ///< [blocks, slots, block_frames, n_mels]
    DeviceArray<float> pcm_, prompts_;
    DeviceArray<std::int32_t> frames_, counts_, valid_, out_;  ///< [slots]; [steps, slots]; [steps, slots, tokens]
    DeviceArray<std::uint8_t> fed_, ending_;                   ///< [steps, slots]
    std::vector<std::uint8_t> any_end_;                        ///< [steps]
    PinnedBuffer host_pcm_[2];
    Event copied_[2];
};

DeviceOffline::Encoding::Encoding(const DeviceOffline& offline, const Wave& wave)
    : offline_(offline),
      device_(offline.device_),
      stream_(offline.stream_),
      wave_(wave),
      slots_(static_cast<int>(wave.size())),
      tokens_(tokens_of_a_step(wave.size(), offline.tokens_of(offline.mel_frames(wave.front()->samples)))),
      hop_(size(offline.model_.config.hop_length)),
      block_frames_(area(tokens_, offline.ratio_)),
      // The first frame needs its whole window but for the reflection before the start; every other a hop.
      front_((size(offline.model_.config.n_fft) + hop_) / 2 - hop_),
      steps_((offline.tokens_of(offline.mel_frames(wave.front()->samples)) + size(tokens_) - 1) / size(tokens_)),
      prompt_(size(offline.model_.config.prompt_frames)),
      // The end of a clip gives frames whose windows reach beyond it.
      blocks_(static_cast<int>(2 + (front_ / hop_ + block_frames_) / block_frames_)),
      mel_state_(device_.mel.make_state(stream_, slots_, 1)),
      state_(device_.encoder.make_state(stream_, slots_, tokens_)),
      scratch_(device_.encoder.make_scratch(stream_, slots_, tokens_)),
      mel_(stream_, area(blocks_, slots_) * block_frames_ * size(offline.bands_), "the mel of clips"),
      pcm_(stream_, size(slots_) * needed(0), "the samples of clips"),
      frames_(stream_, size(slots_), "the frames of clips"),
      out_(stream_, steps_ * area(slots_, tokens_), "the tokens of clips") {
    stream_.fill(mel_.data(), 0, mel_.bytes());
    std::vector<std::int32_t> counts, valid;
    std::vector<std::uint8_t> fed, ending;
    bool voices = false;
    for (std::size_t step = 0; step < steps_; ++step) {
        bool any = false;
        for (const ClipToEncode* clip : wave_) {
            const std::size_t before = step == 0 ? 0 : std::min(clip->samples, needed(step - 1));
            const std::size_t after = std::min(clip->samples, needed(step));
            const std::size_t frames = offline_.mel_frames(clip->samples), first = step * block_frames_;
            const bool ends = clip->samples <= needed(step) && (step == 0 || clip->samples > needed(step - 1));
            counts.push_back(static_cast<std::int32_t>(after - before));
            valid.push_back(static_cast<std::int32_t>(frames <= first ? 0 : std::min(frames - first, block_frames_)));
            fed.push_back(after > before ? 1 : 0);
            ending.push_back(ends ? 1 : 0);
            any = any || ends;
            voices = voices || clip->voice != nullptr;
        }
        any_end_.push_back(any ? 1 : 0);
    }
    counts_ = uploaded(stream_, counts);
    valid_ = uploaded(stream_, valid);
    fed_ = uploaded(stream_, fed);
    ending_ = uploaded(stream_, ending);
    if (voices) {
        prompts_ = {stream_, size(slots_) * prompt_ * size(offline.bands_), "the prompts of clips"};
    }
    for (PinnedBuffer& buffer : host_pcm_) buffer = PinnedBuffer(pcm_.bytes());
}

void DeviceOffline::Encoding::feed(std::size_t step) {
    const std::size_t begin = step == 0 ? 0 : needed(step - 1), width = needed(step) - begin;
    PinnedBuffer& host = host_pcm_[step % 2];
    if (step >= 2) copied_[step % 2].synchronize();
    bool any = false;
    for (std::size_t s = 0; s < wave_.size(); ++s) {
        if (wave_[s]->samples <= begin) continue;
        any = true;
        std::copy_n(wave_[s]->pcm + begin, std::min(wave_[s]->samples - begin, width), host.as<float>() + s * width);
    }
    const std::size_t row = step * wave_.size();
    const auto push = [&](const std::uint8_t* active, const float* pcm, std::size_t samples,
                          const std::int32_t* counts) {
        device_.mel.push(stream_, mel_state_, active, pcm, static_cast<int>(samples), counts, pcm == nullptr,
                         mel_.data(), static_cast<int>(block_frames_), blocks_, frames_.data());
    };
    if (any) {
        stream_.copy_to_device(pcm_.data(), host.as<float>(), wave_.size() * width * sizeof(float));
        copied_[step % 2].record(stream_);
        push(fed_.data() + row, pcm_.data(), width, counts_.data() + row);
    }
    if (any_end_[step] != 0) push(ending_.data() + row, nullptr, 0, nullptr);
}

void DeviceOffline::Encoding::collect_prompts(std::size_t step) {
    const std::size_t begin = step * block_frames_, bands = size(offline_.bands_);
    for (std::size_t s = 0; s < wave_.size(); ++s) {
        if (wave_[s]->voice == nullptr) continue;
        const std::size_t frames = offline_.mel_frames(wave_[s]->samples), rows = std::min(frames, prompt_);
        const std::size_t first = (frames - rows) / 2;
        const std::size_t from = std::max(begin, first), to = std::min(begin + block_frames_, first + rows);
        if (from >= to) continue;
        const std::size_t block = step % size(blocks_);
        stream_.copy_on_device(prompts_.data() + (s * prompt_ + from - first) * bands,
                               mel_.data() + ((block * wave_.size() + s) * block_frames_ + from - begin) * bands,
                               (to - from) * bands * sizeof(float));
    }
}

void DeviceOffline::Encoding::run() {
    const Step at = step_of(stream_, state_, scratch_, nullptr, slots_, tokens_);
    const std::size_t block = wave_.size() * block_frames_ * size(offline_.bands_);
    for (std::size_t step = 0; step < steps_; ++step) {
        feed(step);
        if (prompts_.count() != 0) collect_prompts(step);
        device_.encoder.push(at, state_, scratch_, mel_.data() + step % size(blocks_) * block,
                             valid_.data() + step * wave_.size(), out_.data() + step * area(slots_, tokens_));
    }
    const std::size_t dimension = size(offline_.model_.config.dimension), step_tokens = size(tokens_);
    std::vector<float> voices;
    if (prompts_.count() != 0) {
        const DeviceVoice::Scratch voice_scratch = device_.voice.make_scratch(stream_);
        const DeviceArray<float> g(stream_, wave_.size() * dimension, "the voices of clips");
        for (std::size_t s = 0; s < wave_.size(); ++s) {
            if (wave_[s]->voice == nullptr) continue;
            device_.voice.encode(stream_, voice_scratch, prompts_.data() + s * prompt_ * size(offline_.bands_),
                                 std::min(offline_.mel_frames(wave_[s]->samples), prompt_), g.data() + s * dimension);
            voices.resize(g.count());
        }
        for (std::size_t s = 0; s < wave_.size(); ++s) {
            if (wave_[s]->voice != nullptr) fetch(stream_, g.data() + s * dimension, dimension, wave_[s]->voice);
        }
    }
    std::vector<std::int32_t> tokens(out_.count());
    fetch(stream_, out_.data(), tokens.size(), tokens.data());
    for (std::size_t s = 0; s < wave_.size(); ++s) {
        const std::size_t count = offline_.tokens_of(offline_.mel_frames(wave_[s]->samples));
        for (std::size_t begin = 0; begin < count; begin += step_tokens) {
            const std::size_t row = (begin / step_tokens * wave_.size() + s) * step_tokens;
            std::copy_n(tokens.begin() + static_cast<std::ptrdiff_t>(row), std::min(step_tokens, count - begin),
                        wave_[s]->tokens + begin);
        }
    }
}

void DeviceOffline::encode_clips(std::span<const ClipToEncode> clips) const {
    for (const Wave& wave : waves_of(clips, [&](const ClipToEncode& clip) { return mel_frames(clip.samples); })) {
        Encoding(*this, wave).run();
    }
}

void DeviceOffline::mel(const float* pcm, std::size_t samples, float* out) const {
    constexpr int kFrames = 64;
    const int part = kFrames * model_.config.hop_length;
    const DeviceMel::State state = device_.mel.make_state(stream_, 1, 1);
    const int room = std::max(device_.mel.max_frames(state, part, false), device_.mel.max_frames(state, 0, true));
    const DeviceArray<float> in(stream_, size(part), "the samples of a clip"),
        rows(stream_, area(room, bands_), "the mel of a clip");
    const DeviceArray<std::int32_t> frames(stream_, 1, "the frames of a clip");
    const auto push = [&](const float* from, int count, bool end) {
        device_.mel.push(stream_, state, nullptr, from, count, end, rows.data(), room, frames.data());
        std::int32_t ready = 0;
        fetch(stream_, frames.data(), 1, &ready);
        fetch(stream_, rows.data(), area(ready, bands_), out);
        out += area(ready, bands_);
    };
    while (samples > 0) {
        const int count = static_cast<int>(std::min(samples, size(part)));
        stream_.copy_to_device(in.data(), pcm, size(count) * sizeof(float));
        push(in.data(), count, false);
        pcm += count;
        samples -= size(count);
    }
    push(nullptr, 0, true);
}

void DeviceOffline::encode_mel(const float* mel, std::size_t frames, const EncodeOutputs& out) const {
    if (out.acoustic_embed != nullptr && !device_.acoustic) {
        throw Error(Status::unsupported, "the model " + model_.config.name + " has no acoustic branch");
    }
    const std::size_t dimension = size(model_.config.dimension), dims = model_.config.fsq_levels.size();
    const int most = tokens_of_a_step(1, tokens_of(frames));
    const SlotsState state = device_.encoder.make_state(stream_, 1, most);
    const StepScratch scratch = device_.encoder.make_scratch(stream_, 1, most);
    const DeviceArray<float> rows(stream_, area(most * ratio_, bands_), "the mel of a clip"),
        z(stream_, size(most) * dimension, "the rows of a clip"), fsq_in(stream_, size(most) * dims, "codes of a clip");
    const DeviceArray<std::int32_t> tokens(stream_, size(most), "the tokens of a clip"),
        valid(stream_, 1, "the frames of a clip");
    // The acoustic branch has a clock of its own: the encoder's is ahead when its turn comes.
    DeviceTransformer::State acoustic_state;
    DeviceTransformer::Scratch acoustic_scratch;
    DeviceArray<std::byte> operand;
    const DeviceArray<std::uint64_t> clock(stream_, 2, "the clock of a clip");
    stream_.fill(clock.data(), 0, clock.bytes());
    if (out.acoustic_embed != nullptr) {
        acoustic_state = device_.acoustic->make_state(stream_, 1, most);
        acoustic_scratch = device_.acoustic->make_scratch(stream_, most);
        operand = {stream_, device_.acoustic->operand(most), "operands of a clip"};
    }
    EncodeOutputs to = out;
    const auto give = [&](auto*& host, const auto* device, std::size_t count) {
        if (host == nullptr) return;
        fetch(stream_, device, count, host);
        host += count;
    };
    while (frames > 0) {
        const std::int32_t part = static_cast<std::int32_t>(std::min(frames, area(most, ratio_)));
        const int count = (part + ratio_ - 1) / ratio_;
        stream_.fill(rows.data(), 0, rows.bytes());
        stream_.copy_to_device(rows.data(), mel, area(part, bands_) * sizeof(float));
        stream_.copy_to_device(valid.data(), &part, sizeof part);
        device_.encoder.push(step_of(stream_, state, scratch, nullptr, 1, count), state, scratch, rows.data(),
                             valid.data(), tokens.data(), {z.data(), fsq_in.data()});
        give(to.rows.encoder_out, z.data(), size(count) * dimension);
        give(to.rows.semantic_mu, scratch.mu.data(), size(count) * dimension);
        give(to.rows.fsq_in, fsq_in.data(), size(count) * dims);
        give(to.rows.tokens, tokens.data(), size(count));
        if (out.acoustic_embed != nullptr) {
            const Step step{stream_, {clock.data(), clock.data() + 1, nullptr, 1}, count, operand.data()};
            device_.acoustic->apply(step, acoustic_state, acoustic_scratch, z.data());
            advance(stream_, step.clock, count);
            give(to.acoustic_embed, z.data(), size(count) * dimension);
        }
        stream_.synchronize();
        mel += area(part, bands_);
        frames -= size(part);
    }
}

void DeviceOffline::voice(const float* mel, std::size_t frames, float* g) const {
    const std::size_t rows = std::min(frames, size(model_.config.prompt_frames)), first = (frames - rows) / 2;
    const DeviceVoice::Scratch scratch = device_.voice.make_scratch(stream_);
    const DeviceArray<float> prompt(stream_, {mel + first * size(bands_), rows * size(bands_)}, "a prompt"),
        out(stream_, size(model_.config.dimension), "a voice");
    device_.voice.encode(stream_, scratch, prompt.data(), rows, out.data());
    fetch(stream_, out.data(), out.count(), g);
}

template <class Push>
void DeviceOffline::decode(std::size_t count, float* mel, const Push& push) const {
    const int most = tokens_of_a_step(1, count);
    const SlotsState state = device_.decoder.make_state(stream_, 1, most);
    const StepScratch scratch = device_.decoder.make_scratch(stream_, 1, most);
    const DeviceArray<float> rows(stream_, area(most * ratio_, bands_), "the mel of a clip");
    for (std::size_t first = 0; first < count; first += size(most)) {
        const int part = static_cast<int>(std::min(count - first, size(most)));
        push(step_of(stream_, state, scratch, nullptr, 1, part), state, scratch, first, rows.data());
        fetch(stream_, rows.data(), area(part * ratio_, bands_), mel + first * area(ratio_, bands_));
    }
}

void DeviceOffline::decode_tokens(const std::int32_t* tokens, std::size_t count, const float* voice, float* mel) const {
    const DeviceArray<std::int32_t> in(stream_, {tokens, count}, "the tokens of a clip");
    const DeviceArray<float> g(stream_, {voice, size(model_.config.dimension)}, "a voice");
    decode(count, mel,
           [&](const Step& step, const SlotsState& state, const StepScratch& scratch, std::size_t first, float* rows) {
               device_.decoder.push(step, state, scratch, in.data() + first, g.data(), rows);
           });
}

void DeviceOffline::decode_acoustic(const float* acoustic, std::size_t count, float* mel) const {
    const std::size_t dimension = size(model_.config.dimension);
    const DeviceArray<float> in(stream_, {acoustic, count * dimension}, "the embedding of a clip");
    decode(count, mel,
           [&](const Step& step, const SlotsState& state, const StepScratch& scratch, std::size_t first, float* rows) {
               device_.decoder.push_acoustic(step, state, scratch, in.data() + first * dimension, rows);
           });
}

void DeviceOffline::vocode(const float* mel, std::size_t frames, const VocoderOptions& options, float* pcm) const {
    const VocoderOptions resolved = vocoder().resolve(options);
    const int hop = model_.config.hop_length;
    const int most = static_cast<int>(std::min<std::size_t>(frames, kMaxTokens));
    const std::size_t held = size(vocoder().latency(resolved.look_ahead)), row = std::max(held, area(most, hop));
    const auto slots = device_.vocoder->make_slots(stream_, 1, most, resolved.look_ahead);
    const DeviceArray<float> rows(stream_, area(most, bands_), "the mel of a clip"),
        out(stream_, row, "the samples of a clip");
    const DeviceArray<std::int32_t> samples(stream_, 1, "the samples of a clip");
    device_.vocoder->start(stream_, *slots, 0, resolved);
    const auto give = [&] {
        std::int32_t count = 0;
        fetch(stream_, samples.data(), 1, &count);
        fetch(stream_, out.data(), size(count), pcm);
        pcm += count;
    };
    while (frames > 0) {
        const int part = static_cast<int>(std::min(frames, size(most)));
        stream_.copy_to_device(rows.data(), mel, area(part, bands_) * sizeof(float));
        device_.vocoder->push(stream_, *slots, nullptr, rows.data(), part, out.data(), static_cast<std::ptrdiff_t>(row),
                              samples.data());
        give();
        mel += area(part, bands_);
        frames -= size(part);
    }
    device_.vocoder->finish(stream_, *slots, 0, out.data(), samples.data());
    give();
}

void DeviceOffline::decode_clips(std::span<const ClipToDecode> clips, const VocoderOptions& options) const {
    const VocoderOptions resolved = vocoder().resolve(options);
    for (const auto& wave : waves_of(clips, [](const ClipToDecode& clip) { return clip.count; })) {
        decode_wave(wave, resolved);
    }
}

void DeviceOffline::decode_wave(const std::vector<const ClipToDecode*>& wave, const VocoderOptions& resolved) const {
    const int slots = static_cast<int>(wave.size()), hop = model_.config.hop_length;
    const std::size_t dimension = size(model_.config.dimension);
    const int most = std::min(tokens_of_a_step(wave.size(), wave.front()->count), std::max(1, kMaxTokens / ratio_));
    const SlotsState state = device_.decoder.make_state(stream_, slots, most);
    const StepScratch scratch = device_.decoder.make_scratch(stream_, slots, most);
    const auto voiced = device_.vocoder->make_slots(stream_, slots, most * ratio_, resolved.look_ahead);
    const std::size_t held = size(vocoder().latency(resolved.look_ahead));
    const std::size_t row = std::max(held, area(most * ratio_, hop));
    std::vector<float> voices;
    for (int s = 0; s < slots; ++s) {
        const float* g = wave[size(s)]->voice;
        voices.insert(voices.end(), g, g + dimension);
        device_.vocoder->start(stream_, *voiced, s, resolved);
    }
    const DeviceArray<float> g = uploaded(stream_, voices),
                             mel(stream_, area(slots, most * ratio_) * size(bands_), "the mel of clips"),
                             pcm(stream_, wave.size() * row, "the samples of clips");
    const DeviceArray<std::int32_t> tokens(stream_, area(slots, most), "the tokens of clips"),
        samples(stream_, wave.size(), "the samples of clips");
    const DeviceArray<std::uint8_t> active(stream_, wave.size(), "the mask of clips");
    stream_.fill(mel.data(), 0, mel.bytes());
    stream_.fill(pcm.data(), 0, pcm.bytes());
    PinnedBuffer host_tokens(tokens.bytes()), host_pcm(pcm.bytes()), host_active(active.bytes());
    std::vector<std::size_t> written(wave.size());

    // Slot s is given samples up to `end(clip)` of its own.
    const auto give = [&](const auto& takes, const auto& end) {
        stream_.copy_to_host(host_pcm.as<float>(), pcm.data(), pcm.bytes());
        stream_.synchronize();
        for (std::size_t s = 0; s < wave.size(); ++s) {
            if (!takes(s)) continue;
            const std::size_t count = end(s) - written[s];
            std::copy_n(host_pcm.as<float>() + s * row, count, wave[s]->pcm + written[s]);
            written[s] += count;
        }
    };
    const std::size_t frame = area(ratio_, hop);
    for (std::size_t first = 0; first < wave.front()->count;) {
        // To the end of the shortest clip that has not ended: what follows a clip may not reach its vocoder.
        std::size_t part = size(most);
        for (const ClipToDecode* clip : wave) {
            if (clip->count > first) part = std::min(part, clip->count - first);
        }
        for (std::size_t s = 0; s < wave.size(); ++s) {
            const bool live = wave[s]->count > first;
            host_active.as<std::uint8_t>()[s] = live ? 1 : 0;
            std::int32_t* to = host_tokens.as<std::int32_t>() + s * part;
            live ? static_cast<void>(std::copy_n(wave[s]->tokens + first, part, to))
                 : static_cast<void>(std::fill_n(to, part, kNoToken));
        }
        stream_.copy_to_device(tokens.data(), host_tokens.as<std::int32_t>(),
                               wave.size() * part * sizeof(std::int32_t));
        stream_.copy_to_device(active.data(), host_active.as<std::uint8_t>(), active.bytes());
        device_.decoder.push(step_of(stream_, state, scratch, active.data(), slots, static_cast<int>(part)), state,
                             scratch, tokens.data(), g.data(), mel.data());
        device_.vocoder->push(stream_, *voiced, active.data(), mel.data(), static_cast<int>(part) * ratio_, pcm.data(),
                              static_cast<std::ptrdiff_t>(row), samples.data());
        first += part;
        give([&](std::size_t s) { return host_active.as<std::uint8_t>()[s] != 0; },
             [&](std::size_t) { return first * frame > held ? first * frame - held : 0; });
    }
    if (held == 0) return;
    for (int slot = 0; slot < slots; ++slot) {
        device_.vocoder->finish(stream_, *voiced, slot, pcm.data() + size(slot) * row, samples.data() + slot);
    }
    give([](std::size_t) { return true; }, [&](std::size_t s) { return wave[s]->count * frame; });
}

}  // namespace

std::unique_ptr<Offline> make_device_offline(const Model& model, const DeviceModel& device) {
    return std::make_unique<DeviceOffline>(model, device);
}

}  // namespace secousti::core::cuda
