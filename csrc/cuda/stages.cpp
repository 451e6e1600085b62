#include "cuda/stages.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "models/concealment.h"
#include "models/mel.h"

namespace secousti::core::cuda {

namespace {

Fsq make_fsq(const Config& config) {
    Fsq fsq;
    if (config.fsq_levels.size() > static_cast<std::size_t>(kMaxFsqDims)) {
        throw Error(Status::unsupported, "fsq_levels: the CUDA kernels take " + std::to_string(kMaxFsqDims) +
                                             " dimensions at most, the model has " +
                                             std::to_string(config.fsq_levels.size()));
    }
    fsq.dims = static_cast<int>(config.fsq_levels.size());
    std::copy(config.fsq_levels.begin(), config.fsq_levels.end(), fsq.levels);
    return fsq;
}

Concealing make_concealing(const Config& config) {
    const float frame = static_cast<float>(config.hop_length) / static_cast<float>(config.sample_rate);
    const Concealment::Rates rates = Concealment::rates(frame);
    return {.memory = nullptr,
            .frames_per_token = config.frames_per_token(),
            .frame_seconds = frame,
            .correlation = Concealment::kCorrelation,
            .decay = Concealment::kMemory,
            .hold = Concealment::kHold,
            .fade = Concealment::kFade,
            .down = rates.down,
            .up = rates.up,
            .silence = std::log(kMelFloor)};
}

DeviceArray<float> vector(const CudaQueue& queue, const WeightMap& weights, const char* name) {
    const AlignedVector<float> values = weights.get(name);
    return {queue, std::span<const float>(values), name};
}

SlotsState make_slots(const CudaQueue& queue, const SeanetConvolutions& convolutions,
                      const std::vector<const DeviceTransformer*>& transformers, int slots, int max_tokens) {
    SlotsState state;
    const std::size_t count = static_cast<std::size_t>(slots);
    state.position = {queue, count, "clocks of a group"};
    state.start = {queue, count, "clocks of a group"};
    for (std::size_t i = 0; i < convolutions.size(); ++i) {
        const DeviceConv& conv = convolutions[i];
        state.rings[i] = {queue,
                          area(slots, conv.ring_rows(max_tokens)) * static_cast<std::size_t>(conv.shape().inputs),
                          "rings of a group's convolutions"};
        queue.fill(state.rings[i].data(), 0, state.rings[i].bytes());
    }
    for (const DeviceTransformer* transformer : transformers)
        state.transformers.push_back(transformer->make_state(queue, slots, max_tokens));
    seek(queue, {state.position.data(), state.start.data(), nullptr, slots}, nullptr, nullptr);
    return state;
}

/// `widest` has the same sizes as every other transformer of the machine but for the number of layers.
StepScratch make_step(const CudaQueue& queue, const SeanetConvolutions& convolutions, const DeviceTransformer& widest,
                      std::size_t operand, int slots, int max_tokens) {
    std::size_t floats = 0;
    for (const DeviceConv& conv : convolutions) {
        const int rows = slots * conv.rows_out(max_tokens);
        floats = std::max(floats, area(rows, conv.shape().outputs));
        operand = std::max(operand, conv.matrix().operand(rows));
    }
    const int rows = slots * max_tokens;
    const std::size_t dimension = area(rows, widest.spec().dimension);
    const auto buffer = [&](std::size_t count) { return DeviceArray<float>(queue, count, "rows of a step"); };
    return {.a = buffer(floats),
            .b = buffer(floats),
            .c = buffer(floats),
            .x = buffer(dimension),
            .mu = buffer(dimension),
            .rows = widest.make_scratch(queue, rows),
            .operand = {queue, operand, "operands of a step"}};
}

std::size_t convolution_bytes(const SeanetConvolutions& convolutions) {
    std::size_t total = 0;
    for (const DeviceConv& conv : convolutions) total += conv.matrix().bytes();
    return total;
}

SeanetConvolutions make_convolutions(const CudaQueue& queue, const SeanetLayers& layers, const WeightMap& weights) {
    SeanetConvolutions made;
    for (std::size_t i = 0; i < layers.size(); ++i) {
        const SeanetLayer& layer = layers[i];
        made[i] = layer.role == SeanetRole::up
                      ? DeviceConv::transposed(queue, layer.inputs, layer.outputs, layer.ratio, layer.rows_per_token,
                                               weights, layer.name, layer.precision)
                      : DeviceConv(queue,
                                   {.inputs = layer.inputs,
                                    .outputs = layer.outputs,
                                    .kernel = layer.kernel,
                                    .stride = layer.stride(),
                                    .rows_per_token = layer.rows_per_token,
                                    .pre = layer.pre},
                                   weights, layer.name, layer.precision);
    }
    return made;
}

/// Runs a network. `valid` as in DeviceEncoder::push.
void run(const Step& step, const SeanetLayers& layers, const SeanetConvolutions& convolutions, const SlotsState& state,
         const StepScratch& scratch, const float* in, const std::int32_t* valid, float* out) {
    const SeanetRows rows{scratch.a.data(), scratch.b.data(), scratch.c.data()};
    walk_seanet(layers, in, out, rows, [&](std::size_t i, const float* x, float* y, const float* residual) {
        const bool completes = layers[i].role == SeanetRole::down;
        convolutions[i].apply(step, state.rings[i], x, y, residual, completes ? valid : nullptr,
                              completes ? layers[0].rows_per_token / layers[i].rows_per_token : 1);
    });
}

}  // namespace

std::size_t SlotsState::bytes() const {
    std::size_t total = position.bytes() + start.bytes() + memory.bytes() + floor.bytes();
    for (const DeviceArray<float>& ring : rings) total += ring.bytes();
    for (const DeviceTransformer::State& transformer : transformers) total += transformer.bytes();
    return total;
}

SlotsState SlotsState::slot_of(int slot) const {
    const std::size_t index = static_cast<std::size_t>(slot), slots = position.count();
    SlotsState one;
    one.position = position.part(index, slots);
    one.start = start.part(index, slots);
    for (std::size_t i = 0; i < rings.size(); ++i) one.rings[i] = rings[i].part(index, slots);
    for (const DeviceTransformer::State& all : transformers) one.transformers.push_back(all.part(index, slots));
    one.memory = memory.part(index, slots);
    one.floor = floor.part(index, slots);
    return one;
}

std::size_t StepScratch::bytes() const {
    std::size_t total = operand.bytes();
    for (const DeviceArray<float>* part :
         {&a, &b, &c, &x, &mu, &rows.qkv, &rows.attended, &rows.hidden, &rows.cosine, &rows.sine})
        total += part->bytes();
    return total;
}

DeviceEncoder::DeviceEncoder(const CudaQueue& queue, const Config& config, const WeightMap& weights)
    : dimension_(config.dimension),
      fsq_(make_fsq(config)),
      transformer_(queue, config.semantic_transformer(), weights),
      mu_(queue, Precision::fp32, weights.get("vae_semantic_transformer.dense_mu.weight"), config.dimension,
          config.dimension, weights.get("vae_semantic_transformer.dense_mu.bias")),
      project_in_(vector(queue, weights, "fsq.project_in.weight")),
      project_in_bias_(vector(queue, weights, "fsq.project_in.bias")),
      layers_(seanet_encoder_layers(config)),
      convolutions_(make_convolutions(queue, layers_, weights)) {}

SlotsState DeviceEncoder::make_state(const CudaQueue& queue, int slots, int max_tokens) const {
    return make_slots(queue, convolutions_, {&transformer_}, slots, max_tokens);
}

StepScratch DeviceEncoder::make_scratch(const CudaQueue& queue, int slots, int max_tokens) const {
    const int rows = slots * max_tokens;
    return make_step(queue, convolutions_, transformer_, std::max(transformer_.operand(rows), mu_.operand(rows)), slots,
                     max_tokens);
}

std::size_t DeviceEncoder::weight_bytes() const {
    return convolution_bytes(convolutions_) + transformer_.weight_bytes() + mu_.bytes() + project_in_.bytes() +
           project_in_bias_.bytes();
}

void DeviceEncoder::push(const Step& step, const SlotsState& state, const StepScratch& scratch, const float* mel,
                         const std::int32_t* valid, std::int32_t* tokens, const EncoderExtras& extras) const {
    float* x = scratch.x.data();
    run(step, layers_, convolutions_, state, scratch, mel, valid, x);
    if (extras.encoder_out != nullptr) {
        step.queue.copy_on_device(extras.encoder_out, x, area(step.rows(), dimension_) * sizeof(float));
    }
    transformer_.apply(step, state.transformers[0], scratch.rows, x);

    LinearArgs dense;
    dense.x = x;
    dense.row_stride = dimension_;
    dense.rows_per_slot = step.rows();
    dense.matrix = mu_.view();
    dense.operand = step.operand;
    dense.y = scratch.mu.data();
    linear(step.queue, dense);

    FsqEncodeArgs quantise;
    quantise.clock = step.clock;
    quantise.tokens_per_slot = step.tokens;
    quantise.fsq = fsq_;
    quantise.mu = scratch.mu.data();
    quantise.dimension = dimension_;
    quantise.project_in = project_in_.data();
    quantise.bias = project_in_bias_.data();
    quantise.fsq_in = extras.fsq_in;
    quantise.tokens = tokens;
    fsq_encode(step.queue, quantise);
    advance(step.queue, step.clock, step.tokens);
}

DeviceDecoder::DeviceDecoder(const CudaQueue& queue, const Config& config, const WeightMap& weights)
    : dimension_(config.dimension),
      bands_(config.n_mels),
      fsq_(make_fsq(config)),
      concealing_(make_concealing(config)),
      project_out_(vector(queue, weights, "fsq.project_out.weight")),
      project_out_bias_(vector(queue, weights, "fsq.project_out.bias")),
      connector_(queue, config.connector_transformer(), weights),
      transformer_(queue, config.decoder_transformer(), weights),
      layers_(seanet_decoder_layers(config)),
      convolutions_(make_convolutions(queue, layers_, weights)) {}

SlotsState DeviceDecoder::make_state(const CudaQueue& queue, int slots, int max_tokens) const {
    SlotsState state = make_slots(queue, convolutions_, {&connector_, &transformer_}, slots, max_tokens);
    state.memory = {queue, static_cast<std::size_t>(slots), "what a group remembers of its tokens"};
    state.floor = {queue, area(slots, bands_), "what a group remembers of its tokens"};
    queue.fill(state.memory.data(), 0, state.memory.bytes());
    queue.fill(state.floor.data(), 0, state.floor.bytes());
    return state;
}

StepScratch DeviceDecoder::make_scratch(const CudaQueue& queue, int slots, int max_tokens) const {
    const int rows = slots * max_tokens;
    return make_step(queue, convolutions_, transformer_, std::max(connector_.operand(rows), transformer_.operand(rows)),
                     slots, max_tokens);
}

std::size_t DeviceDecoder::weight_bytes() const {
    return convolution_bytes(convolutions_) + connector_.weight_bytes() + transformer_.weight_bytes() +
           project_out_.bytes() + project_out_bias_.bytes();
}

void DeviceDecoder::push(const Step& step, const SlotsState& state, const StepScratch& scratch,
                         const std::int32_t* tokens, const float* voice, float* mel) const {
    FsqDecodeArgs dequantise;
    dequantise.clock = step.clock;
    dequantise.tokens_per_slot = step.tokens;
    dequantise.fsq = fsq_;
    dequantise.concealing = concealing_;
    dequantise.concealing.memory = state.memory.data();
    dequantise.tokens = tokens;
    dequantise.dimension = dimension_;
    dequantise.project_out = project_out_.data();
    dequantise.bias = project_out_bias_.data();
    dequantise.g = voice;
    dequantise.y = scratch.x.data();
    fsq_decode(step.queue, dequantise);
    connector_.apply(step, state.transformers[0], scratch.rows, scratch.x.data());
    expand(step, state, scratch, mel);
    ConcealArgs end;
    end.clock = step.clock;
    end.tokens_per_slot = step.tokens;
    end.concealing = dequantise.concealing;
    end.tokens = tokens;
    end.floor = state.floor.data();
    end.mel = mel;
    end.bands = bands_;
    conceal(step.queue, end);
}

void DeviceDecoder::push_acoustic(const Step& step, const SlotsState& state, const StepScratch& scratch,
                                  const float* acoustic, float* mel) const {
    step.queue.copy_on_device(scratch.x.data(), acoustic, area(step.rows(), dimension_) * sizeof(float));
    expand(step, state, scratch, mel);
    advance(step.queue, step.clock, step.tokens);
}

void DeviceDecoder::expand(const Step& step, const SlotsState& state, const StepScratch& scratch, float* mel) const {
    float* x = scratch.x.data();
    transformer_.apply(step, state.transformers[1], scratch.rows, x);
    run(step, layers_, convolutions_, state, scratch, x, nullptr, mel);
}

}  // namespace secousti::core::cuda
