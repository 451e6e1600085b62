// Groups on the CPU: every slot is a single stream's state, and the layers step all of them as lanes of one batch.
#include <algorithm>
#include <cstring>
#include <span>
#include <utility>
#include <vector>

#include "codec/cpu_engine.h"
#include "codec/cpu_stream.h"
#include "codec/group.h"
#include "models/limits.h"

namespace secousti::core {

namespace {

std::size_t size(int n) noexcept { return static_cast<std::size_t>(n); }

std::shared_ptr<Workspace> make_workspace(const ArenaLayout& scratch, const GroupOptions& options) {
    return std::make_shared<Workspace>(scratch.bytes(), options.threads,
                                       options.spins < 0 ? ThreadPool::kDefaultSpins : options.spins);
}

/// The parts of both kinds. Interface is EncoderGroup or DecoderGroup.
template <class Interface, class StreamType>
class CpuGroup : public Interface {
  public:
    std::size_t memory_bytes() const noexcept override {
        std::size_t total = slots_.front().scratch_bytes() +
                            (mel_.size() + several_.size() + rows_.size() + windows_.size()) * sizeof(float);
        for (const StreamType& slot : slots_) total += slot.state_bytes();
        for (const Arena& scratch : task_scratch_) total += scratch.bytes();
        return total;
    }
    void reset(const std::uint8_t* mask) noexcept override {
        for (std::size_t i = 0; i < slots_.size(); ++i) {
            if (mask == nullptr || mask[i] != 0) slots_[i].reset();
        }
    }
    bool ended(int slot) const noexcept override { return slots_[size(slot)].ended(); }
    void snapshot(int slot, std::byte* out) const noexcept override { slots_[size(slot)].save(out); }
    void restore(int slot, std::span<const std::byte> snapshot) override { slots_[size(slot)].restore(snapshot); }

  protected:
    /// A task of several that run at once needs `task_scratch` bytes of its own.
    CpuGroup(ModelPtr shared, const GroupOptions& options, std::shared_ptr<Workspace> workspace,
             std::size_t task_scratch, std::size_t windows)
        : Interface(std::move(shared), options), workspace_(std::move(workspace)) {
        const Config& config = this->model().config;
        width_ = area(config.frames_per_token(), config.n_mels);
        const std::size_t capacity = size(options.capacity);
        slots_.reserve(capacity);
        active_.reserve(capacity);
        lanes_.resize(capacity);
        tokens_.resize(capacity);
        mel_.resize(capacity * width_);
        rows_.resize(capacity * size(config.dimension));
        windows_.resize(windows);
        for (int task = 0; task < options.threads; ++task) task_scratch_.emplace_back(task_scratch);
    }

    Exec exec() const noexcept { return {&this->model().backend, workspace_->pool.get()}; }
    std::byte* scratch() const noexcept { return workspace_->scratch.data(); }

    /// Calls body(first, lanes) for parts of at most `most` of the active lanes.
    template <class Body>
    void for_parts(int most, const Body& body) noexcept {
        const int count = static_cast<int>(active_.size());
        for (int first = 0; first < count; first += most) {
            body(first, std::span(lanes_).subspan(size(first), size(std::min(most, count - first))));
        }
    }
    /// Calls body(exec, scratch, lane) for every active lane: one lane is a task, unless there are too few of them to
    /// share out, which then have all threads.
    template <class Body>
    void for_lanes(const Body& body) noexcept {
        const Exec run = exec();
        const int count = static_cast<int>(active_.size());
        const bool few = count < run.threads();
        run.split(count, few ? 1 : run.threads(), [&](int task, int begin, int end) noexcept {
            for (int lane = begin; lane < end; ++lane) {
                body(few ? run : run.alone(), task_scratch_[size(task)].data(), lane);
            }
        });
    }

    std::shared_ptr<Workspace> workspace_;
    std::vector<StreamType> slots_;
    std::vector<Arena> task_scratch_;
    // Of the step under way; nothing of it lasts.
    std::vector<int> active_;           ///< slots
    std::vector<Lane> lanes_;           ///< of the active slots, in order, and so are:
    std::vector<std::int32_t> tokens_;  ///< [lanes]
    std::size_t width_ = 0;             ///< floats of one token's mel frames
    AlignedVector<float> mel_;          ///< [lanes, frames_per_token, n_mels]
    AlignedVector<float> several_;      ///< [lanes, count, frames_per_token, n_mels]: mel_ of several steps
    AlignedVector<float> rows_;         ///< [lanes, dimension]
    AlignedVector<float> windows_;      ///< Batch::windows
};

class CpuEncoderGroup final : public CpuGroup<EncoderGroup, CpuEncoderStream> {
  public:
    CpuEncoderGroup(ModelPtr shared, const GroupOptions& options)
        : CpuGroup(shared, options, make_workspace(shared->encoder_scratch, options), shared->encoder_scratch.bytes(),
                   shared->encoder.windows(kMaxFrames)) {
        for (int i = 0; i < options.capacity; ++i) slots_.emplace_back(shared, workspace_);
    }

