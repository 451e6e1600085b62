// `secousti_tests [filter...]` runs the tests whose name or file name contains one of the filters, or all of them; a
// filter that is a test's whole name means that test alone. `--list` names them.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "check.h"

namespace {

constexpr int kPrintedFailures = 8;
int failures = 0;
std::mt19937 generator;

std::uint32_t run_seed() {
    if (const char* text = std::getenv("SECOUSTI_TEST_SEED")) return static_cast<std::uint32_t>(std::stoul(text));
    return std::random_device{}();
}

std::uint32_t hash(const char* name) {  // FNV-1a
    std::uint32_t h = 2166136261U;
    for (; *name != '\0'; ++name) h = (h ^ static_cast<unsigned char>(*name)) * 16777619U;
    return h;
}

bool is_whole_name(const char* filter) {
    const auto& all = check::tests();
    return std::any_of(all.begin(), all.end(), [=](const check::Test& t) { return std::strcmp(t.name, filter) == 0; });
}

bool chosen(const check::Test& test, int filters, char** filter) {
    const char* slash = std::strrchr(test.file, '/');
    const char* file = slash != nullptr ? slash + 1 : test.file;
    for (int i = 0; i < filters; ++i) {
        if (is_whole_name(filter[i])
                ? std::strcmp(test.name, filter[i]) == 0
                : std::strstr(test.name, filter[i]) != nullptr || std::strstr(file, filter[i]) != nullptr)
            return true;
    }
    return filters == 0;
}

}  // namespace

namespace check {

std::mt19937& random() { return generator; }

void fail(const char* file, int line, const std::string& message) {
    if (++failures <= kPrintedFailures) std::printf("    %s:%d: %s\n", file, line, message.c_str());
}

}  // namespace check

int main(int argc, char** argv) {
    const bool list = argc == 2 && std::strcmp(argv[1], "--list") == 0;
    const std::uint32_t seed = run_seed();
    int passed = 0, failed = 0;
    for (const check::Test& test : check::tests()) {
        if (list) {
            std::printf("%s\n", test.name);
            continue;
        }
        if (!chosen(test, argc - 1, argv + 1)) continue;
        failures = 0;
        generator.seed(seed ^ hash(test.name));
        try {
            test.body();
        } catch (const std::exception& error) {
            check::fail(__FILE__, __LINE__, std::string("unexpected exception: ") + error.what());
        } catch (...) {
            check::fail(__FILE__, __LINE__, "unexpected exception");
        }
        std::printf("%s %s\n", failures == 0 ? "ok    " : "FAILED", test.name);
        if (failures > kPrintedFailures) std::printf("    ... %d failures in all\n", failures);
        std::fflush(stdout);
        ++(failures == 0 ? passed : failed);
    }
    if (list) return 0;
    if (failed != 0) std::printf("repeat with SECOUSTI_TEST_SEED=%u\n", seed);
    std::printf("%d passed, %d failed\n", passed, failed);
    return failed == 0 && passed > 0 ? 0 : 1;
}
