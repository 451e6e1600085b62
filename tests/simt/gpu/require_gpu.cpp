// Ends the tests as skipped where there is no GPU.
#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/device.h"

namespace {

constexpr int kSkipped = 77;

const bool present = [] {
    if (!secousti::core::cuda::available()) {
        std::printf("skipped: %s\n", secousti::core::cuda::why_unavailable());
        std::exit(kSkipped);
    }
    return true;
}();

}  // namespace
