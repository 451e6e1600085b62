// The device of the tests of streams in secousti_tests.
#include "streams.h"

constinit const char* const streams::kDevice = "cpu";
