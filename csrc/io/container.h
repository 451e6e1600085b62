// The `.sec` container: a header, groups of tokens that can each be read alone, a trailer. Byte layout, what survives
// which damage, and bit rates: docs/design/container.md.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "io/token_packing.h"

namespace secousti::core {

/// What a token stream is and which model made it.
struct ContainerInfo {
    std::uint64_t identity = 0;           ///< of the model
    std::uint32_t sample_rate = 0;        ///< Hz, at most 2^20
    std::uint32_t samples_per_token = 0;  ///< at most 2^24
    std::uint32_t cardinality = 0;        ///< tokens are in [0, cardinality)
    std::int64_t tokens = -1;             ///< how many the stream has, lost ones included; -1: not known
    std::int64_t samples = -1;            ///< of audio at sample_rate; -1: not known
    std::uint32_t dimension = 0;          ///< of the paralinguistic vector G; 0: the stream has none
};

inline constexpr std::uint32_t kMaxContainerDimension = 8192;
inline constexpr std::int64_t kMaxContainerTokens = 0xFFFFFFFE;

struct ContainerOptions {
    std::size_t tokens_per_group = 100;  ///< 1..255: what one damaged spot costs, against 11 bytes a group
    bool repeat_voice = false;           ///< write G in the trailer as well
};

/// Writes a stream piece by piece. Bytes are appended to `out` as they become final, so that a file that ends anywhere
/// can be read up to its last whole group. Throws Error(invalid_argument) for values out of range.
class ContainerWriter {
  public:
    /// Appends the header. `voice` may be empty although `info.dimension` is not 0: finish then supplies it.
    ContainerWriter(const ContainerInfo& info, std::span<const float> voice, std::vector<std::byte>& out,
                    const ContainerOptions& options = {});
    /// Appends the groups that became full. A token of -1 marks one that is lost: it takes no bytes.
    void append(std::span<const std::int32_t> tokens, std::vector<std::byte>& out);
    /// Appends the group under way, so that everything so far can be read.
    void flush(std::vector<std::byte>& out);
    /// Appends the last group and the trailer; -1 samples: not known. A G given here is written and holds for the whole
    /// stream. Nothing may follow.
    void finish(std::int64_t samples, std::span<const float> voice, std::vector<std::byte>& out);

  private:
    void check_voice(std::span<const float> values) const;

    ContainerInfo info_;
    ContainerOptions options_;
    TokenPacking packing_;
    std::vector<float> voice_;
    std::vector<std::int32_t> pending_;
    std::int64_t next_ = 0;  // index of the token after the last one appended, pending ones included
    bool finished_ = false;
};

/// A whole stream at once; `info.tokens` and `info.dimension` are taken from the arguments.
std::vector<std::byte> write_container(ContainerInfo info, std::span<const std::int32_t> tokens,
                                       std::span<const float> voice, const ContainerOptions& options = {});

struct LostRange {
    std::int64_t first;  ///< index of a token
    std::int64_t count;
};

struct ContainerContents {
    ContainerInfo info;                ///< zeros where neither header nor trailer survived
    std::vector<std::int32_t> tokens;  ///< in place; -1 for a lost one
    std::vector<float> voice;          ///< G after quantisation; empty if there is none or it is lost
    bool info_lost = false;            ///< no header, no trailer
    bool voice_lost = false;           ///< the stream has (or, with info lost, may have) a G, but it cannot be read
    bool complete = false;             ///< the trailer was read: nothing is missing at the end
    std::uint64_t repaired_bits = 0;   ///< flipped bits that the checksums located; their tokens are returned
    std::vector<LostRange> lost;       ///< tokens known to be missing, ascending; may reach past tokens.size()
    std::vector<std::string> notes;    ///< every irregularity in words; empty for an intact file

    /// Where the bytes of the file went.
    struct Bytes {
        std::uint64_t tokens = 0;   ///< packed tokens alone
        std::uint64_t framing = 0;  ///< of the groups
        std::uint64_t header = 0;   ///< header and trailer without G
        std::uint64_t voice = 0;    ///< G
        std::uint64_t damaged = 0;  ///< everything else
    } bytes;
};

/// Reads what can be read: damage is reported, not thrown. Allocates at most 128 bytes for each byte of input plus
/// 64 KiB, or 4 bytes for each token that an intact header or trailer announces, 64 MiB at most. Throws
/// Error(invalid_file) if there is nothing of a container in `bytes`, Error(incompatible) if it has a later version.
ContainerContents read_container(std::span<const std::byte> bytes);

}  // namespace secousti::core
