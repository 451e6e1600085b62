#include <cstddef>
#include <cstdint>
#include <vector>

#include "check.h"
#include "io/container.h"

using namespace secousti::core;

namespace {

using Bytes = std::vector<std::byte>;
using Tokens = std::vector<std::int32_t>;

const ContainerInfo kInfo{
    .identity = 7, .sample_rate = 22050, .samples_per_token = 256, .cardinality = 6561, .samples = 12345};

}  // namespace

TEST(container_keeps_losses_beyond_what_its_bytes_could_hold) {
    constexpr std::size_t kLost = 20000;
    const Tokens some = {6560, 0, 1, 81, 729, 5, 5, 4000, 2187, 3};
    Tokens before(kLost, -1), after = some;
    before.insert(before.end(), some.begin(), some.end());
    after.resize(10 + kLost, -1);
    for (const Tokens& tokens : {before, after, Tokens(kLost, -1)}) {
        Bytes streamed;  // the count is in the trailer only
        ContainerWriter writer(kInfo, {}, streamed);
        writer.append(tokens, streamed);
        writer.finish(12345, {}, streamed);
        const Bytes whole = write_container(kInfo, tokens, {});
        for (const Bytes& good : {whole, streamed}) {
            for (std::size_t bit = 0; bit <= 8 * good.size(); ++bit) {
                Bytes bytes = good;
                if (bit < 8 * good.size()) bytes[bit / 8] ^= std::byte{1} << (bit % 8);
                const ContainerContents contents = read_container(bytes);
                CHECK(contents.tokens == tokens && contents.complete && contents.lost.size() == 1);
                CHECK(contents.info.tokens == static_cast<std::int64_t>(tokens.size()));
                CHECK(contents.bytes.damaged == 0);
            }
        }
        Bytes headless(whole.begin() + 1, whole.end());
        CHECK(read_container(headless).tokens == tokens);
        // Without either count the position alone is not believed.
        Bytes neither(streamed.begin(), streamed.end() - 44);
        CHECK(read_container(neither).tokens.size() <= 10);
    }
    // Up to 2^24 tokens a confirmed count is materialised, above that it is only reported.
    constexpr std::size_t kMost = std::size_t{1} << 24;
    const ContainerContents most = read_container(write_container(kInfo, Tokens(kMost, -1), {}));
    CHECK(most.tokens == Tokens(kMost, -1) && most.tokens.capacity() == kMost && most.lost.size() == 1);
    const ContainerContents more = read_container(write_container(kInfo, Tokens(kMost + 1, -1), {}));
    CHECK(more.tokens.empty() && more.lost.size() == 1 && more.lost[0].count == std::int64_t{kMost + 1});
}
