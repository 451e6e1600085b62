#include <cstdio>
#include <secousti.hpp>

int main(int argc, char** argv) try {
    const auto model = secousti::Model::from_file(argc > 1 ? argv[1] : "");
    secousti::Encoder encoder(model);
    std::vector<std::int32_t> tokens;
    encoder.push(std::vector<float>(22050, 0.01F), tokens);
    encoder.flush(tokens);
    secousti::Decoder decoder(model);
    std::vector<float> pcm;
    decoder.push(tokens, pcm);
    decoder.flush(pcm);
    std::printf("%s %zu %zu\n", secousti_version(), tokens.size(), pcm.size());
    return 0;
} catch (const secousti::Error& error) {
    std::printf("error %d: %s\n", error.status(), error.what());
    return 1;
}
