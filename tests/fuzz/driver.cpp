// Runs a fuzz target. Built by Clang with SECOUSTI_FUZZER=ON, libFuzzer drives it and SECOUSTI_FUZZ_TARGET names the
// target. Any other build has a main of its own, which mutates the seeds without knowing what they cover:
//
//   secousti_fuzz TARGET [--seconds S] [--seed N] FILE_OR_FOLDER...
//   secousti_fuzz --list
//
// First come the given inputs, then mutants of them. An input that crashes is left in ./crash-TARGET.
#include <string_view>

#include "target.h"

namespace {

const fuzz::Target* find(std::string_view name) {
    for (const fuzz::Target& target : fuzz::targets()) {
        if (name == target.name) return &target;
    }
    std::fprintf(stderr, "no target '%.*s'\n", static_cast<int>(name.size()), name.data());
    std::exit(2);
}

}  // namespace

#if defined(SECOUSTI_LIBFUZZER)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzz::Target* const target = [] {
        const char* name = std::getenv("SECOUSTI_FUZZ_TARGET");
        return find(name != nullptr ? name : "");
    }();
    target->run(std::as_bytes(std::span(data, size)));
    return 0;
}

#else

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#include <sanitizer/common_interface_defs.h>
#define SECOUSTI_HAVE_DEATH_CALLBACK
#endif

namespace {

using Data = std::vector<std::byte>;

constexpr std::size_t kLargest = std::size_t{1} << 20U;

Data current;
std::string crash_name;

void keep_current() {
    const int file = ::open(crash_name.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
    const bool written =
        file >= 0 && ::write(file, current.data(), current.size()) == static_cast<ssize_t>(current.size());
    std::fprintf(stderr, "input of %zu bytes %s %s\n", current.size(), written ? "is in" : "cannot be written to",
                 crash_name.c_str());
}

void on_signal(int number) {
    keep_current();
    std::signal(number, SIG_DFL);
    std::raise(number);
}

class Mutator {
  public:
    Mutator(const std::vector<Data>& seeds, std::uint32_t seed) : seeds_(seeds), random_(seed) {}

    Data next() {
        Data data = pick();
        for (std::size_t i = 0, steps = std::size_t{1} << below(5); i < steps; ++i) mutate(data);
        if (data.size() > kLargest) data.resize(kLargest);
        return data;
    }

  private:
    std::size_t below(std::size_t limit) { return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_); }
    const Data& pick() { return seeds_[below(seeds_.size())]; }
    std::byte byte() { return static_cast<std::byte>(below(256)); }

    void mutate(Data& data) {
        const std::size_t at = data.empty() ? 0 : below(data.size());
        const auto here = data.begin() + static_cast<std::ptrdiff_t>(at);
        const std::size_t rest = data.size() - at;
        if (data.empty()) {
            data = {byte()};
            return;
        }
        switch (below(9)) {
            case 0:
                data[at] ^= std::byte{1} << below(8);
                break;
            case 1:
                data[at] = byte();
                break;
            case 2: {  // a value at an edge, in 1 to 8 bytes
                static constexpr std::uint64_t kEdges[] = {0,
                                                           1,
                                                           0x7F,
                                                           0x80,
                                                           0x7FFF,
                                                           0x8000,
                                                           0x7FFFFFFF,
                                                           0x80000000,
                                                           0x7F800000,
                                                           0x7FC00000,
                                                           0x7F7FFFFF,
                                                           0xFFFFFFFF,
                                                           ~0ULL,
                                                           0x7FFFFFFFFFFFFFFF,
                                                           0x8000000000000000};
                const std::uint64_t value = kEdges[below(std::size(kEdges))] + below(3) - 1;
                std::memcpy(&*here, &value, std::min(rest, std::size_t{1} << below(4)));
                break;
            }
            case 3:
                data.erase(here, here + static_cast<std::ptrdiff_t>(1 + below(std::min<std::size_t>(rest, 32))));
                break;
            case 4:
                data.insert(here, 1 + below(32), byte());
                break;
            case 5: {  // a piece of a seed instead of, or between, what is there
                const Data& other = pick();
                if (other.empty()) break;
                const std::size_t from = below(other.size()),
                                  size = 1 + below(std::min<std::size_t>(other.size() - from, 512));
                const auto begin = other.begin() + static_cast<std::ptrdiff_t>(from);
                if (below(2) == 0) {
                    std::copy_n(begin, std::min(size, rest), here);
                } else {
                    data.insert(here, begin, begin + static_cast<std::ptrdiff_t>(size));
                }
                break;
            }
            case 6:  // a piece of itself again
                if (rest > 1) {
                    const Data piece(here,
                                     here + static_cast<std::ptrdiff_t>(1 + below(std::min<std::size_t>(rest, 256))));
                    const auto to = data.begin() + static_cast<std::ptrdiff_t>(below(data.size()));
                    data.insert(to, piece.begin(), piece.end());
                }
                break;
            case 7: {  // another decimal number where there is one
                const auto digit = std::find_if(here, data.end(),
                                                [](std::byte b) { return b >= std::byte{'0'} && b <= std::byte{'9'}; });
                if (digit == data.end()) break;
                static constexpr const char* kNumbers[] = {"0",    "1",    "2",     "3",          "7",     "8",
                                                           "16",   "-1",   "64",    "255",        "256",   "1024",
                                                           "4096", "8192", "65536", "2147483648", "1e308", "0.5"};
                const std::string_view number = kNumbers[below(std::size(kNumbers))];
                const auto bytes = std::as_bytes(std::span(number));
                data.insert(data.erase(digit), bytes.begin(), bytes.end());
                break;
            }
            default:
                if (below(8) == 0) data.resize(at);  // cut
        }
    }

    const std::vector<Data>& seeds_;
    std::mt19937 random_;
};

Data read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
}

}  // namespace

