#include <algorithm>

#include "base/error.h"
#include "io/bytes.h"
#include "io/container.h"
#include "io/container_format.h"
#include "io/crc32.h"
#include "io/voice_code.h"

namespace secousti::core {
namespace {

using namespace container;

[[noreturn]] void refuse(const std::string& message) { throw Error(Status::invalid_argument, "container: " + message); }

void check_range(const char* what, std::int64_t value, std::int64_t low, std::int64_t high) {
    if (value >= low && value <= high) return;
    refuse(std::string(what) + " " + std::to_string(value) + " is outside [" + std::to_string(low) + ", " +
           std::to_string(high) + "]");
}

ContainerInfo checked(const ContainerInfo& info, const ContainerOptions& options) {
    check_range("sample rate", info.sample_rate, 1, kMaxSampleRate);
    check_range("samples per token", info.samples_per_token, 1, kMaxSamplesPerToken);
    check_range("cardinality", info.cardinality, 2, INT32_MAX);
    check_range("number of tokens", info.tokens, -1, kMaxContainerTokens);
    check_range("number of samples", info.samples, -1, INT64_MAX);
    check_range("dimension of the voice", info.dimension, 0, kMaxContainerDimension);
    check_range("tokens per group", static_cast<std::int64_t>(options.tokens_per_group), 1, kMaxGroupTokens);
    return info;
}

void append_crc(std::size_t start, std::uint32_t before, std::vector<std::byte>& out) {
    append(out, crc32c(std::span(out).subspan(start), before));
}

void append_info(const Magic& magic, const ContainerInfo& info, std::span<const float> voice,
                 std::vector<std::byte>& out) {
    const std::size_t start = out.size();
    for (const std::uint8_t byte : magic) append(out, byte);
    append(out, kVersion);
    append(out, voice.empty() ? std::uint8_t{0} : kHasParalinguistic);
    append(out, static_cast<std::uint16_t>(info.dimension));
    append(out, info.identity);
    append(out, info.sample_rate);
    append(out, info.samples_per_token);
    append(out, info.cardinality);
    append(out, info.tokens < 0 ? kUnknownTokens : static_cast<std::uint32_t>(info.tokens));
    append(out, info.samples < 0 ? kUnknownSamples : static_cast<std::uint64_t>(info.samples));
    quantise_voice(voice, out);
    append_crc(start, 0, out);
}

}  // namespace

ContainerWriter::ContainerWriter(const ContainerInfo& info, std::span<const float> voice, std::vector<std::byte>& out,
                                 const ContainerOptions& options)
    : info_(checked(info, options)), options_(options), packing_(info.cardinality), voice_(voice.begin(), voice.end()) {
    check_voice(voice);
    pending_.reserve(options_.tokens_per_group);
    append_info(kHeaderMagic, info_, voice, out);
}

void ContainerWriter::append(std::span<const std::int32_t> tokens, std::vector<std::byte>& out) {
    if (finished_) throw Error(Status::invalid_state, "container: append after finish");
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (tokens[i] < -1 || tokens[i] >= static_cast<std::int64_t>(info_.cardinality)) {
            refuse("token " + std::to_string(tokens[i]) + " at index " + std::to_string(i) + " is outside [0, " +
                   std::to_string(info_.cardinality) + ")");
        }
    }
    const auto room = info_.tokens >= 0 ? info_.tokens : kMaxContainerTokens;
    if (tokens.size() > static_cast<std::uint64_t>(room - next_)) {
        refuse("more than the " + std::to_string(room) + " tokens it can hold");
    }
    for (const std::int32_t token : tokens) {
        if (token < 0) {
            flush(out);
        } else {
            pending_.push_back(token);
        }
        ++next_;
        if (pending_.size() == options_.tokens_per_group) flush(out);
    }
}

void ContainerWriter::flush(std::vector<std::byte>& out) {
    if (pending_.empty()) return;
    const std::size_t start = out.size();
    core::append(out, kGroupSync);
    core::append(out, static_cast<std::uint8_t>(pending_.size()));
    core::append(out, static_cast<std::uint32_t>(next_ - static_cast<std::int64_t>(pending_.size())));
    out.resize(out.size() + packing_.packed_size(pending_.size()));
    packing_.pack(pending_, out.data() + start + kGroupBytes);
    append_crc(start, group_crc_start(info_.cardinality), out);
    pending_.clear();
}

void ContainerWriter::finish(std::int64_t samples, std::span<const float> voice, std::vector<std::byte>& out) {
    if (finished_) throw Error(Status::invalid_state, "container: finish after finish");
    check_range("number of samples", samples, -1, INT64_MAX);
    check_voice(voice);
    if (info_.tokens >= 0 && next_ != info_.tokens) {
        refuse("finished after " + std::to_string(next_) + " of " + std::to_string(info_.tokens) + " tokens");
    }
    flush(out);
    info_.tokens = next_;
    info_.samples = samples;
    if (voice.empty()) {
        if (voice_.empty()) info_.dimension = 0;
        if (options_.repeat_voice) voice = voice_;
    }
    append_info(kTrailerMagic, info_, voice, out);
    finished_ = true;
}

void ContainerWriter::check_voice(std::span<const float> values) const {
    if (values.empty() || values.size() == info_.dimension) return;
    refuse("paralinguistic vector of " + std::to_string(values.size()) + " values, expected " +
           std::to_string(info_.dimension));
}

std::vector<std::byte> write_container(ContainerInfo info, std::span<const std::int32_t> tokens,
                                       std::span<const float> voice, const ContainerOptions& options) {
    info.tokens = static_cast<std::int64_t>(tokens.size());
    info.dimension = static_cast<std::uint32_t>(std::min<std::size_t>(voice.size(), UINT32_MAX));
    std::vector<std::byte> out;
    ContainerWriter writer(info, voice, out, options);
    writer.append(tokens, out);
    writer.finish(info.samples, {}, out);
    return out;
}

}  // namespace secousti::core
