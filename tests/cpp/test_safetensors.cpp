#include <bit>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "base/error.h"
#include "check.h"
#include "io/safetensors.h"

#if !defined(_WIN32)
#include <sys/stat.h>
#include <unistd.h>
#endif

using namespace secousti::core;

namespace {

using Bytes = std::vector<std::byte>;

Bytes file_of(const std::string& header, std::size_t data_bytes) {
    Bytes bytes(8 + header.size() + data_bytes);
    const std::uint64_t size = header.size();
    std::memcpy(bytes.data(), &size, 8);
    std::memcpy(bytes.data() + 8, header.data(), header.size());
    for (std::size_t i = 0; i < data_bytes; ++i) bytes[8 + header.size() + i] = static_cast<std::byte>(i);
    return bytes;
}

SafetensorsFile read(const Bytes& bytes) { return SafetensorsFile::from_memory(bytes, "model"); }

std::string entry(const char* name, const char* dtype, const char* shape, const char* offsets) {
    return std::string("\"") + name + R"(":{"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" +
           offsets + "}";
}

/// A directory of its own, removed at the end.
struct TemporaryFolder {
    std::filesystem::path path;
    TemporaryFolder() {
        path = std::filesystem::temp_directory_path() / ("secousti-test-" + std::to_string(std::random_device{}()));
        std::filesystem::create_directory(path);
    }
    ~TemporaryFolder() { std::filesystem::remove_all(path); }
    std::string write(const char* name, const Bytes& bytes) const {
        const auto file = path / name;
        std::ofstream(file, std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        return file.string();
    }
};

}  // namespace

TEST(safetensors_reads_a_valid_file) {
    const Bytes bytes =
        file_of("{\"__metadata__\":{\"format\":\"secousti\",\"config\":\"{}\"}," +
                    entry("b", "F32", "[2,1]", "[3,11]") + "," + entry("a", "U8", "[3]", "[0,3]") + "," +
                    entry("empty", "F16", "[0,4]", "[3,3]") + "," + entry("scalar", "BF16", "[]", "[11,13]") + "}   ",
                13);
    for (std::size_t shift = 0; shift < 8; ++shift) {  // whatever the alignment of the bytes
        Bytes moved(shift + bytes.size());
        std::copy(bytes.begin(), bytes.end(), moved.begin() + static_cast<std::ptrdiff_t>(shift));
        auto opened = SafetensorsFile::from_memory(std::span(moved).subspan(shift), "model");
        const SafetensorsFile file = std::move(opened);
        CHECK(file.tensors().size() == 4);
        CHECK(file.tensors()[0].name == "a" && file.tensors()[3].name == "scalar");
        CHECK(file.metadata("format") == "secousti");
        CHECK(file.metadata("config") == "{}");
        CHECK(file.metadata("none").empty());
        CHECK(file.find("c") == nullptr);
        const TensorView* b = file.find("b");
        CHECK(b != nullptr && b->dtype == DType::f32 && b->shape == std::vector<std::int64_t>{2, 1});
        CHECK(b->elements() == 2 && b->source->name() == "model");
        float values[2], expected[2];
        widen_to_float(*b, values);
        std::memcpy(expected, moved.data() + moved.size() - 10, 8);
        CHECK(std::memcmp(values, expected, 8) == 0);
        CHECK(file.find("empty")->elements() == 0);
        CHECK(file.find("scalar")->elements() == 1 && file.find("scalar")->shape.empty());
        CHECK_THROWS(widen_to_float(*file.find("a"), values), Error, "model: tensor 'a': dtype U8");
    }
}

TEST(safetensors_hostile_headers_are_refused) {
    struct Case {
        std::string header;
        std::size_t data;
        const char* message;
    };
    const std::string ok = entry("t", "U8", "[4]", "[0,4]");
    const Case cases[] = {
        {"", 0, "model: header: JSON: line 1, column 1: unexpected end"},
        {"[]", 0, "model: header: expected an object"},
        {"3", 0, "model: header: expected an object"},
        {"{" + ok, 4, "unexpected end of text"},
        {"{" + ok + "," + ok + "}", 4, "the key 't' twice"},
        {"{" + ok + "}garbage", 4, "unexpected text"},
        {"{\"t\":3}", 0, "t: expected an object, got 3"},
        {"{\"t\":[[[[[]]]]]}", 0, "nested more than 4"},
        {R"({"t":{"shape":[4],"data_offsets":[0,4]}})", 4, "t: the key 'dtype' is missing"},
        {R"({"t":{"dtype":"U8","data_offsets":[0,4]}})", 4, "t: the key 'shape' is missing"},
        {R"({"t":{"dtype":"U8","shape":[4]}})", 4, "t: the key 'data_offsets' is missing"},
        {R"({"t":{"dtype":8,"shape":[4],"data_offsets":[0,4]}})", 4, "t.dtype: expected a string"},
        {"{" + entry("t", "Q8", "[4]", "[0,4]") + "}", 4, "tensor 't': unknown dtype 'Q8'"},
        {"{" + entry("t", "f32", "[1]", "[0,4]") + "}", 4, "tensor 't': unknown dtype 'f32'"},
        {"{" + entry("t", "U8", "4", "[0,4]") + "}", 4, "tensor 't': its shape is not an array"},
        {"{" + entry("t", "U8", "[1,1,1,1,1,1,1,1,4]", "[0,4]") + "}", 4, "tensor 't': has 9 dimensions"},
        {"{" + entry("t", "U8", "[-4]", "[0,4]") + "}", 4, "t.shape[0]: expected an integer in [0,"},
        {"{" + entry("t", "U8", "[2,2.5]", "[0,4]") + "}", 4, "t.shape[1]: expected an integer"},
        {"{" + entry("t", "U8", "[\"4\"]", "[0,4]") + "}", 4, "t.shape[0]: expected a number"},
        {"{" + entry("t", "U8", "[4294967296,4294967296]", "[0,4]") + "}", 4, "tensor 't': the size of its shape"},
        {"{" + entry("t", "F64", "[2305843009213693952]", "[0,0]") + "}", 0, "tensor 't': the size of its shape"},
        {"{" + entry("t", "U8", "[9223372036854775807,3,0]", "[0,0]") + "}", 0, "tensor 't': the size of its shape"},
        {"{" + entry("t", "U8", "[18446744073709551616]", "[0,4]") + "}", 4, "t.shape[0]: expected an integer"},
        {"{" + entry("t", "U8", "[4]", "[0]") + "}", 4, "tensor 't': data_offsets is not a pair"},
        {"{" + entry("t", "U8", "[4]", "[0,4,8]") + "}", 4, "tensor 't': data_offsets is not a pair"},
        {"{" + entry("t", "U8", "[4]", "4") + "}", 4, "tensor 't': data_offsets is not a pair"},
        {"{" + entry("t", "U8", "[4]", "[4,0]") + "}", 4, "tensor 't': data_offsets [4, 0] run backwards"},
        {"{" + entry("t", "U8", "[4]", "[-4,0]") + "}", 4, "t.data_offsets[0]: expected an integer in [0,"},
        {"{" + ok + "}", 3, "tensor 't': data_offsets [0, 4] reach past the 3 bytes"},
        {"{" + entry("t", "U8", "[4]", "[9223372036854775803,9223372036854775807]") + "}", 4, "reach past the 4 bytes"},
        {"{" + entry("t", "F32", "[4]", "[0,4]") + "}", 4, "do not hold F32 [4] of 16 bytes"},
        {"{" + entry("t", "U8", "[0]", "[0,4]") + "}", 4, "do not hold U8 [0] of 0 bytes"},
        {"{" + ok + "," + entry("u", "U8", "[4]", "[2,6]") + "}", 6, "tensor 'u': overlaps the tensor before it"},
        {"{" + ok + "," + entry("u", "U8", "[4]", "[0,4]") + "}", 4, "overlaps the tensor before it"},
        {"{" + ok + "," + entry("u", "U8", "[0]", "[2,2]") + "}", 4, "tensor 'u': overlaps the tensor before it"},
        {"{" + ok + "," + entry("u", "U8", "[4]", "[6,10]") + "}", 10, "tensor 'u': follows a hole of 2 bytes"},
        {"{" + entry("t", "U8", "[4]", "[1,5]") + "}", 5, "tensor 't': follows a hole of 1 bytes"},
        {"{" + ok + "}", 9, "5 bytes after the last tensor belong to none"},
        {"{}", 1, "1 bytes after the last tensor belong to none"},
        {"{\"__metadata__\":{\"format\":1}}", 0, "__metadata__.format: expected a string"},
        {"{\"t\xFF\":3}", 0, "invalid UTF-8"},
    };
    for (const Case& c : cases) {
        CHECK_THROWS(read(file_of(c.header, c.data)), Error, c.message);
        CHECK_THROWS(read(file_of(c.header, c.data)), Error, "model: ");
    }
    CHECK(read(file_of("{" + ok + "}", 4)).tensors().size() == 1);
}

TEST(safetensors_header_length_is_checked) {
    const Bytes good = file_of("{" + entry("t", "F32", "[4]", "[0,16]") + "}", 16);
    for (std::size_t size = 0; size < good.size(); ++size) {  // cut anywhere
        CHECK_THROWS(read(Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size))), Error, "model: ");
    }
    for (const std::uint64_t length : {std::uint64_t{100'000'001}, std::uint64_t{1} << 63, ~std::uint64_t{0}}) {
        Bytes bytes = good;
        std::memcpy(bytes.data(), &length, 8);
        CHECK_THROWS(read(bytes), Error, "more than the 100000000 allowed");
    }
    Bytes bytes = good;
    const std::uint64_t length = good.size() - 7;
    std::memcpy(bytes.data(), &length, 8);
    CHECK_THROWS(read(bytes), Error, "truncated?");
}

