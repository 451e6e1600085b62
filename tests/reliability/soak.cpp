// Long runs.
//
//   secousti_soak calls MODEL [HOURS]       a call of that much audio, encoded, sent in packets and decoded, at
//                                           full speed: memory, and tokens against streams that start late (default:
//                                           24)
//   secousti_soak cycles MODEL [COUNT]      create, use, destroy (default: a million)
//   secousti_soak streams MODEL [STEPS]     200 streams that join and leave at random (default: 100,000 steps in all)
//
// MODEL is a file, or "tiny" or "tiny-hift": models of the tests, with which a million cycles take minutes. Each
// command prints what it saw and exits with 1 when a promise of docs/measured/reliability.md was broken.
#include <unistd.h>

#include <cmath>
#include <cstdio>
#include <fstream>
#include <numbers>
#include <random>
#include <string>

#include "allocations.h"
#include "io/json.h"
#include "secousti.hpp"
#include "secousti_live.h"
#include "tiny_model.h"

namespace {

using Pcm = std::vector<float>;
using Tokens = std::vector<std::int32_t>;

bool failed = false;

void expect(bool good, const std::string& what) {
    if (good) return;
    failed = true;
    std::printf("FAILED: %s\n", what.c_str());
    std::fflush(stdout);
}

double resident_mb() {
    std::ifstream file("/proc/self/statm");
    double total = 0, resident = 0;
    file >> total >> resident;
    return resident * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e6;
}

/// Sound that is a function of the sample's index, so that any stretch can be heard again: a voice that glides and
/// pauses, with noise.
class Sound {
  public:
    Sound(int sample_rate, std::uint32_t seed) : rate_(sample_rate), seed_(seed) {}

    Pcm at(std::uint64_t begin, std::size_t count) const {
        Pcm pcm(count);
        for (std::size_t i = 0; i < count; ++i) pcm[i] = sample(begin + i);
        return pcm;
    }

  private:
    std::uint32_t hash(std::uint64_t value) const {
        value = (value + seed_) * 0x9E3779B97F4A7C15U;
        value ^= value >> 29U;
        return static_cast<std::uint32_t>(value * 0xBF58476D1CE4E5B9U >> 32U);
    }
    float sample(std::uint64_t index) const {
        // Every fifth of a second another pitch and loudness; one in six is a pause.
        const std::uint64_t length = static_cast<std::uint64_t>(rate_) / 5, part = index / length;
        const double t = static_cast<double>(index % length) / rate_;
        const std::uint32_t choice = hash(part);
        const double pitch = 90.0 + choice % 160 + 60.0 * t;
        const double loudness = choice % 6 == 0 ? 0.0 : 0.05 + 0.25 * ((choice >> 8U) % 100) / 100.0;
        const double phase = 2.0 * std::numbers::pi * pitch * t, edge = std::min(1.0, std::min(t, 0.2 - t) * 100.0);
        const double voice = std::sin(phase) + 0.6 * std::sin(2 * phase) + 0.4 * std::sin(5 * phase) +
                             0.2 * std::sin(static_cast<double>(9 + choice % 7) * phase);
        const double noise = static_cast<double>(hash(index * 2 + 1)) * 0x1p-31 - 1.0;
        return static_cast<float>(0.5 * loudness * edge * voice + 0.003 * noise);
    }

    int rate_;
    std::uint32_t seed_;
};

/// Tokens until one no longer depends on what came before: each layer of attention hears `context` tokens, and the
/// convolutions around them a few frames more.
std::uint64_t tokens_heard(const secousti_model_info& info) {
    const auto config = secousti::core::JsonDocument::parse(info.config_json, "config");
    const auto root = config.root();
    const std::int64_t attention = root.at("layers").at("semantic").as_int() * (root.at("context").as_int() - 1);
    return static_cast<std::uint64_t>(attention) + 64;
}

/// Tokens through packets and back, as in a call that loses none.
class Transport {
  public:
    explicit Transport(const secousti::Model& model) {
        secousti_packet_options options;
        secousti_packet_options_init(&options, model.get());
        options.redundancy = 2;
        options.depth = 1;
        expect(secousti_packet_writer_create(&options, &writer_) == SECOUSTI_OK, secousti_last_error());
        expect(secousti_packet_reader_create(&options, &reader_) == SECOUSTI_OK, secousti_last_error());
        packet_.resize(secousti_packet_writer_max_bytes(writer_));
    }
    ~Transport() {
        secousti_packet_writer_destroy(writer_);
        secousti_packet_reader_destroy(reader_);
    }
    Transport(const Transport&) = delete;
    Transport& operator=(const Transport&) = delete;

