// A strict JSON (RFC 8259) reader for safetensors headers and model configurations.
//
// Stricter than the standard where files are hostile: duplicate keys, invalid UTF-8, lone surrogates, numbers that
// overflow, too much depth and too many bytes are errors. Memory is at most 41 bytes for each byte of text.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace secousti::core {

/// `text` in single quotes, shortened to 120 bytes, with everything outside printable ASCII escaped: for messages.
std::string quoted(std::string_view text);

struct JsonLimits {
    std::size_t max_bytes = std::size_t{1} << 20;  ///< at most 2^31
    int max_depth = 32;                            ///< of nested arrays and objects
};

enum class JsonKind : std::uint8_t { null, boolean, number, string, array, object };

/// One value of a JsonDocument; a view that lives as long as the document. Accessors throw Error(invalid_file) that
/// names the document and the path of the value: "model.safetensors: layers.acoustic: expected an integer, ...".
class JsonValue {
  public:
    JsonKind kind() const noexcept;
    bool as_bool() const;
    /// Integers, and fractions such as 256.0 whose value is an integer of at most 2^53 in magnitude.
    std::int64_t as_int(std::int64_t min = std::numeric_limits<std::int64_t>::min(),
                        std::int64_t max = std::numeric_limits<std::int64_t>::max()) const;
    /// Any number; an integer that a double cannot hold exactly is an error.
    double as_double() const;
    std::string_view as_string() const;  ///< UTF-8, unescaped; may contain NUL

    /// Number of elements or members.
    std::size_t size() const;
    /// Member of an object; a missing one is an error.
    JsonValue at(std::string_view key) const;
    std::optional<JsonValue> find(std::string_view key) const;
    /// Element of an array (linear time: iterate to visit all).
    JsonValue at(std::size_t index) const;
    /// Name of this member within its object; "" for elements and the root.
    std::string_view key() const noexcept;
    /// "layers.acoustic", "upsample_rates[1]"; "" for the root.
    std::string path() const;
    /// Throws Error(invalid_file) with "<document>: <path>: <message>".
    [[noreturn]] void fail(const std::string& message) const;

    class Iterator {
      public:
        using value_type = JsonValue;
        using difference_type = std::ptrdiff_t;
        using iterator_category = std::input_iterator_tag;
        JsonValue operator*() const { return {document_, node_}; }
        Iterator& operator++();
        Iterator operator++(int) {
            Iterator old = *this;
            ++*this;
            return old;
        }
        friend bool operator==(const Iterator& a, const Iterator& b) { return a.node_ == b.node_; }

      private:
        friend class JsonValue;
        const struct JsonNodes* document_ = nullptr;
        std::uint32_t node_ = 0;
    };
    /// Elements or members in the order of the text; empty for scalars.
    Iterator begin() const noexcept;
    Iterator end() const noexcept;

  private:
    friend class JsonDocument;
    JsonValue(const JsonNodes* document, std::uint32_t node) : document_(document), node_(node) {}
    void expect(JsonKind kind) const;
    std::string describe() const;

    const JsonNodes* document_;
    std::uint32_t node_;
};

class JsonDocument {
  public:
    /// Throws Error(invalid_file): "<name>: JSON: line 1, column 18: expected ':'". The text is copied.
    static JsonDocument parse(std::string_view text, std::string name, const JsonLimits& limits = {});
    JsonDocument(JsonDocument&&) noexcept;
    JsonDocument& operator=(JsonDocument&&) noexcept;
    ~JsonDocument();
    /// Views stay valid when the document is moved.
    JsonValue root() const noexcept;

  private:
    explicit JsonDocument(std::unique_ptr<JsonNodes> nodes);
    std::unique_ptr<JsonNodes> nodes_;
};

}  // namespace secousti::core
