#include "cuda/hift.h"

#include <algorithm>
#include <utility>

#include "layers/conv_matrix.h"
#include "models/hift/config.h"
#include "models/hift/stft.h"

namespace secousti::core::cuda {

namespace {

using hift::Timing;

constexpr std::size_t kRingAlignment = 256;

int element_bytes(Precision precision) { return precision == Precision::bf16 ? 2 : 4; }
int stride_of(int width) { return (width + 7) / 8 * 8; }

/// [n_fft + 2, n_fft]: a windowed frame to real, then imaginary parts.
std::vector<float> analysis_basis(int n_fft) {
    std::vector<float> basis;
    for (int k = 0; k < n_fft + 2; ++k) {
        for (int i = 0; i < n_fft; ++i) basis.push_back(hift::analysis_weight(n_fft, k, i));
    }
    return basis;
}

/// [n_fft, n_fft + 2]: a spectrum to the samples of its frame.
std::vector<float> synthesis_basis(int n_fft, int hop) {
    std::vector<float> basis;
    for (int i = 0; i < n_fft; ++i) {
        for (int k = 0; k < n_fft + 2; ++k) basis.push_back(hift::synthesis_weight(n_fft, hop, i, k));
    }
    return basis;
}

}  // namespace

DeviceHift::DeviceHift(const CudaQueue& queue, const Config& config, const WeightMap& weights, Precision precision)
    : config_(config.hift),
      past_(config, past_layout_),
      precision_(precision == Precision::fp32 ? Precision::fp32 : Precision::bf16),
      bands_(config.n_mels),
      hop_length_(config.hop_length),
      sample_rate_(config.sample_rate) {
    hift::validate(config_, hop_length_);
    const hift::Layers layers = hift::layers(config_, bands_);
    const int n_fft = config_.istft_n_fft, hop = config_.istft_hop, spectrum = n_fft + 2;
    mel_ = signal({}, bands_, Precision::fp32);
    read(mel_, past_.frames);
    rounded_mel_ = precision_ == Precision::fp32 ? mel_ : signal({}, bands_, precision_);

    features_ = mel_;
    for (const hift::ConvLayer& layer : layers.pitch) {
        Convolution conv = convolution(queue, weights, layer, features_, Precision::fp32);
        conv.args.activation = Activation::elu;
        conv.next = features_ = signal(conv.timing, layer.spec.outputs, Precision::fp32);
        f0_.push_back({Precision::fp32, {conv}});
    }
    classifier_ = keep(queue, weights.get(layers.classifier + ".weight"));
    classifier_bias_ = weights.get(layers.classifier + ".bias")[0];
    mix_ = keep(queue, weights.get(layers.mix + ".weight"));
    mix_bias_ = weights.get(layers.mix + ".bias")[0];

    const int f0_lag = timing(features_).lag, rows = hop_length_ / hop;
    excitation_ = signal({hop_length_, f0_lag * hop_length_, 0}, 1, Precision::fp32);
    const ConvSpec analysis = hift::analysis_spec(n_fft, hop), synthesis = hift::synthesis_spec(n_fft, hop);
    spectra_ = signal(Timing{rows, f0_lag * rows, 0}.after(analysis, analysis.pad_right), spectrum, precision_);
    // A reflection at the end reaches back by another half frame.
    read(excitation_, timing(spectra_).lag * hop - timing(excitation_).lag + 2 * n_fft);
    analysis_ = keep(queue, analysis_basis(n_fft));

    Convolution pre = convolution(queue, weights, layers.pre, rounded_mel_, precision_);
    pre.args.activation = Activation::leaky_relu;
    pre.args.slope = hift::kTrunkSlope;
    int trunk = pre.next = signal(pre.timing, config_.channels, precision_);
    trunk_.push_back(Convolve{precision_, {pre}});
    for (const hift::StageLayers& each : layers.stages) trunk = stage(queue, weights, each, trunk);
    Convolution post = convolution(queue, weights, layers.post, trunk, precision_);
    head_ = post.raw = signal(post.timing, spectrum, Precision::fp32);
    trunk_.push_back(Convolve{precision_, {post}});
    samples_ = timing(head_).after(synthesis, synthesis.pad_right);
    latency_ = hop * (samples_.lag + 1) - 1;
    read(head_, samples_.lag - timing(head_).lag + synthesis.kernel / 2 + 3);
    synthesis_ = keep(queue, synthesis_basis(n_fft, hop));
    const hift::EdgeGains gains(n_fft, hop);
    start_gain_ = keep(queue, gains.start);
    end_gain_ = keep(queue, gains.end);
}

const float* DeviceHift::keep(const CudaQueue& queue, std::span<const float> values) {
    return constants_.emplace_back(queue, values, "the vocoder's constants").data();
}

int DeviceHift::signal(const Timing& timing, int width, Precision precision) {
    signals_.push_back({timing, width, precision});
    return static_cast<int>(signals_.size()) - 1;
}

void DeviceHift::read(int index, int history) {
    int& most = signals_[static_cast<std::size_t>(index)].history;
    most = std::max(most, history);
}

DeviceHift::Snake DeviceHift::snake(const CudaQueue& queue, const WeightMap& weights, const std::string& name) {
    const hift::Snake values(weights, name);
    return {keep(queue, values.alpha), keep(queue, values.inverse)};
}

void DeviceHift::set_snake(Convolution& convolution, const Snake& snake) const {
    convolution.args.alpha = snake.alpha;
    convolution.args.inverse_alpha = snake.inverse;
}

DeviceHift::Convolution DeviceHift::convolution(const CudaQueue& queue, const WeightMap& weights,
                                                const hift::ConvLayer& layer, int in, Precision precision) {
    const ConvSpec& spec = layer.spec;
    const std::vector<float> matrix =
        conv_matrix(weights.get(layer.name + ".weight"), spec.outputs, spec.inputs, spec.kernel);
    return convolution(queue, spec, spec.pad_right, matrix, weights.get(layer.name + ".bias"), in, precision);
}

DeviceHift::Convolution DeviceHift::convolution(const CudaQueue& queue, const ConvSpec& spec, int pad_right,
                                                std::span<const float> matrix, std::span<const float> bias, int in,
                                                Precision precision) {
    const int stride = stride_of(spec.inputs);
    std::vector<std::byte> packed(hift_packed_bytes(precision, spec.outputs, spec.kernel, stride));
    hift_pack(precision, matrix.data(), spec.outputs, spec.kernel, spec.inputs, stride, packed.data());
    Convolution convolution;
    convolution.in = in;
    convolution.timing = timing(in).after(spec, pad_right);
    read(in, spec.stride * convolution.timing.lag - timing(in).lag + spec.pad_left);
    HiftConv& args = convolution.args;
    args.weights = matrices_.emplace_back(queue, std::span<const std::byte>(packed), "the vocoder's weights").data();
    args.bias = keep(queue, bias);
    args.taps = spec.kernel;
    args.dilation = spec.dilation;
    args.stride = spec.stride;
    args.pad_left = spec.pad_left;
    args.rate = convolution.timing.rate;
    args.lag = convolution.timing.lag;
    args.extra = convolution.timing.extra;
    args.outputs = spec.outputs;
    return convolution;
}

std::vector<int> DeviceHift::blocks(const CudaQueue& queue, const WeightMap& weights,
                                    std::span<const hift::BlockLayers> blocks, std::vector<Ends> ends) {
    const std::size_t units = blocks.front().units.size();
    for (std::size_t i = 0; i < units; ++i) {
        Convolve first{precision_, {}}, second{precision_, {}};
        for (std::size_t b = 0; b < blocks.size(); ++b) {
            const hift::BlockLayers::Unit& unit = blocks[b].units[i];
            const int width = unit.first.spec.outputs;
            Convolution a = convolution(queue, weights, unit.first, ends[b].next, precision_);
            set_snake(a, snake(queue, weights, unit.snake2));
            a.next = signal(a.timing, width, precision_);
            Convolution c = convolution(queue, weights, unit.second, a.next, precision_);
            c.residual = ends[b].raw;
            read(c.residual, c.timing.lag - timing(c.residual).lag);
            ends[b].raw = c.raw = signal(c.timing, width, Precision::fp32);
            if (i + 1 < units) {
                set_snake(c, snake(queue, weights, blocks[b].units[i + 1].snake1));
                ends[b].next = c.next = signal(c.timing, width, precision_);
            }
            first.jobs.push_back(a);
            second.jobs.push_back(c);
        }
        trunk_.push_back(std::move(first));
        trunk_.push_back(std::move(second));
    }
    std::vector<int> outputs;
    for (const Ends& end : ends) outputs.push_back(end.raw);
    return outputs;
}

int DeviceHift::stage(const CudaQueue& queue, const WeightMap& weights, const hift::StageLayers& layers, int in) {
    const int width = layers.width, rate = layers.rate;
    const hift::ConvLayer& taps = layers.up;
    Convolution up = convolution(queue, taps.spec, 1,
                                 transposed_matrix(weights.get(taps.name + ".weight"), taps.spec.inputs, width, rate),
                                 transposed_bias(weights.get(taps.name + ".bias"), rate), in, precision_);
    up.args.phases = rate;
    up.args.shift = (layers.reflects ? 1 : 0) - rate / 2;
    up.args.reflects = layers.reflects;
    up.raw = signal(layers.upsampled(timing(in)), width, Precision::fp32);
    trunk_.push_back(Convolve{precision_, {up}});

    Convolution down = convolution(queue, weights, layers.down, spectra_, precision_);
    set_snake(down, snake(queue, weights, layers.source.units.front().snake1));
    down.raw = signal(down.timing, width, Precision::fp32);
    down.next = signal(down.timing, width, precision_);
    trunk_.push_back(Convolve{precision_, {down}});
    const int source = blocks(queue, weights, {&layers.source, 1}, {{down.raw, down.next}})[0];

    // Whichever branch is ahead waits in its ring.
    Timing joined = timing(source);
    joined.lag = std::max(joined.lag, timing(up.raw).lag);
    Sum sum{};
    sum.trunk = up.raw;
    sum.source = source;
    sum.sum = signal(joined, width, Precision::fp32);
    sum.width = width;
    read(up.raw, joined.lag - timing(up.raw).lag);
    read(source, joined.lag - timing(source).lag);
    static_assert(kHiftJobs == hift::kBlocks);
    std::vector<Ends> ends;
    for (std::size_t b = 0; b < kHiftJobs; ++b) {
        const Snake first = snake(queue, weights, layers.blocks[b].units.front().snake1);
        sum.alpha[b] = first.alpha;
        sum.inverse_alpha[b] = first.inverse;
        sum.next[b] = signal(joined, width, precision_);
        ends.push_back({sum.sum, sum.next[b]});
    }
    trunk_.push_back(sum);
    const std::vector<int> outputs = blocks(queue, weights, layers.blocks, ends);

    Mean mean{};
    Timing all = timing(outputs[0]);
    for (const int output : outputs) all.lag = std::max(all.lag, timing(output).lag);
    for (std::size_t b = 0; b < kHiftJobs; ++b) {
        mean.in[b] = outputs[b];
        read(outputs[b], all.lag - timing(outputs[b]).lag);
    }
    mean.mean = signal(all, width, precision_);
    mean.slope = layers.slope;
    mean.width = width;
    trunk_.push_back(mean);
    return mean.mean;
}

std::size_t DeviceHift::weight_bytes() const {
    std::size_t bytes = 0;
    for (const auto& array : constants_) bytes += array.bytes();
    for (const auto& array : matrices_) bytes += array.bytes();
    return bytes;
}

DeviceHift::State DeviceHift::make_state(const CudaQueue& queue, int slots, int max_frames) const {
    State state;
    state.slots = slots;
    state.max_frames = max_frames;
    std::size_t slot_bytes = 0;
    for (const Signal& s : signals_) {
        const int rows = s.history + s.timing.rate * max_frames;
        const int stride = s.width == 1 ? 1 : stride_of(s.width);
        state.signals.push_back({.data = reinterpret_cast<std::byte*>(slot_bytes),
                                 .slot_bytes = 0,
                                 .rows = rows,
                                 .stride = stride,
                                 .rate = s.timing.rate,
                                 .lag = s.timing.lag,
                                 .extra = s.timing.extra});
        const std::size_t bytes = area(rows, stride) * static_cast<std::size_t>(element_bytes(s.precision));
        slot_bytes += (bytes + kRingAlignment - 1) / kRingAlignment * kRingAlignment;
    }
    const std::size_t count = static_cast<std::size_t>(slots);
    state.rings = {queue, count * slot_bytes, "the signals of the vocoder"};
    queue.fill(state.rings.data(), 0, state.rings.bytes());  // the padding of rows stays zero
    for (HiftSignal& s : state.signals) {
        s.data = state.rings.data() + reinterpret_cast<std::size_t>(s.data);
        s.slot_bytes = slot_bytes;
    }
    const std::vector<HiftClock> clocks(count, HiftClock{.noise = 1});
    state.clocks = {queue, clocks, "the clocks of the vocoder"};
    return state;
}

void DeviceHift::start(const CudaQueue& queue, const State& state, int slot, const VocoderOptions& options) const {
    const HiftClock clock{.seed = options.seed, .noise = options.noise ? 1 : 0};
    queue.copy_to_device(state.clocks.data() + slot, &clock, sizeof clock);
    queue.synchronize();
}

void DeviceHift::launch(const CudaQueue& queue, const State& state, const HiftStep& step, const Convolve& op) const {
    HiftConvArgs args;
    args.step = step;
    args.precision = op.precision;
    args.jobs = static_cast<int>(op.jobs.size());
    const auto view = [&](int index) {
        return index == kNone ? HiftSignal{} : state.signals[static_cast<std::size_t>(index)];
    };
    for (std::size_t j = 0; j < op.jobs.size(); ++j) {
        const Convolution& job = op.jobs[j];
        args.job[j] = job.args;
        args.job[j].in = view(job.in);
        args.job[j].residual = view(job.residual);
        args.job[j].raw = view(job.raw);
        args.job[j].next = view(job.next);
    }
    hift_conv(queue, args);
}

void DeviceHift::launch(const CudaQueue& queue, const State& state, const HiftStep& step, const Sum& op) const {
    const auto view = [&](int index) { return state.signals[static_cast<std::size_t>(index)]; };
    HiftSumArgs args;
    args.step = step;
    args.precision = precision_;
    args.signals[0] = view(op.trunk);
    args.signals[1] = view(op.source);
    args.signals[2] = view(op.sum);
    for (int b = 0; b < kHiftJobs; ++b) {
        args.signals[3 + b] = view(op.next[b]);
        args.alpha[b] = op.alpha[b];
        args.inverse_alpha[b] = op.inverse_alpha[b];
    }
    args.width = op.width;
    hift_sum(queue, args);
}

void DeviceHift::launch(const CudaQueue& queue, const State& state, const HiftStep& step, const Mean& op) const {
    const auto view = [&](int index) { return state.signals[static_cast<std::size_t>(index)]; };
    HiftMeanArgs args;
    args.step = step;
    args.precision = precision_;
    for (int b = 0; b < kHiftJobs; ++b) args.signals[b] = view(op.in[b]);
    args.signals[kHiftJobs] = view(op.mean);
    args.slope = op.slope;
    args.width = op.width;
    hift_mean(queue, args);
}

HiftEmitArgs DeviceHift::head(const State& state, float* pcm, std::ptrdiff_t pcm_stride, std::int32_t* samples) const {
    HiftEmitArgs args;
    args.head = state.signals[static_cast<std::size_t>(head_)];
    args.basis = synthesis_;
    args.start_gain = start_gain_;
    args.end_gain = end_gain_;
    args.n_fft = config_.istft_n_fft;
    args.hop = config_.istft_hop;
    args.rate = samples_.rate;
    args.lag = samples_.lag;
    args.hop_length = hop_length_;
    args.latency = latency_;
    args.limit = hift::kMaxSample;
    args.pcm = pcm;
    args.pcm_stride = pcm_stride;
    args.samples = samples;
    return args;
}

void DeviceHift::feed(const CudaQueue& queue, const State& state, const HiftStep& step, const float* mel) const {
    HiftFeedArgs feed;
    feed.step = step;
    feed.mel = mel;
    feed.bands = bands_;
    feed.exact = state.signals[static_cast<std::size_t>(mel_)];
    if (rounded_mel_ != mel_) feed.rounded = state.signals[static_cast<std::size_t>(rounded_mel_)];
    hift_feed(queue, feed);
}

void DeviceHift::source(const CudaQueue& queue, const State& state, const HiftStep& step) const {
    const auto view = [&](int index) { return state.signals[static_cast<std::size_t>(index)]; };
    for (const Convolve& op : f0_) launch(queue, state, step, op);
    HiftSourceArgs source;
    source.step = step;
    source.features = view(features_);
    source.classifier = classifier_;
    source.classifier_bias = classifier_bias_;
    source.channels = config_.f0_channels;
    source.mix = mix_;
    source.mix_bias = mix_bias_;
    source.harmonics = config_.harmonics;
    source.sample_rate = sample_rate_;
    source.samples = hop_length_;
    source.excitation = view(excitation_);
    hift_source(queue, source);
}

/// All of a step after the mel is in its ring.
void DeviceHift::run(const CudaQueue& queue, const State& state, const HiftStep& step, const HiftEmitArgs& head) const {
    const auto view = [&](int index) { return state.signals[static_cast<std::size_t>(index)]; };
    source(queue, state, step);
    HiftAnalysisArgs analysis;
    analysis.step = step;
    analysis.precision = precision_;
    analysis.excitation = view(excitation_);
    analysis.spectra = view(spectra_);
    analysis.basis = analysis_;
    analysis.n_fft = config_.istft_n_fft;
    analysis.hop = config_.istft_hop;
    hift_analysis(queue, analysis);
    for (const auto& op : trunk_) {
        std::visit([&](const auto& part) { launch(queue, state, step, part); }, op);
    }
    HiftEmitArgs emit = head;
    emit.step = step;
    hift_emit(queue, emit);
    hift_advance(queue, step);
}

void DeviceHift::push(const CudaQueue& queue, const State& state, const std::uint8_t* active, const float* mel,
                      int frames, float* pcm, std::ptrdiff_t pcm_stride, std::int32_t* samples) const {
    if (frames < 1 || frames > state.max_frames) {
        throw Error(Status::invalid_argument, "HiFT: a step of " + std::to_string(frames) + " mel frames; at most " +
                                                  std::to_string(state.max_frames));
    }
    const HiftStep step{state.clocks.data(), active, state.slots, frames};
    feed(queue, state, step, mel);
    run(queue, state, step, head(state, pcm, pcm_stride, samples));
}

void DeviceHift::finish(const CudaQueue& queue, const State& state, const std::uint8_t* active, float* pcm,
                        std::ptrdiff_t pcm_stride, std::int32_t* samples) const {
    HiftStep step{state.clocks.data(), active, state.slots, 1};
    hift_end(queue, step);
    HiftEmitArgs emit = head(state, pcm, pcm_stride, samples);
    emit.end = true;
    for (int left = look_ahead(); left > 0; left -= step.frames) {
        step.frames = std::min(left, state.max_frames);
        run(queue, state, step, emit);
    }
}

}  // namespace secousti::core::cuda
