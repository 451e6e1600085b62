#include "models/hift/hift.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "layers/linear.h"
#include "models/hift/config.h"
#include "models/hift/past.h"
#include "models/hift/source.h"
#include "models/hift/stft.h"
#include "models/hift/stream.h"
#include "models/vocoder.h"

namespace secousti::core {

namespace hift {
namespace {

/// Buffers that all stages share, for rate*kStepFrames rows, each with room for history before its rows.
constexpr std::size_t kBuffers = 6;
using Buffers = std::array<float*, kBuffers>;

/// Bytes of the packed weights of all convolutions.
std::size_t weight_bytes(const Backend& backend, const Layers& layers, Precision precision) {
    std::size_t total = 0;
    const auto add_wide = [&](const ConvLayer& layer) { total += WindowConv::weight_bytes(backend, layer.spec); };
    const auto add_narrow = [&](const ConvLayer& layer) {
        total += WindowConv::weight_bytes(backend, layer.spec, precision, Rows::narrow);
    };
    const auto add_block = [&](const BlockLayers& block) {
        for (const BlockLayers::Unit& unit : block.units) add_narrow(unit.first), add_narrow(unit.second);
    };
    for (const ConvLayer& layer : layers.pitch) add_wide(layer);
    add_wide(layers.pre);
    for (const StageLayers& stage : layers.stages) {
        add_narrow(stage.up);
        add_wide(stage.down);
        add_block(stage.source);
        for (const BlockLayers& block : stage.blocks) add_block(block);
    }
    add_wide(layers.post);
    return total;
}

StreamConv wide_convolution(const Backend& backend, const WeightMap& weights, const ConvLayer& layer, const Timing& in,
                            Plan& plan, int delay = 0) {
    return StreamConv({backend, layer.spec, weights.get(layer.name + ".weight"), weights.get(layer.name + ".bias"),
                       Precision::fp32, Rows::wide, plan.weights},
                      layer.spec.pad_right, in, plan, delay);
}

/// See StageLayers.
class Stage {
  public:
    Stage(const Backend& backend, const StageLayers& layers, const WeightMap& weights, const Timing& in,
          const Timing& spectrum, Precision precision, Plan& plan)
        : width_(layers.width), reflects_(layers.reflects), rows_(layers.upsampled(in)) {
        const std::string& up = layers.up.name;
        up_ = StreamConv(WindowConv::transposed(backend, 2 * width_, width_, layers.rate, weights.get(up + ".weight"),
                                                weights.get(up + ".bias"), precision, Rows::narrow, plan.weights),
                         1, in, plan);

        // Whichever branch is ahead waits: the source as narrow spectra, the trunk as rows.
        const ConvSpec& spec = layers.down.spec;
        const int source_lag = spectrum.after(spec, spec.pad_right).lag + layers.source.lag();
        down_ = wide_convolution(backend, weights, layers.down, spectrum, plan, std::max(0, rows_.lag - source_lag));
        source_ = ResBlock(backend, weights, layers.source, down_.timing(), 0, plan, precision);
        source_history_ = History::floats(source_.input_history(), width_, plan);
        trunk_history_ = History::floats(std::max(0, source_lag - rows_.lag), width_, plan);

        const Timing sum = source_.timing();
        int longest = 0, history = 0;
        for (const BlockLayers& block : layers.blocks) longest = std::max(longest, block.lag());
        for (const BlockLayers& block : layers.blocks) {
            blocks_.emplace_back(backend, weights, block, sum, longest - block.lag(), plan, precision);
            history = std::max(history, blocks_.back().input_history());
        }
        sum_history_ = History::floats(history, width_, plan);
    }

    const Timing& timing() const noexcept { return blocks_[0].timing(); }
    std::size_t buffer_floats() const noexcept { return area(timing().rate * kStepFrames, width_); }
    /// Before the rows of its buffers, for history.
    std::size_t headroom_floats() const noexcept {
        int rows = std::max({source_history_.rows(), trunk_history_.rows(), sum_history_.rows(), source_.headroom()});
        for (const ResBlock& block : blocks_) rows = std::max(rows, block.headroom());
        return area(rows, width_);
    }

