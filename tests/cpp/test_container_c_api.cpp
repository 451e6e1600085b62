#include <cmath>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "check.h"
#include "secousti_container.h"

namespace {

secousti_container_info stream_info(std::int32_t dimension = 0) {
    secousti_container_info info;
    secousti_container_info_init(&info);
    info.identity = 42;
    info.sample_rate = 22050;
    info.samples_per_token = 1024;
    info.cardinality = 6561;
    info.dimension = dimension;
    return info;
}

std::vector<std::int32_t> some_tokens(std::size_t count) {
    std::vector<std::int32_t> tokens(count);
    for (auto& token : tokens) token = static_cast<std::int32_t>(check::random()() % 6561);
    return tokens;
}

secousti_container_contents contents_of(const secousti_container* container) {
    secousti_container_contents contents{};
    contents.struct_size = sizeof contents;
    CHECK(secousti_container_get_contents(container, &contents) == SECOUSTI_OK);
    return contents;
}

bool last_error_has(const char* part) { return std::string(secousti_last_error()).find(part) != std::string::npos; }

}  // namespace

TEST(container_c_api_packs_and_reports) {
    const auto tokens = some_tokens(230);
    const auto voice = check::uniform_vector(192);
    auto info = stream_info(192);
    info.samples = 230 * 1024;
    const std::int64_t size = secousti_container_pack(&info, tokens.data(), tokens.size(), voice.data(), nullptr, 0);
    CHECK(size == 2 * 44 + 192 + 6 + 3 * 11 + 230 / 5 * 8);
    std::vector<unsigned char> bytes(static_cast<std::size_t>(size));
    CHECK(secousti_container_pack(&info, tokens.data(), tokens.size(), voice.data(), bytes.data(), bytes.size() - 1) ==
          SECOUSTI_INVALID_ARGUMENT);
    CHECK(last_error_has("a buffer of"));
    CHECK(secousti_container_pack(&info, tokens.data(), tokens.size(), voice.data(), bytes.data(), bytes.size()) ==
          size);

    std::memset(bytes.data() + 44 + 198 + 30, 0, 20);  // inside the first group
    secousti_container* container = nullptr;
    CHECK(secousti_container_open(bytes.data(), bytes.size(), &container) == SECOUSTI_OK);
    std::fill(bytes.begin(), bytes.end(), static_cast<unsigned char>(0xEE));
    auto read = stream_info();
    CHECK(secousti_container_get_info(container, &read) == SECOUSTI_OK);
    CHECK(read.identity == 42 && read.sample_rate == 22050 && read.samples_per_token == 1024);
    CHECK(read.cardinality == 6561 && read.dimension == 192 && read.tokens == 230 && read.samples == 230 * 1024);
    const auto contents = contents_of(container);
    CHECK(contents.count == 230 && contents.tokens[0] == -1 && contents.tokens[99] == -1);
    CHECK(std::equal(tokens.begin() + 100, tokens.end(), contents.tokens + 100));
    CHECK(contents.lost_count == 1 && contents.lost[0].first == 0 && contents.lost[0].count == 100);
    CHECK(contents.complete == 1 && contents.info_lost == 0 && contents.voice_lost == 0);
    CHECK(contents.repaired_bits == 0 && contents.damaged_bytes == 171 && contents.token_bytes == 208);
    CHECK(contents.framing_bytes == 22 && contents.header_bytes == 88 && contents.voice_bytes == 198);
    CHECK(std::string(contents.notes) == "171 bytes from byte 242 on are damaged\ntokens 0 to 99 are lost");
    std::vector<float> expected(192);
    CHECK(secousti_container_quantise(voice.data(), 192, expected.data()) == SECOUSTI_OK);
    CHECK(std::equal(expected.begin(), expected.end(), contents.voice));
    secousti_container_close(container);
    secousti_container_close(nullptr);
}

