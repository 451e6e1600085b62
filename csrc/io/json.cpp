#include "io/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "base/error.h"

namespace secousti::core {
namespace {

constexpr std::uint32_t kNone = 0xFFFFFFFFU;
constexpr double kExactIntegers = 9007199254740992.0;  // 2^53

struct Node {
    std::uint32_t parent = kNone;
    std::uint32_t next = kNone;  // sibling
    std::uint32_t key_begin = 0;
    std::uint32_t key_size = 0;
    union {
        std::int64_t integer;
        double real;
        bool boolean;
        struct {
            std::uint32_t begin, size;
        } string;
        struct {
            std::uint32_t first, count;
        } children;
    };
    JsonKind kind = JsonKind::null;
    bool is_integer = false;

    Node() : integer(0) {}
};
static_assert(sizeof(Node) <= 40);

}  // namespace

struct JsonNodes {
    std::string name;
    std::string strings;  // all keys and string values, unescaped
    std::vector<Node> nodes;

    std::string_view key(std::uint32_t node) const {
        return std::string_view(strings).substr(nodes[node].key_begin, nodes[node].key_size);
    }
};

namespace {

class Parser {
  public:
    Parser(std::string_view text, JsonNodes& out, int max_depth) : text_(text), out_(out), max_depth_(max_depth) {}

    void run() {
        value(kNone, 0);
        space();
        if (at_ != text_.size()) fail("unexpected text after the value");
    }

  private:
    [[noreturn]] void fail(const std::string& what) const {
        const auto before = text_.substr(0, at_);
        const auto line = 1 + std::count(before.begin(), before.end(), '\n');
        const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
        throw Error(Status::invalid_file, out_.name + ": JSON: line " + std::to_string(line) + ", column " +
                                              std::to_string(at_ - line_start + 1) + ": " + what);
    }