TEST(safetensors_every_bit_flipped_is_refused_or_harmless) {
    const Bytes good = file_of("{\"__metadata__\":{\"k\":\"v\"}," + entry("t", "F32", "[2,2]", "[0,16]") + "," +
                                   entry("u", "F16", "[3]", "[16,22]") + "}",
                               22);
    int refused = 0;
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit) {
        Bytes bytes = good;
        bytes[bit / 8] ^= std::byte{1} << (bit % 8);
        try {
            const SafetensorsFile file = read(bytes);
            float values[11];
            for (const TensorView& tensor : file.tensors()) {
                CHECK(tensor.offset <= bytes.size() && tensor.bytes <= bytes.size() - tensor.offset);
                if (tensor.dtype == DType::f32 || tensor.dtype == DType::f16) widen_to_float(tensor, values);
            }
        } catch (const Error& error) {
            CHECK(error.status() == Status::invalid_file);
            ++refused;
        }
    }
    CHECK(refused > 300);
}

TEST(safetensors_files_on_disk) {
    const TemporaryFolder folder;
    const Bytes good = file_of("{" + entry("t", "F32", "[4]", "[0,16]") + "}", 16);
    const std::string path = folder.write("good.safetensors", good);
    {
        SafetensorsFile file = SafetensorsFile::open(path);
        CHECK(file.path() == path && file.tensors().size() == 1);
        Bytes data(16);
        file.find("t")->read(0, data);
        CHECK(std::memcmp(data.data(), good.data() + good.size() - 16, 16) == 0);
        file = SafetensorsFile::open(path);  // the old file is closed, the new one stays open
        file.find("t")->read(15, std::span(data).first(1));
        CHECK(data[0] == std::byte{15});
        std::filesystem::resize_file(path, good.size() - 1);  // a reader of a mapping would be killed
        float values[4];
        CHECK_THROWS(widen_to_float(*file.find("t"), values), Error, "good.safetensors: ends at byte ");
        folder.write("good.safetensors", good);
    }
    const auto status_of = [](const std::string& name) {
        try {
            SafetensorsFile::open(name);
            return Status::ok;
        } catch (const Error& error) {
            CHECK_MSG(std::string(error.what()).find(name) == 0, error.what());
            return error.status();
        }
    };
    CHECK(status_of(folder.write("empty", {})) == Status::invalid_file);
    CHECK(status_of(folder.write("short", Bytes(7))) == Status::invalid_file);
    CHECK(status_of(folder.write("cut", Bytes(good.begin(), good.end() - 1))) == Status::invalid_file);
    CHECK(status_of((folder.path / "absent").string()) == Status::io_error);
    CHECK(status_of(folder.path.string()) == Status::io_error);
#if !defined(_WIN32)
    const std::string fifo = (folder.path / "fifo").string();
    CHECK(::mkfifo(fifo.c_str(), 0600) == 0);
    CHECK(status_of(fifo) == Status::io_error);
    CHECK(status_of("/dev/zero") == Status::io_error);
    if (::geteuid() != 0) {
        CHECK(::chmod(path.c_str(), 0) == 0);
        CHECK(status_of(path) == Status::io_error);
    }
#endif
}