    /// Trunk rows -> rows, which are returned: in one of the buffers. `in` may lie in `buffers[3]`.
    float* run(const Step& step, const float* spectrum, const float* in, const Buffers& buffers) const noexcept {
        Buffers b = buffers;
        for (float*& rows : b) rows += headroom_floats();
        const int count = step.rows(timing());
        const std::size_t size = area(count, width_);

        float* trunk = b[5];
        up_.run(step, in, trunk, {Activation::leaky_relu, kTrunkSlope});
        step.clear_outside(rows_, trunk, width_);
        const std::int64_t row = -step.first(rows_);
        if (reflects_ && row >= 0 && row < count) {
            std::memcpy(trunk + row * width_, trunk + (row + 2) * width_, area(1, width_) * sizeof(float));
        }
        trunk_history_.load(step.state, trunk);

        float* source = b[3];
        down_.run(step, spectrum, source);
        source_history_.load(step.state, source);
        source_.run(step, source, b[1], b[2], b[4]);
        source_history_.save(step.state, source, count);

        float* sum = b[0];
        step.exec->add(trunk - static_cast<std::ptrdiff_t>(trunk_history_.rows()) * width_, b[4], size, sum);
        trunk_history_.save(step.state, trunk, count);
        sum_history_.load(step.state, sum);
        for (std::size_t k = 0; k < kBlocks; ++k) blocks_[k].run(step, sum, b[1], b[2], b[3 + k]);
        sum_history_.save(step.state, sum, count);
        step.exec->sum3(b[3], b[4], b[5], 1.0F / static_cast<float>(kBlocks), size, b[3]);
        return b[3];
    }

  private:
    int width_;
    bool reflects_;
    Timing rows_;  // of the upsampled trunk
    StreamConv up_, down_;
    ResBlock source_;
    std::vector<ResBlock> blocks_;
    History source_history_, trunk_history_, sum_history_;
};

class Hift final : public Vocoder {
  public:
    Hift(const Backend& backend, const Config& config, const WeightMap& weights);

    const char* name() const noexcept override { return "hift"; }
    std::size_t state_bytes() const noexcept override { return plan_.state.bytes(); }
    std::size_t scratch_bytes() const noexcept override { return scratch_.bytes(); }
    int default_look_ahead() const noexcept override { return (hop_length_ - 1 + latency_) / hop_length_; }
    int max_look_ahead() const noexcept override { return default_look_ahead(); }
    bool accepts_look_ahead(int look_ahead) const noexcept override { return look_ahead == default_look_ahead(); }
    int latency(int) const noexcept override { return latency_; }
    std::size_t max_samples(int frames) const noexcept override {
        return static_cast<std::size_t>(std::max(frames * hop_length_, latency_));
    }

    void start(std::byte* state, const VocoderOptions& options) const noexcept override {
        *past_.clock.in(state) = {0, 0, {options.noise, options.seed}, 0};
    }
    int push(const Exec& exec, std::byte* state, std::byte* scratch, const float* mel, int frames,
             float* pcm) const noexcept override;
    int finish(const Exec& exec, std::byte* state, std::byte* scratch, float* pcm) const noexcept override;

  private:
    using Clock = Past::Clock;

    /// f0 and the spectra of the excitation; moves the phase.
    void source(const Step& step, std::byte* scratch, const float* mel) const noexcept;
    /// Computes what follows from the past; the clock is then as before.
    void rebuild(const Exec& exec, std::byte* state, std::byte* scratch) const noexcept;
    int run(const Step& step, std::byte* scratch, const float* mel, float* pcm) const noexcept;
    void excite(const Step& step, const float* f0, float* spectrum) const noexcept;
    int emit(const Step& step, const float* rows, float* pcm) const noexcept;

    HiftConfig config_;
    int n_mels_;
    int hop_length_;
    Plan plan_;
    Past past_;

    std::vector<StreamConv> f0_convs_;
    Linear f0_classifier_;
    HarmonicSource source_;
    StreamConv analysis_;
    StreamConv pre_;
    std::vector<Stage> stages_;
    StreamConv post_;
    StreamConv synthesis_;
    EdgeGains edges_;
    int latency_ = 0;

