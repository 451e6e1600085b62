// A small test harness: TEST(name) { ... } registers a test; CHECK, CHECK_CLOSE and CHECK_THROWS record failures and go
// on. The random seed is fresh in each run, printed, and set again through SECOUSTI_TEST_SEED.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace check {

struct Test {
    const char* name;
    const char* file;
    void (*body)();
};

inline std::vector<Test>& tests() {
    static std::vector<Test> list;
    return list;
}

struct Registration {
    Registration(const char* name, const char* file, void (*body)()) { tests().push_back({name, file, body}); }
};

/// Records a failure of the running test; prints the first few of each test.
void fail(const char* file, int line, const std::string& message);

/// Random numbers of the running test: seeded from the run's seed and the test's name, so that a filter changes
/// nothing.
std::mt19937& random();

inline float uniform(float low = -1.0F, float high = 1.0F) {
    return std::uniform_real_distribution<float>(low, high)(random());
}

inline std::vector<float> uniform_vector(std::size_t count, float low = -1.0F, float high = 1.0F) {
    std::vector<float> values(count);
    for (float& v : values) v = uniform(low, high);
    return values;
}

/// |actual - expected| <= absolute + relative*|expected|; never true of a NaN.
inline bool close(double actual, double expected, double absolute, double relative) {
    return std::abs(actual - expected) <= absolute + relative * std::abs(expected);
}

/// Compares whole vectors and reports the worst element with `what`.
template <class Actual, class Expected>
void vectors_close(const char* file, int line, const Actual& actual, const Expected& expected, double absolute,
                   double relative, const std::string& what) {
    if (actual.size() != expected.size()) {
        fail(file, line, what + ": sizes differ");
        return;
    }
    std::size_t bad = 0, first = 0;
    for (std::size_t i = 0; i < actual.size(); ++i) {
        if (close(static_cast<double>(actual[i]), static_cast<double>(expected[i]), absolute, relative)) continue;
        if (bad++ == 0) first = i;
    }
    if (bad == 0) return;
    std::ostringstream text;
    text.precision(9);
    text << what << ": " << bad << " of " << actual.size() << " differ; [" << first << "] is " << actual[first]
         << ", expected " << expected[first] << " (tolerance " << absolute << " + " << relative << "*|expected|)";
    fail(file, line, text.str());
}

}  // namespace check

#define TEST(name)                                                                       \
    static void test_##name();                                                           \
    static const check::Registration registration_##name{#name, __FILE__, &test_##name}; \
    static void test_##name()

#define CHECK(...)                                                         \
    do {                                                                   \
        if (!(__VA_ARGS__)) check::fail(__FILE__, __LINE__, #__VA_ARGS__); \
    } while (false)

/// With a message, any expression that makes a std::string.
#define CHECK_MSG(condition, message)                                                                \
    do {                                                                                             \
        if (!(condition)) check::fail(__FILE__, __LINE__, std::string(#condition ": ") + (message)); \
    } while (false)

#define CHECK_CLOSE(actual, expected, tolerance)                                                          \
    do {                                                                                                  \
        const double check_a = static_cast<double>(actual), check_e = static_cast<double>(expected);      \
        if (!check::close(check_a, check_e, tolerance, 0.0)) {                                            \
            std::ostringstream check_text;                                                                \
            check_text.precision(9);                                                                      \
            check_text << #actual " is " << check_a << ", expected " << check_e << " +- " << (tolerance); \
            check::fail(__FILE__, __LINE__, check_text.str());                                            \
        }                                                                                                 \
    } while (false)

#define CHECK_VECTORS_CLOSE(actual, expected, absolute, relative, what) \
    check::vectors_close(__FILE__, __LINE__, actual, expected, absolute, relative, what)

/// The expression throws `Exception` whose message contains `part`.
#define CHECK_THROWS(expression, Exception, part)                                                                   \
    do {                                                                                                            \
        bool check_thrown = false;                                                                                  \
        try {                                                                                                       \
            static_cast<void>(expression);                                                                          \
        } catch (const Exception& check_error) {                                                                    \
            check_thrown = true;                                                                                    \
            if (std::string(check_error.what()).find(part) == std::string::npos)                                    \
                check::fail(__FILE__, __LINE__,                                                                     \
                            std::string("message '") + check_error.what() + "' lacks '" + std::string(part) + "'"); \
        }                                                                                                           \
        if (!check_thrown) check::fail(__FILE__, __LINE__, #expression " did not throw " #Exception);               \
    } while (false)