int main(int argc, char** argv) {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (arguments == std::vector<std::string>{"--list"}) {
        for (const fuzz::Target& target : fuzz::targets()) std::printf("%s\n", target.name);
        return 0;
    }
    if (arguments.empty()) {
        std::fprintf(stderr, "usage: secousti_fuzz TARGET [--seconds S] [--seed N] FILE_OR_FOLDER...\n");
        return 2;
    }
    const fuzz::Target* target = find(arguments[0]);
    double seconds = 0;
    std::uint32_t seed = std::random_device{}();
    std::vector<Data> seeds;
    for (std::size_t i = 1; i < arguments.size(); ++i) {
        if (arguments[i] == "--seconds" && i + 1 < arguments.size()) {
            seconds = std::stod(arguments[++i]);
        } else if (arguments[i] == "--seed" && i + 1 < arguments.size()) {
            seed = static_cast<std::uint32_t>(std::stoul(arguments[++i]));
        } else if (std::filesystem::is_directory(arguments[i])) {
            for (const auto& entry : std::filesystem::directory_iterator(arguments[i]))
                seeds.push_back(read(entry.path()));
        } else {
            seeds.push_back(read(arguments[i]));
        }
    }
    crash_name = std::string("crash-") + target->name;
    for (const int number : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) std::signal(number, on_signal);
#if defined(SECOUSTI_HAVE_DEATH_CALLBACK)
    __sanitizer_set_death_callback(keep_current);
#endif
    std::size_t runs = 0;
    const auto run = [&](Data data) {
        current = std::move(data);
        target->run(current);
        ++runs;
    };
    for (const Data& data : seeds) run(data);
    if (seeds.empty()) seeds.emplace_back();
    Mutator mutator(seeds, seed);
    const auto end = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
    while (std::chrono::steady_clock::now() < end) run(mutator.next());
    std::printf("%s: %zu inputs, %zu of them seeds, seed %u\n", target->name, runs, seeds.size(), seed);
    return 0;
}

#endif
