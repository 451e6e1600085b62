// Snapshots: a stream's state as bytes, the same from whatever device, to go on later or elsewhere.
//
// They are a header and the state arena of a stream on the CPU. Native byte order: a snapshot is for the machine type
// that took it. Its checksum is against damage, not against forgery: state is trusted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/arena.h"
#include "codec/model.h"

namespace secousti::core {

enum class StreamKind : std::uint32_t { encoder = 1, decoder = 2 };

/// How a stream's state is laid out on the CPU.
inline const ArenaLayout& state_layout(const Model& model, StreamKind kind) noexcept {
    return kind == StreamKind::encoder ? model.encoder_state : model.decoder_state;
}

std::size_t snapshot_bytes(const Model& model, StreamKind kind) noexcept;
/// Writes snapshot_bytes(model, kind) bytes.
void write_snapshot(const Model& model, StreamKind kind, const std::byte* state, std::byte* out) noexcept;
/// Copies the state out of a snapshot. Checks its header and checksum first; throws Error: invalid_file for bytes that
/// are no snapshot or damaged, incompatible for one of another kind, model, precision or version.
void read_snapshot(const Model& model, StreamKind kind, std::span<const std::byte> snapshot, std::byte* state);

}  // namespace secousti::core
