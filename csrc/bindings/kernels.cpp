// secousti_native._kernels: single kernels of any instruction set, for tests and benchmarks from Python.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/aligned_vector.h"
#include "base/error.h"
#include "bindings/arrays.h"
#include "kernels/backend.h"
#include "layers/fft.h"
#include "layers/packing.h"

namespace secousti::bindings {
namespace {

using core::Backend;
using Floats = py::array_t<float>;

const Backend& table(const std::string& isa) { return core::backend_by_name(isa.c_str()); }

void translate(std::exception_ptr exception) {
    try {
        if (exception) std::rethrow_exception(exception);
    } catch (const core::Error& error) {
        const bool argument = error.status() == core::Status::invalid_argument;
        const py::object own = py::module_::import("secousti_native.errors").attr("UnsupportedError");
        PyErr_SetString(argument ? PyExc_ValueError : own.ptr(), error.what());
    }
}

core::Activation activation_of(const std::string& name) {
    constexpr std::array names{"none", "elu", "gelu", "relu", "leaky_relu", "tanh"};
    for (std::size_t i = 0; i < names.size(); ++i) {
        if (name == names[i]) return static_cast<core::Activation>(i);
    }
    throw py::value_error("activation: unknown name '" + name + "'");
}

int size_of(const py::array& array, py::ssize_t axis) { return static_cast<int>(array.shape(axis)); }
const float* data_or_null(const Floats& array, const py::object& given) {
    return given.is_none() ? nullptr : array.data();
}

/// x [rows, taps*depth apart by stride] with weights [outputs, taps*depth]: see LinearArgs.
Floats linear(const std::string& isa, const py::object& x_object, const py::object& w_object, const py::object& bias,
              const std::string& activation, float slope, const py::object& scale, const py::object& residual,
              int kernel, int stride, int dilation) {
    const Backend& backend = table(isa);
    const auto x = require<float>(x_object, "x", std::array{kAny, kAny});
    if (kernel < 1 || stride < 1 || dilation < 1) throw py::value_error("kernel, stride, dilation: must be positive");
    const int depth = size_of(x, 1);
    const int span = (kernel - 1) * dilation + 1;
    if (size_of(x, 0) < span) throw py::value_error("x: fewer rows than the kernel spans");
    const int rows = (size_of(x, 0) - span) / stride + 1;
    const auto w = require<float>(w_object, "weights", std::array<py::ssize_t, 2>{kAny, py::ssize_t{kernel} * depth});
    const int outputs = size_of(w, 0);
    const auto b = optional<float>(bias, "bias", std::array<py::ssize_t, 1>{outputs});
    const auto s = optional<float>(scale, "scale", std::array<py::ssize_t, 1>{outputs});
    const auto r = optional<float>(residual, "residual", std::array<py::ssize_t, 2>{rows, outputs});
    const int panels = (outputs + backend.panel - 1) / backend.panel;
    const core::PackedWeights packed(backend, core::Precision::fp32, {w.data(), static_cast<std::size_t>(w.size())},
                                     outputs, kernel * depth);
    Floats y({rows, outputs});
    core::LinearArgs args;
    args.x = x.data();
    args.row_stride = std::ptrdiff_t{stride} * depth;
    args.taps = kernel;
    args.tap_stride = std::ptrdiff_t{dilation} * depth;
    args.depth = depth;
    args.rows = rows;
    args.outputs = outputs;
    args.weights = packed.data();
    args.bias = data_or_null(b, bias);
    args.activation = activation_of(activation);
    args.slope = slope;
    args.scale = data_or_null(s, scale);
    args.residual = data_or_null(r, residual);
    args.residual_stride = outputs;
    args.y = y.mutable_data();
    args.y_stride = outputs;
    {
        const py::gil_scoped_release release;
        backend.linear(args, 0, panels);
    }
    return y;
}

Floats layer_norm(const std::string& isa, const py::object& x_object, const py::object& gamma_object,
                  const py::object& beta_object, float eps) {
    const auto x = require<float>(x_object, "x", std::array{kAny, kAny});
    const auto gamma = require<float>(gamma_object, "gamma", std::array{x.shape(1)});
    const auto beta = require<float>(beta_object, "beta", std::array{x.shape(1)});
    Floats y({x.shape(0), x.shape(1)});
    table(isa).layer_norm(x.data(), gamma.data(), beta.data(), eps, size_of(x, 0), size_of(x, 1), y.mutable_data());
    return y;
}

/// Changes `keys` and `values` in place, as a stream does.
Floats attention(const std::string& isa, const py::object& qkv_object, const py::object& cos_object,
                 const py::object& sin_object, const py::object& key_object, const py::object& value_object,
                 std::uint64_t position, std::uint64_t start) {
    auto keys = require<float>(key_object, "keys", std::array{kAny, kAny, kAny});
    auto values = require<float>(value_object, "values", std::array{keys.shape(0), keys.shape(1), keys.shape(2)});
    if (keys.shape(2) % 2 != 0 || keys.shape(2) > core::kMaxHeadDim) throw py::value_error("keys: unfit head_dim");
    const auto width = keys.shape(0) * keys.shape(2);
    const auto qkv = require<float>(qkv_object, "qkv", std::array<py::ssize_t, 2>{kAny, 3 * width});
    const std::array<py::ssize_t, 2> angles{qkv.shape(0), keys.shape(2) / 2};
    const auto cosines = require<float>(cos_object, "rope_cos", angles);
    const auto sines = require<float>(sin_object, "rope_sin", angles);
    Floats y({qkv.shape(0), width});
    core::AlignedVector<float> scores(static_cast<std::size_t>((keys.shape(1) + 63) / 64 * 64));
    core::AttentionArgs args;
    args.qkv = qkv.data();
    args.rope_cos = cosines.data();
    args.rope_sin = sines.data();
    args.keys = keys.mutable_data();
    args.values = values.mutable_data();
    args.scores = scores.data();
    args.y = y.mutable_data();
    args.rows = size_of(qkv, 0);
    args.heads = size_of(keys, 0);
    args.head_dim = size_of(keys, 2);
    args.context = size_of(keys, 1);
    args.position = position;
    args.start = start;
    table(isa).attention(args, 0, args.heads);
    return y;
}

Floats like(const Floats& x) { return Floats(std::vector<py::ssize_t>(x.shape(), x.shape() + x.ndim())); }

Floats activate(const std::string& isa, const py::object& object, const std::string& activation, float slope) {
    const auto x = require<float>(object, "x", std::array{kAny});
    Floats y = like(x);
    table(isa).activate(activation_of(activation), slope, x.data(), length(x), y.mutable_data());
    return y;
}

Floats snake(const std::string& isa, const py::object& x_object, const py::object& alpha_object,
             const py::object& inverse_object) {
    const auto x = require<float>(x_object, "x", std::array{kAny, kAny});
    const auto alpha = require<float>(alpha_object, "alpha", std::array{x.shape(1)});
    const auto inverse = require<float>(inverse_object, "inverse_alpha", std::array{x.shape(1)});
    Floats y = like(x);
    table(isa).snake(x.data(), alpha.data(), inverse.data(), size_of(x, 0), size_of(x, 1), y.mutable_data());
    return y;
}

py::array_t<std::int32_t> fsq_quantise(const std::string& isa, const py::object& object,
                                       const std::vector<std::int32_t>& levels) {
    const auto y =
        require<float>(object, "y", std::array<py::ssize_t, 2>{kAny, static_cast<py::ssize_t>(levels.size())});
    std::vector<float> half;
    std::vector<std::int32_t> basis;
    std::int32_t product = 1;
    for (const std::int32_t level : levels) {
        half.push_back(static_cast<float>(level - 1) / 2.0F);
        basis.push_back(product);
        product *= level;
    }
    py::array_t<std::int32_t> tokens(y.shape(0));
    table(isa).fsq_quantise(y.data(), half.data(), basis.data(), size_of(y, 0), size_of(y, 1), tokens.mutable_data());
    return tokens;
}

py::tuple rfft(const std::string& isa, const py::object& object) {
    const auto x = require<float>(object, "x", std::array{kAny});
    const core::Fft fft(size_of(x, 0));
    core::AlignedVector<float> work(length(x));
    Floats re(static_cast<py::ssize_t>(length(x) / 2 + 1));
    Floats im = like(re);
    table(isa).rfft(fft.tables(), x.data(), work.data(), re.mutable_data(), im.mutable_data());
    return py::make_tuple(re, im);
}

Floats irfft(const std::string& isa, const py::object& re_object, const py::object& im_object) {
    const auto re = require<float>(re_object, "re", std::array{kAny});
    const auto im = require<float>(im_object, "im", std::array{re.shape(0)});
    const core::Fft fft(2 * (size_of(re, 0) - 1));
    core::AlignedVector<float> work(4 * length(re));
    Floats x(2 * (re.shape(0) - 1));
    table(isa).irfft(fft.tables(), re.data(), im.data(), work.data(), x.mutable_data());
    return x;
}

Floats magnitude(const std::string& isa, const py::object& re_object, const py::object& im_object, float eps) {
    const auto re = require<float>(re_object, "re", std::array{kAny});
    const auto im = require<float>(im_object, "im", std::array{re.shape(0)});
    Floats y = like(re);
    table(isa).magnitude(re.data(), im.data(), eps, size_of(re, 0), y.mutable_data());
    return y;
}

Floats exponential(const std::string& isa, const py::object& object) {
    const auto x = require<float>(object, "x", std::array{kAny});
    Floats y = like(x);
    table(isa).exp(x.data(), size_of(x, 0), y.mutable_data());
    return y;
}

Floats log_floor(const std::string& isa, const py::object& object, float floor) {
    const auto x = require<float>(object, "x", std::array{kAny});
    Floats y = like(x);
    table(isa).log_floor(x.data(), floor, size_of(x, 0), y.mutable_data());
    return y;
}

Floats polar_head(const std::string& isa, const py::object& object) {
    const auto x = require<float>(object, "x", std::array{kAny, kAny});
    if (x.shape(1) % 2 != 0) throw py::value_error("x: rows must hold magnitudes and phases, an even number");
    Floats y = like(x);
    table(isa).polar_head(x.data(), size_of(x, 0), size_of(x, 1) / 2, y.mutable_data());
    return y;
}

std::vector<std::string> isas() {
    std::vector<std::string> names;
    for (const Backend* backend : core::available_backends()) names.emplace_back(backend->name);
    return names;
}

/// GB/s at which one core reads a block of this size again and again: the best of `repeats` sums over it.
double read_bandwidth(std::size_t megabytes, int repeats) {
    const py::gil_scoped_release release;
    core::AlignedVector<std::uint64_t> block(megabytes * (1000000 / sizeof(std::uint64_t)), 1);
    constexpr std::size_t kLanes = 32;  // independent sums: four cache lines in flight
    double best = 0.0;
    for (int repeat = 0; repeat < repeats; ++repeat) {
        std::array<std::uint64_t, kLanes> sums{};
        const auto start = std::chrono::steady_clock::now();
        for (std::size_t i = 0; i + kLanes <= block.size(); i += kLanes) {
            for (std::size_t lane = 0; lane < kLanes; ++lane) sums[lane] += block[i + lane];
        }
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        // Depends on every sum, so that none is optimised away.
        if (std::accumulate(sums.begin(), sums.end(), std::uint64_t{0}) == 0) return 0.0;
        best = std::max(best, static_cast<double>(block.size() * sizeof(std::uint64_t)) / seconds.count() / 1e9);
    }
    return best;
}

/// Operations a second, in 1e9, of multiply-adds in registers: the best of `repeats` runs.
double peak(const std::string& isa, const std::string& precision, int repeats) {
    const Backend& backend = table(isa);
    const auto kind = precision == "fp32"   ? core::Precision::fp32
                      : precision == "bf16" ? core::Precision::bf16
                      : precision == "int8" ? core::Precision::int8
                                            : throw py::value_error("precision: unknown name '" + precision + "'");
    constexpr int kRounds = 200000;
    const py::gil_scoped_release release;
    double best = 0.0;
    volatile float kept = 0.0F;
    for (int repeat = 0; repeat < repeats; ++repeat) {
        float sink = 0.0F;
        const auto start = std::chrono::steady_clock::now();
        const std::uint64_t operations = backend.multiply_add(kind, kRounds, &sink);
        const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
        kept = sink;
        best = std::max(best, static_cast<double>(operations) / seconds.count() / 1e9);
    }
    static_cast<void>(kept);
    return best;
}

}  // namespace
}  // namespace secousti::bindings

