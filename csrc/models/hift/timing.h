// Which rows of a signal of HiFT exist when: see stream.h.
#pragma once

#include "layers/conv.h"

namespace secousti::core::hift {

struct Timing {
    int rate = 1;   ///< rows per mel frame
    int lag = 0;    ///< after t frames rows [0, rate*t - lag) are known
    int extra = 0;  ///< an utterance of T frames has rate*T + extra rows

    /// Timing of what a convolution makes of this signal.
    Timing after(const ConvSpec& spec, int pad_right) const noexcept {
        // Output row o reads input rows o*stride - pad_left … + span - 1.
        const int ahead = spec.span() - spec.pad_left - spec.stride;
        return {rate / spec.stride, -floor_divide(-(lag + ahead), spec.stride),
                floor_divide(extra + spec.pad_left + pad_right - spec.span(), spec.stride) + 1};
    }

  private:
    static constexpr int floor_divide(int a, int b) noexcept { return a >= 0 ? a / b : -((b - 1 - a) / b); }
};

}  // namespace secousti::core::hift
