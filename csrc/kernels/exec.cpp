#include "kernels/exec.h"

namespace secousti::core {

void Exec::linear(const LinearArgs& args) const noexcept {
    const int panels = (args.outputs + backend->panel - 1) / backend->panel;
    const std::int64_t macs = std::int64_t{args.rows} * args.outputs * args.taps * args.depth;
    split(panels, macs < kWorthSplitting ? 1 : 2 * threads(),
          [&](int, int begin, int end) noexcept { backend->linear(args, begin, end); });
}

}  // namespace secousti::core