    void steps(const float* pcm, const std::uint8_t* active, int count, std::int32_t* tokens) noexcept override {
        for (int i = 0; i < count; ++i) one(pcm + i * model().config.frame_size(), active, count, tokens + i);
    }

    std::size_t tokens_after_flush(int slot) const noexcept override {
        return slots_[size(slot)].tokens_after_flush(0);
    }
    std::size_t flush(int slot, std::int32_t* tokens) noexcept override { return slots_[size(slot)].flush(tokens); }

  private:
    /// One step; `pcm` and `tokens` have rows of `count` steps.
    void one(const float* pcm, const std::uint8_t* active, int count, std::int32_t* tokens) noexcept {
        const Model& m = model();
        const Config& config = m.config;
        active_.clear();
        for (int slot = 0; slot < capacity(); ++slot) {
            tokens[slot * count] = kNoToken;
            if (active == nullptr || active[slot] != 0) active_.push_back(slot);
        }

        for_lanes([&](const Exec& run, std::byte* own, int lane) noexcept {
            CpuEncoderStream& stream = slots_[size(active_[size(lane)])];
            const float* in = pcm + size(active_[size(lane)]) * size(count * config.frame_size());
            lanes_[size(lane)] = {stream.state(), m.mel.push(run, stream.state(), own, in, config.frame_size(), false,
                                                             mel_.data() + size(lane) * width_)};
        });
        // Young streams have fewer frames: close the gaps.
        float* end = mel_.data();
        for_parts(1, [&](int first, std::span<Lane> lane) noexcept {
            const float* frames = mel_.data() + size(first) * width_;
            const std::size_t floats = area(lane.front().rows, config.n_mels);
            if (end != frames) std::memmove(end, frames, floats * sizeof(float));
            end += floats;
        });

        const float* mel = mel_.data();
        float* z = rows_.data();
        for_parts(kMaxFrames / config.frames_per_token(), [&](int, std::span<Lane> lanes) noexcept {
            const Batch batch{lanes, windows_.data()};
            const int frames = batch.rows();
            z += area(m.encoder.features(exec(), batch, scratch(), mel, false, z), config.dimension);
            mel += area(frames, config.n_mels);
        });

        z = rows_.data();
        std::int32_t* ready = tokens_.data();
        for_parts(kMaxTokens, [&](int first, std::span<Lane> lanes) noexcept {
            const Batch batch{lanes};
            m.encoder.quantise(exec(), batch, scratch(), z, {.tokens = ready});
            z += area(batch.rows(), config.dimension);
            for (const Lane& lane : lanes) {
                const int slot = active_[size(first++)];
                if (lane.rows != 0) tokens[slot * count] = *ready++;
                slots_[size(slot)].count(size(config.frame_size()), size(lane.rows));
            }
        });
    }
};

class CpuDecoderGroup final : public CpuGroup<DecoderGroup, CpuDecoderStream> {
  public:
    CpuDecoderGroup(ModelPtr shared, const GroupOptions& options, const VocoderOptions& vocoder,
                    std::span<const float> voice)
        : CpuGroup(shared, options, make_workspace(shared->decoder_scratch, options),
                   shared->vocoder ? shared->vocoder->scratch_bytes() : 0,
                   shared->decoder.windows(shared->decoder.max_tokens())) {
        for (int i = 0; i < options.capacity; ++i) slots_.emplace_back(shared, vocoder, voice, workspace_);
        if (options.max_steps > 1) several_.resize(mel_.size() * size(options.max_steps));
    }

    void start(int slot, const VocoderOptions& options, std::span<const float> voice) override {
        slots_[size(slot)].restart(options, voice);
    }
    void set_voice(int slot, std::span<const float> values) noexcept override { slots_[size(slot)].set_voice(values); }
    void get_voice(int slot, float* values) const noexcept override { slots_[size(slot)].get_voice(values); }
    DecoderUse use(int slot) const noexcept override { return slots_[size(slot)].use(); }

