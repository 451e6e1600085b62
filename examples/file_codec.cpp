// Codes a WAV file and decodes it again, through the C++ interface: secousti_file_codec MODEL IN.wav OUT.wav
// WAV is mono, 16-bit or float, at the model's rate. The audio goes through in 20 ms chunks, as a live host's would.
#include <algorithm>
#include <cstdio>
#include <secousti.hpp>
#include <stdexcept>

#include "wav.h"

namespace {

void check(const char* error) {
    if (error != nullptr) throw std::runtime_error(error);
}

std::vector<float> read_wav(const char* path, int sample_rate) {
    float* samples = nullptr;
    std::size_t count = 0;
    check(wav_read(path, sample_rate, &samples, &count));
    const std::unique_ptr<float, decltype(&std::free)> owner(samples, std::free);
    return {samples, samples + count};
}

}  // namespace

int main(int argc, char** argv) try {
    if (argc != 4) throw std::runtime_error("usage: secousti_file_codec MODEL IN.wav OUT.wav");
    const auto model = secousti::Model::from_file(argv[1]);
    const int rate = model.info().sample_rate;
    const std::vector<float> pcm = read_wav(argv[2], rate);

    secousti::Encoder encoder(model);
    std::vector<std::int32_t> tokens;
    const std::size_t chunk = static_cast<std::size_t>(rate) / 50;
    for (std::size_t at = 0; at < pcm.size(); at += chunk)
        encoder.push(std::span(pcm).subspan(at, std::min(chunk, pcm.size() - at)), tokens);
    encoder.flush(tokens);

    secousti::Decoder decoder(model, model.voice(model.mel(pcm)));
    std::vector<float> decoded;
    for (const std::int32_t token : tokens) decoder.push({&token, 1}, decoded);
    decoder.flush(decoded);
    decoded.resize(pcm.size());  // tokens cover whole frames
    check(wav_write(argv[3], decoded.data(), decoded.size(), rate));
    std::printf("%zu samples, %zu tokens\n", pcm.size(), tokens.size());
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "secousti_file_codec: %s\n", error.what());
    return 1;
}
