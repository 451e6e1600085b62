#include <cmath>
#include <string>

#include "base/error.h"
#include "check.h"
#include "io/json.h"

using namespace secousti::core;

namespace {

JsonDocument parse(std::string_view text) { return JsonDocument::parse(text, "file"); }

struct Case {
    std::string text;
    const char* message;
};

}  // namespace

TEST(json_values) {
    const auto document = JsonDocument::parse(
        R"( {"a":{"b":[1,-2,3.5,1e3,true,false,null,"x"],"":{}},"big":9007199254740993,"min":-9223372036854775808} )",
        "file");
    const JsonValue root = document.root();
    const JsonValue list = root.at("a").at("b");
    CHECK(list.size() == 8);
    CHECK(list.at(std::size_t{0}).as_int() == 1);
    CHECK(list.at(1).as_int() == -2);
    CHECK(list.at(2).as_double() == 3.5);
    CHECK(list.at(3).as_int() == 1000);
    CHECK(list.at(4).as_bool());
    CHECK(!list.at(5).as_bool());
    CHECK(list.at(6).kind() == JsonKind::null);
    CHECK(list.at(7).as_string() == "x");
    CHECK(list.at(7).path() == "a.b[7]");
    CHECK(root.at("big").as_int() == 9007199254740993);
    CHECK_THROWS(root.at("big").as_double(), Error, "no exact floating-point value");
    CHECK(root.at("min").as_int() == std::numeric_limits<std::int64_t>::min());
    CHECK(root.at("min").as_double() == -0x1p63);
    CHECK(!root.find("c").has_value());
    std::string keys;
    for (const JsonValue member : root) keys += std::string(member.key()) + ",";
    CHECK(keys == "a,big,min,");
    CHECK(root.at("a").at("").size() == 0);
}

TEST(json_numbers_are_exact) {
    for (const double value : {0.1, 1e-310, 5e-324, 1.7976931348623157e308, 123456789.123456789, 22050.0}) {
        char text[40];
        std::snprintf(text, sizeof text, "%.17g", value);
        CHECK(parse(text).root().as_double() == value);
    }
    CHECK(parse("9007199254740992.0").root().as_int() == 9007199254740992);
    CHECK_THROWS(parse("9007199254740994.0").root().as_int(), Error, "expected an integer");
    CHECK_THROWS(parse("9223372036854775808").root().as_int(), Error, "expected an integer");
    CHECK(parse("9223372036854775808").root().as_double() == 0x1p63);
    CHECK_THROWS(parse("9223372036854775807").root().as_double(), Error, "no exact");
}

TEST(json_errors_name_the_path) {
    const auto document =
        JsonDocument::parse(R"({"layers":{"acoustic":"8","n":[1,2.5]},"k":70000})", "model.safetensors: config");
    const JsonValue root = document.root();
    CHECK_THROWS(root.at("layers").at("acoustic").as_int(), Error,
                 "model.safetensors: config: layers.acoustic: expected a number, got the string '8'");
    CHECK_THROWS(root.at("layers").at("n").at(1).as_int(), Error, "layers.n[1]: expected an integer, got 2.5");
    CHECK_THROWS(root.at("layers").at("semantic"), Error, "layers: the key 'semantic' is missing");
    CHECK_THROWS(root.at("layers").at("n").at(2), Error, "layers.n: has 2 elements, none at 2");
    CHECK_THROWS(root.at("k").as_int(1, 4096), Error, "k: expected an integer in [1, 4096], got 70000");
    CHECK_THROWS(root.at("k").size(), Error, "k: expected an object, got 70000");
    CHECK_THROWS(root.at("layers").as_bool(), Error, "layers: expected true or false, got an object");
    CHECK_THROWS(root.at("layers").at("n").at("x"), Error, "expected an object, got an array");
    try {
        root.at("k").as_string();
        CHECK(false);
    } catch (const Error& error) {
        CHECK(error.status() == Status::invalid_file);
    }
}

