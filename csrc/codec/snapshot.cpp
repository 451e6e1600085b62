#include "codec/snapshot.h"

#include <cstring>
#include <string>

#include "base/error.h"
#include "io/crc32.h"

namespace secousti::core {

namespace {

constexpr std::uint32_t kMagic = 0x53534353;  // "SCSS"
constexpr std::uint32_t kVersion = 4;

struct Header {
    std::uint32_t magic;
    std::uint32_t version;
    std::uint32_t kind;
    std::uint32_t checksum;     ///< CRC of the state
    std::uint64_t fingerprint;  ///< of the model
    std::uint64_t state_bytes;
};

const char* name_of(StreamKind kind) { return kind == StreamKind::encoder ? "an encoder" : "a decoder"; }

}  // namespace

std::size_t snapshot_bytes(const Model& model, StreamKind kind) noexcept {
    return sizeof(Header) + state_layout(model, kind).bytes();
}

void write_snapshot(const Model& model, StreamKind kind, const std::byte* state, std::byte* out) noexcept {
    const std::size_t bytes = state_layout(model, kind).bytes();
    const Header header{kMagic, kVersion, static_cast<std::uint32_t>(kind), crc32c({state, bytes}), model.fingerprint,
                        bytes};
    std::memcpy(out, &header, sizeof header);
    std::memcpy(out + sizeof header, state, bytes);
}

void read_snapshot(const Model& model, StreamKind kind, std::span<const std::byte> snapshot, std::byte* state) {
    Header header{};
    if (snapshot.size() < sizeof header) {
        throw Error(Status::invalid_file, "snapshot: " + std::to_string(snapshot.size()) +
                                              " bytes are too few: this is not a secousti snapshot, or only a part");
    }
    std::memcpy(&header, snapshot.data(), sizeof header);
    const std::span<const std::byte> body = snapshot.subspan(sizeof header);
    if (header.magic != kMagic) throw Error(Status::invalid_file, "snapshot: not a secousti snapshot");
    if (header.version != kVersion) {
        throw Error(Status::incompatible, "snapshot: version " + std::to_string(header.version) +
                                              ", this build reads " + std::to_string(kVersion));
    }
    if (header.kind != static_cast<std::uint32_t>(kind)) {
        const StreamKind other = kind == StreamKind::encoder ? StreamKind::decoder : StreamKind::encoder;
        throw Error(Status::incompatible,
                    std::string("snapshot: taken from ") + name_of(other) + ", not " + name_of(kind));
    }
    const std::size_t bytes = state_layout(model, kind).bytes();
    if (header.fingerprint != model.fingerprint || header.state_bytes != bytes) {
        throw Error(Status::incompatible,
                    "snapshot: taken with another model or precision: restore it with the model it was taken with");
    }
    if (body.size() != bytes) {
        throw Error(Status::invalid_file, "snapshot: has " + std::to_string(body.size()) +
                                              " bytes of state, expected " + std::to_string(bytes));
    }
    if (crc32c(body) != header.checksum) throw Error(Status::invalid_file, "snapshot: damaged (checksum differs)");
    std::memcpy(state, body.data(), bytes);
}

}  // namespace secousti::core
