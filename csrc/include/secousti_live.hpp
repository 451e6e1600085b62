// secousti_live: the C++20 interface of secousti_live.h, header-only, in the manner of secousti.hpp.
#ifndef SECOUSTI_LIVE_HPP
#define SECOUSTI_LIVE_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "secousti.hpp"
#include "secousti_live.h"

namespace secousti {

/// Settings of an end of a call; see secousti_packet_options.
struct PacketOptions {
    int tokens_per_packet = 4;  ///< writer: 1..15
    int redundancy = 0;         ///< writer: 0..15 tokens that are sent again
    int voice_repeat = 0;       ///< writer: packets from one sending of G to the next; 0: each G goes once
    int depth = 8;              ///< reader: tokens in hand before playing starts
};

namespace detail {

inline secousti_packet_options packet_options(const Model& model, const PacketOptions& settings) {
    secousti_packet_options options;
    secousti_packet_options_init(&options, model.get());
    options.tokens_per_packet = settings.tokens_per_packet;
    options.redundancy = settings.redundancy;
    options.voice_repeat = settings.voice_repeat;
    options.depth = settings.depth;
    return options;
}

}  // namespace detail

/// Tokens -> packets. One thread at a time.
class PacketWriter {
  public:
    /// For tokens of this model.
    explicit PacketWriter(const Model& model, const PacketOptions& settings = {}) {
        const secousti_packet_options options = detail::packet_options(model, settings);
        secousti_packet_writer* handle = nullptr;
        detail::check(secousti_packet_writer_create(&options, &handle));
        handle_.reset(handle);
    }

    /// Most bytes of a packet.
    std::size_t max_bytes() const noexcept { return secousti_packet_writer_max_bytes(handle_.get()); }
    /// Adds a token; the packet that it completes is written to `bytes` [max_bytes()] and its part of them returned, or
    /// an empty span.
    std::span<std::byte> push(std::int32_t token, std::span<std::byte> bytes) {
        return bytes.first(
            detail::checked(secousti_packet_writer_push(handle_.get(), token, bytes.data(), bytes.size())));
    }
    /// The tokens that wait, as a shorter packet.
    std::span<std::byte> flush(std::span<std::byte> bytes) {
        return bytes.first(detail::checked(secousti_packet_writer_flush(handle_.get(), bytes.data(), bytes.size())));
    }
    /// Sends G with the next packets.
    void set_voice(std::span<const float> voice) {
        detail::check(secousti_packet_writer_set_voice(handle_.get(), voice.data(), voice.size()));
    }

  private:
    std::unique_ptr<secousti_packet_writer, detail::Deleter<secousti_packet_writer_destroy>> handle_;
};

/// Packets in any order -> tokens in theirs: the jitter buffer. One thread at a time.
class PacketReader {
  public:
    /// For tokens of this model.
    explicit PacketReader(const Model& model, const PacketOptions& settings = {})
        : voice_(static_cast<std::size_t>(model.info().dimension)) {
        const secousti_packet_options options = detail::packet_options(model, settings);
        secousti_packet_reader* handle = nullptr;
        detail::check(secousti_packet_reader_create(&options, &handle));
        handle_.reset(handle);
    }

    /// Takes what came from the network, whatever it is.
    secousti_packet_result push(std::span<const std::byte> packet) {
        return static_cast<secousti_packet_result>(
            detail::checked(secousti_packet_reader_push(handle_.get(), packet.data(), packet.size())));
    }
    /// The next token in playing order; `token` is -1 unless there is one.
    secousti_packet_next pop(std::int32_t& token) {
        return static_cast<secousti_packet_next>(detail::checked(secousti_packet_reader_pop(handle_.get(), &token)));
    }
    /// Tokens from the one to be played next to the newest that came.
    std::size_t buffered() const noexcept { return secousti_packet_reader_buffered(handle_.get()); }
    /// G, if every part has come and any is newer than at the last call; valid until the next. Empty otherwise.
    std::span<const float> take_voice() {
        const std::int64_t taken = secousti_packet_reader_take_voice(handle_.get(), voice_.data(), voice_.size());
        return detail::checked(taken) == 0 ? std::span<const float>() : std::span<const float>(voice_);
    }
    /// What came so far.
    secousti_packet_counts counts() const {
        secousti_packet_counts result{};
        result.struct_size = sizeof result;
        detail::check(secousti_packet_reader_get_counts(handle_.get(), &result));
        return result;
    }

  private:
    std::unique_ptr<secousti_packet_reader, detail::Deleter<secousti_packet_reader_destroy>> handle_;
    std::vector<float> voice_;
};

/// The voice vector G of whoever speaks, estimated while they do. One thread at a time.
class Voice {
  public:
    /// Begins with `stored` [dimension], which counts for so many seconds of speech; empty: zeros.
    explicit Voice(const Model& model, std::span<const float> stored = {}, float stored_seconds = 0.0F)
        : voice_(static_cast<std::size_t>(model.info().dimension)) {
        if (!stored.empty() && stored.size() != voice_.size()) {
            throw Error(SECOUSTI_INVALID_ARGUMENT, "stored has " + std::to_string(stored.size()) +
                                                       " values, expected " + std::to_string(voice_.size()));
        }
        secousti_voice_estimator_options options;
        secousti_voice_estimator_options_init(&options);
        options.voice = stored.empty() ? nullptr : stored.data();
        options.stored_seconds = stored_seconds;
        secousti_voice_estimator* handle = nullptr;
        detail::check(secousti_voice_estimator_create(model.get(), &options, &handle));
        handle_.reset(handle);
    }

    /// Feeds PCM; whether G was renewed. Neither allocates nor locks; a renewal takes milliseconds.
    bool push(std::span<const float> pcm) {
        return detail::checked(secousti_voice_estimator_push(handle_.get(), pcm.data(), pcm.size())) != 0;
    }
    /// The present G [dimension]; valid until the next call.
    std::span<const float> voice() {
        detail::check(secousti_voice_estimator_get(handle_.get(), voice_.data(), voice_.size()));
        return voice_;
    }
    /// Of speech, pauses left out.
    double seconds() const noexcept { return secousti_voice_estimator_seconds(handle_.get()); }

  private:
    std::unique_ptr<secousti_voice_estimator, detail::Deleter<secousti_voice_estimator_destroy>> handle_;
    std::vector<float> voice_;
};

}  // namespace secousti

#endif  // SECOUSTI_LIVE_HPP
