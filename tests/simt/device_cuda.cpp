// The device of the tests of streams in programs that run the device engine.
#include "streams.h"

constinit const char* const streams::kDevice = "cuda";
