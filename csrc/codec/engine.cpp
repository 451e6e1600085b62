#include "codec/engine.h"

#include <string>

#include "base/error.h"

namespace secousti::core {

namespace {

/// Engines that a build may lack, and why.
struct Optional {
    std::string_view name;
    const char* why_absent;
};
constexpr Optional kOptional[] = {
    {"cuda", "this build has no CUDA (SECOUSTI_CUDA was OFF, or AUTO found no nvcc or no GPU; ON builds it)"},
};

std::string in_quotes(std::string_view name) { return "'" + std::string(name) + "'"; }

}  // namespace

const EngineEntry& engine_for(std::string_view device) {
    static const std::vector<EngineEntry> engines = registered_engines();
    for (const EngineEntry& engine : engines) {
        if (engine.name == device) return engine;
    }
    std::string expected = in_quotes(engines.front().name);
    for (const Optional& optional : kOptional) {
        if (optional.name == device) {
            throw Error(Status::unsupported, "device " + in_quotes(device) + ": " + optional.why_absent);
        }
        expected += " or " + in_quotes(optional.name);
    }
    throw Error(Status::invalid_argument, "device is " + in_quotes(device) + ", expected " + expected);
}

const Engine& engine_of(const Model& model, std::string_view device) {
    if (device.empty() || device == model.engine->device()) return *model.engine;
    if (device == cpu_engine()->device()) return *cpu_engine();
    throw Error(Status::unsupported, "device " + in_quotes(engine_for(device).name) + ": the model " +
                                         model.config.name + " was opened for " + in_quotes(model.engine->device()) +
                                         ": open it with device " + in_quotes(device));
}

}  // namespace secousti::core
