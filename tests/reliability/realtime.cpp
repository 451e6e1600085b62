// The real-time contract of secousti.h, checked and measured.
//
//   secousti_realtime proof [MODEL...]          no memory, lock or system call inside a step; tiny models of every kind
//                                               at every precision, and the given files
//   secousti_realtime worst MODEL [MINUTES]     times of the steps of a live stream, the worst included (default: 60)
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include "secousti.h"
#include "secousti.hpp"
#include "secousti_live.h"
#include "secousti_live.hpp"
#include "tiny_model.h"
#include "watch.h"

namespace {

constexpr const char* kPrecisions[] = {"fp32", "bf16", "int8"};

std::vector<float> sound(std::size_t samples) {
    std::vector<float> pcm(samples);
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < samples; ++i) {
        state = state * 1664525U + 1013904223U;
        const double t = static_cast<double>(i);
        pcm[i] = static_cast<float>(0.3 * std::sin(t * (0.05 + 0.02 * std::sin(t * 1e-4)))) +
                 static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-35F;
    }
    return pcm;
}

/// Everything that the contract covers, prepared outside: the streams, their inputs and room for their outputs.
class Streams {
  public:
    explicit Streams(const secousti::Model& model)
        : info_(model.info()),
          encoder_(model),
          decoder_(model),
          to_mel_(model),
          pcm_(sound(static_cast<std::size_t>(info_.frame_size) * 40 + 2000)),
          tokens_(encoder_.max_tokens(pcm_.size()) + 8),
          voice_(static_cast<std::size_t>(info_.dimension), 0.25F),
          mel_(tokens_.size() * frames() * static_cast<std::size_t>(info_.n_mels), -3.0F),
          out_(tokens_.size() * static_cast<std::size_t>(info_.frame_size) + 1) {}

    /// Two whole utterances; the second one starts with reset. Returns 0, or the line of the call that failed.
    int run() {
        for (int round = 0; round < 2; ++round) {
            std::size_t count = 0;
            std::size_t chunk = 1;
            for (std::size_t at = 0; at < pcm_.size(); at += chunk, chunk = chunk * 3 % 1777 + 1) {
                chunk = std::min(chunk, pcm_.size() - at);
                const auto pushed = secousti_encoder_push(encoder_.get(), pcm_.data() + at, chunk,
                                                          tokens_.data() + count, tokens_.size() - count);
                if (pushed < 0) return __LINE__;
                count += static_cast<std::size_t>(pushed);
            }
            const auto rest = secousti_encoder_flush(encoder_.get(), tokens_.data() + count, tokens_.size() - count);
            if (rest < 0) return __LINE__;
            count += static_cast<std::size_t>(rest);
            if (secousti_encoder_reset(encoder_.get()) != SECOUSTI_OK) return __LINE__;

            for (std::size_t at = 0, part = 1; at < count; at += part, part = at % 5 + 1) {
                part = std::min(part, count - at);
                if (secousti_decoder_push_to_mel(to_mel_.get(), tokens_.data() + at, part, mel_.data(),
                                                 mel_.size() / static_cast<std::size_t>(info_.n_mels)) < 0) {
                    return __LINE__;
                }
                if (info_.has_vocoder == 0) continue;
                if (secousti_decoder_push(decoder_.get(), tokens_.data() + at, part, out_.data(), out_.size()) < 0) {
                    return __LINE__;
                }
            }
            if (secousti_decoder_reset(to_mel_.get()) != SECOUSTI_OK) return __LINE__;
            if (info_.has_vocoder != 0) {
                if (secousti_decoder_flush(decoder_.get(), out_.data(), out_.size()) < 0) return __LINE__;
                if (secousti_decoder_reset(decoder_.get()) != SECOUSTI_OK) return __LINE__;
                if (secousti_decoder_push_from_mel(decoder_.get(), mel_.data(), frames(), out_.data(), out_.size()) <
                    0) {
                    return __LINE__;
                }
                if (secousti_decoder_reset(decoder_.get()) != SECOUSTI_OK) return __LINE__;
            }
            if (secousti_decoder_set_voice(decoder_.get(), voice_.data(), voice_.size()) != SECOUSTI_OK) {
                return __LINE__;
            }
        }
        return 0;
    }

  private:
    std::size_t frames() const { return static_cast<std::size_t>(info_.frame_size / info_.hop_length); }

    secousti_model_info info_;
    secousti::Encoder encoder_;
    secousti::Decoder decoder_, to_mel_;
    std::vector<float> pcm_;
    std::vector<std::int32_t> tokens_;
    std::vector<float> voice_, mel_, out_;
};

