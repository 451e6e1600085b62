#include "models/vocoder.h"

#include <string>

#include "base/error.h"

namespace secousti::core {

VocoderOptions Vocoder::resolve(const VocoderOptions& options) const {
    VocoderOptions resolved = options;
    if (options.look_ahead == -1) resolved.look_ahead = default_look_ahead();
    if (!accepts_look_ahead(resolved.look_ahead)) {
        throw Error(Status::unsupported, "look_ahead: the " + std::string(name()) + " vocoder cannot look " +
                                             std::to_string(options.look_ahead) + " mel frames ahead (its default is " +
                                             std::to_string(default_look_ahead()) + ")");
    }
    return resolved;
}

}  // namespace secousti::core
