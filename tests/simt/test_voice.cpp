// The paralinguistic encoder on the device against the CPU's.
#include <string>
#include <vector>

#include "check.h"
#include "cuda/voice.h"
#include "device_array.h"
#include "models/paralinguistic.h"
#include "tiny_model.h"

using namespace secousti::core;
using simt_test::Array;
using simt_test::queue;

TEST(simt_voice_equals_the_cpu) {
    for (const tiny::Shape& shape : {tiny::kPlain, tiny::kOdd}) {
        const std::vector<std::byte> bytes = tiny::model_bytes(shape);
        const SafetensorsFile file = SafetensorsFile::from_memory(bytes);
        const WeightMap weights(file);
        const Config config = Config::parse(tiny::config_json(shape), shape.name);
        const ParalinguisticEncoder cpu(default_backend(), config, weights);
        const cuda::DeviceVoice device(queue(), config, weights);
        const cuda::DeviceVoice::Scratch scratch = device.make_scratch(queue());
        CHECK(device.weight_bytes() > 0);
        const int prompt = config.prompt_frames;
        for (const int frames : {3 * prompt + 1, prompt, 1, 2, prompt - 1}) {
            const auto mel = check::uniform_vector(static_cast<std::size_t>(frames * config.n_mels), -2.0F, 2.0F);
            const Array<float> device_mel(mel);
            const Array<float> g(static_cast<std::size_t>(config.dimension));
            device.encode(queue(), scratch, device_mel.data(), static_cast<std::size_t>(frames), g.data());
            const std::vector<float> expected =
                cpu.encode({&default_backend(), nullptr}, mel.data(), static_cast<std::size_t>(frames));
            CHECK_VECTORS_CLOSE(g.host(), expected, 2e-6, 1e-5, std::to_string(frames) + " frames");
        }
    }
}
