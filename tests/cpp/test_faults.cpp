// What can go wrong around the engine: memory that runs out anywhere, files cut short while they are read, processes
// that fork, signals.
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "allocations.h"
#include "base/aligned_memory.h"
#include "base/error.h"
#include "check.h"
#include "io/byte_source.h"
#include "secousti.h"
#include "secousti_container.h"
#include "streams.h"
#include "tiny_model.h"

#if !defined(_WIN32)
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#endif

using namespace streams;

namespace {

using tiny::kSmallest;  // an allocation more costs one more try

/// Between the allocations that fail: 1, but where a run repeats others on one more instruction set or under
/// ThreadSanitizer, which have nothing of their own to find.
std::uint64_t default_stride() {
#if defined(__SANITIZE_THREAD__)
    return 41;
#else
    return std::getenv("SECOUSTI_ISA") != nullptr ? 41 : 1;
#endif
}

/// Runs `call`, which frees what it made, with each of its allocations failing in turn, and some together with all that
/// follow. Returns how many calls failed.
std::uint64_t exhaust(const std::string& what, const std::function<std::int64_t()>& call,
                      std::uint64_t stride = default_stride()) {
    CHECK_MSG(call() >= 0, what);  // fills what is kept for good
    std::uint64_t tries = 0;
    for (const std::uint64_t times : {std::uint64_t{1}, std::uint64_t{1} << 40U}) {
        for (std::uint64_t n = 0;; n += times == 1 ? stride : 11 * stride) {
            const std::size_t before = allocations::live_bytes();
            std::int64_t status = 0;
            bool happened = false;
            {
                const allocations::Failing failing(n, times);
                status = call();
                happened = failing.happened();
            }
            const std::size_t after = allocations::live_bytes();
            const std::string label = what + ", allocation " + std::to_string(n);
            CHECK_MSG(after == before, label + " leaks");
            if (!happened) {
                CHECK_MSG(status >= 0, label);
                break;
            }
            ++tries;
            CHECK_MSG(status == SECOUSTI_OUT_OF_MEMORY, label + " gives " + std::to_string(status));
            CHECK_MSG(std::string(secousti_last_error()) == "out of memory", label + ": " + secousti_last_error());
        }
    }
    CHECK_MSG(call() >= 0, what + " afterwards");
    return tries * stride;
}

struct TemporaryFile {
    std::string path = (std::filesystem::temp_directory_path() /
                        ("secousti-fault-" + std::to_string(std::random_device{}()) + ".safetensors"))
                           .string();
    explicit TemporaryFile(const std::vector<std::byte>& bytes) { write(bytes); }
    ~TemporaryFile() { std::filesystem::remove(path); }
    void write(const std::vector<std::byte>& bytes) const {
        std::ofstream(path, std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    }
};

template <class Handle, class Make>
std::int64_t made(const Make& make, void (*destroy)(Handle*)) {
    Handle* handle = nullptr;
    const secousti_status status = make(&handle);
    CHECK((status == SECOUSTI_OK) == (handle != nullptr));
    destroy(handle);
    return status;
}

}  // namespace

TEST(every_allocation_of_opening_may_fail) {
    for (const char* vocoder : {"spectral", "hift"}) {
        tiny::Shape shape = kSmallest;
        shape.vocoder = vocoder;
        if (std::string(vocoder) == "hift") shape.n_fft = 1024, shape.hop_length = 256;
        const std::vector<std::byte> bytes = tiny::model_bytes(shape);
        const TemporaryFile file(bytes);
        secousti_model_options options;
        secousti_model_options_init(&options);
        options.precision = SECOUSTI_PRECISION_INT8;
        const auto from_memory = [&] {
            return made<secousti_model>(
                [&](secousti_model** m) { return secousti_model_open_memory(bytes.data(), bytes.size(), nullptr, m); },
                secousti_model_release);
        };
        const auto from_file = [&] {
            return made<secousti_model>(
                [&](secousti_model** m) { return secousti_model_open(file.path.c_str(), &options, m); },
                secousti_model_release);
        };
        CHECK(exhaust("open from memory", from_memory) > 300);
        CHECK(exhaust("open from a file", from_file, 7 * default_stride()) > 300);
    }
}

TEST(every_allocation_of_streams_may_fail) {
    for (const tiny::Shape& shape : {tiny::kHalved, tiny::kHift}) {
        const auto model = open(shape);
        secousti_encoder_options encoding;
        secousti_encoder_options_init(&encoding);
        secousti_decoder_options decoding;
        secousti_decoder_options_init(&decoding);
        encoding.threads = decoding.threads = 3;
        secousti::Encoder encoder(model, 2);
        secousti::Decoder decoder(model);
        const auto state = encoder.snapshot(), other = decoder.snapshot();
        using EncoderCall = std::function<secousti_status(secousti_encoder**)>;
        using DecoderCall = std::function<secousti_status(secousti_decoder**)>;
        const EncoderCall encoders[] = {
            [&](auto** e) { return secousti_encoder_create(model.get(), &encoding, e); },
            [&](auto** e) { return secousti_encoder_clone(encoder.get(), e); },
            [&](auto** e) { return secousti_encoder_restore(model.get(), state.data(), state.size(), &encoding, e); }};
        const DecoderCall decoders[] = {
            [&](auto** d) { return secousti_decoder_create(model.get(), &decoding, d); },
            [&](auto** d) { return secousti_decoder_clone(decoder.get(), d); },
            [&](auto** d) { return secousti_decoder_restore(model.get(), other.data(), other.size(), &decoding, d); }};
        for (const EncoderCall& call : encoders) {
            CHECK(exhaust("encoder", [&] { return made<secousti_encoder>(call, secousti_encoder_destroy); }) >= 3);
        }
        for (const DecoderCall& call : decoders) {
            CHECK(exhaust("decoder", [&] { return made<secousti_decoder>(call, secousti_decoder_destroy); }) >= 3);
        }
    }
}

TEST(every_allocation_of_stages_and_containers_may_fail) {
    const auto model = open(tiny::kPlain);
    const secousti_model_info info = model.info();
    const Pcm pcm = random_pcm(4000), voice = random_voice(model);
    const Pcm mel = model.mel(pcm);
    const std::size_t frames = mel.size() / static_cast<std::size_t>(info.n_mels);
    Pcm out(mel.size() + pcm.size() + static_cast<std::size_t>(info.dimension));
    Tokens tokens(frames);
    secousti_encode_outputs outputs{};
    outputs.struct_size = sizeof outputs;
    outputs.tokens = tokens.data();
    exhaust("mel", [&] { return secousti_mel(model.get(), pcm.data(), pcm.size(), out.data(), frames); });
    exhaust("encode", [&] { return secousti_encode_mel(model.get(), mel.data(), frames, 2, &outputs); });
    exhaust("voice", [&] { return std::int64_t{secousti_voice_of_mel(model.get(), mel.data(), frames, out.data())}; });
    exhaust("decode", [&] {
        return secousti_decode_tokens(model.get(), tokens.data(), tokens.size(), voice.data(), 2, out.data(), frames);
    });
    exhaust("vocode",
            [&] { return secousti_vocode(model.get(), mel.data(), frames, nullptr, out.data(), out.size()); });

    secousti_container_info about;
    secousti_container_info_init(&about);
    about.sample_rate = info.sample_rate;
    about.samples_per_token = info.frame_size;
    about.cardinality = info.cardinality;
    about.dimension = info.dimension;
    std::vector<std::byte> packed(static_cast<std::size_t>(
        secousti_container_pack(&about, tokens.data(), tokens.size(), voice.data(), nullptr, 0)));
    const auto pack = [&] {
        return secousti_container_pack(&about, tokens.data(), tokens.size(), voice.data(), packed.data(),
                                       packed.size());
    };
    CHECK(exhaust("pack", pack) > 2);
    packed[packed.size() / 2] ^= std::byte{2};  // a note and a repair
    CHECK(exhaust("read", [&] {
              return made<secousti_container>(
                  [&](auto** c) { return secousti_container_open(packed.data(), packed.size(), c); },
                  secousti_container_close);
          }) > 5);
    CHECK(exhaust("write", [&] {
              secousti_container_writer* writer = nullptr;
              secousti_status status = secousti_container_writer_create(&about, voice.data(), &writer);
              if (status == SECOUSTI_OK)
                  status = secousti_container_writer_append(writer, tokens.data(), tokens.size());
              if (status == SECOUSTI_OK) status = secousti_container_writer_finish(writer, -1, nullptr);
              secousti_container_writer_destroy(writer);
              return std::int64_t{status};
          }) > 3);
}

TEST(small_files_cannot_ask_for_large_streams) {
    tiny::Shape shape = kSmallest;
    shape.context = 16384;
    shape.dimension = 16;
    secousti_model* model = nullptr;
    const auto bytes = tiny::model_bytes(shape);
    CHECK(secousti_model_open_memory(bytes.data(), bytes.size(), nullptr, &model) == SECOUSTI_OK);
    secousti_model_release(model);
    // 128 layers of attention, whose keys and values would take a quarter of a gigabyte.
    std::string json = tiny::config_json(shape);
    const std::string layers = R"("layers": {"acoustic": 1, "semantic": 2, "connector": 1, "decoder": 2})";
    const std::size_t at = json.find(layers);
    CHECK(at != std::string::npos);
    if (at == std::string::npos) return;
    json.replace(at, layers.size(), R"("layers": {"acoustic": 0, "semantic": 128, "connector": 1, "decoder": 1})");
    const auto deep = tiny::safetensors(json, tiny::random_tensors(json, 1));
    allocations::begin_peak();
    const std::size_t before = allocations::live_bytes();
    CHECK(secousti_model_open_memory(deep.data(), deep.size(), nullptr, &model) == SECOUSTI_INCOMPATIBLE);
    CHECK_MSG(std::string(secousti_last_error()).find("each encoder") != std::string::npos, secousti_last_error());
    CHECK(allocations::peak_bytes() - before < 100 * deep.size());
}

#if defined(__linux__) && !defined(SECOUSTI_SANITIZED)  // whose allocators keep what is freed for a while

double resident_mb() {
    std::ifstream file("/proc/self/statm");
    double total = 0, resident = 0;
    file >> total >> resident;
    return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

TEST(large_blocks_that_come_and_go_take_no_more_memory) {
    using namespace secousti::core;
    // Streams of several sizes, as in a long call, while the host keeps something small of each.
    constexpr std::size_t kMiB = std::size_t{1} << 20U, kSizes[] = {3 * kMiB, 5 * kMiB + 777, 2 * kMiB, 4 * kMiB + 64};
    std::vector<std::vector<char>> kept;
    double settled = 0;
    for (int round = 0; round < 60; ++round) {
        if (round == 10) settled = resident_mb();
        std::vector<std::pair<void*, std::size_t>> blocks;
        for (const std::size_t size : kSizes) {
            void* block = allocate_aligned(size);
            CHECK(reinterpret_cast<std::uintptr_t>(block) % (2 * kMiB) == 0);
            std::memset(block, round, size);
            blocks.emplace_back(block, size);
            kept.emplace_back(3000);
        }
        for (const auto& [block, size] : blocks) free_aligned(block, size);
    }
    const double grown = resident_mb() - settled;
    CHECK_MSG(grown < 4.0, std::to_string(grown) + " MB");
}

TEST(large_blocks_that_the_system_refuses_are_errors) {
    using namespace secousti::core;
    const std::size_t before = allocations::live_bytes();
    {
        const allocations::Failing failing(0);
        CHECK_THROWS(allocate_aligned(std::size_t{4} << 20U), std::bad_alloc, "");
    }
    CHECK_THROWS(allocate_aligned(SIZE_MAX - 100), std::bad_alloc, "");
    CHECK(allocations::live_bytes() == before);
    void* block = allocate_aligned(std::size_t{4} << 20U);
    CHECK(allocations::live_bytes() == before + (std::size_t{4} << 20U));
    free_aligned(block, std::size_t{4} << 20U);
    CHECK(allocations::live_bytes() == before);
}

#endif

TEST(messages_that_find_no_memory_are_errors_too) {
    const auto model = open(tiny::kPlain);
    secousti::Encoder encoder(model);
    Tokens tokens(100);
    const Pcm pcm = random_pcm(3000);
    for (std::uint64_t n = 0; n < 6; ++n) {
        const allocations::Failing failing(n, 1000);
        const std::int64_t status = secousti_encoder_push(encoder.get(), pcm.data(), pcm.size(), tokens.data(), 0);
        CHECK(status == SECOUSTI_INVALID_ARGUMENT || status == SECOUSTI_OUT_OF_MEMORY);
    }
    CHECK(encode(encoder, pcm, 500) == encode(model, pcm, 500));  // nothing was consumed
}

TEST(a_file_cut_short_while_it_is_read_is_an_error) {
    const std::vector<std::byte> bytes = tiny::model_bytes(tiny::kPlain);
    const TemporaryFile file(bytes);
    for (int i = 0; i < 60; ++i) {  // a race: either may win, but nothing else may happen
        file.write(bytes);
        std::atomic<bool> go{false};
        std::thread cutter([&] {
            while (!go) std::this_thread::yield();
            const auto wait = std::chrono::steady_clock::now() + std::chrono::microseconds(i * 60);
            while (std::chrono::steady_clock::now() < wait) {
            }
            std::filesystem::resize_file(file.path, static_cast<std::uintmax_t>(i % 3) * bytes.size() / 3);
        });
        secousti_model* model = nullptr;
        go = true;
        const secousti_status status = secousti_model_open(file.path.c_str(), nullptr, &model);
        cutter.join();
        CHECK_MSG(status == SECOUSTI_OK || status == SECOUSTI_INVALID_FILE, secousti_last_error());
        secousti_model_release(model);
    }
    file.write(bytes);
    const auto source = secousti::core::ByteSource::open(file.path);
    std::filesystem::resize_file(file.path, bytes.size() / 2);
    std::vector<std::byte> all(source.size());
    CHECK_THROWS(source.read(0, all), secousti::core::Error, "ends at byte");
}

#if !defined(_WIN32)

TEST(signals_change_nothing) {
    const auto bytes = tiny::model_bytes(tiny::kOdd);
    const TemporaryFile file(bytes);
    const auto model = open(tiny::kOdd);
    const Pcm pcm = random_pcm(6000);
    const Tokens expected = encode(model, pcm, 500);
    static std::atomic<int> arrived;
    arrived = 0;
    struct sigaction action{}, before{};
    action.sa_handler = [](int) { ++arrived; };  // no SA_RESTART: calls of the system are interrupted
    ::sigaction(SIGALRM, &action, &before);
    const itimerval often{{0, 200}, {0, 200}}, never{};
    ::setitimer(ITIMER_REAL, &often, nullptr);
    int wrong = 0;
    for (int i = 0; i < 2000 && (i < 10 || arrived < 200); ++i) {
        const auto opened = secousti::Model::from_file(file.path);
        wrong += encode(opened, pcm, 500, 2) != expected;
    }
    ::setitimer(ITIMER_REAL, &never, nullptr);
    ::sigaction(SIGALRM, &before, nullptr);
    CHECK(wrong == 0);
    CHECK(arrived > 0);
}

#if !defined(__SANITIZE_THREAD__)  // which stops a program that forks while it has threads

TEST(streams_go_on_in_a_forked_process) {
    const auto model = open(tiny::kHift);
    const Pcm pcm = random_pcm(6000);
    const Tokens expected = encode(model, pcm, 500);
    secousti::Encoder single(model), pooled(model, 3);
    Tokens head, ignored;
    single.push(std::span(pcm).first(2500), head);
    pooled.push(std::span(pcm).first(2500), ignored);
    std::vector<pid_t> children;
    for (int i = 0; i < 3; ++i) {
        const pid_t child = ::fork();
        CHECK(child >= 0);
        if (child != 0) {
            children.push_back(child);
            continue;
        }
        ::alarm(100);  // instead of a process that hangs
        bool good = encode(model, pcm, 700, 2) == expected;
        for (secousti::Encoder* parent : {&single, &pooled}) {
            const secousti::Encoder stream = std::move(*parent);
            Tokens tokens = head;
            secousti::Encoder copy = stream.clone();
            copy.push(std::span(pcm).subspan(2500), tokens);
            copy.flush(tokens);
            good = good && tokens == expected;
        }
        ::_exit(good ? 0 : 1);
    }
    for (const pid_t child : children) {
        int status = -1;
        CHECK(::waitpid(child, &status, 0) == child);
        CHECK_MSG(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child ended with " + std::to_string(status));
    }
    pooled.push(std::span(pcm).subspan(2500), ignored);  // the parent's threads are as before
    pooled.flush(ignored);
    CHECK(ignored == expected);
}

#endif
#endif