TEST(json_strings) {
    const auto text = [](std::string_view json) { return std::string(parse(json).root().as_string()); };
    CHECK(text(R"("\"\\\/\b\f\n\r\t")") == "\"\\/\b\f\n\r\t");
    CHECK(text(R"("\u0041\u00e9\u20AC\ud83d\ude00")") == "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
    CHECK(text(R"("\u0000")") == std::string(1, '\0'));
    CHECK(text("\"\xC3\xA9\xF4\x8F\xBF\xBF\"") == "\xC3\xA9\xF4\x8F\xBF\xBF");
    CHECK(quoted("a\n'\xFF") == "'a\\x0a'\\xff'");
    CHECK(quoted(std::string(200, 'x')).size() == 125);
}

TEST(json_malformed_text_is_refused_with_its_position) {
    const std::string deep(33, '[');
    const Case cases[] = {
        {"", "line 1, column 1: unexpected end"},
        {"  ", "unexpected end"},
        {"{\n \"a\" 1}", "line 2, column 6: expected ':'"},
        {"{\"a\":1,}", "expected a key"},
        {"{a:1}", "expected a key"},
        {"{\"a\":1", "unexpected end"},
        {"{\"a\"", "unexpected end"},
        {"{", "unexpected end"},
        {"[1 2]", "expected ']'"},
        {"[1,]", "expected a value"},
        {"[1}", "expected ']'"},
        {"1 2", "unexpected text after the value"},
        {"{} x", "unexpected text after the value"},
        {std::string("{}\0", 3), "unexpected text after the value"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "column 1: this object has the key 'a' twice"},
        {"{\"a\":1,\"\\u0061\":3}", "the key 'a' twice"},
        {"01", "leading zero"},
        {"-", "expected a digit"},
        {"+1", "expected a value"},
        {".5", "expected a value"},
        {"1.", "expected a digit"},
        {"1e", "expected a digit"},
        {"1e+", "expected a digit"},
        {"1e999", "number out of range"},
        {"-1e999", "number out of range"},
        {"NaN", "expected a value"},
        {"Infinity", "expected a value"},
        {"nul", "expected a value"},
        {"True", "expected a value"},
        {"'a'", "expected a value"},
        {"// c\n1", "expected a value"},
        {"\xEF\xBB\xBF{}", "expected a value"},
        {"\"a", "unexpected end of text in a string"},
        {"\"\\", "unknown escape"},
        {"\"\\x41\"", "unknown escape"},
        {std::string("\"\\\0\"", 4), "unknown escape"},
        {"\"\\u12g4\"", "four hexadecimal digits"},
        {"\"\\ud83d\"", "high surrogate without a low one"},
        {"\"\\ud83d\\u0041\"", "high surrogate without a low one"},
        {"\"\\ude00\"", "low surrogate without a high one"},
        {"\"\n\"", "unescaped control character"},
        {std::string("\"\0\"", 3), "unescaped control character"},
        {"\"\x80\"", "invalid UTF-8"},
        {"\"\xC0\xAF\"", "invalid UTF-8"},
        {"\"\xC1\x81\"", "invalid UTF-8"},
        {"\"\xE0\x9F\xBF\"", "invalid UTF-8"},
        {"\"\xED\xA0\x80\"", "invalid UTF-8"},
        {"\"\xF0\x8F\xBF\xBF\"", "invalid UTF-8"},
        {"\"\xF4\x90\x80\x80\"", "invalid UTF-8"},
        {"\"\xF5\x80\x80\x80\"", "invalid UTF-8"},
        {"\"\xE2\x82\"", "invalid UTF-8"},
        {"\"\xE2\x82", "invalid UTF-8"},
        {"\"\xFF\"", "invalid UTF-8"},
        {deep, "nested more than 32 deep"},
    };
    for (const Case& c : cases) {
        CHECK_THROWS(parse(c.text), Error, c.message);
        CHECK_THROWS(parse(c.text), Error, "file: JSON: line");
    }
    CHECK(parse(std::string(32, '[') + std::string(32, ']')).root().size() == 1);
    CHECK_THROWS(JsonDocument::parse("[1,2]", "file", {.max_bytes = 4}), Error, "JSON of 5 bytes, more than the 4");
}

TEST(json_random_damage_never_goes_wrong_silently) {
    const std::string good = R"({"name":"x\u00e9","n":[1,2.5e3,-7],"o":{"t":true,"f":false,"z":null}})";
    auto& random = check::random();
    int accepted = 0;
    for (int i = 0; i < 20000; ++i) {
        std::string text = good;
        const int edits = 1 + static_cast<int>(random() % 4);
        for (int e = 0; e < edits; ++e) {
            const std::size_t at = random() % text.size();
            switch (random() % 3) {
                case 0:
                    text[at] = static_cast<char>(random());
                    break;
                case 1:
                    text.erase(at, 1 + random() % 4);
                    break;
                default:
                    text.insert(at, 1, "[]{}\",:0"[random() % 8]);
            }
            if (text.empty()) text = " ";
        }
        try {
            const auto document = parse(text);
            // What is accepted is a complete value whose views can all be read.
            if (document.root().kind() == JsonKind::object) {
                for (const JsonValue member : document.root()) CHECK(member.path().size() >= 1 || member.key().empty());
            }
            ++accepted;
        } catch (const Error& error) {
            CHECK(error.status() == Status::invalid_file);
        }
    }
    CHECK(accepted > 0);
}
