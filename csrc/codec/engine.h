// Where a model works: the CPU, or a device. The rest of the codec knows both through this interface alone.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "codec/model.h"

namespace secousti::core {

class DecoderGroup;
class DecoderStream;
class EncoderGroup;
class EncoderStream;
class Offline;
class VoiceFeatures;
struct GroupOptions;

/// Memory on a device that belongs to the caller. Streams are the device's own (a cudaStream_t).
class OwnedDeviceMemory {
  public:
    OwnedDeviceMemory() = default;
    virtual ~OwnedDeviceMemory() = default;  ///< after what uses it
    OwnedDeviceMemory(const OwnedDeviceMemory&) = delete;
    OwnedDeviceMemory& operator=(const OwnedDeviceMemory&) = delete;
    virtual void* address() const noexcept = 0;
    virtual std::size_t bytes() const noexcept = 0;
    /// All of it from and to host memory, in the order of the stream; these wait, as does `wait` for the stream alone.
    virtual void write(void* stream, const void* host) = 0;
    virtual void read(void* stream, void* host) const = 0;
    virtual void wait(void* stream) const = 0;
};

/// Makes all that computes in one place. A model owns the engine of the device that it was opened for, and passes
/// itself to it. `threads` count on the CPU only. All that make something throw Error: unsupported for what the device
/// cannot do, out_of_memory; std::bad_alloc.
class Engine {
  public:
    Engine() = default;
    virtual ~Engine() = default;
    Engine(const Engine&) = delete;
    Engine& operator=(const Engine&) = delete;

    /// As in secousti_model_options: "cpu", "cuda".
    virtual const char* device() const noexcept = 0;
    /// Bytes of weights that the engine holds beside the model's own, which are on the host.
    virtual std::size_t weight_bytes() const noexcept = 0;

    virtual std::unique_ptr<EncoderStream> make_encoder(ModelPtr model, int threads) const = 0;
    virtual std::unique_ptr<DecoderStream> make_decoder(ModelPtr model, const VocoderOptions& options,
                                                        std::span<const float> voice, int threads) const = 0;
    /// Streams that go on where a snapshot was taken; throw as read_snapshot (codec/snapshot.h).
    virtual std::unique_ptr<EncoderStream> restore_encoder(ModelPtr model, std::span<const std::byte> snapshot,
                                                           int threads) const = 0;
    virtual std::unique_ptr<DecoderStream> restore_decoder(ModelPtr model, std::span<const std::byte> snapshot,
                                                           int threads) const = 0;
    /// Options were checked: see make_encoder_group (codec/group.h).
    virtual std::unique_ptr<EncoderGroup> make_encoder_group(ModelPtr model, const GroupOptions& options) const = 0;
    virtual std::unique_ptr<DecoderGroup> make_decoder_group(ModelPtr model, const GroupOptions& options,
                                                             const VocoderOptions& vocoder,
                                                             std::span<const float> voice) const = 0;
    /// The model outlives it.
    virtual std::unique_ptr<Offline> make_offline(const Model& model, int threads) const = 0;
    virtual std::unique_ptr<VoiceFeatures> make_voice_features(ModelPtr model) const = 0;
    virtual std::unique_ptr<OwnedDeviceMemory> make_memory(const Model& model, std::size_t bytes) const = 0;
};

/// How an engine is registered.
struct EngineEntry {
    std::string_view name;
    /// Of a model that is opened without a precision.
    Precision (*default_precision)(const Config& config);
    /// `device` is what the host asked for. Throws Error: unsupported when the machine has no such device.
    std::shared_ptr<const Engine> (*open)(std::string_view device, const Config& config, const WeightMap& weights);
};

/// The engines of this build, the CPU's first. Generated (cmake/engines.cmake): a program that links the static
/// library gets the engines that are named there, and no static initialiser is needed.
std::vector<EngineEntry> registered_engines();

/// The CPU's, of all models: they hold what it needs.
const std::shared_ptr<const Engine>& cpu_engine();
EngineEntry cpu_entry();

/// The engine for a device. Throws Error: invalid_argument for a name that no build knows, unsupported for one that
/// this build lacks.
const EngineEntry& engine_for(std::string_view device);
/// The model's own engine (`device` is its name, or empty), or the CPU's, where every model works. Throws Error as
/// above, and unsupported for a device that the model was not opened for.
const Engine& engine_of(const Model& model, std::string_view device);

}  // namespace secousti::core