    ArenaLayout scratch_;
    std::array<Slice<float>, kBuffers> buffers_;
    Slice<std::byte> window_;
    Slice<float> silence_, f0_, spectrum_, dropped_;
};

Hift::Hift(const Backend& backend, const Config& config, const WeightMap& weights)
    : config_(config.hift),
      n_mels_(config.n_mels),
      hop_length_(config.hop_length),
      past_(config, plan_.state),
      edges_(config_.istft_n_fft, config_.istft_hop) {
    const Layers all = layers(config_, n_mels_);
    plan_.weights = std::make_shared<WeightBlock>(weight_bytes(backend, all, config.precision));
    const int n_fft = config_.istft_n_fft, hop = config_.istft_hop, bins = n_fft / 2 + 1;
    Timing f0;
    for (const ConvLayer& layer : all.pitch) {
        f0_convs_.push_back(wide_convolution(backend, weights, layer, f0, plan_));
        f0 = f0_convs_.back().timing();
    }
    f0_classifier_ = {backend, config_.f0_channels, 1, weights.get(all.classifier + ".weight"),
                      weights.get(all.classifier + ".bias")};
    source_ = {config.sample_rate, hop_length_, weights.get(all.mix + ".weight"), weights.get(all.mix + ".bias")[0]};
    const int rows = hop_length_ / hop;
    analysis_ =
        StreamConv(analysis(backend, n_fft, hop), analysis_spec(n_fft, hop).pad_right, {rows, f0.lag * rows, 0}, plan_);

    pre_ = wide_convolution(backend, weights, all.pre, {}, plan_);
    Timing trunk = pre_.timing();
    for (const StageLayers& stage : all.stages) {
        stages_.emplace_back(backend, stage, weights, trunk, analysis_.timing(), config.precision, plan_);
        trunk = stages_.back().timing();
    }
    post_ = wide_convolution(backend, weights, all.post, trunk, plan_);
    synthesis_ =
        StreamConv(synthesis(backend, n_fft, hop), synthesis_spec(n_fft, hop).pad_right, post_.timing(), plan_);
    latency_ = hop * (synthesis_.timing().lag + 1) - 1;

    const std::size_t least = area(kStepFrames, std::max({config_.channels, config_.f0_channels, rows * 2 * bins}));
    std::size_t size = least;
    for (const Stage& stage : stages_) {
        size = std::max(size, stage.headroom_floats() + std::max(least, stage.buffer_floats()));
    }
    for (Slice<float>& buffer : buffers_) buffer = scratch_.reserve<float>(size);
    window_ = scratch_.reserve<std::byte>(plan_.window);
    silence_ = scratch_.reserve<float>(area(kStepFrames, n_mels_));
    f0_ = scratch_.reserve<float>(kStepFrames);
    spectrum_ = scratch_.reserve<float>(area(rows * kStepFrames, 2 * bins));
    dropped_ = scratch_.reserve<float>(area(kStepFrames, hop_length_));
}

void Hift::excite(const Step& step, const float* f0, float* spectrum) const noexcept {
    Clock& clock = *past_.clock.in(step.state);
    const Timing frames{1, f0_convs_.back().timing().lag, 0};
    const Step::Range range = step.real(frames);
    float* samples = analysis_.open(step);
    const std::ptrdiff_t hop = hop_length_;
    std::memset(samples, 0, area(range.begin, hop_length_) * sizeof(float));
    std::memset(samples + range.end * hop, 0, area(step.frames - range.end, hop_length_) * sizeof(float));
    source_.fill(f0 + range.begin, step.first(frames) + range.begin, range.end - range.begin, clock.noise, clock.turns,
                 samples + range.begin * hop);

    // The transform is centred: samples beyond either end are reflected. Both edges lie on frames, so all that is
    // reflected is in this step or in the history.
    const std::int64_t first = step.first(frames) * hop;
    const std::int64_t count = step.frames * hop;
    if (first <= 0 && first + count > 0) {
        float* start = samples - first;
        for (int k = 1; k <= config_.istft_n_fft / 2; ++k) start[-k] = start[k];
    }
    const std::int64_t end = step.length * hop - first;
    if (step.length != Step::kUnknown && end >= 0 && end < count) {
        for (int k = 0; k < config_.istft_n_fft / 2; ++k) samples[end + k] = samples[end - 2 - k];
    }
    analysis_.emit(step, spectrum);
}

int Hift::emit(const Step& step, const float* rows, float* pcm) const noexcept {
    const int hop = config_.istft_hop;
    const std::int64_t total = step.length * hop_length_;
    const std::int64_t first = step.first(synthesis_.timing()) * hop - (hop - 1);
    const std::int64_t end = first + static_cast<std::int64_t>(step.rows(synthesis_.timing())) * hop;
    const std::int64_t begin = std::max<std::int64_t>(first, 0);
    const std::int64_t stop = step.length == Step::kUnknown ? end : std::min(end, total);
    const std::int64_t edge = static_cast<std::int64_t>(edges_.start.size());
    for (std::int64_t s = begin; s < stop; ++s) {
        float value = rows[s - first];
        if (s < edge) value *= edges_.start[static_cast<std::size_t>(s)];
        if (step.length != Step::kUnknown && total - s <= edge) {
            value *= edges_.end[static_cast<std::size_t>(total - s - 1)];
        }
        // Input that overflows gives silence rather than NaN.
        *pcm++ = value == value ? std::clamp(value, -kMaxSample, kMaxSample) : 0.0F;
    }
    return static_cast<int>(std::max<std::int64_t>(0, stop - begin));
}

void Hift::source(const Step& step, std::byte* scratch, const float* mel) const noexcept {
    float* features = buffers_[0].in(scratch);
    for (const StreamConv& conv : f0_convs_) {
        conv.run(step, mel, features, {}, {.activation = Activation::elu});
        mel = features;
    }
    f0_classifier_.apply(step.exec, mel, step.frames, f0_.in(scratch));
    excite(step, f0_.in(scratch), spectrum_.in(scratch));
}

int Hift::run(const Step& step, std::byte* scratch, const float* mel, float* pcm) const noexcept {
    Buffers b{};
    for (std::size_t i = 0; i < kBuffers; ++i) b[i] = buffers_[i].in(scratch);

    source(step, scratch, mel);
    float* rows = b[3];
    pre_.run(step, mel, rows);
    for (const Stage& stage : stages_) rows = stage.run(step, spectrum_.in(scratch), rows, b);
    post_.run(step, rows, rows, {Activation::leaky_relu, kHeadSlope});
    const int bins = config_.istft_n_fft / 2 + 1;
    const Step::Range range = step.real(post_.timing());
    float* spectra = rows + static_cast<std::ptrdiff_t>(range.begin) * 2 * bins;
    step.exec->polar_head(spectra, range.end - range.begin, bins, spectra);
    synthesis_.run(step, rows, b[0]);
    return emit(step, b[0], pcm);
}

void Hift::rebuild(const Exec& exec, std::byte* state, std::byte* scratch) const noexcept {
    Clock& clock = *past_.clock.in(state);
    if (clock.needs_rebuild == 0) return;
    clock.needs_rebuild = 0;
    const std::int64_t end = clock.frames, begin = past_.first(end);
    const std::uint64_t turns = clock.turns;
    const std::size_t kept = past_.mel.offset + past_.mel.count * sizeof(float);
    // The first frames see zeros where frames have been forgotten, so their f0 is wrong, but the same both times. The
    // first time shows how far all of them turn the phase: it then starts there from where it ends as it was.
    std::uint64_t turned = begin == 0 ? turns : 0;
    for (const bool whole : {false, true}) {
        if (!whole && begin == 0) continue;
        std::memset(state + kept, 0, plan_.state.bytes() - kept);
        clock.turns = whole ? turns - turned : 0;
        for (std::int64_t at = begin; at < end;) {
            const int count =
                static_cast<int>(std::min<std::int64_t>({end - at, kStepFrames, past_.frames - at % past_.frames}));
            const Step step{exec, state, window_.in(scratch), at, count, Step::kUnknown};
            if (whole) {
                run(step, scratch, past_.frame(state, at), dropped_.in(scratch));
            } else {
                source(step, scratch, past_.frame(state, at));
            }
            at += count;
        }
        turned = clock.turns;
    }
    clock.turns = turns;
}

int Hift::push(const Exec& exec, std::byte* state, std::byte* scratch, const float* mel, int frames,
               float* pcm) const noexcept {
    rebuild(exec, state, scratch);
    Clock& clock = *past_.clock.in(state);
    for (int i = std::max(0, frames - past_.frames); i < frames; ++i) {
        std::copy_n(mel + static_cast<std::ptrdiff_t>(i) * n_mels_, n_mels_, past_.frame(state, clock.frames + i));
    }
    int written = 0;
    for (int done = 0; done < frames;) {
        const int count = std::min(frames - done, kStepFrames);
        const Step step{exec, state, window_.in(scratch), clock.frames, count, Step::kUnknown};
        written += run(step, scratch, mel + static_cast<std::ptrdiff_t>(done) * n_mels_, pcm + written);
        clock.frames += count;
        done += count;
    }
    return written;
}

int Hift::finish(const Exec& exec, std::byte* state, std::byte* scratch, float* pcm) const noexcept {
    rebuild(exec, state, scratch);
    Clock& clock = *past_.clock.in(state);
    const std::int64_t length = clock.frames;
    float* silence = silence_.in(scratch);
    std::memset(silence, 0, silence_.count * sizeof(float));
    int written = 0;
    if (length == 0) return 0;
    for (int left = (latency_ + hop_length_ - 1) / hop_length_; left > 0;) {
        const int count = std::min(left, kStepFrames);
        const Step step{exec, state, window_.in(scratch), clock.frames, count, length};
        written += run(step, scratch, silence, pcm + written);
        clock.frames += count;
        left -= count;
    }
    return written;
}

}  // namespace
}  // namespace hift

std::unique_ptr<Vocoder> make_hift(const Backend& backend, const Config& config, const WeightMap& weights) {
    hift::validate(config.hift, config.hop_length);
    return std::make_unique<hift::Hift>(backend, config, weights);
}

}  // namespace secousti::core