/// The voice estimate of a live call, renewals included.
class Voices {
  public:
    explicit Voices(const secousti::Model& model)
        : pcm_(sound(static_cast<std::size_t>(model.info().hop_length) * 64 + 2000)),
          voice_(static_cast<std::size_t>(model.info().dimension)) {
        good_ = secousti_voice_estimator_create(model.get(), nullptr, &handle_) == SECOUSTI_OK;
    }
    ~Voices() { secousti_voice_estimator_destroy(handle_); }
    Voices(const Voices&) = delete;
    Voices& operator=(const Voices&) = delete;

    /// The first run sees renewals by part of a prompt, the second one by a whole prompt.
    int run() {
        if (!good_) return __LINE__;
        constexpr std::size_t kChunk = 480;
        int renewals = 0;
        for (int round = 0; round < 100 && renewals < 2; ++round) {
            for (std::size_t at = 0; at + kChunk <= pcm_.size(); at += kChunk) {
                const auto renewed = secousti_voice_estimator_push(handle_, pcm_.data() + at, kChunk);
                if (renewed < 0) return __LINE__;
                renewals += static_cast<int>(renewed);
            }
        }
        if (renewals < 2) return __LINE__;
        return secousti_voice_estimator_get(handle_, voice_.data(), voice_.size()) == SECOUSTI_OK ? 0 : __LINE__;
    }

  private:
    bool good_ = false;
    secousti_voice_estimator* handle_ = nullptr;
    std::vector<float> pcm_, voice_;
};

/// A step of every kind for a group of three slots, which join and leave, and packets between the two groups.
class GroupsAndPackets {
  public:
    explicit GroupsAndPackets(const secousti::Model& model) : info_(model.info()) {
        secousti_encoder_group_options encoding;
        secousti_encoder_group_options_init(&encoding);
        secousti_decoder_group_options decoding;
        secousti_decoder_group_options_init(&decoding);
        encoding.capacity = decoding.capacity = kSlots;
        secousti_packet_options packets;
        secousti_packet_options_init(&packets, model.get());
        packets.redundancy = 3;
        packets.depth = 2;
        good_ = secousti_encoder_group_create(model.get(), &encoding, &encoders_) == SECOUSTI_OK &&
                secousti_decoder_group_create(model.get(), &decoding, &decoders_) == SECOUSTI_OK &&
                secousti_packet_writer_create(&packets, &writer_) == SECOUSTI_OK &&
                secousti_packet_reader_create(&packets, &reader_) == SECOUSTI_OK;
        if (!good_) return;
        const auto frame = static_cast<std::size_t>(info_.frame_size);
        pcm_ = sound(kSlots * frame);
        out_.resize(kSlots * frame * 8);
        mel_.resize(kSlots * frame / static_cast<std::size_t>(info_.hop_length) *
                    static_cast<std::size_t>(info_.n_mels));
        voice_.assign(static_cast<std::size_t>(info_.dimension), 0.5F);
        packet_.resize(secousti_packet_writer_max_bytes(writer_));
    }
    ~GroupsAndPackets() {
        secousti_encoder_group_destroy(encoders_);
        secousti_decoder_group_destroy(decoders_);
        secousti_packet_writer_destroy(writer_);
        secousti_packet_reader_destroy(reader_);
    }
    GroupsAndPackets(const GroupsAndPackets&) = delete;
    GroupsAndPackets& operator=(const GroupsAndPackets&) = delete;

    int run() {
        if (!good_) return __LINE__;
        std::int32_t rest[16];
        for (int step = 0; step < 60; ++step) {
            const std::uint8_t active[kSlots] = {1, static_cast<std::uint8_t>(step % 3 != 0),
                                                 static_cast<std::uint8_t>(step > 20)};
            std::int32_t tokens[kSlots], samples[kSlots];
            if (secousti_encoder_group_step(encoders_, pcm_.data(), active, tokens) != SECOUSTI_OK) return __LINE__;
            if (tokens[0] >= 0) {
                const auto size = secousti_packet_writer_push(writer_, tokens[0], packet_.data(), packet_.size());
                if (size < 0) return __LINE__;
                // Every third packet is lost.
                if (size > 0 && ++packets_ % 3 != 0 &&
                    secousti_packet_reader_push(reader_, packet_.data(), static_cast<std::size_t>(size)) < 0) {
                    return __LINE__;
                }
            }
            if (secousti_packet_reader_pop(reader_, &tokens[0]) < 0) return __LINE__;
            if (info_.has_vocoder != 0) {
                if (secousti_decoder_group_step(decoders_, tokens, out_.data(), samples) != SECOUSTI_OK)
                    return __LINE__;
            } else if (secousti_decoder_group_step_to_mel(decoders_, tokens, mel_.data()) != SECOUSTI_OK) {
                return __LINE__;
            }
            if (step % 20 != 19) continue;
            if (secousti_packet_writer_set_voice(writer_, voice_.data(), voice_.size()) != SECOUSTI_OK) return __LINE__;
            if (secousti_decoder_group_set_voice(decoders_, 1, voice_.data(), voice_.size()) != SECOUSTI_OK) {
                return __LINE__;
            }
            if (secousti_encoder_group_flush(encoders_, 0, rest, 16) < 0) return __LINE__;
            if (secousti_encoder_group_reset(encoders_, active) != SECOUSTI_OK) return __LINE__;
            if (info_.has_vocoder != 0 && secousti_decoder_group_flush(decoders_, 0, out_.data(), out_.size()) < 0) {
                return __LINE__;
            }
            if (secousti_decoder_group_reset(decoders_, nullptr) != SECOUSTI_OK) return __LINE__;
        }
        return 0;
    }