    Tokens through(const Tokens& tokens) {
        const auto send = [this](std::int64_t size) {
            expect(size >= 0, secousti_last_error());
            if (size > 0) secousti_packet_reader_push(reader_, packet_.data(), static_cast<std::size_t>(size));
        };
        for (const std::int32_t token : tokens) {
            send(secousti_packet_writer_push(writer_, token, packet_.data(), packet_.size()));
        }
        send(secousti_packet_writer_flush(writer_, packet_.data(), packet_.size()));
        Tokens arrived(tokens.size());
        for (std::int32_t& token : arrived) {
            expect(secousti_packet_reader_pop(reader_, &token) == SECOUSTI_PACKET_TOKEN, "a token did not arrive");
        }
        return arrived;
    }

  private:
    secousti_packet_writer* writer_ = nullptr;
    secousti_packet_reader* reader_ = nullptr;
    std::vector<std::byte> packet_;
};

int calls(const secousti::Model& model, double hours) {
    const secousti_model_info info = model.info();
    const Sound sound(info.sample_rate, 7);
    const std::size_t frame = static_cast<std::size_t>(info.frame_size);
    const std::size_t second = static_cast<std::size_t>(std::lround(info.frame_rate)) * frame;  // of whole tokens
    const auto seconds = static_cast<std::uint64_t>(hours * 3600.0 * info.sample_rate / static_cast<double>(second));
    const std::uint64_t every = std::max<std::uint64_t>(seconds / 48, 60);  // checks: each half an hour of 24
    const std::uint64_t heard = tokens_heard(info);
    Transport transport(model);
    secousti::Encoder encoder(model);
    secousti::Decoder decoder(model);
    Tokens history;  // the last tokens, for the late streams
    std::uint64_t total = 0, samples = 0, compared = 0, different = 0, restored = 0;
    double peak = 0, first_memory = 0, last_memory = 0;
    int checks = 0;
    std::size_t first_live = 0;
    std::printf("%s: each token depends on at most %.1f s before it\n", info.name,
                static_cast<double>(heard) / info.frame_rate);
    for (std::uint64_t s = 0; s < seconds; ++s) {
        Tokens tokens;
        encoder.push(sound.at(s * second, second), tokens);
        const Tokens arrived = transport.through(tokens);
        expect(arrived == tokens, "tokens changed on their way");
        Pcm pcm;
        decoder.push(arrived, pcm);
        for (const float value : pcm) peak = std::isfinite(value) ? std::max(peak, std::fabs(double{value})) : INFINITY;
        samples += pcm.size();
        total += tokens.size();
        history.insert(history.end(), tokens.begin(), tokens.end());
        if (history.size() > 2 * heard + 4096)
            history.erase(history.begin(), history.end() - static_cast<std::ptrdiff_t>(heard + 2048));
        if ((s + 1) % every != 0 && s + 1 != seconds) continue;

        const double memory = resident_mb();  // before more streams come
        const std::size_t live = allocations::live_bytes();
        // A stream that starts so late that nothing it compares depends on what it missed.
        const std::uint64_t now = (s + 1) * second, back = (heard + 1024) * frame;
        if (now > back + second) {
            const std::uint64_t begin = (now - back) / frame * frame;
            secousti::Encoder late(model);
            Tokens fresh;
            for (std::uint64_t at = begin; at < now; at += second) {
                late.push(sound.at(at, std::min<std::size_t>(second, now - at)), fresh);
            }
            const std::size_t overlap = fresh.size() - static_cast<std::size_t>(heard);
            for (std::size_t i = 1; i <= overlap; ++i) {
                different += fresh[fresh.size() - i] != history[history.size() - i];
            }
            compared += overlap;
        }
        // Streams that go on from a snapshot do so exactly.
        secousti::Encoder resumed = secousti::Encoder::restore(model, encoder.snapshot());
        secousti::Decoder speaking = secousti::Decoder::restore(model, decoder.snapshot());
        secousti::Encoder copy = encoder.clone();
        secousti::Decoder other = decoder.clone();
        Tokens a, b;
        Pcm x, y;
        const Pcm next = sound.at(now, second);
        resumed.push(next, a);
        copy.push(next, b);
        speaking.push(a, x);
        other.push(b, y);
        expect(a == b && x == y, "a restored stream differs");
        ++restored;
        ++checks;
        // The first comparisons fill this program's own buffers.
        if (checks == 3) {
            first_live = live;
            first_memory = memory;
        }
        last_memory = memory;
        if (checks > 3) {
            expect(live < first_live + (std::size_t{1} << 20U), std::to_string(live - first_live) + " bytes leaked");
            expect(memory < first_memory + 8.0, "memory grew by " + std::to_string(memory - first_memory) + " MB");
        }
        std::printf("%7.2f h  %10llu tokens  %7.1f MB resident  %llu of %llu tokens of late streams differ\n",
                    static_cast<double>(now) / info.sample_rate / 3600.0, static_cast<unsigned long long>(total),
                    memory, static_cast<unsigned long long>(different), static_cast<unsigned long long>(compared));
        std::fflush(stdout);
    }
    const double length = static_cast<double>(seconds * second) / info.sample_rate / 3600.0;
    const std::uint64_t expected_samples = total * frame - static_cast<std::uint64_t>(decoder.latency());
    expect(samples == expected_samples,
           "the decoder gave " + std::to_string(samples) + " samples, expected " + std::to_string(expected_samples));
    expect(std::isfinite(peak) && peak < 10.0, "the decoder's loudest sample is " + std::to_string(peak));
    expect(different * 1000 <= compared, "more than a thousandth of the tokens of late streams differ");
    std::printf(
        "%.2f hours: %llu tokens, loudest sample %.3f, %llu restored streams exact, memory %+.2f MB since %.1f MB at "
        "the third check\n",
        length, static_cast<unsigned long long>(total), peak, static_cast<unsigned long long>(restored),
        checks < 3 ? 0.0 : last_memory - first_memory, first_memory);
    return failed ? 1 : 0;
}

int cycles(const secousti::Model& model, std::uint64_t count) {
    const secousti_model_info info = model.info();
    const Pcm pcm = Sound(info.sample_rate, 1).at(0, static_cast<std::size_t>(info.frame_size) * 2 + 2048);
    Tokens expected, tokens;
    Pcm sound, first;
    double memory = 0;
    std::size_t live = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        if (i == std::min<std::uint64_t>(count / 10, 1000)) {
            memory = resident_mb();
            live = allocations::live_bytes();
        }
        tokens.clear();
        sound.clear();
        secousti::Encoder encoder(model);
        encoder.push(pcm, tokens);
        secousti::Decoder decoder(model);
        decoder.push(std::span(tokens).first(1), sound);
        decoder.flush(sound);
        if (i == 0) {
            expected = tokens;
            first = sound;
        }
        expect(tokens == expected && sound == first, "cycle " + std::to_string(i) + " differs");
        if (failed) return 1;
    }
    const double growth = resident_mb() - memory;
    expect(growth < 4.0, "memory grew by " + std::to_string(growth) + " MB");
    const std::size_t now = allocations::live_bytes();
    expect(now == live, std::to_string(live) + " bytes were allocated early, " + std::to_string(now) + " at the end");
    std::printf("%s: %llu cycles, memory %+.2f MB\n", info.name, static_cast<unsigned long long>(count), growth);
    return failed ? 1 : 0;
}