    bool more() const { return at_ < text_.size(); }
    char peek() const { return more() ? text_[at_] : '\0'; }
    void space() {
        while (more() && (peek() == ' ' || peek() == '\t' || peek() == '\n' || peek() == '\r')) ++at_;
    }
    bool accept(char c) {
        if (!more() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    void expect(char c) {
        space();
        if (!accept(c)) fail(more() ? std::string("expected '") + c + "'" : "unexpected end of text");
    }

    std::uint32_t value(std::uint32_t parent, int depth) {
        space();
        const auto self = static_cast<std::uint32_t>(out_.nodes.size());
        out_.nodes.emplace_back();
        out_.nodes[self].parent = parent;
        if (!more()) fail("unexpected end of text");
        switch (peek()) {
            case '{':
                children(self, depth, JsonKind::object, '}');
                break;
            case '[':
                children(self, depth, JsonKind::array, ']');
                break;
            case '"': {
                const auto begin = static_cast<std::uint32_t>(out_.strings.size());
                string();
                out_.nodes[self].kind = JsonKind::string;
                out_.nodes[self].string = {begin, static_cast<std::uint32_t>(out_.strings.size()) - begin};
                break;
            }
            case 't':
                literal(self, "true", JsonKind::boolean, true);
                break;
            case 'f':
                literal(self, "false", JsonKind::boolean, false);
                break;
            case 'n':
                literal(self, "null", JsonKind::null, false);
                break;
            default:
                number(self);
        }
        return self;
    }

    void literal(std::uint32_t self, std::string_view word, JsonKind kind, bool boolean) {
        if (text_.substr(at_, word.size()) != word) fail("expected a value");
        at_ += word.size();
        out_.nodes[self].kind = kind;
        out_.nodes[self].boolean = boolean;
    }

    void children(std::uint32_t self, int depth, JsonKind kind, char close) {
        if (depth >= max_depth_) fail("nested more than " + std::to_string(max_depth_) + " deep");
        const std::size_t start = at_++;
        std::uint32_t first = kNone, last = kNone, count = 0;
        space();
        if (!accept(close)) {
            do {
                std::uint32_t key_begin = 0, key_size = 0;
                if (kind == JsonKind::object) {
                    space();
                    if (peek() != '"') fail(more() ? "expected a key in double quotes" : "unexpected end of text");
                    key_begin = static_cast<std::uint32_t>(out_.strings.size());
                    string();
                    key_size = static_cast<std::uint32_t>(out_.strings.size()) - key_begin;
                    expect(':');
                }
                const std::uint32_t child = value(self, depth + 1);
                out_.nodes[child].key_begin = key_begin;
                out_.nodes[child].key_size = key_size;
                (last == kNone ? first : out_.nodes[last].next) = child;
                last = child;
                ++count;
                space();
            } while (accept(','));
            expect(close);
        }
        out_.nodes[self].kind = kind;
        out_.nodes[self].children = {first, count};
        if (kind == JsonKind::object) reject_duplicates(first, count, start);
    }

    void reject_duplicates(std::uint32_t first, std::uint32_t count, std::size_t start) {
        std::vector<std::string_view> keys;
        keys.reserve(count);
        for (std::uint32_t i = first; i != kNone; i = out_.nodes[i].next) keys.push_back(out_.key(i));
        std::sort(keys.begin(), keys.end());
        const auto twice = std::adjacent_find(keys.begin(), keys.end());
        if (twice == keys.end()) return;
        at_ = start;
        fail("this object has the key " + quoted(*twice) + " twice");
    }

    void number(std::uint32_t self) {
        const std::size_t start = at_;
        const auto digits = [this] {
            if (peek() < '0' || peek() > '9') fail("expected a digit");
            while (peek() >= '0' && peek() <= '9') ++at_;
        };
        if (peek() != '-' && (peek() < '0' || peek() > '9')) fail("expected a value");
        accept('-');
        if (!accept('0')) {
            digits();
        } else if (peek() >= '0' && peek() <= '9') {
            fail("a number with a leading zero");
        }
        bool integer = true;
        if (accept('.')) {
            integer = false;
            digits();
        }
        if (accept('e') || accept('E')) {
            integer = false;
            if (!accept('+')) accept('-');
            digits();
        }
        const char* begin = text_.data() + start;
        const char* end = text_.data() + at_;
        Node& node = out_.nodes[self];
        node.kind = JsonKind::number;
        if (integer && std::from_chars(begin, end, node.integer).ec == std::errc()) {
            node.is_integer = true;
            return;
        }
        double real = 0;
        const auto result = std::from_chars(begin, end, real);
        if (result.ec != std::errc() || result.ptr != end) {
            at_ = start;
            fail("number out of range");
        }
        node.real = real;
    }

    unsigned hex4() {
        unsigned code = 0;
        for (int i = 0; i < 4; ++i) {
            const char c = peek();
            const int digit = c >= '0' && c <= '9'   ? c - '0'
                              : c >= 'a' && c <= 'f' ? c - 'a' + 10
                              : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                     : -1;
            if (digit < 0) fail("expected four hexadecimal digits after \\u");
            code = code * 16 + static_cast<unsigned>(digit);
            ++at_;
        }
        return code;
    }

    void escape() {
        const char c = peek();
        const auto which = std::string_view("\"\\/bfnrt").find(c);
        if (more() && which != std::string_view::npos) {
            out_.strings.push_back("\"\\/\b\f\n\r\t"[which]);
            ++at_;
            return;
        }
        if (!accept('u')) fail("unknown escape sequence");
        unsigned code = hex4();
        if (code >= 0xD800 && code < 0xDC00) {
            if (!accept('\\') || !accept('u')) fail("a high surrogate without a low one");
            const unsigned low = hex4();
            if (low < 0xDC00 || low > 0xDFFF) fail("a high surrogate without a low one");
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        } else if (code >= 0xDC00 && code < 0xE000) {
            fail("a low surrogate without a high one");
        }
        const auto put = [this](unsigned byte) { out_.strings.push_back(static_cast<char>(byte)); };
        if (code < 0x80) {
            put(code);
        } else if (code < 0x800) {
            put(0xC0 | code >> 6);
            put(0x80 | (code & 0x3F));
        } else if (code < 0x10000) {
            put(0xE0 | code >> 12);
            put(0x80 | (code >> 6 & 0x3F));
            put(0x80 | (code & 0x3F));
        } else {
            put(0xF0 | code >> 18);
            put(0x80 | (code >> 12 & 0x3F));
            put(0x80 | (code >> 6 & 0x3F));
            put(0x80 | (code & 0x3F));
        }
    }

    // Copies one character of two to four bytes if it is valid (RFC 3629: shortest form, no surrogates, <= U+10FFFF).
    void multibyte() {
        const auto byte = [this](std::size_t i) {
            return at_ + i < text_.size() ? static_cast<unsigned char>(text_[at_ + i]) : 0U;
        };
        const unsigned lead = byte(0);
        const std::size_t size = lead >= 0xC2 && lead <= 0xDF  ? 2
                                 : lead >= 0xE0 && lead < 0xF0 ? 3
                                 : lead >= 0xF0 && lead < 0xF5 ? 4
                                                               : 0;
        const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
        bool valid = size != 0 && byte(1) >= low && byte(1) <= high;
        for (std::size_t i = 2; i < size; ++i) valid = valid && byte(i) >= 0x80 && byte(i) <= 0xBF;
        if (!valid) fail("invalid UTF-8");
        out_.strings.append(text_.substr(at_, size));
        at_ += size;
    }

    void string() {
        ++at_;
        while (!accept('"')) {
            if (!more()) fail("unexpected end of text in a string");
            const auto c = static_cast<unsigned char>(peek());
            if (c == '\\') {
                ++at_;
                escape();
            } else if (c < 0x20) {
                fail("unescaped control character in a string");
            } else if (c < 0x80) {
                out_.strings.push_back(static_cast<char>(c));
                ++at_;
            } else {
                multibyte();
            }
        }
    }

    std::string_view text_;
    JsonNodes& out_;
    int max_depth_;
    std::size_t at_ = 0;
};

}  // namespace

std::string quoted(std::string_view text) {
    constexpr std::size_t kLongest = 120;  // the longest published tensor name has 90
    std::string out = "'";
    for (const char c : text.substr(0, kLongest)) {
        if (c >= 0x20 && c < 0x7F) {
            out += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            out += "\\x";
            out += "0123456789abcdef"[byte >> 4];
            out += "0123456789abcdef"[byte & 15];
        }
    }
    return out + (text.size() > kLongest ? "...'" : "'");
}

JsonDocument JsonDocument::parse(std::string_view text, std::string name, const JsonLimits& limits) {
    if (text.size() > limits.max_bytes || text.size() > (std::size_t{1} << 31)) {
        throw Error(Status::invalid_file, name + ": JSON of " + std::to_string(text.size()) + " bytes, more than the " +
                                              std::to_string(limits.max_bytes) + " allowed");
    }
    auto nodes = std::make_unique<JsonNodes>();
    nodes->name = std::move(name);
    nodes->strings.reserve(text.size());
    // Every value but the root follows one of these, so one reservation suffices.
    nodes->nodes.reserve(1 + static_cast<std::size_t>(std::count_if(
                                 text.begin(), text.end(), [](char c) { return c == ',' || c == '[' || c == '{'; })));
    Parser(text, *nodes, limits.max_depth).run();
    return JsonDocument(std::move(nodes));
}

JsonDocument::JsonDocument(std::unique_ptr<JsonNodes> nodes) : nodes_(std::move(nodes)) {}
JsonDocument::JsonDocument(JsonDocument&&) noexcept = default;
JsonDocument& JsonDocument::operator=(JsonDocument&&) noexcept = default;
JsonDocument::~JsonDocument() = default;
JsonValue JsonDocument::root() const noexcept { return {nodes_.get(), 0}; }

JsonKind JsonValue::kind() const noexcept { return document_->nodes[node_].kind; }
std::string_view JsonValue::key() const noexcept { return document_->key(node_); }

std::string JsonValue::path() const {
    const std::uint32_t parent = document_->nodes[node_].parent;
    if (parent == kNone) return "";
    const JsonValue above(document_, parent);
    std::string path = above.path();
    if (above.kind() == JsonKind::object) {
        const std::string name = quoted(key());
        return (path.empty() ? path : path + ".") + name.substr(1, name.size() - 2);
    }
    std::size_t index = 0;
    for (const JsonValue sibling : above) {
        if (sibling.node_ == node_) break;
        ++index;
    }
    return path + "[" + std::to_string(index) + "]";
}

void JsonValue::fail(const std::string& message) const {
    const std::string where = path();
    throw Error(Status::invalid_file, document_->name + ": " + (where.empty() ? "" : where + ": ") + message);
}

std::string JsonValue::describe() const {
    const Node& node = document_->nodes[node_];
    switch (kind()) {
        case JsonKind::null:
            return "null";
        case JsonKind::boolean:
            return node.boolean ? "true" : "false";
        case JsonKind::number: {
            char text[40];
            const auto end = node.is_integer ? std::to_chars(text, text + sizeof text, node.integer).ptr
                                             : std::to_chars(text, text + sizeof text, node.real).ptr;
            return {text, end};
        }
        case JsonKind::string:
            return "the string " + quoted(as_string());
        case JsonKind::array:
            return "an array";
        default:
            return "an object";
    }
}

void JsonValue::expect(JsonKind kind) const {
    static constexpr const char* kNames[] = {"null", "true or false", "a number", "a string", "an array", "an object"};
    if (this->kind() != kind) fail(std::string("expected ") + kNames[static_cast<int>(kind)] + ", got " + describe());
}

bool JsonValue::as_bool() const {
    expect(JsonKind::boolean);
    return document_->nodes[node_].boolean;
}

std::int64_t JsonValue::as_int(std::int64_t min, std::int64_t max) const {
    expect(JsonKind::number);
    const Node& node = document_->nodes[node_];
    if (!node.is_integer && (std::abs(node.real) > kExactIntegers || node.real != std::trunc(node.real))) {
        fail("expected an integer, got " + describe());
    }
    const std::int64_t value = node.is_integer ? node.integer : static_cast<std::int64_t>(node.real);
    if (value < min || value > max) {
        fail("expected an integer in [" + std::to_string(min) + ", " + std::to_string(max) + "], got " + describe());
    }
    return value;
}

double JsonValue::as_double() const {
    expect(JsonKind::number);
    const Node& node = document_->nodes[node_];
    if (!node.is_integer) return node.real;
    const auto real = static_cast<double>(node.integer);
    // The magnitude test keeps the cast back defined at 2^63.
    if (std::abs(real) >= kExactIntegers &&
        (real >= 9223372036854775808.0 || static_cast<std::int64_t>(real) != node.integer)) {
        fail("the integer " + describe() + " has no exact floating-point value");
    }
    return real;
}

std::string_view JsonValue::as_string() const {
    expect(JsonKind::string);
    const auto text = document_->nodes[node_].string;
    return std::string_view(document_->strings).substr(text.begin, text.size);
}

std::size_t JsonValue::size() const {
    if (kind() != JsonKind::array) expect(JsonKind::object);
    return document_->nodes[node_].children.count;
}

std::optional<JsonValue> JsonValue::find(std::string_view key) const {
    expect(JsonKind::object);
    for (const JsonValue member : *this) {
        if (member.key() == key) return member;
    }
    return std::nullopt;
}

JsonValue JsonValue::at(std::string_view key) const {
    const auto member = find(key);
    if (!member) fail("the key " + quoted(key) + " is missing");
    return *member;
}

JsonValue JsonValue::at(std::size_t index) const {
    expect(JsonKind::array);
    if (index >= size()) fail("has " + std::to_string(size()) + " elements, none at " + std::to_string(index));
    auto it = begin();
    std::advance(it, static_cast<std::ptrdiff_t>(index));
    return *it;
}

JsonValue::Iterator JsonValue::begin() const noexcept {
    Iterator it = end();
    const Node& node = document_->nodes[node_];
    if (node.kind == JsonKind::array || node.kind == JsonKind::object) it.node_ = node.children.first;
    return it;
}

JsonValue::Iterator JsonValue::end() const noexcept {
    Iterator it;
    it.document_ = document_;
    it.node_ = kNone;
    return it;
}

JsonValue::Iterator& JsonValue::Iterator::operator++() {
    node_ = document_->nodes[node_].next;
    return *this;
}

}  // namespace secousti::core