  private:
    static constexpr int kSlots = 3;
    secousti_model_info info_;
    bool good_ = false;
    int packets_ = 0;
    secousti_encoder_group* encoders_ = nullptr;
    secousti_decoder_group* decoders_ = nullptr;
    secousti_packet_writer* writer_ = nullptr;
    secousti_packet_reader* reader_ = nullptr;
    std::vector<float> pcm_, out_, mel_, voice_;
    std::vector<std::byte> packet_;
};

/// What the watched child says, in memory shared with it: it may not write.
struct Verdict {
    bool trapped;
    int failed_line;
    watch::Counts counts;
};

/// Runs `body` watched in a process of its own.
template <class Body>
Verdict watched(Body body) {
    void* shared = mmap(nullptr, sizeof(Verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) std::abort();
    auto* verdict = new (shared) Verdict{};
    const pid_t child = fork();
    if (child == 0) {
        verdict->trapped = watch::trap_system_calls();
        watch::begin(verdict->counts);
        verdict->failed_line = body();
        watch::end();
        syscall(SYS_exit_group, 0);
    }
    int status = 0;
    const bool ended =
        child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    Verdict result = *verdict;
    if (!ended) result.failed_line = -1;
    munmap(shared, sizeof(Verdict));
    return result;
}

bool net_holds() {
    // A net that catches nothing proves nothing: each kind of event is tried first.
    std::mutex mutex;
    const Verdict verdict = watched([&mutex] {
        ::operator delete(::operator new(4));
        const std::lock_guard lock(mutex);
        syscall(SYS_getppid);
        return 0;
    });
    const std::string names = verdict.counts.text();
    const std::string call = "system call " + std::to_string(SYS_getppid) + " x1";
    const bool good = verdict.trapped && names.find("malloc x1") != std::string::npos &&
                      names.find("free x1") != std::string::npos &&
                      names.find("pthread_mutex_lock x1") != std::string::npos && names.find(call) != std::string::npos;
    if (!good) std::printf("the net does not hold: trapped %d, saw: %s\n", verdict.trapped, names.c_str());
    return good;
}

template <class Work>
bool prove(const secousti::Model& model, const std::string& label) {
    Work streams(model);
    // Memory that is there, but not yet in a page of its own, would cost a fault in the step that touches it first.
    rusage before{}, after{};
    getrusage(RUSAGE_SELF, &before);
    const int failed = streams.run();
    getrusage(RUSAGE_SELF, &after);
    const Verdict verdict = watched([&streams] { return streams.run(); });
    if (verdict.failed_line != 0) {
        std::printf("FAILED %s: line %d\n", label.c_str(), verdict.failed_line);
        return false;
    }
    const bool good = verdict.counts.total() == 0 && failed == 0;
    std::printf("%s %s: %llu events%s, %ld page faults\n", good ? "ok    " : "FAILED", label.c_str(),
                static_cast<unsigned long long>(verdict.counts.total()), verdict.counts.text().c_str(),
                after.ru_minflt + after.ru_majflt - before.ru_minflt - before.ru_majflt);
    return good;
}

int proof(const std::vector<std::string>& files) {
    if (!net_holds()) return 2;
    bool good = true;
    for (int precision = 0; precision < 3; ++precision) {
        const auto as = static_cast<secousti_precision>(precision);
        const auto prove_all = [&](const secousti::Model& model, const std::string& name) {
            const std::string label = name + ", " + kPrecisions[precision];
            good = prove<Streams>(model, label) && good;
            good = prove<GroupsAndPackets>(model, label + ", groups and packets") && good;
            good = prove<Voices>(model, label + ", voice") && good;
        };
        for (const tiny::Shape& shape : {tiny::kPlain, tiny::kHalved, tiny::kOdd, tiny::kHift, tiny::kSilent}) {
            const auto model = secousti::Model::from_memory(tiny::model_bytes(shape), nullptr, as);
            prove_all(model, std::string(shape.name) + ", " + shape.vocoder);
        }
        for (const std::string& file : files) {
            const auto model = secousti::Model::from_file(file, nullptr, as);
            prove_all(model, model.info().name);
        }
    }
    return good ? 0 : 1;
}

double seconds(clockid_t clock) {
    timespec now{};
    clock_gettime(clock, &now);
    return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

void print_times(const char* stage, std::vector<float>& milliseconds, double budget) {
    std::sort(milliseconds.begin(), milliseconds.end());
    const auto at = [&](double share) {
        return milliseconds[static_cast<std::size_t>(share * static_cast<double>(milliseconds.size() - 1))];
    };
    const auto late = std::count_if(milliseconds.begin(), milliseconds.end(), [&](float ms) { return ms > budget; });
    std::printf("%-15s p50 %.3f  p99 %.3f  p99.9 %.3f  worst %.3f ms; %lld of %zu steps over %.2f ms\n", stage, at(0.5),
                at(0.99), at(0.999), at(1.0), static_cast<long long>(late), milliseconds.size(), budget);
}

secousti_precision precision_named(const std::string& name) {
    for (int precision = 0; precision < 3; ++precision)
        if (name == kPrecisions[precision]) return static_cast<secousti_precision>(precision);
    throw std::invalid_argument("precision '" + name + "' is none of fp32, bf16, int8");
}

int worst(const std::string& file, double minutes, secousti_precision precision) {
    const auto model = secousti::Model::from_file(file, nullptr, precision);
    const secousti_model_info info = model.info();
    const std::size_t frame = static_cast<std::size_t>(info.frame_size);
    const double budget = 1000.0 / info.frame_rate;
    const std::size_t steps = static_cast<std::size_t>(minutes * 60.0 * info.frame_rate);
    secousti::Encoder encoder(model);
    secousti::Decoder decoder(model);
    secousti::Voice voice(model);
    const std::vector<float> pcm = sound(frame * 1024);
    std::vector<std::int32_t> tokens(4);
    std::vector<float> out(frame * 8);
    // Of the wall, which other programs' turns lengthen, and of this thread's own work.
    std::vector<float> coding, decoding, work, listening;
    for (std::vector<float>* times : {&coding, &decoding, &work, &listening}) times->reserve(steps);
    for (std::size_t i = 0; i < steps; ++i) {
        const double cpu = seconds(CLOCK_THREAD_CPUTIME_ID), start = seconds(CLOCK_MONOTONIC);
        const std::size_t count = encoder.push({pcm.data() + i % 1024 * frame, frame}, std::span(tokens));
        const double middle = seconds(CLOCK_MONOTONIC);
        decoder.push(std::span<const std::int32_t>(tokens).first(count), std::span<float>(out));
        const double end = seconds(CLOCK_MONOTONIC);
        coding.push_back(static_cast<float>((middle - start) * 1e3));
        decoding.push_back(static_cast<float>((end - middle) * 1e3));
        const double worked = seconds(CLOCK_THREAD_CPUTIME_ID);
        work.push_back(static_cast<float>((worked - cpu) * 1e3));
        voice.push({pcm.data() + i % 1024 * frame, frame});
        listening.push_back(static_cast<float>((seconds(CLOCK_THREAD_CPUTIME_ID) - worked) * 1e3));
    }
    std::printf("%s, %s, %s, 1 thread: %.1f minutes of audio in %zu steps of %.2f ms\n", info.name, info.isa,
                kPrecisions[info.precision], static_cast<double>(steps) / info.frame_rate / 60.0, steps, budget);
    print_times("encode", coding, budget);
    print_times("decode", decoding, budget);
    print_times("both, CPU time", work, budget);
    print_times("voice, CPU time", listening, budget);
    return 0;
}

}  // namespace

int main(int argc, char** argv) try {
    const std::vector<std::string> arguments(argv + 1, argv + argc);
    if (!arguments.empty() && arguments[0] == "proof") return proof({arguments.begin() + 1, arguments.end()});
    if (arguments.size() >= 2 && arguments[0] == "worst") {
        return worst(arguments[1], arguments.size() > 2 ? std::stod(arguments[2]) : 60.0,
                     arguments.size() > 3 ? precision_named(arguments[3]) : SECOUSTI_PRECISION_DEFAULT);
    }
    std::fprintf(stderr, "usage: secousti_realtime proof [MODEL...] | worst MODEL [MINUTES [PRECISION]]\n");
    return 2;
} catch (const std::exception& error) {
    std::fprintf(stderr, "secousti_realtime: %s\n", error.what());
    return 1;
}
