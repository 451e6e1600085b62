// Codes a WAV file and decodes it again, through the C++ interface: secousti_file_codec MODEL IN.wav OUT.wav
// WAV is mono, 16-bit or float, at the model's rate. The audio goes through in 20 ms chunks, as a live host's would.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <secousti.hpp>
#include <stdexcept>

namespace {

template <class T>
T field(const std::vector<char>& bytes, std::size_t at) {  // little endian, as WAV and the hosts we build for
    if (at + sizeof(T) > bytes.size()) throw std::runtime_error("the WAV file is cut short");
    T value;
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

std::vector<float> read_wav(const char* path, int sample_rate) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(std::string("cannot read ") + path);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    if (field<std::uint32_t>(bytes, 0) != 0x46464952) throw std::runtime_error(std::string(path) + " is no WAV file");
    int format = 0, bits = 0;
    for (std::size_t at = 12;;) {
        const std::uint32_t id = field<std::uint32_t>(bytes, at), size = field<std::uint32_t>(bytes, at + 4);
        at += 8;
        if (id == 0x20746d66) {  // "fmt "
            format = field<std::uint16_t>(bytes, at), bits = field<std::uint16_t>(bytes, at + 14);
            if (field<std::uint16_t>(bytes, at + 2) != 1 || field<std::int32_t>(bytes, at + 4) != sample_rate ||
                !((format == 1 && bits == 16) || (format == 3 && bits == 32)))
                throw std::runtime_error("expected mono, 16-bit or float, at " + std::to_string(sample_rate) + " Hz");
        } else if (id == 0x61746164) {  // "data"
            if (bits == 0) throw std::runtime_error("the WAV file has no format chunk");
            std::vector<float> pcm(std::min<std::size_t>(size, bytes.size() - at) / static_cast<std::size_t>(bits / 8));
            for (std::size_t i = 0; i < pcm.size(); ++i)
                pcm[i] =
                    bits == 16 ? field<std::int16_t>(bytes, at + 2 * i) / 32768.0F : field<float>(bytes, at + 4 * i);
            return pcm;
        }
        at += size + size % 2;
    }
}

void write_wav(const char* path, const std::vector<float>& pcm, int sample_rate) {
    const std::uint32_t size = static_cast<std::uint32_t>(2 * pcm.size()),
                        rate = static_cast<std::uint32_t>(sample_rate);
    const std::uint32_t header[] = {0x46464952, 36 + size, 0x45564157, 0x20746d66, 16,  0x00010001,
                                    rate,       2 * rate,  0x00100002, 0x61746164, size};
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(header), sizeof header);
    for (const float sample : pcm) {
        const auto value = static_cast<std::int16_t>(std::lrint(std::clamp(sample, -1.0F, 1.0F) * 32767.0F));
        file.write(reinterpret_cast<const char*>(&value), sizeof value);
    }
    if (!file.flush()) throw std::runtime_error(std::string("cannot write ") + path);
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

    secousti::Decoder decoder(model, model.paralinguistic(model.mel(pcm)));
    std::vector<float> decoded;
    for (const std::int32_t token : tokens) decoder.push({&token, 1}, decoded);
    decoder.flush(decoded);
    decoded.resize(pcm.size());  // tokens cover whole frames
    write_wav(argv[3], decoded, rate);
    std::printf("%zu samples, %zu tokens\n", pcm.size(), tokens.size());
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "secousti_file_codec: %s\n", error.what());
    return 1;
}
