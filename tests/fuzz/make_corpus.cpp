// Writes the seed corpora again: `secousti_make_corpus FOLDER`, for when a format changes. Deterministic.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "io/container.h"
#include "small_models.h"

using namespace secousti::core;

namespace {

std::filesystem::path folder;

void write(const std::string& target, const std::string& name, std::span<const std::byte> bytes) {
    std::filesystem::create_directories(folder / target);
    std::ofstream(folder / target / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

void write(const std::string& target, const std::string& name, const std::string& text) {
    write(target, name, std::as_bytes(std::span(text)));
}

std::vector<std::byte> random_bytes(std::size_t size, std::uint32_t seed) {
    std::mt19937 random(seed);
    std::vector<std::byte> bytes(size);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    return bytes;
}

std::vector<tiny::Shape> shapes() {
    tiny::Shape halved = small_models::kHalved;
    halved.vocoder = "none";
    tiny::Shape hift = small_models::kSpectral;
    hift.vocoder = "hift";
    hift.n_fft = 1024;
    hift.hop_length = 256;
    return {small_models::kSpectral, halved, hift};
}

void containers() {
    const ContainerInfo info{.identity = 77,
                             .sample_rate = 22050,
                             .samples_per_token = 256,
                             .cardinality = 6561,
                             .samples = 3000,
                             .dimension = 5};
    const std::vector<float> voice = {0.5F, -1.0F, 0.0F, 3.0F, 1e-3F};
    std::vector<std::int32_t> tokens(23);
    for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(i * 997 % 6561);
    tokens[9] = -1;
    const auto whole = write_container(info, tokens, voice, {.tokens_per_group = 7, .repeat_voice = true});
    ContainerInfo other = info;
    other.cardinality = 81;
    for (std::int32_t& token : tokens) token %= 81;
    const auto plain = write_container(other, tokens, {});
    std::vector<std::byte> cut(whole.begin(), whole.end() - 30), damaged = whole;
    damaged[60] ^= std::byte{4};
    for (const char* target : {"container", "container_records"}) {
        write(target, "whole", whole);
        write(target, "no_voice", plain);
        write(target, "cut", cut);
        write(target, "damaged", damaged);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        std::cerr << "usage: secousti_make_corpus FOLDER\n";
        return 2;
    }
    folder = argv[1];
    int index = 0;
    for (const tiny::Shape& shape : shapes()) {
        const std::string name = std::string(shape.vocoder) + std::to_string(++index);
        const std::string json = tiny::config_json(shape);
        write("config", name, json);
        write("json", name, json);
        const auto file = tiny::model_bytes(shape);  // its header, and the layout that the target model reads
        std::uint64_t length = 0;
        std::memcpy(&length, file.data(), sizeof length);
        const auto size = static_cast<std::uint32_t>(length);
        std::vector<std::byte> input(sizeof size);
        std::memcpy(input.data(), &size, sizeof size);
        input.insert(input.end(), file.begin() + 8, file.begin() + 8 + static_cast<std::ptrdiff_t>(length));
        write("model", name, input);
        const auto patches = random_bytes(64, size);
        input.insert(input.end(), patches.begin(), patches.end());
        write("model", name + "_patched", input);
    }
    write("json", "values",
          std::string(
              R"( {"a": [1, -2.5e3, true, null, "\u00e9\ud83d\ude00\n"], "b": {"c": {}}, "d": 9007199254740993} )"));
    const auto header = [](const std::string& text, std::size_t data) {
        const std::uint64_t size = text.size();
        return std::string(reinterpret_cast<const char*>(&size), sizeof size) + text + std::string(data, '\1');
    };
    write("safetensors", "three",
          header(R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
                 R"("b":{"dtype":"BF16","shape":[3],"data_offsets":[8,14]},"c":{"dtype":"U8","shape":[],)"
                 R"("data_offsets":[14,15]}})",
                 15));
    write("safetensors", "empty", header("{}", 0));
    containers();
    for (std::uint32_t seed = 0; seed < 4; ++seed) {
        write("packing", std::to_string(seed), random_bytes(40, seed));
        write("voice_code", std::to_string(seed), random_bytes(300, seed));
    }
    for (std::uint32_t seed = 0; seed < 10; ++seed) {
        for (const char* target : {"encode", "decode", "snapshot", "packet", "group"}) {
            auto bytes = random_bytes(400, seed);
            bytes[0] = static_cast<std::byte>(seed % 5);  // each model
            bytes[1] = std::byte{0};
            write(target, std::to_string(seed), bytes);
        }
    }
    return 0;
}