PYBIND11_MODULE(_kernels, module) {
    using namespace secousti::bindings;
    using py::arg;
    py::register_local_exception_translator(&translate);
    module.doc() = "Single kernels by instruction set, numpy in and out. For tests and benchmarks.";
    module.def("isas", &isas, "Instruction sets this processor runs, fastest first.");
    module.def(
        "linear", &linear, arg("isa"), arg("x"), arg("weights"), arg("bias") = py::none(), arg("activation") = "none",
        arg("slope") = 0.0F, arg("scale") = py::none(), arg("residual") = py::none(), arg("kernel") = 1,
        arg("stride") = 1, arg("dilation") = 1,
        "Linear layer or valid convolution over time: x [T, C], weights [outputs, kernel * C] -> [rows, outputs].");
    module.def("layer_norm", &layer_norm, arg("isa"), arg("x"), arg("gamma"), arg("beta"), arg("eps") = 1e-5F);
    module.def("attention", &attention, arg("isa"), arg("qkv"), arg("rope_cos"), arg("rope_sin"), arg("keys"),
               arg("values"), arg("position"), arg("start") = 0,
               "One layer's attention; appends to the rings `keys` and `values` [heads, context, head_dim] in place.");
    module.def("activate", &activate, arg("isa"), arg("x"), arg("activation"), arg("slope") = 0.0F);
    module.def("snake", &snake, arg("isa"), arg("x"), arg("alpha"), arg("inverse_alpha"));
    module.def("fsq_quantise", &fsq_quantise, arg("isa"), arg("y"), arg("levels"));
    module.def("rfft", &rfft, arg("isa"), arg("x"), "(re, im) of a real signal whose length is a power of two >= 16.");
    module.def("irfft", &irfft, arg("isa"), arg("re"), arg("im"));
    module.def("magnitude", &magnitude, arg("isa"), arg("re"), arg("im"), arg("eps"));
    module.def("exp", &exponential, arg("isa"), arg("x"));
    module.def("log_floor", &log_floor, arg("isa"), arg("x"), arg("floor"));
    module.def("polar_head", &polar_head, arg("isa"), arg("x"));
    module.def("peak", &peak, arg("isa"), arg("precision"), arg("repeats") = 8,
               "10^9 operations a second (a multiply-add is two) of one core in registers, measured now.");
    module.def("read_bandwidth", &read_bandwidth, arg("megabytes") = 256, arg("repeats") = 8,
               "GB/s at which one core reads a block of this size (256: from memory) again and again, measured now.");
}
