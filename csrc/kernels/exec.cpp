#include "kernels/exec.h"

#include <algorithm>
#include <cstdint>

namespace secousti::core {
namespace {

constexpr std::int64_t kWorthSplitting = 64 * 1024;  // multiply-adds; below it waking a worker costs more than it saves

struct Split {
    const Backend* backend;
    const LinearArgs* args;
    int panels;
    int tasks;
};

void run_part(void* context, int task) {
    const Split& split = *static_cast<const Split*>(context);
    const auto bound = [&](int t) {
        return static_cast<int>(static_cast<std::int64_t>(split.panels) * t / split.tasks);
    };
    split.backend->linear(*split.args, bound(task), bound(task + 1));
}

}  // namespace

void Exec::linear(const LinearArgs& args) const noexcept {
    const int panels = (args.outputs + backend->panel - 1) / backend->panel;
    const std::int64_t macs = std::int64_t{args.rows} * args.outputs * args.taps * args.depth;
    if (pool == nullptr || pool->threads() == 1 || panels == 1 || macs < kWorthSplitting) {
        backend->linear(args, 0, panels);
        return;
    }
    Split split{backend, &args, panels, std::min(panels, 2 * pool->threads())};
    pool->run(run_part, &split, split.tasks);
}

}  // namespace secousti::core
