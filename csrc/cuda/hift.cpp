#include "cuda/hift.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "models/hift/config.h"
#include "models/hift/hift.h"
#include "models/hift/stft.h"

namespace secousti::core::cuda {

namespace {

using hift::indexed, hift::published, hift::StreamConv, hift::Timing;

constexpr float kTrunkSlope = 0.1F;
constexpr float kHeadSlope = 0.01F;
constexpr float kMaxSample = 0.99F;
constexpr std::size_t kRingAlignment = 256;

int element_bytes(Precision precision) { return precision == Precision::bf16 ? 2 : 4; }
int stride_of(int width) { return (width + 7) / 8 * 8; }

double hann(int i, int n) {
    const double s = std::sin(std::numbers::pi * i / n);
    return s * s;
}

/// [n_fft + 2, n_fft]: a windowed frame to real, then imaginary parts.
std::vector<float> analysis_basis(int n_fft) {
    std::vector<float> basis;
    for (const bool imaginary : {false, true}) {
        for (int k = 0; k <= n_fft / 2; ++k) {
            for (int i = 0; i < n_fft; ++i) {
                const double angle = 2.0 * std::numbers::pi * (k * i % n_fft) / n_fft;
                basis.push_back(static_cast<float>(hann(i, n_fft) * (imaginary ? -std::sin(angle) : std::cos(angle))));
            }
        }
    }
    return basis;
}

/// [n_fft, n_fft + 2]: a spectrum to the samples of its frame, windowed and divided by the overlap of squared windows.
std::vector<float> synthesis_basis(int n_fft, int hop) {
    std::vector<float> basis;
    for (int i = 0; i < n_fft; ++i) {
        double overlap = 0.0;
        for (int j = i % hop; j < n_fft; j += hop) overlap += hann(j, n_fft) * hann(j, n_fft);
        for (const bool imaginary : {false, true}) {
            for (int k = 0; k <= n_fft / 2; ++k) {
                const bool mirrored = k != 0 && 2 * k != n_fft;
                const double gain = (mirrored ? 2.0 : 1.0) * hann(i, n_fft) / (n_fft * overlap);
                const double angle = 2.0 * std::numbers::pi * (k * i % n_fft) / n_fft;
                const double part = !imaginary ? std::cos(angle) : mirrored ? -std::sin(angle) : 0.0;
                basis.push_back(static_cast<float>(gain * part));
            }
        }
    }
    return basis;
}

}  // namespace

DeviceHift::DeviceHift(const Stream& stream, const Config& config, const WeightMap& weights, Precision precision)
    : config_(config.hift),
      past_(config, past_layout_),
      precision_(precision == Precision::fp32 ? Precision::fp32 : Precision::bf16),
      bands_(config.n_mels),
      hop_length_(config.hop_length),
      sample_rate_(config.sample_rate) {
    hift::validate(config_, hop_length_);
    const int n_fft = config_.istft_n_fft, hop = config_.istft_hop, bins = n_fft / 2 + 1, taps = n_fft / hop;
    mel_ = signal({}, bands_, Precision::fp32);
    read(mel_, past_.frames);
    rounded_mel_ = precision_ == Precision::fp32 ? mel_ : signal({}, bands_, precision_);

    int features = mel_;
    for (int i = 0; i < config_.f0_layers; ++i) {
        const ConvSpec spec =
            ConvSpec::same(i == 0 ? bands_ : config_.f0_channels, config_.f0_channels, config_.f0_kernel);
        Convolution conv =
            convolution(stream, weights, indexed("f0_predictor.condnet", static_cast<std::size_t>(2 * i)), spec,
                        features, Precision::fp32);
        conv.args.activation = Activation::elu;
        conv.next = features = signal({conv.args.rate, conv.args.lag, conv.args.extra}, spec.outputs, Precision::fp32);
        f0_.push_back({Precision::fp32, {conv}});
    }
    features_ = features;
    classifier_ = keep(stream, weights.get(published("f0_predictor.classifier.weight")));
    classifier_bias_ = weights.get(published("f0_predictor.classifier.bias"))[0];
    mix_ = keep(stream, weights.get(published("m_source.l_linear.weight")));
    mix_bias_ = weights.get(published("m_source.l_linear.bias"))[0];

    const int f0_lag = timing(features_).lag, rows = hop_length_ / hop;
    excitation_ = signal({hop_length_, f0_lag * hop_length_, 0}, 1, Precision::fp32);
    const ConvSpec analysis{hop, 2 * bins, taps, 1, 1, taps / 2, taps / 2};
    spectra_ = signal(StreamConv::after(analysis, taps / 2, {rows, f0_lag * rows, 0}), 2 * bins, precision_);
    // A reflection at the end reaches back by another half frame.
    read(excitation_, timing(spectra_).lag * hop - timing(excitation_).lag + 2 * n_fft);
    analysis_ = keep(stream, analysis_basis(n_fft));

    Convolution pre =
        convolution(stream, weights, published("conv_pre"),
                    ConvSpec::same(bands_, config_.channels, hift::kOuterKernel), rounded_mel_, precision_);
    pre.args.activation = Activation::leaky_relu;
    pre.args.slope = kTrunkSlope;
    int trunk = pre.next = signal({pre.args.rate, pre.args.lag, pre.args.extra}, config_.channels, precision_);
    trunk_.push_back(Convolve{precision_, {pre}});
    const std::size_t stages = config_.upsample_rates.size();
    for (std::size_t i = 0; i < stages; ++i) {
        trunk = stage(stream, weights, i, trunk, i + 1 == stages ? kHeadSlope : kTrunkSlope);
    }
    Convolution post =
        convolution(stream, weights, published("conv_post"),
                    ConvSpec::same(config_.channels >> stages, 2 * bins, hift::kOuterKernel), trunk, precision_);
    head_ = post.raw = signal({post.args.rate, post.args.lag, post.args.extra}, 2 * bins, Precision::fp32);
    trunk_.push_back(Convolve{precision_, {post}});
    samples_ = StreamConv::after({2 * bins, hop, taps, 1, 1, taps / 2, taps / 2 - 1}, taps / 2 - 1, timing(head_));
    latency_ = hop * (samples_.lag + 1) - 1;
    read(head_, samples_.lag - timing(head_).lag + taps / 2 + 3);
    synthesis_ = keep(stream, synthesis_basis(n_fft, hop));
    const hift::EdgeGains gains(n_fft, hop);
    start_gain_ = keep(stream, gains.start);
    end_gain_ = keep(stream, gains.end);
}

const float* DeviceHift::keep(const Stream& stream, std::span<const float> values) {
    return constants_.emplace_back(stream, values, "the vocoder's constants").data();
}

int DeviceHift::signal(const Timing& timing, int width, Precision precision) {
    signals_.push_back({timing, width, precision});
    return static_cast<int>(signals_.size()) - 1;
}

void DeviceHift::read(int index, int history) {
    int& most = signals_[static_cast<std::size_t>(index)].history;
    most = std::max(most, history);
}

DeviceHift::Snake DeviceHift::snake(const Stream& stream, const WeightMap& weights, const std::string& name) {
    const hift::Snake values(weights, name);
    return {keep(stream, values.alpha), keep(stream, values.inverse)};
}

void DeviceHift::set_snake(Convolution& convolution, const Snake& snake) const {
    convolution.args.alpha = snake.alpha;
    convolution.args.inverse_alpha = snake.inverse;
}

DeviceHift::Convolution DeviceHift::convolution(const Stream& stream, const WeightMap& weights, const std::string& name,
                                                const ConvSpec& spec, int in, Precision precision) {
    const Timing out = StreamConv::after(spec, spec.pad_right, timing(in));
    read(in, spec.stride * out.lag - timing(in).lag + spec.pad_left);
    std::vector<float> matrix(area(spec.outputs, spec.kernel * spec.inputs));
    conv_matrix(weights.get(name + ".weight").data(), spec.outputs, spec.inputs, spec.kernel, matrix.data());
    const int stride = stride_of(spec.inputs);
    std::vector<std::byte> packed(hift_packed_bytes(precision, spec.outputs, spec.kernel, stride));
    hift_pack(precision, matrix.data(), spec.outputs, spec.kernel, spec.inputs, stride, packed.data());
    Convolution convolution;
    convolution.in = in;
    HiftConv& args = convolution.args;
    args.weights = matrices_.emplace_back(stream, std::span<const std::byte>(packed), "the vocoder's weights").data();
    args.bias = keep(stream, weights.get(name + ".bias"));
    args.taps = spec.kernel;
    args.dilation = spec.dilation;
    args.stride = spec.stride;
    args.pad_left = spec.pad_left;
    args.rate = out.rate;
    args.lag = out.lag;
    args.extra = out.extra;
    args.outputs = spec.outputs;
    return convolution;
}

std::vector<int> DeviceHift::blocks(const Stream& stream, const WeightMap& weights,
                                    const std::vector<std::string>& names, const std::vector<int>& kernels,
                                    std::vector<Ends> ends, int width) {
    const std::size_t layers = config_.resblock_dilations.size();
    for (std::size_t layer = 0; layer < layers; ++layer) {
        const std::string number = "." + std::to_string(layer);
        Convolve first{precision_, {}}, second{precision_, {}};
        for (std::size_t b = 0; b < names.size(); ++b) {
            const ConvSpec dilated = ConvSpec::same(width, width, kernels[b], config_.resblock_dilations[layer]);
            Convolution a =
                convolution(stream, weights, names[b] + ".convs1" + number, dilated, ends[b].next, precision_);
            set_snake(a, snake(stream, weights, names[b] + ".activations2" + number));
            a.next = signal({a.args.rate, a.args.lag, a.args.extra}, width, precision_);
            Convolution c = convolution(stream, weights, names[b] + ".convs2" + number,
                                        ConvSpec::same(width, width, kernels[b]), a.next, precision_);
            const Timing out{c.args.rate, c.args.lag, c.args.extra};
            c.residual = ends[b].raw;
            read(c.residual, out.lag - timing(c.residual).lag);
            ends[b].raw = c.raw = signal(out, width, Precision::fp32);
            if (layer + 1 < layers) {
                set_snake(c, snake(stream, weights, names[b] + ".activations1." + std::to_string(layer + 1)));
                ends[b].next = c.next = signal(out, width, precision_);
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

int DeviceHift::stage(const Stream& stream, const WeightMap& weights, std::size_t index, int in, float slope) {
    const int width = hift::stage_width(config_, index), rate = config_.upsample_rates[index];
    const int reflects = index + 1 == config_.upsample_rates.size() ? 1 : 0;

    // The transposed convolution: two taps whose outputs are the phases side by side (layers/conv.h).
    const std::string name = indexed("ups", index);
    const Timing from = timing(in);
    Convolution up;
    up.in = in;
    {
        const ConvSpec spec = ConvSpec::causal(2 * width, rate * width, 2);
        const Timing out = StreamConv::after(spec, 1, from);
        read(in, out.lag - from.lag + spec.pad_left);
        std::vector<float> matrix(area(spec.outputs, 2 * spec.inputs)), bias;
        transposed_matrix(weights.get(name + ".weight").data(), spec.inputs, width, rate, matrix.data());
        const AlignedVector<float> one = weights.get(name + ".bias");
        for (int phase = 0; phase < rate; ++phase) bias.insert(bias.end(), one.begin(), one.end());
        const int stride = stride_of(spec.inputs);
        std::vector<std::byte> packed(hift_packed_bytes(precision_, spec.outputs, 2, stride));
        hift_pack(precision_, matrix.data(), spec.outputs, 2, spec.inputs, stride, packed.data());
        up.args.weights =
            matrices_.emplace_back(stream, std::span<const std::byte>(packed), "the vocoder's weights").data();
        up.args.bias = keep(stream, bias);
        up.args.taps = 2;
        up.args.pad_left = spec.pad_left;
        up.args.rate = out.rate;
        up.args.lag = out.lag;
        up.args.extra = out.extra;
        up.args.outputs = spec.outputs;
        up.args.phases = rate;
        up.args.shift = reflects - rate / 2;
        up.args.reflects = reflects != 0;
        up.raw = signal({out.rate * rate, out.lag * rate + rate / 2 - reflects, from.extra * rate + reflects}, width,
                        Precision::fp32);
    }
    trunk_.push_back(Convolve{precision_, {up}});

    const std::string source_name = indexed("source_resblocks", index);
    Convolution down = convolution(stream, weights, indexed("source_downs", index), hift::down_spec(config_, index),
                                   spectra_, precision_);
    set_snake(down, snake(stream, weights, source_name + ".activations1.0"));
    const Timing below{down.args.rate, down.args.lag, down.args.extra};
    down.raw = signal(below, width, Precision::fp32);
    down.next = signal(below, width, precision_);
    trunk_.push_back(Convolve{precision_, {down}});
    const int source = blocks(stream, weights, {source_name}, {config_.source_resblock_kernels[index]},
                              {{down.raw, down.next}}, width)[0];

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
    std::vector<std::string> names;
    std::vector<Ends> ends;
    for (std::size_t b = 0; b < kHiftJobs; ++b) {
        names.push_back(indexed("resblocks", index * kHiftJobs + b));
        const Snake first = snake(stream, weights, names.back() + ".activations1.0");
        sum.alpha[b] = first.alpha;
        sum.inverse_alpha[b] = first.inverse;
        sum.next[b] = signal(joined, width, precision_);
        ends.push_back({sum.sum, sum.next[b]});
    }
    trunk_.push_back(sum);
    const std::vector<int> outputs = blocks(stream, weights, names, config_.resblock_kernels, ends, width);

    Mean mean{};
    Timing all = timing(outputs[0]);
    for (const int output : outputs) all.lag = std::max(all.lag, timing(output).lag);
    for (std::size_t b = 0; b < kHiftJobs; ++b) {
        mean.in[b] = outputs[b];
        read(outputs[b], all.lag - timing(outputs[b]).lag);
    }
    mean.mean = signal(all, width, precision_);
    mean.slope = slope;
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

DeviceHift::State DeviceHift::make_state(const Stream& stream, int slots, int max_frames) const {
    State state;
    state.slots = slots;
    state.max_frames = max_frames;
    std::size_t slot_bytes = 0;
    for (const Signal& s : signals_) {
        const int rows = s.history + s.timing.rate * max_frames;
        const int stride = s.width == 1 ? 1 : stride_of(s.width);
        state.signals.push_back(
            {reinterpret_cast<std::byte*>(slot_bytes), 0, rows, stride, s.timing.rate, s.timing.lag, s.timing.extra});
        const std::size_t bytes = area(rows, stride) * static_cast<std::size_t>(element_bytes(s.precision));
        slot_bytes += (bytes + kRingAlignment - 1) / kRingAlignment * kRingAlignment;
    }
    const std::size_t count = static_cast<std::size_t>(slots);
    state.rings = {stream, count * slot_bytes, "the signals of the vocoder"};
    stream.fill(state.rings.data(), 0, state.rings.bytes());  // the padding of rows stays zero
    for (HiftSignal& s : state.signals) {
        s.data = state.rings.data() + reinterpret_cast<std::size_t>(s.data);
        s.slot_bytes = slot_bytes;
    }
    const std::vector<HiftClock> clocks(count, HiftClock{0, -1, 0, 0, 0, 1});
    state.clocks = {stream, clocks, "the clocks of the vocoder"};
    return state;
}

void DeviceHift::start(const Stream& stream, const State& state, int slot, const VocoderOptions& options) const {
    const HiftClock clock{0, -1, 0, 0, options.seed, options.noise ? 1 : 0};
    stream.copy_to_device(state.clocks.data() + slot, &clock, sizeof clock);
    stream.synchronize();
}

void DeviceHift::launch(const Stream& stream, const State& state, const HiftStep& step, const Convolve& op) const {
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
    hift_conv(stream, args);
}

void DeviceHift::launch(const Stream& stream, const State& state, const HiftStep& step, const Sum& op) const {
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
    hift_sum(stream, args);
}

void DeviceHift::launch(const Stream& stream, const State& state, const HiftStep& step, const Mean& op) const {
    const auto view = [&](int index) { return state.signals[static_cast<std::size_t>(index)]; };
    HiftMeanArgs args;
    args.step = step;
    args.precision = precision_;
    for (int b = 0; b < kHiftJobs; ++b) args.signals[b] = view(op.in[b]);
    args.signals[kHiftJobs] = view(op.mean);
    args.slope = op.slope;
    args.width = op.width;
    hift_mean(stream, args);
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
    args.limit = kMaxSample;
    args.pcm = pcm;
    args.pcm_stride = pcm_stride;
    args.samples = samples;
    return args;
}

void DeviceHift::feed(const Stream& stream, const State& state, const HiftStep& step, const float* mel) const {
    HiftFeedArgs feed;
    feed.step = step;
    feed.mel = mel;
    feed.bands = bands_;
    feed.exact = state.signals[static_cast<std::size_t>(mel_)];
    if (rounded_mel_ != mel_) feed.rounded = state.signals[static_cast<std::size_t>(rounded_mel_)];
    hift_feed(stream, feed);
}

void DeviceHift::source(const Stream& stream, const State& state, const HiftStep& step) const {
    const auto view = [&](int index) { return state.signals[static_cast<std::size_t>(index)]; };
    for (const Convolve& op : f0_) launch(stream, state, step, op);
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
    hift_source(stream, source);
}

/// All of a step after the mel is in its ring.
void DeviceHift::run(const Stream& stream, const State& state, const HiftStep& step, const HiftEmitArgs& head) const {
    const auto view = [&](int index) { return state.signals[static_cast<std::size_t>(index)]; };
    source(stream, state, step);
    HiftAnalysisArgs analysis;
    analysis.step = step;
    analysis.precision = precision_;
    analysis.excitation = view(excitation_);
    analysis.spectra = view(spectra_);
    analysis.basis = analysis_;
    analysis.n_fft = config_.istft_n_fft;
    analysis.hop = config_.istft_hop;
    hift_analysis(stream, analysis);
    for (const auto& op : trunk_) {
        std::visit([&](const auto& part) { launch(stream, state, step, part); }, op);
    }
    HiftEmitArgs emit = head;
    emit.step = step;
    hift_emit(stream, emit);
    hift_advance(stream, step);
}

void DeviceHift::push(const Stream& stream, const State& state, const std::uint8_t* active, const float* mel,
                      int frames, float* pcm, std::ptrdiff_t pcm_stride, std::int32_t* samples) const {
    if (frames < 1 || frames > state.max_frames) {
        throw Error(Status::invalid_argument, "HiFT: a step of " + std::to_string(frames) + " mel frames; at most " +
                                                  std::to_string(state.max_frames));
    }
    const HiftStep step{state.clocks.data(), active, state.slots, frames};
    feed(stream, state, step, mel);
    run(stream, state, step, head(state, pcm, pcm_stride, samples));
}

void DeviceHift::finish(const Stream& stream, const State& state, const std::uint8_t* active, float* pcm,
                        std::ptrdiff_t pcm_stride, std::int32_t* samples) const {
    HiftStep step{state.clocks.data(), active, state.slots, 1};
    hift_end(stream, step);
    HiftEmitArgs emit = head(state, pcm, pcm_stride, samples);
    emit.end = true;
    for (int left = look_ahead(); left > 0; left -= step.frames) {
        step.frames = std::min(left, state.max_frames);
        run(stream, state, step, emit);
    }
}

}  // namespace secousti::core::cuda
