// One slot's state to and from the state arena of a stream on the CPU: snapshots go either way.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "cuda/stages.h"
#include "layers/conv.h"
#include "layers/transformer.h"
#include "models/concealment.h"
#include "models/decoder.h"
#include "models/encoder.h"

namespace secousti::core::cuda {

/// The layers whose past a snapshot holds, of an encoder or a decoder: on the device and on the CPU, each in order of
/// application.
struct SnapshotLayers {
    const SeanetConvolutions& convolutions;
    std::array<const Conv*, kSeanetLayers> cpu_convolutions;
    std::vector<const DeviceTransformer*> transformers;
    std::vector<const Transformer*> cpu_transformers;
};

/// Both wait for the queue. What is loaded lies between two tokens; otherwise Error(incompatible).
void save_slot(const CudaQueue& stream, const SnapshotLayers& layers, const SlotsState& state, int slot,
               std::byte* arena);
void load_slot(const CudaQueue& stream, const SnapshotLayers& layers, const SlotsState& state, int slot,
               const std::byte* arena);

/// What a decoder's slot remembers of its tokens, likewise; and a slot that has heard none.
void save_tokens(const CudaQueue& stream, const SlotsState& state, int slot, const Concealment& cpu, std::byte* arena);
void load_tokens(const CudaQueue& stream, const SlotsState& state, int slot, const Concealment& cpu,
                 const std::byte* arena);
void forget_tokens(const CudaQueue& stream, const SlotsState& state, int slot);

SnapshotLayers encoder_layers(const DeviceEncoder& device, const Encoder& cpu);
SnapshotLayers decoder_layers(const DeviceDecoder& device, const Decoder& cpu);

}  // namespace secousti::core::cuda