    void steps(const std::int32_t* tokens, int count, float* pcm, std::int32_t* samples) noexcept override {
        const float* mel = decode(tokens, count, DecoderUse::tokens_to_pcm);
        vocode(count * model().config.frames_per_token(), pcm, samples,
               [&](int lane, int) noexcept { return mel + size(lane) * size(count) * width_; });
    }
    void steps_to_mel(const std::int32_t* tokens, int count, float* mel) noexcept override {
        const float* from = decode(tokens, count, DecoderUse::tokens_to_mel);
        const std::size_t row = size(count) * width_;
        for (const int slot : active_) {
            std::copy_n(from, row, mel + size(slot) * row);
            from += row;
        }
    }
    void step_from_mel(const float* mel, const std::uint8_t* active, int frames, float* pcm,
                       std::int32_t* samples) noexcept override {
        active_.clear();
        for (int slot = 0; slot < capacity(); ++slot) {
            if (active != nullptr && active[slot] == 0) continue;
            active_.push_back(slot);
            slots_[size(slot)].commit(DecoderUse::mel_to_pcm);
        }
        vocode(frames, pcm, samples,
               [&](int, int slot) noexcept { return mel + size(slot) * area(frames, model().config.n_mels); });
    }

    std::size_t samples_owed(int slot) const noexcept override { return slots_[size(slot)].samples_owed(0); }
    std::size_t flush(int slot, float* pcm) noexcept override { return slots_[size(slot)].flush(pcm); }

  private:
    /// The vocoder's part of a step of the active slots; mel_of(lane, slot) are its frames.
    template <class MelOf>
    void vocode(int frames, float* pcm, std::int32_t* samples, const MelOf& mel_of) noexcept {
        std::fill_n(samples, capacity(), 0);
        const std::size_t row = area(frames, model().config.hop_length);
        for_lanes([&](const Exec& run, std::byte* own, int lane) noexcept {
            const int slot = active_[size(lane)];
            samples[slot] = slots_[size(slot)].vocode(run, own, mel_of(lane, slot), frames, pcm + size(slot) * row);
        });
    }
    /// Tokens [capacity, count] of the active slots to mel [lanes, count, width_].
    const float* decode(const std::int32_t* tokens, int count, DecoderUse use) noexcept {
        for (int i = 0; i < count; ++i) {
            one(tokens + i, count, use);
            if (count == 1) break;
            for (std::size_t lane = 0; lane < active_.size(); ++lane) {
                std::copy_n(mel_.data() + lane * width_, width_,
                            several_.data() + (lane * size(count) + size(i)) * width_);
            }
        }
        return count == 1 ? mel_.data() : several_.data();
    }
    /// One step's tokens, in rows of `count`, to mel_.
    void one(const std::int32_t* tokens, int count, DecoderUse use) noexcept {
        const Model& m = model();
        active_.clear();
        for (int slot = 0; slot < capacity(); ++slot) {
            const std::int32_t token = tokens[slot * count];
            if (token == kNoToken) continue;
            tokens_[active_.size()] = token;
            active_.push_back(slot);
            slots_[size(slot)].commit(use);
        }
        const auto one_row_each = [&](int first, std::span<Lane> lanes) {
            for (Lane& lane : lanes) lane = {slots_[size(active_[size(first++)])].state(), 1};
        };
        const std::size_t dimension = size(m.config.dimension);
        for_parts(kMaxTokens, [&](int first, std::span<Lane> lanes) noexcept {
            one_row_each(first, lanes);
            m.decoder.transform(exec(), Batch{lanes}, scratch(), tokens_.data() + first, m.decoder_voice,
                                rows_.data() + size(first) * dimension);
        });
        for_parts(m.decoder.max_tokens(), [&](int first, std::span<Lane> lanes) noexcept {
            one_row_each(first, lanes);
            m.decoder.expand(exec(), Batch{lanes, windows_.data()}, scratch(), tokens_.data() + first,
                             rows_.data() + size(first) * dimension, mel_.data() + size(first) * width_);
        });
    }
};

}  // namespace

std::unique_ptr<EncoderGroup> make_cpu_encoder_group(ModelPtr model, const GroupOptions& options) {
    return std::make_unique<CpuEncoderGroup>(std::move(model), options);
}

std::unique_ptr<DecoderGroup> make_cpu_decoder_group(ModelPtr model, const GroupOptions& options,
                                                     const VocoderOptions& vocoder, std::span<const float> voice) {
    return std::make_unique<CpuDecoderGroup>(std::move(model), options, vocoder, voice);
}

}  // namespace secousti::core
