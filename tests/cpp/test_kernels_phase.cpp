// Kernels of phase reconstruction against double loops, on every instruction set.
#include <cmath>
#include <cstdint>
#include <vector>

#include "kernel_cases.h"

namespace {

using namespace kernel_cases;

TEST(multiply_matches_and_may_run_in_place) {
    for_each_backend([](const Backend& backend) {
        for (const int size : kAwkwardSizes) {
            const auto count = static_cast<std::size_t>(size);
            const std::vector<float> a = check::uniform_vector(count), b = check::uniform_vector(count);
            std::vector<double> expected;
            for (std::size_t i = 0; i < count; ++i) expected.push_back(double{a[i]} * double{b[i]});
            std::vector<float> y(count), left = a, right = b;
            backend.multiply(a.data(), b.data(), count, y.data());
            CHECK_VECTORS_CLOSE(y, expected, kElementwise.absolute, kElementwise.relative, label(backend, "multiply"));
            backend.multiply(left.data(), b.data(), count, left.data());
            backend.multiply(a.data(), right.data(), count, right.data());
            CHECK(left == y && right == y);
        }
    });
}

TEST(interpolate_matches_its_definition) {
    for_each_backend([](const Backend& backend) {
        for (const int size : kAwkwardSizes) {
            const std::vector<float> values = check::uniform_vector(9);
            std::vector<std::int32_t> index;
            std::vector<float> fraction;
            std::vector<double> expected;
            for (int i = 0; i < size; ++i) {
                index.push_back(static_cast<std::int32_t>(check::random()() % 8));
                fraction.push_back(i % 3 == 0 ? 0.0F : i % 3 == 1 ? 1.0F : check::uniform(0.0F, 1.0F));
                const auto at = static_cast<std::size_t>(index.back());
                const double f = double{fraction.back()};
                expected.push_back((1.0 - f) * double{values[at]} + f * double{values[at + 1]});
            }
            std::vector<float> y(index.size());
            backend.interpolate(values.data(), index.data(), fraction.data(), size, y.data());
            CHECK_VECTORS_CLOSE(y, expected, kElementwise.absolute, kElementwise.relative,
                                label(backend, "interpolate"));
        }
    });
}

TEST(griffin_lim_step_matches_double_loops) {
    for_each_backend([](const Backend& backend) {
        for (const int size : kAwkwardSizes) {
            const auto count = static_cast<std::size_t>(size);
            std::vector<float> re = check::uniform_vector(count, 0.5F, 1.0F), im = check::uniform_vector(count),
                               previous_re = check::uniform_vector(count), previous_im = check::uniform_vector(count);
            const std::vector<float> magnitude = check::uniform_vector(count, 0.0F, 1.0F),
                                     gain = check::uniform_vector(count, 0.0F, 2.0F);
            re[0] = im[0] = previous_re[0] = previous_im[0] = 0.0F;  // no direction: the result is 0, not NaN
            const std::vector<float> old_re = re, old_im = im;
            std::vector<double> expected_re, expected_im;
            for (std::size_t i = 0; i < count; ++i) {
                const double cr = double{re[i]} + 0.5 * (double{re[i]} - double{previous_re[i]});
                const double ci = double{im[i]} + 0.5 * (double{im[i]} - double{previous_im[i]});
                const double size_of = std::hypot(cr, ci);
                const double scale = size_of == 0.0 ? 0.0 : double{magnitude[i]} * double{gain[i]} / size_of;
                expected_re.push_back(scale * cr);
                expected_im.push_back(scale * ci);
            }
            backend.griffin_lim(magnitude.data(), gain.data(), 0.5F, size, re.data(), im.data(), previous_re.data(),
                                previous_im.data());
            CHECK_VECTORS_CLOSE(re, expected_re, 1e-6, 1e-6, label(backend, "griffin_lim re"));
            CHECK_VECTORS_CLOSE(im, expected_im, 3e-6, 1e-6, label(backend, "griffin_lim im"));
            CHECK(previous_re == old_re && previous_im == old_im);
        }
    });
}

}  // namespace