TEST(safetensors_half_precision_is_widened_exactly) {
    std::vector<std::uint16_t> bits(65536);
    for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
    const ByteSource source = ByteSource::memory(std::as_bytes(std::span(bits)), "model");
    TensorView tensor{"t", DType::f16, {65536}, 0, source.size(), &source};
    std::vector<float> values(bits.size());
    const auto same = [](float actual, double expected) {
        if (std::isnan(expected)) return std::isnan(actual);
        return static_cast<double>(actual) == expected && std::signbit(actual) == std::signbit(expected);
    };
    std::size_t wrong = 0;
    widen_to_float(tensor, values.data());
    for (unsigned i = 0; i < 65536; ++i) {  // IEEE 754 binary16, by its definition
        const int exponent = static_cast<int>(i >> 10 & 31U);
        const double fraction = (i & 1023U) / 1024.0;
        double expected = exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1 + fraction, exponent - 15);
        if (exponent == 31) expected = fraction == 0 ? INFINITY : NAN;
        wrong += !same(values[i], i >> 15 != 0 ? -expected : expected);
    }
    CHECK(wrong == 0);
    tensor.dtype = DType::bf16;
    widen_to_float(tensor, values.data());
    for (unsigned i = 0; i < 65536; ++i) {
        const int exponent = static_cast<int>(i >> 7 & 255U);
        const double fraction = (i & 127U) / 128.0;
        double expected = exponent == 0 ? std::ldexp(fraction, -126) : std::ldexp(1 + fraction, exponent - 127);
        if (exponent == 255) expected = fraction == 0 ? INFINITY : NAN;
        wrong += !same(values[i], i >> 15 != 0 ? -expected : expected);
    }
    CHECK(wrong == 0);
}