TEST(container_c_api_writes_streams) {
    const auto tokens = some_tokens(250);
    const auto voice = check::uniform_vector(20);
    const auto info = stream_info(20);
    secousti_container_writer* writer = nullptr;
    CHECK(secousti_container_writer_create(&info, nullptr, &writer) == SECOUSTI_OK);
    std::vector<unsigned char> file;
    const auto take = [&] {
        const void* bytes = nullptr;
        const std::int64_t size = secousti_container_writer_take(writer, &bytes);
        CHECK(size >= 0);
        file.insert(file.end(), static_cast<const unsigned char*>(bytes),
                    static_cast<const unsigned char*>(bytes) + size);
        return size;
    };
    CHECK(take() == 44);
    CHECK(take() == 0);
    CHECK(secousti_container_writer_append(writer, tokens.data(), 99) == SECOUSTI_OK);
    CHECK(take() == 0);
    CHECK(secousti_container_writer_append(writer, tokens.data() + 99, 51) == SECOUSTI_OK);
    CHECK(take() == 171);
    CHECK(secousti_container_writer_flush(writer) == SECOUSTI_OK);
    CHECK(take() == 91);
    CHECK(secousti_container_writer_append(writer, tokens.data() + 150, 100) == SECOUSTI_OK);
    CHECK(secousti_container_writer_finish(writer, 256000, voice.data()) == SECOUSTI_OK);
    CHECK(take() == 171 + 44 + 22);
    CHECK(secousti_container_writer_append(writer, tokens.data(), 1) == SECOUSTI_INVALID_STATE);
    CHECK(last_error_has("append after finish"));
    secousti_container_writer_destroy(writer);
    secousti_container* container = nullptr;
    CHECK(secousti_container_open(file.data(), file.size(), &container) == SECOUSTI_OK);
    const auto contents = contents_of(container);
    CHECK(contents.count == 250 && std::equal(tokens.begin(), tokens.end(), contents.tokens));
    CHECK(contents.complete == 1 && *contents.notes == '\0' && contents.voice != nullptr);
    secousti_container_close(container);
}

TEST(container_c_api_refuses_bad_arguments) {
    auto info = stream_info();
    const std::int32_t token = 0;
    secousti_container* container = nullptr;
    CHECK(secousti_container_pack(nullptr, &token, 1, nullptr, nullptr, 0) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(last_error_has("info is NULL"));
    CHECK(secousti_container_pack(&info, nullptr, 1, nullptr, nullptr, 0) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(last_error_has("tokens is NULL"));
    CHECK(secousti_container_pack(&info, nullptr, 0, nullptr, nullptr, 0) == 88);
    CHECK(secousti_container_pack(&info, &token, 1, nullptr, nullptr, 9) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(last_error_has("bytes is NULL"));
    info.cardinality = -5;
    CHECK(secousti_container_pack(&info, &token, 1, nullptr, nullptr, 0) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(last_error_has("the cardinality is negative"));
    info = stream_info(7);
    CHECK(secousti_container_pack(&info, &token, 1, nullptr, nullptr, 0) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(last_error_has("voice is NULL"));
    info.struct_size = 8;
    CHECK(secousti_container_pack(&info, &token, 1, nullptr, nullptr, 0) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(last_error_has("was not set up"));
    CHECK(secousti_container_open(&token, 4, nullptr) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(secousti_container_open(nullptr, 4, &container) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(secousti_container_open(nullptr, 0, &container) == SECOUSTI_INVALID_FILE);
    CHECK(secousti_container_open(&token, 4, &container) == SECOUSTI_INVALID_FILE && container == nullptr);
    CHECK(last_error_has("no header and no intact group of tokens in 4 bytes"));
    std::thread([] { CHECK(*secousti_last_error() == '\0'); }).join();  // each thread has its own
    secousti_container_contents contents{};
    CHECK(secousti_container_get_contents(nullptr, &contents) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(secousti_container_writer_append(nullptr, &token, 1) == SECOUSTI_INVALID_ARGUMENT);
    const void* bytes = nullptr;
    CHECK(secousti_container_writer_take(nullptr, &bytes) == SECOUSTI_INVALID_ARGUMENT);
    float value = NAN;
    CHECK(secousti_container_quantise(&value, 1, &value) == SECOUSTI_INVALID_ARGUMENT);
    CHECK(last_error_has("value 0 is not finite"));
}