/// One of many: its own sound and voice, and a twin alone that says what it should give.
struct Caller {
    secousti::Encoder encoder, encoder_alone;
    secousti::Decoder decoder, decoder_alone;
    Sound sound;
    std::uint64_t position = 0;
};

int streams(const secousti::Model& model, std::uint64_t steps) {
    constexpr std::size_t kMost = 200;
    const secousti_model_info info = model.info();
    const std::size_t frame = static_cast<std::size_t>(info.frame_size);
    std::mt19937 random(3);
    const auto below = [&random](std::size_t limit) {
        return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
    };
    std::vector<Caller> callers;
    std::uint64_t joined = 0, left = 0, tokens_seen = 0;
    std::size_t most = 0;
    for (std::uint64_t step = 0; step < steps; ++step) {
        if (callers.size() < kMost && below(callers.size() < kMost / 2 ? 2 : 12) == 0) {
            Pcm voice(static_cast<std::size_t>(info.dimension));
            for (float& value : voice) value = static_cast<float>(below(2001)) * 1e-3F - 1.0F;
            secousti::Encoder encoder(model);
            secousti::Decoder decoder(model, voice, {.seed = joined});
            // The twin: what a stream gives does not depend on the others.
            callers.push_back({encoder.clone(), std::move(encoder), decoder.clone(), std::move(decoder),
                               Sound(info.sample_rate, static_cast<std::uint32_t>(joined))});
            ++joined;
            most = std::max(most, callers.size());
        }
        if (callers.empty()) continue;
        const std::size_t which = below(callers.size());
        Caller& caller = callers[which];
        const std::size_t count = 1 + below(3 * frame);
        const Pcm pcm = caller.sound.at(caller.position, count);
        caller.position += count;
        Tokens tokens, alone;
        Pcm sound, sound_alone;
        caller.encoder.push(pcm, tokens);
        caller.decoder.push(tokens, sound);
        for (std::size_t at = 0, part = 0; at < count; at += part) {  // another chunking as well
            part = std::min(count - at, 1 + below(frame));
            caller.encoder_alone.push(std::span(pcm).subspan(at, part), alone);
        }
        for (const std::int32_t& token : alone) caller.decoder_alone.push({&token, 1}, sound_alone);
        expect(tokens == alone && sound == sound_alone,
               "stream " + std::to_string(which) + " differs in step " + std::to_string(step));
        if (failed) return 1;
        tokens_seen += tokens.size();
        if (below(callers.size() > kMost - 10 ? 4 : 40) == 0) {
            std::swap(callers[below(callers.size())], callers.back());
            callers.pop_back();
            ++left;
        }
    }
    std::printf("%s: %llu steps, %llu streams joined, %llu left, %zu at most, %llu tokens, all as alone\n", info.name,
                static_cast<unsigned long long>(steps), static_cast<unsigned long long>(joined),
                static_cast<unsigned long long>(left), most, static_cast<unsigned long long>(tokens_seen));
    return failed ? 1 : 0;
}

/// A file, or a model of the tests: "tiny" voices with `spectral`, "tiny-hift" with HiFT.
secousti::Model open(const std::string& name) {
    if (name == "tiny") return secousti::Model::from_memory(tiny::model_bytes());
    if (name == "tiny-hift") return secousti::Model::from_memory(tiny::model_bytes(tiny::kHift));
    return secousti::Model::from_file(name);
}

}  // namespace

int main(int argc, char** argv) try {
    const std::string what = argc > 2 ? argv[1] : "";
    const double amount = argc > 3 ? std::stod(argv[3]) : 0.0;
    if (what == "calls") return calls(open(argv[2]), amount > 0 ? amount : 24.0);
    if (what == "cycles") return cycles(open(argv[2]), amount > 0 ? static_cast<std::uint64_t>(amount) : 1'000'000);
    if (what == "streams") return streams(open(argv[2]), amount > 0 ? static_cast<std::uint64_t>(amount) : 100'000);
    std::fprintf(stderr, "usage: secousti_soak calls|cycles|streams MODEL [AMOUNT]\n");
    return 2;
} catch (const std::exception& error) {
    std::fprintf(stderr, "secousti_soak: %s\n", error.what());
    return 1;
}