TEST(safetensors_weights_must_be_finite) {
    const ByteSource source = ByteSource::memory({}, "model");
    const TensorView tensor{"conv.weight", DType::f32, {2, 3, 4}, 0, 0, &source};
    std::vector<float> values = check::uniform_vector(24);
    check_finite(tensor, values);
    values[17] = std::numeric_limits<float>::quiet_NaN();
    CHECK_THROWS(check_finite(tensor, values), Error, "model: tensor 'conv.weight': NaN at index [1, 1, 1]");
    values[5] = -std::numeric_limits<float>::infinity();
    CHECK_THROWS(check_finite(tensor, values), Error, "infinity at index [0, 1, 1]");
    check_finite(tensor, {});
    // Alone, wherever it is among values that are finite, though barely.
    using Limits = std::numeric_limits<float>;
    const TensorView row{"bias", DType::f32, {53}, 0, 0, &source};
    std::vector<float> extremes;
    for (const float value : {Limits::max(), -Limits::max(), Limits::denorm_min(), -0.0F, 1.0F})
        extremes.insert(extremes.end(), 11, value);
    extremes.resize(53);
    check_finite(row, extremes);
    for (std::size_t i = 0; i < extremes.size(); ++i) {
        for (const float bad : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
            std::vector<float> broken = extremes;
            broken[i] = bad;
            CHECK_THROWS(check_finite(row, broken), Error, " at index [" + std::to_string(i) + "]");
        }
    }
}
